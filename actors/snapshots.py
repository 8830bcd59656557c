"""Snapshots: an owner's state as bytes, and back. A shorter way to the same state, never another one: all can be deleted (S7, P21)."""

from typing import Any

import msgspec
from pyrsistent import PMap, PSet, PVector, pmap, pset, pvector

from tallystick.actors.state import OwnerState, Residents
from tallystick.actors.telling import warn
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.errors import LogError, SnapshotError
from tallystick.domain.event import Resident
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.parking import Parked, Source
from tallystick.domain.record import Record
from tallystick.domain.token import Token
from tallystick.store import known_streams
from tallystick.store.codec import Codec
from tallystick.store.journal import Fate, Journal
from tallystick.store.log import EventLog, Query, Snapshot

FORMAT = 2


class SavedExecution(Record):
    """An execution record, its intent event as the log has it."""

    operation: str
    started: msgspec.Raw
    record: dict[str, Any]


class SavedParking(Record):
    """One parked source."""

    aggregate_type: str
    aggregate_id: str
    parked: Parked


class SavedState(Record):
    """The body of a snapshot."""

    seen: int
    residents: dict[str, msgspec.Raw]
    fold_versions: dict[str, int]
    executions: tuple[SavedExecution, ...]
    parking: tuple[SavedParking, ...]
    abandoned: dict[str, int]


def _plain(value: Any) -> Any:
    """Persistent collections as JSON has them."""
    if isinstance(value, PMap):
        return dict(value)
    if isinstance(value, PVector | PSet):
        return list(value)
    msg = f"{type(value).__name__} cannot be saved in a snapshot; use records, tuples, frozensets and pyrsistent collections."
    raise TypeError(msg)


def _persistent(kind: Any, value: Any) -> Any:
    """JSON as the persistent collections that a resident declares: `PMap[str, Level]`, `PVector[int]`, `PSet[str]`."""
    origin, arguments = getattr(kind, "__origin__", kind), getattr(kind, "__args__", ())
    if origin is PMap:
        keys, values = arguments or (Any, Any)
        mapping: Any = dict.__class_getitem__((keys, values))
        return pmap(msgspec.convert(value, mapping, dec_hook=_persistent, str_keys=True))
    if origin in (PVector, PSet):
        sequence: Any = list.__class_getitem__(arguments[0] if arguments else Any)
        items = msgspec.convert(value, sequence, dec_hook=_persistent)
        return pvector(items) if origin is PVector else pset(items)
    msg = f"{kind} cannot be read from a snapshot"
    raise NotImplementedError(msg)


_DYNAMIC = (
    *("token", "position", "correlation", "started_at_us", "attempt", "call", "index", "status", "deadline_us", "retry_at_us", "reason"),
    *("first_attempt", "asked_us", "code"),
)


class KnownStreamsOutput:
    """The filter of known aggregates, kept as of a position that is durable; it may know later ones too, which does no harm."""

    def __init__(self, log: EventLog, journal: Journal) -> None:
        self._log = log
        self._journal = journal
        self._position = journal.tail

    def release(self) -> None:
        """Write it; without it the next opening reads more."""
        body = self._journal.known_streams.saved()
        _keep(self._log, known_streams.OWNER, self._position, known_streams.FORMAT, body)

    def lost(self, fate: Fate) -> None:
        """The log failed; the events are enough."""


def _keep(log: EventLog, owner: str, position: int, form: int, body: bytes) -> None:
    if position == 0:
        return
    try:
        recorded = next(iter(log.read(Query(after=position - 1, limit=1))))
        log.save_snapshot(Snapshot(owner=owner, position=position, hash=recorded.hash, format=form, body=body))
    except LogError as error:
        warn("snapshot.not_written", owner=owner, position=position, error=str(error))


class SnapshotOutput:
    """A snapshot taken now, of immutable state, and written when the watermark has passed it."""

    def __init__(self, log: EventLog, owner: str, state: OwnerState, codec: Codec) -> None:
        self._log = log
        self._owner = owner
        self._codec = codec
        self._position = state.position
        self._seen = state.seen
        self._residents: Residents = state.residents
        self._executions = state.executions
        self._parking = state.parking
        self._abandoned = state.abandoned

    def release(self) -> None:
        """Write it; a snapshot that cannot be written costs time at the next opening, and nothing else."""
        try:
            body = self._body()
        except TypeError as error:
            warn("snapshot.not_written", owner=self._owner, position=self._position, error=str(error))
        else:
            _keep(self._log, self._owner, self._position, FORMAT, body)

    def lost(self, fate: Fate) -> None:
        """The log failed; the events are enough."""

    def _body(self) -> bytes:
        executions = tuple(
            SavedExecution(
                operation=record.intent.operation(),
                started=msgspec.Raw(self._codec.encode_started(record.started)[1]),
                record={name: getattr(record, name) for name in _DYNAMIC},
            )
            for record in self._executions.values()
        )
        saved = SavedState(
            seen=self._seen,
            residents={kind.__name__: msgspec.Raw(_encoder.encode(value)) for kind, value in self._residents.items()},
            fold_versions={kind.__name__: kind.fold_version for kind in self._residents if issubclass(kind, Resident)},
            executions=executions,
            parking=tuple(SavedParking(aggregate_type=s[0], aggregate_id=s[1], parked=p) for s, p in self._parking.items()),
            abandoned={str(token): position for token, position in self._abandoned.items()},
        )
        return _encoder.encode(saved)


_encoder = msgspec.json.Encoder(enc_hook=_plain)


def restore(snapshot: Snapshot, state: OwnerState, behaviour: Behaviour, codec: Codec) -> None:
    """Put a snapshot's content into a fresh state.

    Raises:
        SnapshotError: it is of another format, or of a program with other types.
    """
    if snapshot.format != FORMAT:
        msg = f"Snapshot of {snapshot.owner} at {snapshot.position} has format {snapshot.format}, this version reads {FORMAT}."
        raise SnapshotError(msg)
    try:
        saved = msgspec.json.decode(snapshot.body, type=SavedState)
        kinds = {kind.__name__: kind for kind in behaviour.residents}
        if set(kinds) != set(saved.residents):
            msg = f"Snapshot of {snapshot.owner} has residents {sorted(saved.residents)}, the module has {sorted(kinds)}."
            raise SnapshotError(msg)
        versions = {name: kind.fold_version for name, kind in kinds.items()}
        if versions != saved.fold_versions:
            msg = f"Snapshot of {snapshot.owner} has fold versions {saved.fold_versions}, the module has {versions}."
            raise SnapshotError(msg)
        residents: Residents = {
            kinds[name]: msgspec.json.decode(bytes(raw), type=kinds[name], dec_hook=_persistent) for name, raw in saved.residents.items()
        }
        executions = [_execution(item, codec) for item in saved.executions]
    except (msgspec.MsgspecError, NotImplementedError, KeyError) as error:
        msg = f"Snapshot of {snapshot.owner} at {snapshot.position} does not fit this program: {error}"
        raise SnapshotError(msg) from error
    state.residents = residents
    state.restore_executions(executions)
    state.park(pmap({Source(item.aggregate_type, item.aggregate_id): item.parked for item in saved.parking}))
    state.abandoned = pmap({Token(token): position for token, position in saved.abandoned.items()})
    state.seen = state.logged_seen = saved.seen
    state.position = snapshot.position
    state.joined = True


def _execution(saved: SavedExecution, codec: Codec) -> ExecutionRecord:
    started = codec.started(codec.intents[saved.operation], bytes(saved.started))
    return ExecutionRecord(started=started, **saved.record)
