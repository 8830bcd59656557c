"""For all tests: what one leaves configured does not reach the next, and how they were started reaches none."""

import logging
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

PLUGIN = "tallystick.testing.plugin"
if not any(each.value == PLUGIN for each in entry_points(group="pytest11")):  # the project is on the path without being installed
    pytest_plugins = [PLUGIN]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores Ctrl-C, and so would all programs that tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """Capturing lines leaves structlog configured, and the command line sets a level: both are for the process."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()
    logging.getLogger("tallystick").setLevel(logging.NOTSET)
