"""How many kills, and by which seed: a longer run is `python -m tests.crash --kills 200`."""

import os

import pytest


@pytest.fixture(scope="session")
def kills() -> int:
    """Enough for every named point, more than once."""
    return int(os.environ.get("CRASH_KILLS", "54"))


@pytest.fixture(scope="session")
def seed() -> int:
    """The same kills and the same customers for the same seed; when exactly a kill hits is the machine's business."""
    return int(os.environ.get("CRASH_SEED", "1"))
