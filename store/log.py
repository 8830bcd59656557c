"""The contract of a log: an append-only, totally ordered record of all events, durable as a prefix, with one writer.

Not numbering or group commit: the journal does those, and hands a log batches of records that are numbered already.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, Self, cast

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.protocol import EXECUTION


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a log ends: its last record, or zeros and nothing when it has none."""

    position: int = 0
    hash: bytes = b""
    occurred_at_us: int = 0


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which records to read; every filter that is given must hold.

    `after` and `until` are positions, exclusive and inclusive; a page is continued with `after` (or, newest first, with `until`).
    `since_us` and `before_us` are microseconds since 1970 UTC, inclusive and exclusive. `token` finds the events of one execution:
    its engine events and its settlement. `tag` is a name and a value; no index leads to it, as to a type or an owner.
    """

    after: int = 0
    until: int | None = None
    event_types: tuple[str, ...] = ()
    aggregate_type: str | None = None
    aggregate_id: str | None = None
    owner: str | None = None
    token: str | None = None
    correlation: str | None = None
    tag: tuple[str, str] | None = None
    event_id: str | None = None
    since_us: int | None = None
    before_us: int | None = None
    limit: int | None = None
    newest_first: bool = False

    def __post_init__(self) -> None:
        """Refuse what would find nothing by mistake: a limit below zero, a tag without a value, one name for several (ValueError)."""
        names: object = self.event_types
        if isinstance(names, str):
            msg = f"event_types is a tuple of names; for one name give ({names!r},)."
            raise ValueError(msg)  # noqa: TRY004 - as for other unfit values
        tag = cast("object", self.tag)
        if tag is not None and not (isinstance(tag, tuple) and len(tag) == 2):  # noqa: PLR2004 - a name and a value
            msg = f"tag is a name and a value, as ('tenant', 'a'); {tag!r} is not."
            raise ValueError(msg)
        if self.limit is not None and self.limit < 0:
            msg = f"limit is {self.limit}; it cannot be below zero."
            raise ValueError(msg)

    def matches(self, record: Recorded) -> bool:
        """Whether every filter but `limit` holds for that record: the contract in words that every log agrees with."""
        return (
            record.position > self.after
            and (self.until is None or record.position <= self.until)
            and (not self.event_types or record.event_type in self.event_types)
            and (self.aggregate_type is None or record.aggregate_type == self.aggregate_type)
            and (self.aggregate_id is None or record.aggregate_id == self.aggregate_id)
            and (self.owner is None or record.owner == self.owner)
            and (self.token is None or _of_execution(self.token, record))
            and (self.correlation is None or record.correlation == self.correlation)
            and (self.tag is None or (record.tags_json is not None and record.tags.get(self.tag[0]) == self.tag[1]))
            and (self.event_id is None or record.event_id == self.event_id)
            and (self.since_us is None or record.occurred_at_us >= self.since_us)
            and (self.before_us is None or record.occurred_at_us < self.before_us)
        )


def _of_execution(token: str, record: Recorded) -> bool:
    engine = record.aggregate_type == EXECUTION and record.aggregate_id == token
    return engine or (record.token == token and record.settles is not None)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's state at a position of the log, as bytes (P21). `hash` is the hash of the record at `position`."""

    owner: str
    position: int
    hash: bytes
    format: int
    body: bytes


class StreamStart(msgspec.Struct, frozen=True):
    """An aggregate as it was saved: its version, and, by name, the states (as JSON) that its events up to it had been folded into."""

    version: int = 0
    states: Mapping[str, msgspec.Raw] = {}


NO_START = StreamStart()


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """An archive that is whole and durable: what its log keeps of it. `checksum` is its footer's, in which are those of all its parts."""

    first: int
    last: int
    records: int
    size_bytes: int
    checksum: bytes


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What a log stands upon that was loaded from a save: its first record of its own is the one after `head`.

    `streams` may be further on than `head`: an aggregate's records up to the version there are folded into its states already. `kept` are
    single records up to `head` that can still be asked for, by position. `snapshots` are the owners' states, which no events can give.
    """

    head: Head
    streams: Mapping[tuple[str, str], StreamStart]
    kept: tuple[Recorded, ...] = ()
    snapshots: Mapping[str, Snapshot] = {}

    def start_of(self, aggregate_type: str, aggregate_id: str) -> StreamStart:
        """Where an aggregate starts; at nothing, if nothing of it was saved."""
        return self.streams.get((aggregate_type, aggregate_id), NO_START)


class LogReader(Protocol):
    """What anyone may ask of a log, from any thread, also while it is being written; readers never block the writer."""

    @property
    def beginning(self) -> Beginning | None:
        """What its first record stands upon; None for a log that has all its events."""
        ...

    def head(self) -> Head:
        """The last durable record, as of now."""
        ...

    def read(self, query: Query = ...) -> Iterator[Recorded]:
        """The records that match, by position; reads in pages, never the whole log at once.

        Each page is a freshly begun read transaction (P17), so a long iteration sees what was committed meanwhile.
        """
        ...

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        """The last version of that aggregate, 0 when the log has no event of it; a freshly begun read transaction (P17)."""
        ...

    def streams(self) -> Iterator[tuple[str, str, int]]:
        """Each aggregate's type, id and last version, but for executions; in no order that means anything."""
        ...

    def snapshots(self, owner: str) -> Iterator[Snapshot]:
        """The owner's snapshots, newest first, whole and checked; a damaged one is left out."""
        ...

    def verify(self) -> Iterator[Recorded]:
        """Every record in order, its chain and contiguity checked.

        Raises:
            LogCorrupt: naming the first bad position.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections; closing again does nothing."""
        ...


class EventLog(LogReader, Protocol):
    """A log that this process may write. `open` before writing; only one thread writes at a time, any number read."""

    @property
    def identity(self) -> str:
        """The log's own id, made when it was created."""
        ...

    @property
    def epoch(self) -> int:
        """How often the log was opened for writing, this time included (P22); 0 before `open`."""
        ...

    def open(self) -> Head:
        """Become the log's one writer and make sure that all that can be read is durable (P19).

        Raises:
            LogLocked: another process writes it; at once, with its pid.
            LogVersionError: it is of a version that this one cannot read.
            LogCorrupt, LogPoisoned: it cannot be read, or not be made durable; it stays closed.
        """
        ...

    def write(self, records: Sequence[Recorded]) -> Head:
        """Write a batch in one transaction, all or nothing; durable (as far as the log's durability goes) when it returns the new head.

        Raises:
            PositionConflict: the positions do not follow the head without a gap; nothing is written.
            VersionConflict: an aggregate's version exists already; nothing is written.
            Fenced: another writer has opened the log since.
            LogPoisoned: an I/O error, disk full included. The log accepts nothing more until it is opened again (P18).
        """
        ...

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; the newest two of an owner are kept.

        Raises:
            SnapshotError: its position lies beyond the log's end, or its hash is not that record's.
        """
        ...

    def reopened(self) -> Self:
        """A fresh log on the same storage, to be opened after this one was poisoned or closed."""
        ...


class Beginner(EventLog, Protocol):
    """A log that can be new and start at a beginning all the same, for a system that is loaded from a save."""

    def begin(self, identity: str, beginning: Beginning, records: Sequence[Recorded], *, epochs: int) -> None:
        """Have a log that has nothing yet start at a beginning, with the records that follow it; it is to be opened then.

        All of it is durable when it returns, or nothing is there. `identity` is that of the log that was saved, `epochs` how often it had
        been opened before.

        Raises:
            LogError: there is a log already, or it cannot be written.
            LogLocked: another process has it.
        """
        ...


class ArchivingLog(EventLog, Protocol):
    """A log some of whose records can leave its live part, for archives; whatever is asked of it has the same answer as before."""

    @property
    def path(self) -> str:
        """The live log's file."""
        ...

    @property
    def kept_tail(self) -> int:
        """So many records at the end stay in the live log in any case."""
        ...

    def live(self, *, until: int, event_types: tuple[str, ...] = ()) -> Iterator[Recorded]:
        """The records up to a position that are in no archive; of these types, or of all."""
        ...

    def archive(self, until: int, moves: Callable[[Recorded], bool], told: Callable[[int], None] = ...) -> Iterator[Sealed]:
        """Move the records up to a position for which `moves` holds to archives; each as it is sealed and they are gone.

        Interrupted at any point, nothing is lost or doubled, and the next time goes on. Other threads write and read meanwhile. `told` is
        given the position that is being looked at, from time to time.

        Raises:
            ArchiveError: an archive could not be written; records that had not been moved by then are in the live log.
            ArchiveDamaged: one could not be read back, or what an earlier time had begun cannot be ended.
        """
        ...
