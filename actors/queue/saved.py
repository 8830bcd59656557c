"""Saved queues: where every queue of a system stands, as plain data, so that a game that is loaded goes on as if it had never been left.

Of an execution they hold owner and token and nothing else: what is to be performed stands in the owner's execution map.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from tallystick.actors.messages import Context, StartQueue
from tallystick.actors.queue.entry import Entry, LineKey, candidate_of
from tallystick.actors.queue.holdings import Holdings
from tallystick.actors.queue.rates import Waiter, Waiting
from tallystick.actors.telling import warn
from tallystick.domain.errors import SnapshotError
from tallystick.domain.line import Line, Place, Standing
from tallystick.domain.record import Record
from tallystick.domain.token import Token

NO_PROGRESS = msgspec.Raw(b"null")


class SavedQueue(Record, omit_defaults=True):
    """One queue. `number`, `since`, `parent` and `replays` are its place; `ticker` and `progress` how far its present action has come."""

    context: Context
    attempt: int
    index: int = 0
    number: int = 0
    since: int = 0
    parent: Token | None = None
    replays: int = 0
    reported: Literal["completed", "failed"] | None = None
    later: bool = False
    in_doubt: bool = False
    ticker: str = ""
    progress: msgspec.Raw = NO_PROGRESS


class SavedLine(Record, omit_defaults=True):
    """Everybody in the line of one subject. `line` is empty where an owner has it for itself, and `owner` where several share it."""

    subject: str
    line: str = ""
    owner: str = ""
    starts: int = 0
    active: SavedQueue | None = None
    parked: tuple[SavedQueue, ...] = ()
    waiting: tuple[SavedQueue, ...] = ()
    arrived: tuple[SavedQueue, ...] = ()

    @property
    def key(self) -> LineKey:
        """The line's key in the queue."""
        return (self.subject, self.line, "shared") if self.line else (self.owner, self.subject)


class SavedRate(Record):
    """A rate's bucket, how many have ever waited for it, and who does: place, arrival and token, in order."""

    action: str
    filled_at: int
    arrivals: int = 0
    waiting: tuple[tuple[int, int, Token], ...] = ()


class SavedQueues(Record):
    """All of them. `alone`: those that stand in no line; `ticking`: the order in which tickers take their ticks."""

    arrivals: int = 0
    lines: tuple[SavedLine, ...] = ()
    alone: tuple[SavedQueue, ...] = ()
    ticking: tuple[Token, ...] = ()
    rates: tuple[SavedRate, ...] = ()

    def tokens(self) -> frozenset[Token]:
        """Of whom there is a queue."""
        return frozenset(each.context.token for each in (*self.alone, *(each for line in self.lines for each in everybody(line))))


def everybody(line: SavedLine) -> Iterable[SavedQueue]:
    """All queues of a saved line."""
    return (*(() if line.active is None else (line.active,)), *line.parked, *line.waiting, *line.arrived)


# Saving.


def save(held: Holdings) -> SavedQueues:
    """What the queue holds, as data; what is refused or was failed already, and only awaits its owner's decision, is in no line.

    Raises:
        SnapshotError: a ticker's progress cannot be written.
    """
    rates = ((action.__name__, bucket.filled_at, held.rates.waiting(action)) for action, bucket in held.rates.buckets.items())
    return SavedQueues(
        arrivals=held.arrivals,
        lines=tuple(_saved_line(held, key, standing) for key, standing in held.standings.items()),
        alone=tuple(_saved(entry) for entry in held.entries.all_of_them().values() if not entry.key),
        ticking=held.ticking.tokens(),
        rates=tuple(
            SavedRate(action=action, filled_at=filled_at, arrivals=waiting.arrivals, waiting=tuple(map(_as_saved, waiting.line)))
            for action, filled_at, waiting in rates
        ),
    )


def _as_saved(waiter: Waiter) -> tuple[int, int, Token]:
    return waiter.place, waiter.arrival, waiter.token


def _saved_line(held: Holdings, key: LineKey, standing: Standing) -> SavedLine:
    def placed(place: Place) -> SavedQueue:
        entry = held.entries[place.candidate.token]
        placed = _saved(entry, place.candidate.number)
        return msgspec.structs.replace(placed, since=place.since, parent=place.parent, replays=place.replays)

    shared = len(key) > len(("owner", "subject"))
    return SavedLine(
        subject=key[0] if shared else key[1],
        line=key[1] if shared else "",
        owner="" if shared else key[0],
        starts=standing.starts,
        active=None if standing.active is None else placed(standing.active),
        parked=tuple(map(placed, standing.parked)),
        waiting=tuple(map(placed, standing.waiting)),
        arrived=tuple(_saved(held.entries[each.token], each.number) for each in standing.arrived),
    )


def _saved(entry: Entry, number: int = 0) -> SavedQueue:
    ticker = entry.ticker
    try:
        progress = NO_PROGRESS if ticker is None else msgspec.Raw(msgspec.json.encode(ticker))
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        msg = f"{type(ticker).__name__} has progress that cannot be written: {error}. Give its fields types that JSON has."
        raise SnapshotError(msg) from error
    return SavedQueue(
        context=entry.start.context,
        attempt=entry.start.attempt,
        index=entry.index,
        number=number,
        reported=entry.reported,
        later=entry.later,
        in_doubt=entry.in_doubt,
        ticker="" if ticker is None else type(ticker).__name__,
        progress=progress,
    )


# Restoring.

Find = Callable[[Context], StartQueue | None]
"""Finds what is to be performed for an execution; None when it is not open."""


def restore(held: Holdings, saved: SavedQueues, lines: Callable[[StartQueue], Line], find: Find) -> None:
    """Have an empty queue hold what was saved. What has no open execution in its owner's map any more is left out, with a warning.

    Raises:
        SnapshotError: a ticker's progress does not fit this program.
    """
    held.arrivals = saved.arrivals
    for each in saved.alone:
        _restore_entry(held, each, find, active=True)
    for line in saved.lines:
        _restore_line(held, line, lines, find)
    for token in saved.ticking:
        if token in held.entries:
            held.ticking.go_on(held.entries[token])
    for rate in saved.rates:
        waiters = [(Waiter(*each), held.entries[each[2]]) for each in rate.waiting if each[2] in held.entries]
        held.rates.restore(rate.action, rate.filled_at, Waiting(rate.arrivals, waiters))


def _restore_line(held: Holdings, saved: SavedLine, lines: Callable[[StartQueue], Line], find: Find) -> None:
    places: dict[Token, Place] = {}
    for each in everybody(saved):
        entry = _restore_entry(held, each, find, active=each is saved.active)
        if entry is not None:
            places[each.context.token] = saved_place(each, entry.start, lines(entry.start))

    def found(queues: Iterable[SavedQueue]) -> tuple[Place, ...]:
        return tuple(places[each.context.token] for each in queues if each.context.token in places)

    active = found(() if saved.active is None else (saved.active,))
    arrived = tuple(place.candidate for place in found(saved.arrived))
    standing = Standing(active[0] if active else None, found(saved.parked), found(saved.waiting), arrived, saved.starts)
    if not standing.empty:
        held.standings[saved.key] = standing


def saved_place(saved: SavedQueue, start: StartQueue, line: Line) -> Place:
    """Where somebody stood in a line."""
    return Place(candidate_of(start, saved.number, line), saved.since, saved.parent, saved.replays)


def _restore_entry(held: Holdings, saved: SavedQueue, find: Find, *, active: bool) -> Entry | None:
    start = find(saved.context)
    if start is None or start.attempt != saved.attempt:
        warn("queue.not_restored", owner=saved.context.owner, token=saved.context.token, attempt=saved.attempt)
        return None
    entry = Entry(start)
    entry.number, entry.index, entry.active, entry.reported = saved.number, saved.index, active, saved.reported
    entry.later, entry.in_doubt = saved.later, saved.in_doubt
    if saved.ticker:
        entry.ticker = held.ticking.read(entry.action, saved.ticker, bytes(saved.progress))
    held.entries[saved.context.token] = entry
    return entry
