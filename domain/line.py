"""A line: who stands in it for one subject, and who is served next. Pure decisions over immutable values; performing is the queue's.

One is served, the *active* one. Whoever it interrupted is *parked* and goes on later; the others *wait*. Who comes next, of those
parked and those waiting, is a total order: whoever has been passed over `PATIENCE` times goes first, the longest there before the
others; then the higher priority; then those parked before those waiting, the latest interrupted first; then the better origin; then
whoever came first. Of those that arrived for one decision (`each_step`), the latest goes first instead. `docs/adr/0013-lines.md` says why.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Literal, NamedTuple

import msgspec

from tallystick.domain.effect import IfItFails, Interruption
from tallystick.domain.errors import DefinitionError
from tallystick.domain.event import Resident
from tallystick.domain.token import Token

WAITING_LIMIT = 1000
"""How many may wait for one subject where nothing else is said."""
PARKED_LIMIT = 64
"""How many may be parked for one subject; beyond that nobody is interrupted, and whoever would have done so waits."""
ARRIVED_LIMIT = 1000
"""How many may come for one subject between two decisions of a line that decides once a step; one more is refused as busy."""
PATIENCE = 16
"""After so many starts of others whoever is parked or waits goes first, whatever its priority: nobody starves."""

Arbitration = Literal["at_once", "each_step"]
RefusalCause = Literal["busy", "superseded"]


class Priority(IntEnum):
    """The usual priorities; any other whole number will do as well."""

    CRITICAL = 400
    HIGH = 300
    NORMAL = 200
    LOW = 100


class _Named(msgspec.Struct, frozen=True):
    name: str


class Line(_Named, frozen=True, kw_only=True):
    """A line that intents of several owners stand in, by subject: `Intent.line` names it.

    `waiting`: how many may wait for one subject; one more is refused as busy. `arbitration`: whether each arrival is decided on when it
    comes, or all those of a step at once (stepped runtime only). `origins`: from the first, which goes before the others of its priority;
    unknown ones come last. `subjects`: a resident state with `__contains__`, which knows the subjects there are.

    Raises:
        DefinitionError: it has no name, or settings that cannot be.
    """

    waiting: int = WAITING_LIMIT
    arbitration: Arbitration = "at_once"
    origins: tuple[str, ...] = ()
    subjects: type[Resident] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            msg = "A line needs a name; intents say it as their `line`."
            raise DefinitionError(msg)
        if self.waiting < 0 or self.arbitration not in ("at_once", "each_step"):
            msg = f"Line {self.name!r}: waiting is {self.waiting!r} and arbitration {self.arbitration!r}; see what a Line may be given."
            raise DefinitionError(msg)
        if self.subjects is not None and not hasattr(self.subjects, "__contains__"):
            msg = f"Line {self.name!r}: give {self.subjects.__name__} a method __contains__(subject), so that it can tell who there is."
            raise DefinitionError(msg)

    def rank(self, origin: str) -> int:
        """An origin's place; the lower goes first."""
        return self.origins.index(origin) if origin in self.origins else len(self.origins)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """Who wants to be served. `number` says in which order they came; two of one line never have the same.

    `admitted`: it was let in before a crash, so it is not refused for want of room.
    """

    token: Token
    number: int
    priority: int = 200
    rank: int = 0
    interruption: Interruption = "deferred"
    if_it_fails: IfItFails = "resume_parent"
    admitted: bool = False


class Place(msgspec.Struct, frozen=True):
    """A candidate in the line: whom it interrupted, if anybody, and how often it was replayed.

    `since` is how many starts the line had seen when it came to stand there.
    """

    candidate: Candidate
    since: int = 0
    parent: Token | None = None
    replays: int = 0

    @property
    def begins_again(self) -> bool:
        """Whether it is replayed when its turn comes again. After `PATIENCE` replays it goes on where it was instead, so that it ends."""
        return self.candidate.interruption == "replayable" and self.replays < PATIENCE


class Standing(msgspec.Struct, frozen=True):
    """Everybody in the line of one subject. `parked` is a stack, its top last; `waiting` stands in the order in which it will be served."""

    active: Place | None = None
    parked: tuple[Place, ...] = ()
    waiting: tuple[Place, ...] = ()
    arrived: tuple[Candidate, ...] = ()
    starts: int = 0

    @property
    def empty(self) -> bool:
        """Whether nobody is there."""
        return self.active is None and not (self.parked or self.waiting or self.arrived)


NOBODY = Standing()

What = Literal["start", "interrupt", "resume", "replay", "refuse", "fail"]


class Move(NamedTuple):
    """What is to be done with one of them, or what its owner is to be told.

    "refuse" is final: it is not in the line any more. "fail" is for its owner to decide on, who may have it tried again: until it
    `leaves` it keeps its place, so that those whom it interrupted itself hear of that end too.
    """

    what: What
    token: Token
    cause: RefusalCause = "busy"


Decided = tuple[Standing, tuple[Move, ...]]


# What happens.


def arrives(standing: Standing, candidate: Candidate, line: Line) -> Decided:
    """Somebody comes: decided at once, or remembered for the step's decision."""
    if line.arbitration == "each_step":
        if len(standing.arrived) >= ARRIVED_LIMIT and not candidate.admitted:
            return standing, (Move("refuse", candidate.token, "busy"),)
        return msgspec.structs.replace(standing, arrived=(*standing.arrived, candidate)), ()
    if standing.active is None:
        return _start(standing, Place(candidate), parked=standing.parked, waiting=standing.waiting)
    if _interrupts(candidate, standing):
        return _interrupt(standing, candidate)
    return _let_in(standing, (candidate,), line, "busy")


def decides(standing: Standing, line: Line) -> Decided:
    """The one decision of a step: whoever has arrived, is parked or waits competes for the place; one at most gets it."""
    arrived = sorted(standing.arrived, key=lambda each: (-each.priority, each.rank, -each.number))
    standing = msgspec.structs.replace(standing, arrived=())
    if standing.active is not None:
        if not arrived or not _interrupts(arrived[0], standing):
            return _let_in(standing, arrived, line, "busy")
        after, moves = _interrupt(standing, arrived[0])
    else:
        best = _best(standing)
        if not arrived or (best is not None and not _goes_before(arrived[0], best, standing)):
            after, moves = _next(standing)
            after, others = _let_in(after, arrived, line, "busy")
            return after, (*moves, *others)
        after, moves = _start(standing, Place(arrived[0]), parked=standing.parked, waiting=standing.waiting)
    after, others = _let_in(after, arrived[1:], line, "superseded")
    return after, (*moves, *others)


def leaves(standing: Standing, token: Token, line: Line, *, failed: bool = False) -> Decided:
    """Somebody is done, or was called off. `failed`: for good, or it timed out; what it interrupted hears of that as it was told to."""
    active = standing.active
    served = active is not None and active.candidate.token == token
    place = active if served else _parked(standing, token)
    after = _without(standing, token)
    moves: tuple[Move, ...] = ()
    if failed and place is not None:
        after, moves = _told_of_failure(after, place)
    if not served or line.arbitration == "each_step":
        return after, moves
    after, following = _next(after)
    return after, (*moves, *following)


# How it is decided.


def _interrupts(candidate: Candidate, standing: Standing) -> bool:
    active = standing.active
    if active is None or len(standing.parked) >= PARKED_LIMIT:
        return False
    return active.candidate.interruption != "not_interruptible" and candidate.priority > active.candidate.priority


def _interrupt(standing: Standing, candidate: Candidate) -> Decided:
    active = standing.active
    if active is None:
        return standing, ()
    parked = Place(active.candidate, standing.starts, active.parent, active.replays)
    token = active.candidate.token
    after, moves = _start(standing, Place(candidate, parent=token), parked=(*standing.parked, parked), waiting=standing.waiting)
    return after, (Move("interrupt", token), *moves)


def _start(standing: Standing, place: Place, *, parked: tuple[Place, ...], waiting: tuple[Place, ...]) -> Decided:
    after = Standing(place, parked, waiting, standing.arrived, standing.starts + 1)
    return after, (Move("start", place.candidate.token),)


def _order(place: Place) -> tuple[int, int, int]:
    candidate = place.candidate
    return (-candidate.priority, candidate.rank, candidate.number)


def _let_in(standing: Standing, candidates: Iterable[Candidate], line: Line, cause: RefusalCause) -> Decided:
    """Have them wait, as far as there is room; better ones first, as they are given."""
    waiting = list(standing.waiting)
    moves: list[Move] = []
    for candidate in candidates:
        if candidate.admitted or len(waiting) < line.waiting:
            insort(waiting, Place(candidate, standing.starts), key=_order)
        else:
            moves.append(Move("refuse", candidate.token, cause))
    return msgspec.structs.replace(standing, waiting=tuple(waiting)), tuple(moves)


def _passed_over(places: Sequence[Place], starts: int) -> Place | None:
    """Whoever has been there for too many starts of others; the longest of them."""
    oldest = min(places, key=lambda place: (place.since, place.candidate.number), default=None)
    return oldest if oldest is not None and starts - oldest.since >= PATIENCE else None


def _best(standing: Standing) -> Place | None:
    """Who comes next of those that are there already."""
    overdue = _passed_over((*standing.parked, *standing.waiting), standing.starts)
    if overdue is not None:
        return overdue
    parked = max(reversed(standing.parked), key=lambda place: place.candidate.priority, default=None)  # of equals, the top of the stack
    waiting = standing.waiting[0] if standing.waiting else None
    if parked is None or (waiting is not None and waiting.candidate.priority > parked.candidate.priority):
        return waiting
    return parked


def _goes_before(candidate: Candidate, best: Place, standing: Standing) -> bool:
    """Whether one that has just come goes before the best of those who were there."""
    if standing.starts - best.since >= PATIENCE:
        return False
    there = best.candidate
    if candidate.priority != there.priority or best in standing.parked:
        return candidate.priority > there.priority
    return candidate.rank < there.rank


def _next(standing: Standing) -> Decided:
    """Serve whoever comes next."""
    best = _best(standing)
    if best is None:
        return standing, ()
    token = best.candidate.token
    parked = tuple(place for place in standing.parked if place is not best)
    waiting = tuple(place for place in standing.waiting if place is not best)
    was_parked = len(parked) < len(standing.parked)
    replayed = was_parked and best.begins_again
    active = Place(best.candidate, parent=best.parent, replays=best.replays + replayed)
    after = Standing(active, parked, waiting, standing.arrived, standing.starts + 1)
    if not was_parked:
        return after, (Move("start", token),)
    return after, (Move("replay" if replayed else "resume", token),)


def _parked(standing: Standing, token: Token | None) -> Place | None:
    return next((place for place in standing.parked if place.candidate.token == token), None)


def _told_of_failure(standing: Standing, place: Place) -> Decided:
    """Whom that one has interrupted hears that it has failed, if it was to and has not gone on meanwhile."""
    policy, parent = place.candidate.if_it_fails, _parked(standing, place.parent)
    if policy == "resume_parent" or parent is None:
        return standing, ()
    token = parent.candidate.token
    if policy == "fail_parent":
        return standing, (Move("fail", token),)
    return _without(standing, token), (Move("refuse", token, "superseded"),)


def _without(standing: Standing, token: Token) -> Standing:
    active = standing.active
    return Standing(
        None if active is not None and active.candidate.token == token else active,
        tuple(place for place in standing.parked if place.candidate.token != token),
        tuple(place for place in standing.waiting if place.candidate.token != token),
        tuple(each for each in standing.arrived if each.token != token),
        standing.starts,
    )
