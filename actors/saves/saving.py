"""Saving: gathers what a running system is made of, without holding it up, into one document. Taking it up again is `loading`.

Each owner is copied in a turn of its own, then the queue, and only then is it read where the durable log stands: whatever came between
is in the log's tail, and is folded when the save is loaded, as in a recovery. In the stepped runtime nothing can come between.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

import msgspec

from tallystick.actors.actor import EngineActor
from tallystick.actors.clock import SeededIdentity
from tallystick.actors.collector import not_looking
from tallystick.actors.engine import QUEUE, Engine, Program
from tallystick.actors.messages import Context
from tallystick.actors.owner import saved_states
from tallystick.actors.owner.commands import KEYS_KEPT_US
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.owner.snapshots import FORMAT, OwnerCopy, body, copied
from tallystick.actors.owner.state import Entry, folded_on, started_at
from tallystick.actors.queue.queue import QueueActor
from tallystick.actors.queue.saved import SavedQueues
from tallystick.actors.saves.document import (
    Document,
    SavedAggregate,
    SavedLog,
    SavedOwner,
    SavedProgram,
    SavedRecord,
    SaveFormat,
    encoded,
    head_of,
)
from tallystick.actors.timer import Key
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import SaveError, TallystickError
from tallystick.domain.protocol import COMMAND, OWNER, CommandSettled
from tallystick.store.journal import Stream
from tallystick.store.log import NO_START, EventLog, Head, Query, StreamStart
from tallystick.store.save_file import write_save

AskInTurn = Callable[[str, Callable[[Any], Any]], Any]
"""Has an actor (an owner by its name, or the queue) look something up in a turn of its own, and waits until what it saw is durable."""


class Moment(NamedTuple):
    """An owner as it was at one moment."""

    copy: OwnerCopy
    entries: dict[Stream, Entry]
    logged_seen: int
    silent: bool


def _moment_of(owner: EngineActor) -> Moment:
    actor = cast("OwnerActor", owner)
    state = actor.state
    return Moment(copied(actor.name, state), dict(state.entries), state.logged_seen, actor.silent_reaction)


def _queues_of(queue: EngineActor) -> SavedQueues:
    return cast("QueueActor", queue).saved()


def write(path: str | os.PathLike[str], program: Program, engine: Callable[[], Engine], in_turn: AskInTurn, saves: SaveFormat) -> None:
    """Save a system to a file. Errors as `gather` and `write_save`."""
    database = getattr(engine().log, "path", None)
    sides = ("", "-wal", "-shm", ".lock")
    real = os.path.realpath(path)
    if database is not None and (real in {f"{database}{side}" for side in sides} or real.startswith(f"{database}-archive")):
        msg = f"{os.fspath(path)!r} is the log itself; give the save a path of its own. Nothing was written."
        raise SaveError(msg)
    with not_looking():
        write_save(path, encoded(gather(program, engine, in_turn, saves)))


def gather(program: Program, engine: Callable[[], Engine], in_turn: AskInTurn, saves: SaveFormat) -> Document:
    """A system as one document.

    Raises:
        SaveError: a state holds what cannot be saved, or the log cannot be read.
        NotAccepted, NotCommitted, CommitUnknown: the system stopped, or its log failed.
    """
    runtime, pool = program.runtime, program.pool
    if runtime.inline:
        runtime.until(lambda: False, 0)
    at_rest = runtime.inline and pool.running == 0
    moments = {behaviour.name: in_turn(behaviour.name, _moment_of) for behaviour in program.behaviours}
    try:
        queues = in_turn(QUEUE, _queues_of)
        return _Gathering(program, engine(), moments, saves, at_rest=at_rest).document(queues)
    except TypeError as error:
        msg = f"The system cannot be saved: {error}"
        raise SaveError(msg) from error
    except TallystickError as error:
        if isinstance(error, SaveError):
            raise
        msg = f"The system could not be saved: {error}"
        raise SaveError(msg) from error


class _Gathering:
    """One save being made, in the thread that asked for it."""

    def __init__(self, program: Program, engine: Engine, moments: dict[str, Moment], saves: SaveFormat, *, at_rest: bool) -> None:
        self._program = program
        self._engine = engine
        self._log: EventLog = engine.log
        self._moments = moments
        self._saves = saves
        self._at_rest = at_rest
        self._head = self._log.head()
        cursors = (moment.copy.seen for moment in moments.values() if moment.copy.position)
        self._start = self._place(min(cursors, default=self._head.position))
        self._behaviours: dict[str, Behaviour] = {behaviour.name: behaviour for behaviour in program.behaviours}
        self._owner_of = {kind: name for name, kinds in program.ownership.items() for kind in kinds}

    def document(self, queues: SavedQueues) -> Document:
        engine = self._engine
        tail = list(self._read(Query(after=self._start.position)))
        kept = self._kept(tail)
        aggregates: dict[str, dict[str, list[SavedAggregate]]] = {name: {} for name in self._moments}
        engine_streams: list[SavedAggregate] = []
        for aggregate_type, aggregate_id, version in self._streams():
            if aggregate_type == OWNER:
                engine_streams.append(SavedAggregate(aggregate_id, version))
            elif aggregate_type in self._owner_of:
                owner = self._owner_of[aggregate_type]
                saved = self._aggregate(owner, (aggregate_type, aggregate_id), version)
                aggregates[owner].setdefault(aggregate_type, []).append(saved)
        return Document(
            program=SavedProgram(name=self._saves.name, version=self._saves.version),
            at_rest=self._at_rest,
            now_us=engine.clock.now_us(),
            log=SavedLog(
                identity=self._log.identity,
                epoch=self._log.epoch,
                start=head_of(self._start),
                next_nudge=engine.journal.next_nudge,
                kept=tuple(SavedRecord.of(kept[position]) for position in sorted(kept)),
                tail=tuple(map(SavedRecord.of, tail)),
            ),
            owners={name: self._owner(moment, aggregates[name], kept, tail) for name, moment in self._moments.items()},
            engine_streams={OWNER: tuple(engine_streams)},
            queues=queues,
            timers=tuple(map(_timer, engine.timer.deadlines.keys())),
            random=engine.identity.saved() if isinstance(engine.identity, SeededIdentity) else None,
        )

    # The log.

    def _read(self, query: Query) -> Iterator[Recorded]:
        """Records as of the save: what is written while it is being made is left out."""
        for recorded in self._log.read(query):
            if recorded.position <= self._head.position:
                yield recorded

    def _place(self, position: int) -> Head:
        if position == 0:
            return Head()
        beginning = self._log.beginning
        if beginning is not None and beginning.head.position == position:
            return beginning.head
        (recorded,) = self._log.read(Query(after=position - 1, until=position))
        return Head(position=position, hash=recorded.hash, occurred_at_us=recorded.occurred_at_us)

    def _kept(self, tail: Iterable[Recorded]) -> dict[int, Recorded]:
        """Records from before the tail that can still be asked for, by position."""
        kept: dict[int, Recorded] = {}
        for query in self._asked_for(tail):
            for recorded in self._read(query):
                if recorded.position > self._start.position:
                    break
                kept[recorded.position] = recorded
        answers: dict[str, Recorded] = {}
        oldest_us = self._engine.clock.now_us() - KEYS_KEPT_US
        for recorded in self._read(Query(until=self._start.position, event_types=(CommandSettled.__name__,), since_us=oldest_us)):
            if recorded.aggregate_type == COMMAND:
                answers[recorded.aggregate_id] = recorded
        return kept | {recorded.position: recorded for recorded in answers.values()}

    def _asked_for(self, tail: Iterable[Recorded]) -> Iterator[Query]:
        """What anybody may ask the log for: executions that are open, were abandoned, or are spoken of in the tail; what is parked."""
        tokens: dict[str, None] = dict.fromkeys(recorded.token for recorded in tail if recorded.token is not None)
        for copy in (moment.copy for moment in self._moments.values() if moment.copy.position):
            tokens.update(dict.fromkeys(copy.executions))
            tokens.update(dict.fromkeys(copy.abandoned))
            yield Query(after=copy.position - 1, until=copy.position)
            for source, parked in copy.parking.items():
                yield Query(after=parked.position - 1, until=parked.position)
                if parked.role == "reaction":
                    yield Query(after=parked.position, aggregate_type=source.aggregate_type, aggregate_id=source.aggregate_id)
                else:
                    tokens[source.aggregate_id] = None
        for token in tokens:
            yield Query(token=token)

    def _streams(self) -> Iterator[tuple[str, str, int]]:
        """Every aggregate with its version as of the save."""
        for aggregate_type, aggregate_id, version in self._log.streams():
            if aggregate_type == COMMAND or self._at_rest:
                yield aggregate_type, aggregate_id, version
                continue
            query = Query(until=self._head.position, aggregate_type=aggregate_type, aggregate_id=aggregate_id, newest_first=True, limit=1)
            last = next(iter(self._log.read(query)), None)
            if last is not None:
                yield aggregate_type, aggregate_id, last.aggregate_version
            elif self._start_of((aggregate_type, aggregate_id)).version:
                yield aggregate_type, aggregate_id, self._start_of((aggregate_type, aggregate_id)).version

    def _start_of(self, stream: Stream) -> StreamStart:
        beginning = self._log.beginning
        return NO_START if beginning is None else beginning.start_of(*stream)

    # The owners.

    def _owner(
        self, moment: Moment, aggregates: dict[str, list[SavedAggregate]], kept: dict[int, Recorded], tail: list[Recorded]
    ) -> SavedOwner:
        copy = moment.copy
        found = kept.get(copy.position)
        if found is None and copy.position > self._start.position:
            found = tail[copy.position - self._start.position - 1]
        behaviour = self._behaviours[copy.owner]
        return SavedOwner(
            position=copy.position,
            hash=b"" if found is None else found.hash,
            form=FORMAT,
            seen=copy.seen,
            logged_seen=moment.logged_seen,
            silent=moment.silent,
            state=msgspec.Raw(body(copy, self._program.codec)),
            folds={kind.__name__: aggregate_type for kind, aggregate_type in behaviour.streams.items()},
            aggregates={aggregate_type: tuple(each) for aggregate_type, each in aggregates.items()},
        )

    def _aggregate(self, owner: str, stream: Stream, version: int) -> SavedAggregate:
        """An aggregate from memory, or as it is read back; not folded again where nothing of it has happened since it was loaded."""
        behaviour = self._behaviours[owner]
        start = self._start_of(stream)
        if start.version == version:
            return SavedAggregate(stream[1], version, dict(start.states))
        entry = self._moments[owner].entries.get(stream)
        if entry is None:
            if stream[0] not in behaviour.streams.values():
                return SavedAggregate(stream[1], version)
            records = self._read(Query(aggregate_type=stream[0], aggregate_id=stream[1]))
            entry = folded_on(started_at(start, behaviour), records, behaviour, self._program.codec)
        return SavedAggregate(stream[1], entry[0], saved_states.written(entry[1]))


def _timer(key: Key) -> tuple[str, ...]:
    if isinstance(key, Context):
        return (key.owner, key.token)
    owner, source = key
    return (owner, source.aggregate_type, source.aggregate_id)
