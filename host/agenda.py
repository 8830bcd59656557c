"""The agenda of a replay: what is to be done when. Doing it is the driver's."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal, NamedTuple

What = Literal["pay", "ship", "place", "cancel", "deliver"]
_RANKS: Final[dict[What, int]] = {"pay": 0, "ship": 1, "place": 2, "cancel": 3, "deliver": 4}


class Item(NamedTuple):
    """Something to be done at a moment. At one moment answers come first: one that is given on its deadline is in time."""

    at: datetime
    rank: int
    number: int
    what: What
    order_id: str


class Agenda:
    """What is still to be done, by time."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._number = 0

    def add(self, at: datetime | None, what: What, order_id: str, *, since: datetime | None = None) -> None:
        """Enter it, unless it never happens or was to happen before `since`."""
        if at is None or (since is not None and at < since):
            return
        self._number += 1
        heapq.heappush(self._items, Item(at, _RANKS[what], self._number, what, order_id))

    def next_at(self) -> datetime | None:
        """When the next is due."""
        return self._items[0].at if self._items else None

    def due(self, now: datetime) -> Iterator[Item]:
        """What is due by now, one after another; also what is entered meanwhile."""
        while self._items and self._items[0].at <= now:
            yield heapq.heappop(self._items)
