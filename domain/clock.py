"""What the engine asks for time, ids and randomness: one seam, so that a test or a host can stand in for all three."""

from typing import Protocol


class Clock(Protocol):
    """Time. All values are microseconds."""

    def now_us(self) -> int:
        """Since 1970 UTC; never runs backwards while the process lives (P24). Safe in any thread."""
        ...

    def sleeping_us(self, until_us: int) -> float:
        """How many real seconds to wait until `now_us` may have reached `until_us`; 0.0 when it has."""
        ...


class Identity(Protocol):
    """Ids and randomness. Safe in any thread."""

    def new_id(self, now_us: int) -> str:
        """A new id (UUID version 7) for that time; ids of one source never decrease while the time does not."""
        ...

    def draw(self) -> float:
        """A random number in [0, 1), for jitter."""
        ...
