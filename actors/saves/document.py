"""What a save says: the content of its file as typed data, and how an older one becomes a present one. Not how it is gathered or taken up.

It is JSON, so that the migration of a program's own forms sees plain dictionaries and lists, payloads and states included.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from tallystick.actors.clock import SavedIdentity
from tallystick.actors.queue.saved import SavedQueues
from tallystick.domain.envelope import Recorded, Settles
from tallystick.domain.errors import DefinitionError, LogCorrupt, SaveDamaged, SaveError, SaveMismatch, SaveVersionError
from tallystick.domain.protocol import EXECUTION
from tallystick.domain.record import Record
from tallystick.domain.token import Token
from tallystick.store.log import Beginning, Head, Snapshot, StreamStart
from tallystick.store.memory import MemoryLog

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the document of a program's version before into that of the present one."""


class SaveFormat(Record):
    """Which saves a program writes and reads: those of its own name and version, and, through `upcast`, those of the version before.

    Raise `version` when intents, states or what stands in the queues change their form; `upcast` gets the older document as plain
    dictionaries and lists, and returns the present one. What is two versions back is refused.
    """

    name: str = ""
    version: int = 1
    upcast: Upcast | None = None

    def __post_init__(self) -> None:
        """Refuse a version that nothing can come before (DefinitionError)."""
        if self.version < 1:
            msg = f"A save's version is {self.version}; the first is 1."
            raise DefinitionError(msg)


ANY_SAVES = SaveFormat()
"""The saves of a program that gives them neither name nor version."""


class SavedProgram(Record):
    """Whose save it is."""

    name: str = ""
    version: int = 1


class SavedRecord(msgspec.Struct, frozen=True, array_like=True):
    """A record of the log, its fields in the envelope's order."""

    position: int
    event_type: str
    schema_version: int
    aggregate_type: str
    aggregate_id: str
    aggregate_version: int
    occurred_at_us: int
    owner: str
    correlation: str
    payload: msgspec.Raw
    token: str | None
    settles: Settles | None
    causation: int | None
    seen: int | None
    tags_json: str | None
    hash: bytes

    @classmethod
    def of(cls, recorded: Recorded) -> "SavedRecord":
        """A record as it is saved."""
        return cls(
            recorded.position,
            recorded.event_type,
            recorded.schema_version,
            recorded.aggregate_type,
            recorded.aggregate_id,
            recorded.aggregate_version,
            recorded.occurred_at_us,
            recorded.owner,
            recorded.correlation,
            msgspec.Raw(recorded.payload),
            recorded.token,
            recorded.settles,
            recorded.causation,
            recorded.seen,
            recorded.tags_json,
            recorded.hash,
        )

    def recorded(self) -> Recorded:
        """The record as the log has it."""
        return Recorded(
            self.position,
            self.event_type,
            self.schema_version,
            self.aggregate_type,
            self.aggregate_id,
            self.aggregate_version,
            self.occurred_at_us,
            self.owner,
            self.correlation,
            bytes(self.payload),
            None if self.token is None else Token(self.token),
            self.settles,
            self.causation,
            self.seen,
            self.tags_json,
            hash=self.hash,
        )


class SavedHead(Record):
    """A place in the log."""

    position: int = 0
    hash: bytes = b""
    occurred_at_us: int = 0


class SavedLog(Record):
    """The log from where it goes on: `tail` are all records after `start`, `kept` single ones up to it that can still be asked for."""

    identity: str
    epoch: int
    start: SavedHead
    next_nudge: int
    kept: tuple[SavedRecord, ...]
    tail: tuple[SavedRecord, ...]


class SavedAggregate(msgspec.Struct, frozen=True, array_like=True):
    """An aggregate: its id, its version, and its states by name; they are folded from all its events up to that version."""

    aggregate_id: str
    version: int
    states: dict[str, msgspec.Raw] = {}


class SavedOwner(Record):
    """An owner: a snapshot of its own state, its aggregates by type, and which states those add up to.

    `position` is 0 for one that has never written anything: of that only its cursor is saved.
    """

    position: int
    hash: bytes
    form: int
    seen: int
    logged_seen: int
    silent: bool
    state: msgspec.Raw
    folds: dict[str, str]
    aggregates: dict[str, tuple[SavedAggregate, ...]]


class Document(Record):
    """A whole save.

    `at_rest`: no call was out and nobody had anything left to do, so that the system goes on where it stood; else it is taken up as after
    a crash. `timers` are what was armed, in order: owner and token, or owner and parked source.
    """

    program: SavedProgram
    at_rest: bool
    now_us: int
    log: SavedLog
    owners: dict[str, SavedOwner]
    engine_streams: dict[str, tuple[SavedAggregate, ...]]
    queues: SavedQueues
    timers: tuple[tuple[str, ...], ...] = ()
    random: SavedIdentity | None = None


_encode = msgspec.json.Encoder().encode


def encoded(document: Document) -> bytes:
    """A document as the body of a file."""
    return _encode(document)


class _OfProgram(msgspec.Struct, frozen=True):
    program: SavedProgram


def decoded(body: bytes, saves: SaveFormat, path: str) -> Document:
    """The document in the body of a file, brought to the present version.

    Raises:
        SaveMismatch: it is another program's, or its content does not have the form that it should.
        SaveVersionError: it is newer, or more than one version older.
        SaveError: `upcast` raised.
    """
    try:
        found = msgspec.json.decode(body, type=_OfProgram).program
    except msgspec.MsgspecError as error:
        msg = f"{path!r} does not say what program's save it is: {error}. Nothing was changed."
        raise SaveDamaged(msg) from error
    if found.name != saves.name:
        msg = f"{path!r} is a save of {found.name!r}, and this program's are of {saves.name!r}. Nothing was changed."
        raise SaveMismatch(msg)
    if found.version != saves.version:
        body = _upcast(body, saves, path, found.version)
    try:
        return msgspec.json.decode(body, type=Document)
    except msgspec.MsgspecError as error:
        msg = f"{path!r} does not have the form of version {saves.version} of {saves.name!r}: {error}. Nothing was changed."
        raise SaveMismatch(msg) from error


def _upcast(body: bytes, saves: SaveFormat, path: str, found: int) -> bytes:
    if saves.upcast is None or found != saves.version - 1:
        read = (saves.version,) if saves.upcast is None else (saves.version - 1, saves.version)
        which = "is newer than this program" if found > saves.version else "is older than what this program migrates"
        raise SaveVersionError(path, which, found=found, read=read)
    try:
        document = saves.upcast(msgspec.json.decode(body))
        return _encode({**document, "program": {"name": saves.name, "version": saves.version}})
    except Exception as error:
        msg = f"{path!r} could not be migrated from version {found} to {saves.version}: {error!r}. Nothing was changed."
        raise SaveError(msg) from error


# From and to the log.


def head_of(head: Head) -> SavedHead:
    """A place in the log as it is saved."""
    return SavedHead(position=head.position, hash=head.hash, occurred_at_us=head.occurred_at_us)


def log_of(document: Document, path: str) -> MemoryLog:
    """The log that goes on where the saved one stood.

    Raises:
        SaveDamaged: its records do not follow each other.
    """
    log = document.log
    start = Head(position=log.start.position, hash=log.start.hash, occurred_at_us=log.start.occurred_at_us)
    snapshots = {
        name: Snapshot(owner=name, position=owner.position, hash=owner.hash, format=owner.form, body=bytes(owner.state))
        for name, owner in document.owners.items()
        if owner.position
    }
    kept = tuple(record.recorded() for record in log.kept)
    beginning = Beginning(head=start, streams=_streams(document, kept), kept=kept, snapshots=snapshots)
    try:
        return MemoryLog.starting(log.identity, beginning, [record.recorded() for record in log.tail], epochs=log.epoch - 1)
    except LogCorrupt as error:
        msg = f"{path!r}: {error} Nothing was changed; load an earlier save."
        raise SaveDamaged(msg) from error


def _streams(document: Document, kept: Iterable[Recorded]) -> Mapping[tuple[str, str], StreamStart]:
    """Where each aggregate starts. An open execution whose first event a migration could not give has been begun all the same."""
    streams: dict[tuple[str, str], StreamStart] = {}
    for by_type in (document.engine_streams, *(owner.aggregates for owner in document.owners.values())):
        for aggregate_type, aggregates in by_type.items():
            for each in aggregates:
                streams[aggregate_type, each.aggregate_id] = StreamStart(each.version, each.states)
    recorded = {record.token for record in kept} | {record.token for record in document.log.tail}
    for token in document.queues.tokens() - recorded:
        streams[EXECUTION, token] = StreamStart(1)
    return streams
