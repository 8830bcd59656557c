"""What the tests of the running system share: a stage in virtual time, and the three runtimes that must all behave alike."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
import structlog.testing

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.fetcher import Scene
from tests.actors.stage import Stage

RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "dispatcher": ts.DispatcherRuntime,
    "threads": ts.ThreadsRuntime,
    "stepped": ts.SteppedRuntime,
}


@pytest.fixture
def stage() -> Stage:
    """Desk, workshop and ledger on a log in memory, running."""
    return Stage()


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime in turn."""
    made: Runtime = RUNTIMES[request.param]()
    return made


@pytest.fixture(params=[name for name in RUNTIMES if name != "stepped"])
def real_runtime(request: pytest.FixtureRequest) -> Runtime:
    """Those with threads and real time."""
    made: Runtime = RUNTIMES[request.param]()
    return made


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """The log lines that the test leaves, as structlog has them."""
    with structlog.testing.capture_logs() as captured:
        yield captured
    structlog.reset_defaults()


@pytest.fixture
def scene() -> Iterator[Callable[..., Scene]]:
    """Makes systems with one fetcher, by the script of what is answered."""
    scenes: list[Scene] = []

    def made(*answers: Any) -> Scene:
        scenes.append(Scene(*answers))
        return scenes[-1]

    yield made
    for each in scenes:
        each.system.stop()
