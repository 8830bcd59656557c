"""An owner's state: residents, aggregates in memory, execution map, parking. A fold of the log; only its owner's thread touches it."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from pyrsistent import PMap, pmap

from tallystick.domain import execution, parking
from tallystick.domain.behaviour import Behaviour, Fold
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import EffectError
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.execution import ExecutionMap, ExecutionRecord
from tallystick.domain.parking import Parking
from tallystick.domain.protocol import EXECUTION, IntentStarted, LateSuccess, ReactionFailed
from tallystick.domain.token import Token
from tallystick.store.codec import Codec
from tallystick.store.journal import Journal, Stream

Re = TypeVar("Re", bound=Resident)

ABANDONED_LIMIT = 10_000
"""How many abandoned tokens are remembered for probing after a crash; the oldest go first (their late reports are found all the same)."""


Residents = Mapping[type[Aggregate], Aggregate]


class Entry(NamedTuple):
    """An aggregate in memory: its version and what its events have been folded into."""

    version: int
    states: Mapping[type[Aggregate], Aggregate]


NOTHING = Entry(0, {})


def folded(states: Mapping[type[Aggregate], Aggregate], folds: Iterable[Fold], event: Event) -> dict[type[Aggregate], Aggregate]:
    """The states after an event; the given ones stay as they are.

    Raises:
        EffectError: a fold returned something else than a state.
    """
    after = dict(states)
    for into, _, apply in folds:
        before = after.get(into)
        state = apply(into() if before is None else before, event)
        if type(state) is not into:
            msg = f"{apply.__qualname__} returned {type(state).__name__}; a fold returns the {into.__name__} after the event."
            raise EffectError(msg)
        after[into] = state
    return after


class OwnerState:
    """What one owner knows. `seen` is its cursor (P1), `position` the last record folded in."""

    def __init__(self, behaviour: Behaviour, codec: Codec, journal: Journal) -> None:
        self._behaviour = behaviour
        self._codec = codec
        self._journal = journal
        self._entries: dict[Stream, Entry] = {}
        self.closing: deque[tuple[int, Stream, int]] = deque()
        self._by_subject: dict[tuple[type[Any], str], dict[Token, None]] = {}
        self.aggregate_folds = _split(behaviour, resident=False)
        self.resident_folds = _split(behaviour, resident=True)
        self.residents: Residents = {kind: kind() for kind in behaviour.residents}
        self.executions: ExecutionMap = execution.nothing_open()
        self.parking: Parking = parking.nothing_parked()
        self.abandoned: PMap[Token, int] = pmap()
        self.seen = 0
        self.logged_seen = 0
        self.position = 0
        self.joined = False

    # Reading.

    def entry(self, stream: Stream) -> Entry:
        """An aggregate, read back from the log when it is not in memory: all its events are durable then (P17)."""
        found = self._entries.get(stream)
        if found is not None:
            return found
        if self._journal.version(*stream) == 0:
            return NOTHING
        version, states = 0, cast("Mapping[type[Aggregate], Aggregate]", {})
        for recorded in self._journal.stream(*stream):
            event = self._codec.decode(recorded)
            states = folded(states, self.aggregate_folds.get(type(event), ()), event)
            version = recorded.aggregate_version
        return Entry(version, states)

    def resident(self, kind: type[Re]) -> Re:
        """A resident state."""
        found = self.residents.get(kind)
        if found is None:
            msg = f"{self._behaviour.name} folds nothing into {kind.__name__}; a module reads only its own residents."
            raise EffectError(msg)
        return cast("Re", found)

    def open_for(self, kind: type[Any], subject: str) -> list[ExecutionRecord]:
        """Open executions of an intent and subject, oldest first."""
        return [self.executions[token] for token in self._by_subject.get((kind, subject), ())]

    def was_begun(self, token: Token) -> bool:
        """Whether that token has ever been used, by whomever; the tail is asked first (P17)."""
        return self._journal.version(EXECUTION, token) > 0

    # Folding.

    def adopt(self, records: Sequence[Recorded], entries: Mapping[Stream, Entry], residents: Residents) -> None:
        """Take over what a turn has decided, once it is appended; a closed aggregate is on its way out of memory."""
        for recorded in records:
            self.fold_bookkeeping(recorded, recorded.event)
        self.residents = residents
        for stream, entry in entries.items():
            self._entries[stream] = entry
            for state in entry.states.values():
                if not state.closed:
                    break
            else:
                self.closing.append((self.position, stream, entry.version))

    def fold_bookkeeping(self, recorded: Recorded, payload: Any) -> None:
        """Fold an event of this owner into cursor, execution map and parking: the same code live and in recovery (S7)."""
        self.position = recorded.position
        seen = recorded.seen
        if seen is not None and seen > self.logged_seen:
            self.logged_seen = seen
            self.seen = max(self.seen, seen)
        if recorded.token is not None:
            self._fold_execution(recorded, Token(recorded.token), payload)
        if self.parking or type(payload) is ReactionFailed:
            self.parking = parking.folded(self.parking, recorded, payload)

    def _fold_execution(self, recorded: Recorded, token: Token, payload: Any) -> None:
        if recorded.settles is not None:
            self._close(token, recorded)
            return
        executions = self.executions
        self.executions = execution.folded(executions, recorded, payload)
        if type(payload) is IntentStarted and self.executions is not executions:
            self._by_subject.setdefault((type(payload.intent), payload.intent.subject), {})[token] = None
        elif type(payload) is LateSuccess:
            self.abandoned = self.abandoned.discard(token)

    def _close(self, token: Token, recorded: Recorded) -> None:
        record = self.executions.get(token)
        if record is None:
            return
        self.executions = self.executions.remove(token)
        index = (type(record.intent), record.intent.subject)
        tokens = self._by_subject[index]
        del tokens[token]
        if not tokens:
            del self._by_subject[index]
        if recorded.settles == "abandoned" and record.started.actions:
            if len(self.abandoned) >= ABANDONED_LIMIT:
                self.abandoned = self.abandoned.remove(min(self.abandoned, key=self.abandoned.__getitem__))
            self.abandoned = self.abandoned.set(token, recorded.position)

    def fold_timeout(self, fired: Recorded) -> None:
        """Fold a timeout, which the timer has appended and not this owner. Lost from a snapshot, it fires again and counts once (P8)."""
        self.executions = execution.folded(self.executions, fired, fired.event)

    def fold_residents(self, event: Event) -> None:
        """Fold an event of this owner into its resident state, in recovery."""
        folds = self.resident_folds.get(type(event))
        if folds:
            self.residents = folded(self.residents, folds, event)

    def restore_index(self) -> None:
        """Find the open executions by subject again, after the execution map came from a snapshot."""
        self._by_subject = {}
        for record in sorted(self.executions.values(), key=lambda record: record.position):
            self._by_subject.setdefault((type(record.intent), record.intent.subject), {})[record.token] = None

    def evict(self, watermark: int) -> None:
        """Let go of closed aggregates whose last event is durable (P17); who asks for one again reads it back."""
        closing = self.closing
        while closing and closing[0][0] <= watermark:
            _, stream, version = closing.popleft()
            entry = self._entries.get(stream)
            if entry is not None and entry.version == version:
                del self._entries[stream]

    @property
    def aggregates_in_memory(self) -> int:
        """How many aggregates are held."""
        return len(self._entries)


def _split(behaviour: Behaviour, *, resident: bool) -> dict[type[Event], tuple[Fold, ...]]:
    """The folds by event type, of one sort."""
    split = {event: tuple(fold for fold in folds if fold.resident == resident) for event, folds in behaviour.folds.items()}
    return {event: folds for event, folds in split.items() if folds}
