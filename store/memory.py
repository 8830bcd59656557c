"""A log in memory, for tests and programs that need no disk: the same contract, durable as long as its storage is referred to.

Not a cache of another log, and not a fake: it refuses what the others refuse.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from msgspec import structs

from tallystick.domain.envelope import Recorded, log_tag_of, position_in
from tallystick.domain.errors import AlreadySettled, Fenced, LogCorrupt, LogError, SnapshotError, VersionConflict
from tallystick.domain.protocol import EXECUTION
from tallystick.store.chain import COVERED, GENESIS, check_follows, link, linked, start
from tallystick.store.keys import MemoryKeys
from tallystick.store.log import Beginning, Head, Query, Snapshot
from tallystick.store.versions_since import VersionsSince

_EVERYTHING = Query()
_SNAPSHOTS_KEPT = 2


class _Storage:
    """What outlives one opening: the records, ways to them, and how often they were opened."""

    def __init__(self, identity: str, beginning: Beginning | None = None) -> None:
        self.identity = identity
        self.beginning = beginning
        self.start = Head() if beginning is None else beginning.head
        self.log_tag = log_tag_of(identity)
        self.mutex = threading.Lock()
        self.epoch = 0
        self.records: list[Recorded] = []
        self.streams: dict[tuple[str, str], dict[int, int]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.settled: dict[str, int] = {}
        self.correlations: dict[str, list[int]] = {}
        self.snapshots: dict[str, tuple[Snapshot, ...]] = {}
        self.keys = MemoryKeys()
        self.kept: dict[int, Recorded] = {}
        """Single records from before the log's own beginning, by position, in order."""
        if beginning is not None:
            self.versions.update((stream, saved.version) for stream, saved in beginning.streams.items())
            for record in sorted(beginning.kept, key=lambda record: record.position):
                self.kept[record.position] = record
                self._index(record)

    def head(self) -> Head:
        if not self.records:
            return self.start
        last = self.records[-1]
        return Head(position=last.position, hash=last.hash, occurred_at_us=last.occurred_at_us)

    @property
    def end(self) -> int:
        """The last position."""
        return self.start.position + len(self.records)

    def at(self, position: int) -> Recorded:
        """The record there; only for positions that there are."""
        index = position - self.start.position - 1
        return self.records[index] if index >= 0 else self.kept[position]

    def hash_at(self, position: int) -> bytes | None:
        """The hash of the record there; None where it is not known."""
        if position == self.start.position:
            return self.start.hash
        if position > self.start.position:
            return self.records[position - self.start.position - 1].hash
        kept = self.kept.get(position)
        return None if kept is None else kept.hash

    def has(self, stream: tuple[str, str], version: int) -> bool:
        """Whether that version of an aggregate was written, as far as is known."""
        saved = 0 if self.beginning is None else self.beginning.start_of(*stream).version
        return 0 < version <= saved or version in self.streams.get(stream, ())

    def add(self, record: Recorded) -> None:
        # The record itself comes first: a reader that finds a position in one of the ways must find the record too.
        self.records.append(record)
        self._index(record)

    def _index(self, record: Recorded) -> None:
        position = record.position
        stream, version = (record.aggregate_type, record.aggregate_id), record.aggregate_version
        self.streams.setdefault(stream, {})[version] = position
        self.versions[stream] = max(version, self.versions.get(stream, 0))
        if record.settles is not None and record.token is not None:
            self.settled[record.token] = position
        self.correlations.setdefault(record.correlation, []).append(position)


class MemoryLog:
    """An `EventLog` in memory; any thread may call anything. `identity` is the log's own id: give two logs two."""

    def __init__(self, *, identity: str = "memory") -> None:
        self._storage = _Storage(identity)
        self._epoch = 0
        self._closed = False

    @classmethod
    def starting(cls, identity: str, beginning: Beginning, records: Sequence[Recorded], *, epochs: int) -> Self:
        """A log that starts at a beginning, with the records that follow it, and that was opened `epochs` times before.

        Raises:
            LogCorrupt: the records do not follow the beginning, or are not chained.
        """
        log = cls(identity=identity)
        storage = log._storage = _Storage(identity, beginning)
        storage.epoch = epochs
        for record in _chained(storage.start, start(identity), records):
            storage.add(_kept(record, record.hash, storage.log_tag))
        return log

    @property
    def beginning(self) -> Beginning | None:
        """What its first record stands upon; None for a log that has all its events."""
        return self._storage.beginning

    def personal_keys(self) -> MemoryKeys:
        """Where the keys of its sensitive values are: as long in memory as its storage."""
        return self._storage.keys

    @property
    def identity(self) -> str:
        """The log's own id."""
        return self._storage.identity

    @property
    def epoch(self) -> int:
        """How often the storage was opened for writing, this time included; 0 before `open`."""
        return self._epoch

    def open(self) -> Head:
        """Become the storage's one writer; whoever was it is fenced from now on (P22)."""
        with self._storage.mutex:
            if self._closed or self._epoch:
                msg = "This log was opened before; call reopened() for a fresh one."
                raise LogError(msg)
            self._storage.epoch += 1
            self._epoch = self._storage.epoch
            return self._storage.head()

    def write(self, records: Sequence[Recorded]) -> Head:
        """Write a batch, all or nothing; durable, as far as memory is, when it returns. Errors as `EventLog.write`."""
        with self._storage.mutex:
            self._check_writer()
            self._check(records)
            try:
                stored = self._stored(records)
            except (TypeError, ValueError, OverflowError) as error:
                msg = f"A record of the batch from position {records[0].position} holds a value that cannot be stored: {error}"
                raise LogError(msg) from error
            for record in stored:
                self._storage.add(record)
            return self._storage.head()

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and of its owner's only the newest two. Errors as `EventLog.save_snapshot`."""
        with self._storage.mutex:
            self._check_writer()
            end = self._storage.end
            if snapshot.position > end:
                msg = f"A snapshot of {snapshot.owner!r} at {snapshot.position} lies beyond the log's end at {end}."
                raise SnapshotError(msg)
            if snapshot.hash != (self._storage.hash_at(snapshot.position) if snapshot.position else GENESIS):
                msg = f"A snapshot of {snapshot.owner!r} at {snapshot.position} is of another log: the record there has another hash."
                raise SnapshotError(msg)
            others = (kept for kept in self._storage.snapshots.get(snapshot.owner, ()) if kept.position != snapshot.position)
            newest = sorted((snapshot, *others), key=lambda kept: kept.position, reverse=True)
            self._storage.snapshots[snapshot.owner] = tuple(newest[:_SNAPSHOTS_KEPT])

    def reopened(self) -> Self:
        """A fresh log on the same storage; this one is closed, and fenced."""
        self.close()
        fresh = type(self)()
        fresh._storage = self._storage  # noqa: SLF001 - of the same class
        return fresh

    def close(self) -> None:
        """Write nothing more; the storage stays with whoever has it."""
        self._closed = True

    def head(self) -> Head:
        """The last record, as of now."""
        self._check_open()
        with self._storage.mutex:
            return self._storage.head()

    def read(self, query: Query = _EVERYTHING) -> Iterator[Recorded]:
        """The records that match, by position; what is written meanwhile is seen."""
        storage = self._storage
        whole = query == Query(after=query.after) and (query.after >= storage.start.position or not storage.kept)
        return self._onwards(query.after) if whole else self._matching(query)

    def _matching(self, query: Query) -> Iterator[Recorded]:
        left = query.limit
        for position in self._positions(query):
            if left == 0:
                return
            self._check_open()
            record = self._storage.at(position)
            if query.matches(record):
                left = None if left is None else left - 1
                yield record

    def _onwards(self, after: int) -> Iterator[Recorded]:
        """All there is behind a position: what recovery and checks read, without a look at what each record is."""
        self._check_open()
        records = self._storage.records
        index = max(after - self._storage.start.position, 0)
        while index < len(records):
            yield records[index]
            index += 1
            self._check_open()

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        """The last version of that aggregate, 0 when there is none."""
        self._check_open()
        with self._storage.mutex:
            return self._storage.versions.get((aggregate_type, aggregate_id), 0)

    def streams(self) -> Iterator[tuple[str, str, int]]:
        """Each aggregate's type, id and last version, but for executions."""
        self._check_open()
        with self._storage.mutex:
            versions = list(self._storage.versions.items())
        return ((*stream, version) for stream, version in versions if stream[0] != EXECUTION)

    def snapshots(self, owner: str) -> Iterator[Snapshot]:
        """The owner's snapshots, newest first."""
        self._check_open()
        yield from self._storage.snapshots.get(owner, ())

    def verify(self) -> Iterator[Recorded]:
        """Every record from its beginning on, its chain, position and version checked. Errors as `LogReader.verify`."""
        storage = self._storage
        versions = VersionsSince(storage.beginning)
        for record in _chained(storage.start, start(self.identity), self.read(Query(after=storage.start.position))):
            versions.take(record)
            yield record
        versions.end()

    def _positions(self, query: Query) -> Iterator[int]:
        """Positions in reading order among which all matches are, found by the narrowest way that the query allows."""
        self._check_open()
        found = self._found(query)
        if found is not None:
            inside = (p for p in found if p > query.after and (query.until is None or p <= query.until))
            yield from sorted(inside, reverse=query.newest_first)
            return
        storage = self._storage
        begins = storage.start.position
        kept = [p for p in storage.kept if p > query.after and (query.until is None or p <= query.until)]
        if query.newest_first:
            last = storage.end if query.until is None else min(query.until, storage.end)
            yield from range(last, max(query.after, begins), -1)
            yield from reversed(kept)
            return
        yield from kept
        position = max(query.after, begins) + 1
        while position <= storage.end and (query.until is None or position <= query.until):
            yield position
            position += 1

    def _found(self, query: Query) -> Sequence[int] | None:
        storage = self._storage
        with storage.mutex:
            if query.event_id is not None:
                position = position_in(query.event_id)
                there = position in storage.kept or storage.start.position < (position or 0) <= storage.end
                return (position,) if position and there else ()
            if query.token is not None:
                engine = storage.streams.get((EXECUTION, query.token), {}).values()
                settlement = storage.settled.get(query.token)
                return tuple({*engine, *(() if settlement is None else (settlement,))})
            if query.aggregate_type is not None and query.aggregate_id is not None:
                return tuple(storage.streams.get((query.aggregate_type, query.aggregate_id), {}).values())
            if query.correlation is not None:
                return tuple(storage.correlations.get(query.correlation, ()))
        return None

    def _stored(self, records: Sequence[Recorded]) -> list[Recorded]:
        storage = self._storage
        hashes = linked(storage.head().hash or start(storage.identity), records)[len(COVERED) :: len(COVERED) + 1]
        return [_kept(record, own, storage.log_tag) for record, own in zip(records, hashes, strict=True)]

    def _check(self, records: Sequence[Recorded]) -> None:
        """Refuse the batch as a whole, before anything of it is stored."""
        check_follows(self._storage.end, records)
        versions, settled = dict[tuple[str, str], set[int]](), set[str]()
        for record in records:
            stream = (record.aggregate_type, record.aggregate_id)
            batch = versions.setdefault(stream, set())
            if record.aggregate_version in batch or self._storage.has(stream, record.aggregate_version):
                actual = max(0, self._storage.versions.get(stream, 0), *batch)
                raise VersionConflict(*stream, expected=record.aggregate_version - 1, actual=actual)
            batch.add(record.aggregate_version)
            if record.settles is None or record.token is None:
                continue
            if record.token in settled or record.token in self._storage.settled:
                raise AlreadySettled(record.token)
            settled.add(record.token)

    def _check_open(self) -> None:
        if self._closed or not self._epoch:
            msg = "This log is not open."
            raise LogError(msg)

    def _check_writer(self) -> None:
        if self._epoch and self._epoch != self._storage.epoch:
            raise Fenced
        self._check_open()


def _chained(before: Head, first: bytes, records: Iterable[Recorded]) -> Iterator[Recorded]:
    """The records, which must follow a head, contiguous and chained; `first` stands in for the hash of an empty head."""
    previous = before.hash or first
    for position, record in enumerate(records, start=before.position + 1):
        if record.position != position or record.hash != link(previous, record):
            msg = f"The record at position {position} is not the one that was written there."
            raise LogCorrupt(msg, position=position)
        previous = record.hash
        yield record


def _kept(record: Recorded, own: bytes, log_tag: int) -> Recorded:
    """A record as the log keeps it: with its hash and the log's own tag, without a decoded payload."""
    return structs.replace(record, hash=own, event=None, log_tag=log_tag)
