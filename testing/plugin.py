"""The pytest plugin: fixtures for systems in virtual time, and the seed that repeats a failure.

Found by pytest through its entry point, so it is loaded in every project that has Tallystick installed: it imports nothing of the engine
until a test asks for a fixture. `-p no:tallystick` leaves it out.
"""

from __future__ import annotations

import os
import random
import shlex
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Protocol

import pytest

TYPE_CHECKING = False  # as in the package's own __init__: typing costs nothing here, the engine would
if TYPE_CHECKING:
    from tallystick.actors.clock import ManualClock
    from tallystick.actors.system import System
    from tallystick.domain.action import Performer
    from tallystick.domain.module import Module
    from tallystick.store.log import EventLog
    from tallystick.testing.simulated import SimulatedRuntime

OPTION = "--tallystick-seed"
SEED_BITS = 32
_SEED = pytest.StashKey[int]()
_SEED_FIXTURE = _WORKER_KEY = "tallystick_seed"


class OpenSystem(Protocol):
    """What the fixture `tallystick_system` is."""

    def __call__(self, modules: Sequence[Module], *, performers: Sequence[Performer] = (), log: EventLog | None = None) -> System:
        """A running system on `tallystick_runtime`, stopped when the test ends; `log` is one in memory unless it is given.

        One runs at a time: stop one before the next is opened, on the same log say.
        """
        ...


# The seed.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the seed from the command line."""
    group = parser.getgroup("tallystick")
    group.addoption(OPTION, type=int, metavar="SEED", help="repeat the tests that failed with this seed; without it one is drawn")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed, where it was not given; workers of pytest-xdist get that of the session that started them."""
    given: int | None = config.getoption(OPTION)
    started_by: dict[str, Any] = getattr(config, "workerinput", {})
    drawn = started_by.get(_WORKER_KEY, random.SystemRandom().getrandbits(SEED_BITS))
    config.stash[_SEED] = drawn if given is None else given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the seed to a worker of pytest-xdist."""
    node.workerinput[_WORKER_KEY] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed."""
    return f"tallystick: {OPTION}={config.stash[_SEED]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how to repeat a test that failed with the seed."""
    del call
    report = yield
    if report.failed and _SEED_FIXTURE in getattr(item, "fixturenames", ()):
        path = os.path.relpath(item.path, item.config.invocation_params.dir)
        _, separator, name = item.nodeid.partition("::")
        repeat = shlex.join(["pytest", f"{path}{separator}{name}", f"{OPTION}={item.config.stash[_SEED]}"])
        report.sections.append(("tallystick", f"To repeat it: {repeat}"))
    return report


# Fixtures.


@pytest.fixture(scope="session")
def tallystick_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this session: from `--tallystick-seed`, else drawn. A test that fails says how to repeat it."""
    return request.config.stash[_SEED]


@pytest.fixture
def tallystick_runtime(tallystick_seed: int) -> SimulatedRuntime:
    """A runtime in virtual time whose order and delays come of the seed; the test lets time pass with `advance`."""
    from tallystick.testing.simulated import SimulatedRuntime  # noqa: PLC0415 - see the module's docstring

    return SimulatedRuntime(tallystick_seed)


@pytest.fixture
def tallystick_clock(tallystick_runtime: SimulatedRuntime) -> ManualClock:
    """The clock of `tallystick_runtime`: it stands still until it is told."""
    return tallystick_runtime.clock


@pytest.fixture
def tallystick_system(tallystick_runtime: SimulatedRuntime) -> Iterator[OpenSystem]:
    """A function that opens a system on `tallystick_runtime`, with a log in memory; what still runs is stopped when the test ends."""
    from tallystick.actors.system import System  # noqa: PLC0415 - as above

    opened: list[System] = []

    def open_system(modules: Sequence[Module], *, performers: Sequence[Performer] = (), log: EventLog | None = None) -> System:
        if opened and opened[-1].health().status == "running":
            pytest.fail("A system is running on tallystick_runtime already; stop it before the next is opened.")
        system = System(modules, performers=performers, log=log, runtime=tallystick_runtime)
        system.__enter__()
        opened.append(system)
        return system

    yield open_system
    for system in opened:
        system.stop()
