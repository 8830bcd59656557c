"""Legal moves between statuses: one check for the store's state machines. Which moves are legal each module says."""

from collections.abc import Mapping
from typing import TypeVar

import tallystick as ts

S = TypeVar("S", bound=str)


class IllegalTransition(ts.TallystickError):
    """A state was asked to move where it cannot go; nothing has changed."""


def moved(what: str, moves: Mapping[S | None, frozenset[S]], now: S | None, to: S) -> S:
    """`to`, if the state may go there from `now` (None: there was nothing before).

    Raises:
        IllegalTransition: naming both.
    """
    if to not in moves.get(now, frozenset()):
        legal = ", ".join(sorted(moves.get(now, ()))) or "nothing"
        msg = f"{what}: from {now or 'nothing'} to {to} is no legal transition; legal from here: {legal}."
        raise IllegalTransition(msg)
    return to
