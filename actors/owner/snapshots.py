"""Snapshots: an owner's state as bytes, and back. A shorter way to the same state, never another one: all can be deleted (S7, P21)."""

from typing import Literal, NamedTuple

import msgspec
from msgspec import structs
from pyrsistent import PMap, pmap

from tallystick.actors.owner import saved_states
from tallystick.actors.owner.state import OwnerState, Residents
from tallystick.actors.telling import warn
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.errors import LogError, SnapshotError
from tallystick.domain.event import Resident
from tallystick.domain.execution import ExecutionMap, ExecutionRecord, lean
from tallystick.domain.parking import Parked, Parking, Source
from tallystick.domain.progress import Progress
from tallystick.domain.record import Record
from tallystick.domain.token import Token
from tallystick.store import known_streams
from tallystick.store.codec import Codec
from tallystick.store.journal import Fate, Journal
from tallystick.store.log import EventLog, Query, Snapshot

FORMAT = 2


class SavedRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What an execution record holds besides its intent event: the same fields, with the same values where one is not there."""

    token: Token
    position: int
    correlation: str
    started_at_us: int
    attempt: int = 1
    call: int = 1
    index: int = 0
    status: Literal["running", "retrying", "fired", "person"] = "running"
    deadline_us: int | None = None
    retry_at_us: int | None = None
    reason: str = ""
    first_attempt: int = 1
    asked_us: int = 0
    code: str = ""
    opened_us: int = 0
    since_us: int = 0
    edits: tuple[int, ...] = ()
    progress: Progress | None = None


class SavedExecution(Record):
    """An execution record, its intent event as the log has it."""

    operation: str
    started: msgspec.Raw
    record: SavedRecord


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
    executions: tuple[msgspec.Raw, ...]
    """Each a `SavedExecution`; there may be so many that they are better made, and read, one by one."""
    parking: tuple[SavedParking, ...]
    abandoned: dict[str, int]


_DYNAMIC = SavedRecord.__struct_fields__
_executions = msgspec.json.Decoder(SavedExecution)


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
        recorded = next(iter(log.read(Query(after=position - 1, until=position))), None)
        if recorded is None:
            return  # of before the save that the log was loaded from, and nothing has been added to that
        log.save_snapshot(Snapshot(owner=owner, position=position, hash=recorded.hash, format=form, body=body))
    except LogError as error:
        warn("snapshot.not_written", owner=owner, position=position, error=str(error))


class OwnerCopy(NamedTuple):
    """What an owner knows at one moment, all of it immutable: whoever has it may take its time."""

    owner: str
    position: int
    seen: int
    residents: Residents
    executions: ExecutionMap
    parking: Parking
    abandoned: PMap[Token, int]


def copied(owner: str, state: OwnerState) -> OwnerCopy:
    """A copy of a state; called by the thread that owns it."""
    return OwnerCopy(owner, state.position, state.seen, state.residents, state.executions, state.parking, state.abandoned)


def body(copy: OwnerCopy, codec: Codec) -> bytes:
    """A copy as a snapshot's body.

    Raises:
        TypeError: a resident holds what cannot be saved.
    """
    saved = SavedState(
        seen=copy.seen,
        residents=saved_states.written(copy.residents),
        fold_versions={kind.__name__: kind.fold_version for kind in copy.residents if issubclass(kind, Resident)},
        executions=tuple(_saved(record, codec) for record in copy.executions.values()),
        parking=tuple(SavedParking(aggregate_type=s[0], aggregate_id=s[1], parked=p) for s, p in copy.parking.items()),
        abandoned={str(token): position for token, position in copy.abandoned.items()},
    )
    return saved_states.encoder.encode(saved)


def _saved(record: ExecutionRecord, codec: Codec) -> msgspec.Raw:
    saved = SavedExecution(
        operation=record.intent.operation(),
        started=msgspec.Raw(codec.value_bytes(record.started)),
        record=SavedRecord(*(getattr(record, name) for name in _DYNAMIC)),
    )
    return msgspec.Raw(saved_states.encoder.encode(saved))


class SnapshotOutput:
    """A snapshot taken now, of immutable state, and written when the watermark has passed it."""

    def __init__(self, log: EventLog, owner: str, state: OwnerState, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._copy = copied(owner, state)

    def release(self) -> None:
        """Write it; a snapshot that cannot be written costs time at the next opening, and nothing else."""
        copy = self._copy
        try:
            content = body(copy, self._codec)
        except TypeError as error:
            warn("snapshot.not_written", owner=copy.owner, position=copy.position, error=str(error))
        else:
            _keep(self._log, copy.owner, copy.position, FORMAT, content)

    def lost(self, fate: Fate) -> None:
        """The log failed; the events are enough."""


def residents_in(snapshot: Snapshot, behaviour: Behaviour) -> Residents:
    """The resident states of a snapshot alone.

    Raises:
        SnapshotError: it is of another format, or of a program with other types.
    """
    return _read(snapshot, behaviour)[1]


def restore(snapshot: Snapshot, state: OwnerState, behaviour: Behaviour, codec: Codec) -> None:
    """Put a snapshot's content into a fresh state.

    Raises:
        SnapshotError: it is of another format, or of a program with other types.
    """
    saved, residents = _read(snapshot, behaviour)
    try:
        executions = [_execution(item, codec) for item in saved.executions]
    except saved_states.UNFIT as error:
        raise _unfit(snapshot, error) from error
    state.residents = residents
    state.restore_executions(executions)
    state.park(pmap({Source(item.aggregate_type, item.aggregate_id): item.parked for item in saved.parking}))
    state.abandoned = pmap({Token(token): position for token, position in saved.abandoned.items()})
    state.seen = state.logged_seen = saved.seen
    state.position = snapshot.position
    state.joined = True


def _read(snapshot: Snapshot, behaviour: Behaviour) -> tuple[SavedState, Residents]:
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
        return saved, saved_states.read(saved.residents, kinds)
    except saved_states.UNFIT as error:
        raise _unfit(snapshot, error) from error


def _unfit(snapshot: Snapshot, error: Exception) -> SnapshotError:
    return SnapshotError(f"Snapshot of {snapshot.owner} at {snapshot.position} does not fit this program: {error}")


def _execution(raw: msgspec.Raw, codec: Codec) -> ExecutionRecord:
    saved = _executions.decode(raw)
    started = codec.started(codec.intents[saved.operation], bytes(saved.started))
    return ExecutionRecord(started=lean(started), **structs.asdict(saved.record))
