"""Jobs: what there is to do, which tasks it takes, and which job a settler gets. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple

import tallystick as ts
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import SECOND_US
from tallystick.scenarios.settlers.paths import FAR, Paths


class JobKind(StrEnum):
    """What a settler can be given to do."""

    WOOD = "wood"
    HOUSE = "house"


class Task(StrEnum):
    """What a job consists of. Each is one queue of actions."""

    FELL = "fell"
    STORE = "store"
    FETCH = "fetch"
    CARRY = "carry"
    BUILD = "build"


TASKS: Final = {
    JobKind.WOOD: (Task.FELL, Task.STORE),
    JobKind.HOUSE: (Task.FETCH, Task.CARRY, Task.BUILD),
}
INTERRUPTION: Final[dict[Task, Literal["replayable", "not_interruptible", "deferred"]]] = {
    Task.FELL: "deferred",
    Task.STORE: "deferred",
    Task.FETCH: "replayable",  # nothing is in hand yet: whoever was kept from it sets out once more
    Task.CARRY: "deferred",
    Task.BUILD: "not_interruptible",  # nobody leaves a beam half placed
}

TILE_US: Final = SECOND_US // 2
FELL_US: Final = 20 * SECOND_US
BUILD_US: Final = 20 * SECOND_US
TREE_WOOD: Final = 40
GROWS_AGAIN_US: Final = 180 * SECOND_US

FAILURES_LIMIT: Final = 3
"""With so many failures of its tasks a job is dropped."""
RETRIED_AFTER_US: Final = 5 * SECOND_US
DROPPED_FOR_US: Final = 10 * SECOND_US
PUT_OFF_US: Final = 30 * SECOND_US
LOOKS_AGAIN_US: Final = 10 * SECOND_US
FOR_GOOD: Final = frozenset({"TARGET_GONE"})
"""Failures that no further attempt can mend."""


class Job(ts.Record):
    """A settler's job and how far it is."""

    kind: JobKind
    tree: int = -1
    house: int = -1
    done: int = 0
    failures: int = 0
    put_off: bool = False

    @property
    def task(self) -> Task:
        """What is to be done next, or is being done."""
        return TASKS[self.kind][self.done]

    @property
    def is_last(self) -> bool:
        """Whether the job is done when that is."""
        return self.done + 1 == len(TASKS[self.kind])


def target(job: Job, land: Land) -> Tile:
    """Where the task is done."""
    match job.task:
        case Task.FELL:
            return land.trees[job.tree]
        case Task.STORE | Task.FETCH:
            return land.stockpile
        case Task.CARRY | Task.BUILD:
            return land.houses[job.house]


class Offers(NamedTuple):
    """What can be had: wood in the stockpile, wood in each tree, and how many beams each house has or was promised. Changed as jobs go."""

    stock: list[int]
    trees: list[int]
    houses: list[int]

    def choose(self, at: Tile, land: Land, paths: Paths) -> Job | None:
        """The job for a settler that stands there: building at the lowest house while there is wood, else the nearest tree."""
        if self.stock[0] > 0:
            return Job(kind=JobKind.HOUSE, house=_least(self.houses))
        distances = [paths.distance(at, tile) if self.trees[tree] > 0 else FAR for tree, tile in enumerate(land.trees)]
        nearest = _least(distances)
        return Job(kind=JobKind.WOOD, tree=nearest) if distances[nearest] < FAR else None

    def take(self, job: Job) -> None:
        """Promised to somebody."""
        if job.kind is JobKind.HOUSE:
            self.stock[0] -= 1
            self.houses[job.house] += 1
        else:
            self.trees[job.tree] -= 1


def _least(numbers: Sequence[int]) -> int:
    """The place of the smallest number; of several, the first."""
    return min(range(len(numbers)), key=numbers.__getitem__)
