"""An owner's state: residents, aggregates in memory, execution map, parking. A fold of the log; only its owner's thread touches it."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pyrsistent import PMap, pmap

from tallystick.actors.owner import saved_states
from tallystick.actors.owner.subjects import Subjects, enter, leave, tokens_of
from tallystick.domain import execution, parking
from tallystick.domain.behaviour import Behaviour, Fold
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import EffectError
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.execution import ExecutionMap, ExecutionRecord
from tallystick.domain.parking import Parking
from tallystick.domain.protocol import ENGINE_STREAMS, EXECUTION, LateSuccess, ReactionFailed
from tallystick.domain.token import Token
from tallystick.store.codec import Codec
from tallystick.store.journal import Journal, Stream
from tallystick.store.log import StreamStart

Re = TypeVar("Re", bound=Resident)

ABANDONED_LIMIT = 10_000
"""How many tokens that ended without a word from outside, abandoned, failed after an attempt that only raised, or failed by a person, are
remembered for probing after a crash; the oldest go first (their late reports are found all the same)."""


CLOSING_AT_ONCE = 64
"""So many closed aggregates are let go of together."""


Residents = Mapping[type[Aggregate], Aggregate]


Entry = tuple[int, Mapping[type[Aggregate], Aggregate]]
"""An aggregate in memory: its version and what its events have been folded into."""

NOTHING: Entry = (0, {})


def folded(
    states: Mapping[type[Aggregate], Aggregate], folds: Iterable[Fold], event: Event, recorded: Recorded | None = None
) -> dict[type[Aggregate], Aggregate]:
    """The states after an event; the given ones stay as they are. `recorded` is the event's record, where it has one by now.

    Raises:
        EffectError: a fold returned something else than a state.
    """
    after = dict(states)
    for fold in folds:
        into = fold.into
        before = after.get(into)
        state = fold.after(into() if before is None else before, event, recorded)
        if type(state) is not into:
            msg = f"{fold.apply.__qualname__} returned {type(state).__name__}; a fold returns the {into.__name__} after the event."
            raise EffectError(msg)
        after[into] = state
    return after


def started_at(start: StreamStart, behaviour: Behaviour) -> Entry:
    """An aggregate as far as it was saved, when its log was loaded from a save."""
    if not start.version:
        return NOTHING
    kinds: dict[str, type[Aggregate]] = {kind.__name__: kind for kind in behaviour.streams}
    return start.version, saved_states.read(start.states, kinds)


def folded_on(entry: Entry, records: Iterable[Recorded], behaviour: Behaviour, codec: Codec) -> Entry:
    """An aggregate with those of its records that are beyond its version folded in.

    Raises:
        UnreadableEvent: one cannot be decoded.
    """
    version, states = entry
    for recorded in records:
        if recorded.aggregate_version > version:
            event = codec.decode(recorded)
            states = folded(states, behaviour.aggregate_folds.get(type(event), ()), event, recorded)
            version = recorded.aggregate_version
    return version, states


class OwnerState:
    """What one owner knows. `seen` is its cursor (P1), `position` the last record folded in."""

    def __init__(self, behaviour: Behaviour, codec: Codec, journal: Journal) -> None:
        self._behaviour = behaviour
        self._codec = codec
        self._journal = journal
        self.entries: dict[Stream, Entry] = {}
        self._folded_types = frozenset(behaviour.streams.values())
        self._record_folds = behaviour.record_folds
        self._closing: deque[tuple[int, Stream, int]] = deque()
        self._by_subject: Subjects = {}
        self.residents: Residents = {kind: kind() for kind in behaviour.residents}
        self.open: dict[Token, ExecutionRecord] = {}
        """What the execution map holds, for the owner itself."""
        self._executions: ExecutionMap = execution.nothing_open()
        self._changed: dict[Token, None] = {}
        self.parking: Parking = parking.nothing_parked()
        self.parks = False
        self.abandoned: PMap[Token, int] = pmap()
        self.seen = 0
        self.logged_seen = 0
        self.position = 0
        self.joined = False

    # Reading.

    def read_back(self, stream: Stream) -> Entry:
        """An aggregate that is not in memory, from the log: all its events are durable then (P17).

        Of one that nothing is folded into but residents, the version says all: its events are not read again, however many there are.
        """
        version = self._journal.version(*stream)
        if version == 0:
            return NOTHING
        if stream[0] not in self._folded_types:
            return version, {}
        start = started_at(self._journal.start_of(*stream), self._behaviour)
        return folded_on(start, self._journal.stream(*stream), self._behaviour, self._codec)

    def resident(self, kind: type[Re]) -> Re:
        """A resident state."""
        found = self.residents.get(kind)
        if found is None:
            msg = f"{self._behaviour.name} folds nothing into {kind.__name__}; a module reads only its own residents."
            raise EffectError(msg)
        return cast("Re", found)

    def open_for(self, kind: type[Any], subject: str) -> list[ExecutionRecord]:
        """Open executions of an intent and subject, oldest first."""
        return [self.open[token] for token in tokens_of(self._by_subject, kind, subject)]

    def was_begun(self, token: Token) -> bool:
        """Whether that token has ever been used, by whomever; the tail is asked first (P17)."""
        return self._journal.version(EXECUTION, token) > 0

    @property
    def executions(self) -> ExecutionMap:
        """The execution map as it is now; the versions of it that were handed out before share with it what has not changed."""
        if self._changed and not self._executions:
            self._executions = pmap(self.open)
            self._changed.clear()
        elif self._changed:
            executions = self._executions.evolver()
            for token in self._changed:
                record = self.open.get(token)
                if record is not None:
                    executions[token] = record
                elif token in self._executions:
                    del executions[token]
            self._executions = executions.persistent()
            self._changed.clear()
        return self._executions

    # Folding.

    def adopt(self, records: Sequence[Recorded], entries: Mapping[Stream, Entry], residents: Residents) -> None:
        """Take over what a turn has decided, once it is appended; a closed aggregate is on its way out of memory."""
        for recorded in records:
            if recorded.token is not None or self.parks or recorded.aggregate_type in ENGINE_STREAMS:
                self.fold_bookkeeping(recorded, recorded.event)
        self.position = records[-1].position
        self.logged_seen = self.seen
        if self._record_folds:
            entries, residents = self._with_records(records, entries, residents)
        self.residents = residents
        for stream, entry in entries.items():
            self.entries[stream] = entry
            for state in entry[1].values():
                if not state.closed:
                    break
            else:
                self._closing.append((self.position, stream, entry[0]))
        if len(self._closing) > CLOSING_AT_ONCE:
            self._evict()

    def _with_records(
        self, records: Sequence[Recorded], entries: Mapping[Stream, Entry], residents: Residents
    ) -> tuple[Mapping[Stream, Entry], Residents]:
        """What a turn has made of its events, and what is made of their records now that they are numbered."""
        for recorded in records:
            event = recorded.event
            for fold in self._record_folds.get(type(event), ()):
                if fold.resident:
                    residents = folded(residents, (fold,), event, recorded)
                else:
                    stream = (recorded.aggregate_type, recorded.aggregate_id)
                    version, states = entries[stream]
                    entries = {**entries, stream: (version, folded(states, (fold,), event, recorded))}
        return entries, residents

    def fold_bookkeeping(self, recorded: Recorded, payload: Any) -> None:
        """Fold an event of this owner into cursor, execution map and parking: the same code live and in recovery (S7)."""
        self.position = recorded.position
        seen = recorded.seen
        if seen is not None and seen > self.logged_seen:
            self.logged_seen = seen
            self.seen = max(self.seen, seen)
        if recorded.token is not None:
            self._fold_execution(recorded, recorded.token, payload)
        if self.parks or type(payload) is ReactionFailed:
            self.park(parking.folded(self.parking, recorded, payload))

    def park(self, parked: Parking) -> None:
        """Take over the parking."""
        self.parking = parked
        self.parks = len(parked) > 0

    def _fold_execution(self, recorded: Recorded, token: Token, payload: Any) -> None:
        before = self.open.get(token)
        after = execution.after(before, recorded, payload)
        if after is before:
            if type(payload) is LateSuccess:
                self.abandoned = self.abandoned.discard(token)
            return
        if after is not None:
            self._changed[token] = None
            self.open[token] = after
            if before is None:
                enter(self._by_subject, after.started.intent, token)
        elif before is not None:
            if token in self._executions:
                self._changed[token] = None
            else:  # begun and ended since the map was last wanted
                del self._changed[token]
            self._close(before, recorded)

    def _close(self, record: ExecutionRecord, recorded: Recorded) -> None:
        token = record.token
        del self.open[token]
        leave(self._by_subject, record.started.intent, token)
        doubtful = record.attempt > 1 or record.status == "person"  # a person's word may come before a request that is on its way
        if record.started.actions and (recorded.settles == "abandoned" or (recorded.settles == "failed" and doubtful)):
            if len(self.abandoned) >= ABANDONED_LIMIT:
                self.abandoned = self.abandoned.remove(min(self.abandoned, key=self.abandoned.__getitem__))
            self.abandoned = self.abandoned.set(token, recorded.position)

    def fold_timeout(self, fired: Recorded) -> None:
        """Fold a timeout, which the timer has appended and not this owner. Lost from a snapshot, it fires again and counts once (P8)."""
        if fired.token is not None:
            self._fold_execution(fired, fired.token, fired.event)

    def fold_residents(self, recorded: Recorded, event: Event) -> None:
        """Fold an event of this owner into its resident state, in recovery."""
        folds = self._behaviour.resident_folds.get(type(event))
        if folds:
            self.residents = folded(self.residents, folds, event, recorded)

    def restore_executions(self, records: Iterable[ExecutionRecord]) -> None:
        """Take over the open executions of a snapshot."""
        self.open = {record.token: record for record in sorted(records, key=lambda record: record.position)}
        self._executions, self._changed = execution.nothing_open(), dict.fromkeys(self.open)
        self._by_subject = {}
        for token, record in self.open.items():
            enter(self._by_subject, record.started.intent, token)

    def _evict(self) -> None:
        """Let go of closed aggregates whose last event is durable (P17); who asks for one again reads it back."""
        closing, watermark = self._closing, self._journal.watermark
        while closing and closing[0][0] <= watermark:
            _, stream, version = closing.popleft()
            entry = self.entries.get(stream)
            if entry is not None and entry[0] == version:
                del self.entries[stream]

    @property
    def aggregates_in_memory(self) -> int:
        """How many aggregates are held."""
        return len(self.entries)
