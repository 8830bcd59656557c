"""The settlers of the colony by hand: what each is, has and does, in plain mutable fields. `colony_floor` has the loop."""

from datetime import timedelta
from typing import Final

from tallystick.scenarios.settlers.colony import STEP
from tallystick.scenarios.settlers.jobs import TASKS, TILE_US, JobKind, Task
from tallystick.scenarios.settlers.land import Tile
from tallystick.scenarios.settlers.levels import COOLS_AFTER_FAILURE_US, FULL, RULES, Need
from tallystick.scenarios.settlers.relief import PORTIONS, Relief

STEP_US: Final = STEP // timedelta(microseconds=1)
TICKS_A_TILE: Final = TILE_US // STEP_US
NEVER: Final = 1 << 62


class Doing:
    """What a settler does: a walk, then something that takes its time; either may be missing."""

    __slots__ = ("at", "critical", "kind", "lasts", "left", "moves", "need", "owner", "relief", "replays", "stays", "way")

    def __init__(self, owner: str, at: Tile, way: str | None, lasts_us: int = 0) -> None:
        self.owner = owner
        self.at = at
        self.way = way
        self.lasts = lasts_us // STEP_US
        self.moves = 0
        self.left = TICKS_A_TILE if way is not None else self.lasts
        self.need = Need.HUNGER
        self.relief = Relief.MEAL
        self.critical = False
        self.stays = False
        self.replays: tuple[Tile, str] | None = None


class Settler:
    """One settler, with its job, its needs and its errand."""

    # fmt: off
    __slots__ = (
        "at", "doing", "done", "due_us", "errand", "errand_due_us", "errand_tries", "failures", "free", "house", "job",
        "levels", "name", "parked", "portions", "pursued", "put_off", "tree", "urgent_us",
    )
    # fmt: on

    def __init__(self, name: str, at: Tile, now_us: int, hunger: int, fatigue: int) -> None:
        self.name = name
        self.at = at
        self.doing: Doing | None = None
        self.parked: Doing | None = None
        self.job: JobKind | None = None
        self.tree = self.house = -1
        self.done = self.failures = 0
        self.put_off = False
        self.free = True
        self.due_us = now_us
        self.levels: dict[Need, list[int]] = {Need.HUNGER: [hunger, now_us, 0], Need.FATIGUE: [fatigue, now_us, 0]}
        self.portions = PORTIONS
        self.pursued: Need | None = None
        self.urgent_us = NEVER
        self.errand: Tile | None = None
        self.errand_tries = 0
        self.errand_due_us = NEVER

    @property
    def task(self) -> Task:
        """What it is to do next, or does."""
        return TASKS[self.job or JobKind.WOOD][self.done]

    def from_us(self, need: Need, threshold: int) -> int:
        """When that need gets to that level, and has cooled."""
        points, at_us, cooled_us = self.levels[need]
        return max(cooled_us, at_us + max(0, threshold - points) * RULES[need].rises_every_us)

    def has_to_eat(self, now_us: int) -> bool:
        """Whether it is so hungry, with an empty pouch, that nobody else is to give it anything to do."""
        if self.portions:
            return False
        points, at_us, cooled_us = self.levels[Need.HUNGER]
        rule = RULES[Need.HUNGER]
        return cooled_us <= now_us + COOLS_AFTER_FAILURE_US and at_us + max(0, rule.critical - points) * rule.rises_every_us <= now_us

    def points(self, need: Need, now_us: int) -> int:
        """How far that need has risen."""
        points, at_us, _ = self.levels[need]
        return min(FULL, points + (now_us - at_us) // RULES[need].rises_every_us)
