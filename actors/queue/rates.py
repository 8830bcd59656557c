"""Rates in the queue: calls that may not be made yet, by type of action. It says whose turn it is; the queue makes the calls."""

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from tallystick.domain.line import PATIENCE, Priority
from tallystick.domain.rate import Bucket
from tallystick.domain.token import Token

E = TypeVar("E")


class Waiter(NamedTuple):
    """Who waits for a rate: those of the lowest place first, of one place whoever came first."""

    place: int
    arrival: int
    token: Token


def place_of(arrival: int, priority: int) -> int:
    """A place among those that wait for one rate: when it came, and a head start of `PATIENCE` calls for each class of priority.

    So an urgent call goes first, and nobody is passed by more than so many: nobody waits for ever.
    """
    return arrival - (priority - Priority.NORMAL) * PATIENCE // 100


class Waiting(Generic[E]):
    """Those that wait for the rate of one type of action."""

    def __init__(self, arrivals: int = 0, waiters: Iterable[tuple[Waiter, E]] = ()) -> None:
        self.arrivals = arrivals
        """How many have ever waited."""
        self.line: list[Waiter] = []
        self._entries: dict[Token, E] = {}
        for waiter, entry in waiters:
            self._add(waiter, entry)

    def __len__(self) -> int:
        return len(self.line)

    def __contains__(self, token: Token) -> bool:
        return token in self._entries

    def wait(self, token: Token, entry: E, priority: int) -> None:
        """Stand in line; whoever is there already keeps its place."""
        if token not in self._entries:
            self.arrivals += 1
            self._add(Waiter(place_of(self.arrivals, priority), self.arrivals, token), entry)

    def _add(self, waiter: Waiter, entry: E) -> None:
        insort(self.line, waiter)
        self._entries[waiter.token] = entry

    def leave(self, token: Token) -> None:
        """Wait no more."""
        if self._entries.pop(token, None) is not None:
            self.line = [waiter for waiter in self.line if waiter.token != token]

    def take_first(self) -> E:
        """Whose turn it is; it waits no more."""
        return self._entries.pop(self.line.pop(0).token)


class Rates(Generic[E]):
    """What waits for the rates of its actions. One type of action holds up no other; only the queue's thread calls it."""

    def __init__(self, buckets: Mapping[type[Any], Bucket]) -> None:
        self.buckets = buckets
        self._waiting: dict[type[Any], Waiting[E]] = {}

    def __len__(self) -> int:
        return sum(map(len, list(self._waiting.values())))

    def take(self, action: type[Any], token: Token, entry: E, priority: int, now_us: int) -> bool:
        """Take a call out of the action's bucket; if there is none, or others wait for one, it waits as well, and the answer is no."""
        bucket = self.buckets.get(action)
        if bucket is None:
            return True
        waiting = self._waiting.setdefault(action, Waiting())
        if not waiting and bucket.take(now_us):
            return True
        waiting.wait(token, entry, priority)
        return False

    def waiting(self, action: type[Any]) -> Waiting[E]:
        """Who waits for that action's rate."""
        return self._waiting.get(action, Waiting())

    def waits(self, action: type[Any], token: Token) -> bool:
        """Whether it waits for that action's rate."""
        return token in self.waiting(action)

    def restore(self, action: str, filled_at: int, waiting: Waiting[E]) -> None:
        """Take over a bucket and who waits for it; a rate that this program has no more holds nobody up."""
        for kind, bucket in self.buckets.items():
            if kind.__name__ == action:
                bucket.filled_at = filled_at
                self._waiting[kind] = waiting

    def leave(self, action: type[Any], token: Token) -> None:
        """It does not wait any more; one that did not is left alone."""
        self.waiting(action).leave(token)

    def due(self, now_us: int) -> list[E]:
        """Whose turn has come by now, in order; they wait no more."""
        found: list[E] = []
        for action, waiting in self._waiting.items():
            bucket = self.buckets[action]
            while waiting and bucket.take(now_us):
                found.append(waiting.take_first())
        return found

    def next_us(self) -> int | None:
        """When the next one's turn comes; None when nobody waits."""
        return min((self.buckets[action].free_at_us() for action, waiting in self._waiting.items() if waiting), default=None)
