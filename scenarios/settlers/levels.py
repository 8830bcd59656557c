"""Needs: how they rise with time, and when they become urgent or critical. A level is not counted up; it follows from the time."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

import tallystick as ts

SECOND_US: Final = 1_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FULL: Final = 1_000
"""The highest level, in points."""


class Need(StrEnum):
    """What a settler cannot do without."""

    HUNGER = "hunger"
    FATIGUE = "fatigue"


class Rule(NamedTuple):
    """One need: how long it takes to rise by a point, from where on it is urgent, and critical."""

    rises_every_us: int
    urgent: int
    critical: int


RULES: Final = {
    Need.HUNGER: Rule(rises_every_us=600_000, urgent=700, critical=730),
    Need.FATIGUE: Rule(rises_every_us=1_200_000, urgent=800, critical=815),
}
COOLS_AFTER_SUCCESS_US: Final = 60 * SECOND_US
COOLS_AFTER_FAILURE_US: Final = 15 * SECOND_US


class Level(ts.Record):
    """A need: so many points at that time (microseconds since 1970); not to be looked after again before `cooled_us`."""

    points: int
    at_us: int
    cooled_us: int = 0

    def at(self, need: Need, now_us: int) -> int:
        """The points at another, later time."""
        return min(FULL, self.points + max(0, now_us - self.at_us) // RULES[need].rises_every_us)

    def reaches_us(self, need: Need, threshold: int) -> int:
        """When it gets to that many points."""
        return self.at_us + max(0, threshold - self.points) * RULES[need].rises_every_us

    def is_critical(self, need: Need, now_us: int) -> bool:
        """Whether it has got that far, be it looked after again already or not."""
        return self.reaches_us(need, RULES[need].critical) <= now_us

    def urgent_us(self, need: Need) -> int:
        """From when on it is to be looked after when there is time."""
        return max(self.cooled_us, self.reaches_us(need, RULES[need].urgent))

    def critical_us(self, need: Need) -> int:
        """From when on it is to be looked after whatever else is done."""
        return max(self.cooled_us, self.reaches_us(need, RULES[need].critical))

    def relieved(self, need: Need, now_us: int, by: int) -> "Level":
        """After it has been met."""
        return Level(points=max(0, self.at(need, now_us) - by), at_us=now_us, cooled_us=now_us + COOLS_AFTER_SUCCESS_US)

    def not_met(self, now_us: int) -> "Level":
        """After an attempt to meet it has failed."""
        return Level(points=self.points, at_us=self.at_us, cooled_us=now_us + COOLS_AFTER_FAILURE_US)


def micros(moment: datetime) -> int:
    """A time as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)
