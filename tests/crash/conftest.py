"""How many kills, and by which seed: a longer run is `python -m tests.crash --kills 200`, which also says where they have hit."""

import os
from collections import Counter
from itertools import pairwise

import pytest

from tests.crash.town import Kill

KILLS = pytest.StashKey[list[Kill]]()


@pytest.fixture(scope="session")
def kills() -> int:
    """Enough for every named point, more than once."""
    return int(os.environ.get("CRASH_KILLS", "54"))


@pytest.fixture(scope="session")
def seed() -> int:
    """The same kills and the same customers for the same seed; when exactly a kill hits is the machine's business."""
    return int(os.environ.get("CRASH_SEED", "1"))


@pytest.fixture(scope="session")
def killed_here(request: pytest.FixtureRequest) -> list[Kill]:
    """The kills of this run, for the summary."""
    return request.config.stash.setdefault(KILLS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The evidence of a longer run."""
    found = config.stash.get(KILLS, [])
    if "CRASH_KILLS" not in os.environ or not found:
        return
    where, hits = Counter(kill.where for kill in found), Counter(kill.where for kill in found if kill.hit)
    terminalreporter.section("where the kills have hit")
    for point, count in sorted(where.items()):
        terminalreporter.line(f"{point:>32} {hits[point]:4} of {count:4}")
    grown = sum(kill.tail > before.tail for before, kill in pairwise(found))
    amid = sum(kill.found > 0 for kill in found)
    terminalreporter.line(f"{len(found)} kills, {amid} with executions open, {grown} after the log had grown; {found[-1].tail} records")
