"""Rates: how many calls of one type of action may be made in a time, as a bucket of tokens. Pure; the time is given."""

from datetime import timedelta

import msgspec

from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import DefinitionError


class Rate(msgspec.Struct, frozen=True):
    """At most `calls` in any `per`, on the average; up to `burst` of them at once (as many as `calls` where nothing is said).

    The bucket holds `burst` calls and is filled evenly, one call every `per / calls`; with `burst=1` calls are spaced evenly.

    Raises:
        DefinitionError: one of them is not positive.
    """

    calls: int
    per: timedelta
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per < MICROSECOND or (self.burst is not None and self.burst < 1):
            msg = f"A rate of {self.calls} calls per {self.per}, with burst={self.burst}, lets none through; give positive numbers."
            raise DefinitionError(msg)


class Bucket(msgspec.Struct):
    """What is left of a rate. It has one owner, who changes it.

    The generic cell rate algorithm in whole numbers: time is counted in units of a microsecond divided by `calls`, so that the same calls
    at the same times always find the same, and never one too many.
    """

    rate: Rate
    filled_at: int = 0
    """When the bucket will be full again, in these units."""

    def take(self, now_us: int) -> bool:
        """Take a call out of the bucket; False when it is empty."""
        if now_us < self.free_at_us():
            return False
        rate = self.rate
        self.filled_at = max(self.filled_at, now_us * rate.calls) + rate.per // MICROSECOND
        return True

    def free_at_us(self) -> int:
        """From when on a call can be taken."""
        rate = self.rate
        slack = ((rate.burst or rate.calls) - 1) * (rate.per // MICROSECOND)
        return -((slack - self.filled_at) // rate.calls)
