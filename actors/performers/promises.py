"""Calls whose answer was promised for later, perhaps in a month: what is remembered of them, little, for there may be many."""

from typing import Protocol
from weakref import WeakValueDictionary

from tallystick.domain.token import Token


class Promised(Protocol):
    """A call that has answered `Later`. Who made it may have kept it, and ask it whether anybody waits still."""

    token: Token
    attempt: int
    index: int

    def cancel(self) -> None:
        """Nobody does."""
        ...


class Promises:
    """One for each token at most. Not thread-safe: the pool that has them is."""

    __slots__ = ("_kept", "_places", "_shared")

    def __init__(self) -> None:
        self._places: dict[Token, tuple[int, int]] = {}
        """Attempt and index; nearly all the same two, which are kept once."""
        self._shared: dict[tuple[int, int], tuple[int, int]] = {}
        self._kept: WeakValueDictionary[Token, Promised] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._places)

    def add(self, call: Promised, *, made: bool) -> None:
        """An answer is promised; `made`: by a call of this process, and not found by a question."""
        place = (call.attempt, call.index)
        self._places[call.token] = self._shared.setdefault(place, place)
        if made:
            self._kept[call.token] = call

    def has(self, token: Token, attempt: int, index: int) -> bool:
        """Whether the answer to that very call is promised."""
        return self._places.get(token) == (attempt, index)

    def drop(self, token: Token, attempt: int) -> None:
        """The attempt is over, or the answer has come."""
        place = self._places.get(token)
        if place is not None and place[0] == attempt:
            del self._places[token]

    def kept(self, token: Token) -> Promised | None:
        """The call, if somebody has kept it."""
        return self._kept.get(token)
