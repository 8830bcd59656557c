"""Stale queues: those of a save whose execution their owner does not have open. They are left out, and whoever they held up goes on."""

from collections.abc import Callable, Iterable

from msgspec import structs

from tallystick.actors.messages import Context, StartQueue
from tallystick.actors.queue.saved import NO_PROGRESS, Find, SavedLine, SavedQueue, SavedQueues, everybody, saved_place
from tallystick.domain.line import Candidate, Line, Place, Standing, leaves

LineOf = Callable[[SavedLine], Line]
"""How a saved line is run."""


def without_stale(queues: SavedQueues, line_of: LineOf, find: Find) -> tuple[SavedQueues, tuple[Context, ...]]:
    """The queues whose executions are open, and where the others belonged."""
    stale = tuple(each.context for each in _all(queues) if not _found(each, find))
    if not stale:
        return queues, ()
    lines = tuple(_line_without_stale(line, line_of, find) for line in queues.lines)
    alone = tuple(each for each in queues.alone if _found(each, find))
    return structs.replace(queues, lines=lines, alone=alone), stale


def _all(queues: SavedQueues) -> Iterable[SavedQueue]:
    return (*queues.alone, *(each for line in queues.lines for each in everybody(line)))


def _found(queue: SavedQueue, find: Find) -> StartQueue | None:
    """What it is to perform; a queue is of one attempt, and of no other."""
    start = find(queue.context)
    return start if start is not None and start.attempt == queue.attempt else None


def _line_without_stale(saved: SavedLine, line_of: LineOf, find: Find) -> SavedLine:
    def left(queues: Iterable[SavedQueue]) -> tuple[SavedQueue, ...]:
        return tuple(each for each in queues if _found(each, find))

    active = saved.active
    after = structs.replace(saved, parked=left(saved.parked), waiting=left(saved.waiting), arrived=left(saved.arrived))
    if active is None or _found(active, find):
        return after
    after = structs.replace(after, active=None)
    line = line_of(saved)
    return after if line.arbitration == "each_step" else _served_next(after, active, line, find)


def _served_next(saved: SavedLine, gone: SavedQueue, line: Line, find: Find) -> SavedLine:
    """The line when whoever was served has left it: the next of those parked and waiting is served."""

    def places(queues: Iterable[SavedQueue]) -> tuple[Place, ...]:
        return tuple(saved_place(each, start, line) for each in queues if (start := _found(each, find)))

    standing = Standing(Place(Candidate(gone.context.token, gone.number)), places(saved.parked), places(saved.waiting), (), saved.starts)
    after, moves = leaves(standing, gone.context.token, line)
    for move in moves:
        following = next(each for each in (*saved.parked, *saved.waiting) if each.context.token == move.token)
        if move.what == "replay":
            following = structs.replace(following, replays=following.replays + 1, index=0, ticker="", progress=NO_PROGRESS, later=False)
        saved = structs.replace(
            saved,
            active=following,
            parked=tuple(each for each in saved.parked if each.context.token != move.token),
            waiting=tuple(each for each in saved.waiting if each.context.token != move.token),
            starts=after.starts,
        )
    return saved
