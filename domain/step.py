"""A step: how far a host that drives time has let it go on, for whoever takes a turn in it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from tallystick.domain.envelope import MICROSECOND, from_micros
from tallystick.domain.event import Resident

Re = TypeVar("Re", bound=Resident)

Look = Callable[[type[Any]], Any]
"""Finds a resident state by its kind."""


def nobody(kind: type[Any]) -> Any:
    """The look of a step that was made by hand: there are no residents.

    Raises:
        LookupError: always.
    """
    msg = f"This step knows no {kind.__name__}; make it with look={{…}}.__getitem__."
    raise LookupError(msg)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a host. In a test make one by hand: `Step(delta_us=16_000, now_us=0, look={Terrain: terrain}.__getitem__)`."""

    delta_us: int
    """How long it is, in microseconds."""
    now_us: int = 0
    """The time at its end, in microseconds since 1970 UTC."""
    look: Look = nobody

    @property
    def delta(self) -> timedelta:
        """How long it is."""
        return self.delta_us * MICROSECOND

    @property
    def now(self) -> datetime:
        """The time at its end, UTC."""
        return from_micros(self.now_us)

    def resident(self, kind: type[Re]) -> Re:
        """A resident state of whatever module has it, as of this moment; to be looked at only.

        Raises:
            LookupError: no module has it.
        """
        return cast("Re", self.look(kind))
