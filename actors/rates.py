"""Rates in the queue: calls that may not be made yet, in order, by type of action. It says whose turn it is; the queue makes the calls."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from tallystick.domain.rate import Bucket
from tallystick.domain.token import Token

E = TypeVar("E")


class Rates(Generic[E]):
    """What waits for the rates of its actions. One type of action holds up no other; only the queue's thread calls it."""

    def __init__(self, buckets: Mapping[type[Any], Bucket]) -> None:
        self.buckets = buckets
        self._waiting: dict[type[Any], dict[Token, E]] = {}

    def __len__(self) -> int:
        return sum(map(len, list(self._waiting.values())))

    def take(self, action: type[Any], token: Token, entry: E, now_us: int) -> bool:
        """Take a call out of the action's bucket; if there is none, or others wait for one, it waits behind them, and the answer is no."""
        bucket = self.buckets.get(action)
        if bucket is None:
            return True
        waiting = self._waiting.setdefault(action, {})
        if not waiting and bucket.take(now_us):
            return True
        waiting[token] = entry
        return False

    def tokens(self, action: type[Any]) -> tuple[Token, ...]:
        """Who waits for that action's rate, in order."""
        return tuple(self._waiting.get(action, ()))

    def waits(self, action: type[Any], token: Token) -> bool:
        """Whether it waits for that action's rate."""
        return token in self._waiting.get(action, ())

    def restore(self, action: str, filled_at: int, waiting: dict[Token, E]) -> None:
        """Take over a bucket and who waits for it; a rate that this program has no more holds nobody up."""
        for kind, bucket in self.buckets.items():
            if kind.__name__ == action:
                bucket.filled_at = filled_at
                self._waiting[kind] = waiting

    def leave(self, action: type[Any], token: Token) -> None:
        """It does not wait any more; one that did not is left alone."""
        waiting = self._waiting.get(action)
        if waiting is not None:
            waiting.pop(token, None)

    def due(self, now_us: int) -> list[E]:
        """Whose turn has come by now, in order; they wait no more."""
        found: list[E] = []
        for action, waiting in self._waiting.items():
            bucket = self.buckets[action]
            while waiting and bucket.take(now_us):
                found.append(waiting.pop(next(iter(waiting))))
        return found

    def next_us(self) -> int | None:
        """When the next one's turn comes; None when nobody waits."""
        return min((self.buckets[action].free_at_us() for action, waiting in self._waiting.items() if waiting), default=None)
