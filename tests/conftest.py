"""For all tests: what one leaves configured does not reach the next."""

import logging
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """Capturing lines leaves structlog configured, and the command line sets a level: both are for the process."""
    yield
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()
    logging.getLogger("tallystick").setLevel(logging.NOTSET)
