"""Reading a SQLite log, from any thread of any process, without ever writing to it or waiting for its writer.

Not the writer's own connection: a reader has connections of its own, opened read-only.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Final

import apsw
import msgspec

from tallystick.domain.envelope import Recorded, log_tag_of, position_in
from tallystick.domain.errors import LogCorrupt, LogError
from tallystick.domain.protocol import EXECUTION
from tallystick.store.archives.archives import REVISION, Archives
from tallystick.store.log import Beginning, Head, Query, Snapshot
from tallystick.store.sqlite.beginning import beginning_in
from tallystick.store.sqlite.file import check_header, check_regular, connect, unreadable
from tallystick.store.sqlite.query import page_of
from tallystick.store.sqlite.rows import IDENTITY, records_in
from tallystick.store.sqlite.snapshots import newest_first
from tallystick.store.sqlite.tables import check_tables
from tallystick.store.sqlite.verify import verified, verified_since

_EVERYTHING: Final = Query()
_KEPT_CONNECTIONS: Final = 4
_CACHE_KB: Final = 1_024
_FIRST_PAGE_ROWS: Final = 64
_PAGE_ROWS: Final = 1_000
_PAGE_BYTES: Final = 4 << 20

_ARCHIVED: Final = "(SELECT '' FROM sqlite_schema WHERE name = 'archive')"
"""Null as long as the log has no catalogue of archives: it gets one when something is archived for the first time."""

_HEAD: Final = "SELECT position, hash, occurred_at_us FROM event ORDER BY position DESC LIMIT 1"
# Not max(): of an aggregate that is new it has no row, so that one step of the statement is all.
VERSION: Final = """
SELECT aggregate_version, position FROM event INDEXED BY event_stream WHERE aggregate_id = ? AND aggregate_type = ?
ORDER BY aggregate_version DESC LIMIT 1
"""
# A page is one row, as in `store/sqlite/rows.py`; the index alone has all of it.
_STREAMS: Final = """
SELECT json_group_array(json_array(aggregate_type, aggregate_id, version)) FROM (
    SELECT aggregate_type, aggregate_id, max(aggregate_version) AS version FROM event INDEXED BY event_stream
    WHERE (aggregate_id, aggregate_type) > (?, ?) AND aggregate_type != ?
    GROUP BY aggregate_id, aggregate_type ORDER BY aggregate_id, aggregate_type LIMIT ?
)
"""


class SqliteReader:
    """A `LogReader` on a SQLite log: takes no writer lock and writes nothing. Any thread may call anything.

    Each call that asks the database is a read transaction of its own (P17).

    Raises:
        LogError: there is no log at `path`.
        LogVersionError, LogCorrupt: what is there is not a log that this version can read.
    """

    def __init__(self, path: str | os.PathLike[str], *, vfs: str | None = None) -> None:
        self.path = os.path.realpath(path)
        self._vfs = vfs
        self._idle: deque[apsw.Connection] = deque()
        self._closed = False
        self._asking = threading.Lock()
        self._for_versions: apsw.Connection | None = None
        self._ask_version: Callable[..., apsw.Cursor] | None = None
        self._revision = _ARCHIVED
        self.archives = Archives(self.path, vfs, self._log_tag, self.first_row)
        check_regular(self.path)
        if not check_header(self.path, vfs):
            msg = f"{self.path} holds no log; open it for writing once to make one."
            raise LogError(msg)

    def close(self) -> None:
        """Close the connections; one that is reading just now is closed when its page is read. Closing again does nothing."""
        self._closed = True
        with self._asking:
            connection, self._for_versions, self._ask_version = self._for_versions, None, None
        if connection is not None:
            connection.close()
        while self._idle:
            self._idle.pop().close()

    @cached_property
    def beginning(self) -> Beginning | None:
        """What its first record stands upon, if it was loaded from a save; None for a log that has all its events."""
        try:
            return beginning_in(self.first_row)
        except LogCorrupt as error:
            error.position = error.position or 1  # it is the first that is asked, so that no record can be read
            raise

    def head(self) -> Head:
        """The last durable record, as of now."""
        row = self.first_row(_HEAD)
        begins = Head() if self.beginning is None else self.beginning.head
        return begins if row is None or row[0] <= begins.position else Head(position=row[0], hash=row[1], occurred_at_us=row[2])

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        """The last version of that aggregate, 0 when there is none; a freshly begun read transaction (P17)."""
        version = position = 0
        with self._asking:
            try:
                # To its end, or its read transaction would last until the next question.
                for row in (self._ask_version or self._asked_on_its_own())(VERSION, (aggregate_id, aggregate_type)):
                    version, position = row
            except apsw.Error as error:
                raise unreadable(self.path, error) from error
        if self.beginning is not None:
            return max(version, self.beginning.start_of(aggregate_type, aggregate_id).version)
        # Not always asked: of a log that has no catalogue by now, whatever has left the live log since has left in order.
        if (not version or self._revision is REVISION) and (revision := self.revision()):
            return self.archives.version(aggregate_type, aggregate_id, revision, after=position) or version
        return version

    def read(self, query: Query = _EVERYTHING) -> Iterator[Recorded]:
        """The records that match, by position, in pages that are each a freshly begun read transaction (P17)."""
        if query.event_id is not None:
            yield from self._named(query, query.event_id)
            return
        size, left = _FIRST_PAGE_ROWS, query.limit
        while left is None or left > 0:
            wanted = size if left is None else min(size, left)
            page, asked, revision = self._page(query, wanted)
            given = len(page)
            if revision:
                given = 0
                for record in islice(self.archives.merged(query, page, revision, whole=len(page) < asked), left):
                    given += 1
                    yield record
            else:
                yield from page
            if len(page) < asked:
                return
            left = None if left is None else left - given
            last = page[-1].position
            query = msgspec.structs.replace(query, **({"until": last - 1} if query.newest_first else {"after": last}))
            size = self._next_size(page)

    def streams(self) -> Iterator[tuple[str, str, int]]:
        """Each aggregate's type, id and last version, but for executions; in pages that are each a read transaction."""
        if self.beginning is not None:
            yield from self._streams_since(self.beginning)
            return
        revision = self.revision()
        for aggregate_type, aggregate_id, version in self._live_streams():
            yield aggregate_type, aggregate_id, self.version(aggregate_type, aggregate_id) if revision else version
        if revision := self.revision():
            yield from self.archives.streams(revision, lambda *stream: stream[0] == EXECUTION or self._is_live(*stream))

    def live(self, *, until: int, event_types: tuple[str, ...] = ()) -> Iterator[Recorded]:
        """The records that are in the live log still, by position; of these types, or of all."""
        query, size = Query(until=until, event_types=event_types), _FIRST_PAGE_ROWS
        while page := self._page(query, size)[0]:
            yield from page
            query, size = msgspec.structs.replace(query, after=page[-1].position), self._next_size(page)

    def _streams_since(self, beginning: Beginning) -> Iterator[tuple[str, str, int]]:
        versions = {stream: start.version for stream, start in beginning.streams.items() if stream[0] != EXECUTION}
        for kind, key, version in self._live_streams():
            yield kind, key, max(version, versions.pop((kind, key), 0))
        yield from ((*stream, version) for stream, version in versions.items())

    def _live_streams(self) -> Iterator[tuple[str, str, int]]:
        last = ("", "")
        while True:
            row = self.first_row(_STREAMS, (*last, EXECUTION, _PAGE_ROWS))
            page: list[tuple[str, str, int]] = msgspec.json.decode(row[0] if row else "[]", type=list[tuple[str, str, int]])
            yield from page
            if len(page) < _PAGE_ROWS:
                return
            last = (page[-1][1], page[-1][0])

    def snapshots(self, owner: str) -> Iterator[Snapshot]:
        """The owner's snapshots, newest first; one that is damaged, or not of this log's record at its position, is left out (P21)."""
        return newest_first(self.first_row, self.archived_hash, owner)

    def verify(self) -> Iterator[Recorded]:
        """Every record in order, its chain, position and version checked, then the correlation index and SQLite's own structure.

        Errors as `LogReader.verify`; what the tables are declared as is looked at before the first record.
        """
        check_tables(self.first_row, self.path)
        if self.beginning is not None:
            return verified_since(self.beginning, self.read, self.first_row)
        return verified(self.read, self.first_row, self.archives, self.revision)

    def first_row(self, sql: str, bindings: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a statement in a read transaction of its own, or None; the database's errors become the log's."""
        try:
            connection = self._take()
            try:
                row: tuple[Any, ...] | None = connection.execute(sql, bindings).fetchone()
            finally:
                self._take_back(connection)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error
        return row

    def _named(self, query: Query, event_id: str) -> Iterator[Recorded]:
        """The one record at the position that the id names, if the id is its own."""
        position = position_in(event_id)
        if position is None:
            return
        after, until = max(query.after, position - 1), position if query.until is None else min(query.until, position)
        for record in self.read(msgspec.structs.replace(query, event_id=None, after=after, until=until)):
            if record.event_id == event_id:
                yield record

    def _asked_on_its_own(self) -> Callable[..., apsw.Cursor]:
        """A way to ask for versions, of which there are many, on a connection and cursor that are kept for them."""
        self._for_versions = self._take()
        self._ask_version = self._for_versions.cursor().execute
        return self._ask_version

    def _page(self, query: Query, rows: int) -> tuple[list[Recorded], int, str]:
        """A page of the live log, how many rows it was asked for, and which archives there were then; an empty text for none."""
        try:
            row = self.first_row(*page_of(query, rows, revision=self._revision))
            if row is not None and row[-1] == "":
                self._revision = REVISION
                return self._page(query, rows)
            return (records_in(row[:-1]), rows, row[-1] or "") if row else ([], rows, "")
        except (ValueError, LogCorrupt) as error:
            if rows == 1:
                side = f"before position {query.until}" if query.newest_first else f"after position {query.after}"
                msg = f"{self.path}: the next record {side} is damaged and cannot be read; restore a copy of the log."
                raise LogCorrupt(msg) from error
        # One damaged row spoils its page: what stands before it is still read, in smaller and smaller ones.
        return self._page(query, max(1, rows // 8))

    @staticmethod
    def _next_size(page: Sequence[Recorded]) -> int:
        """Pages are small in rows where the payloads are large, so that a page's memory is bounded."""
        mean = sum(len(record.payload) for record in page) // len(page) + 1
        return max(1, min(_PAGE_ROWS, _PAGE_BYTES // mean))

    def revision(self) -> str:
        """Which archives there are, as of now; empty when there are none."""
        row = self.first_row(f"SELECT {self._revision}")
        if row is not None and row[0] == "":
            self._revision = REVISION
            return self.revision()
        return (row[0] or "") if row else ""

    def archived_hash(self, position: int) -> bytes | None:
        """The hash of an archived record; None when none is archived there."""
        revision = self.revision()
        return self.archives.hash_at(position, revision) if revision and position > 0 else None

    def _is_live(self, aggregate_type: str, aggregate_id: str) -> bool:
        return self.first_row(VERSION, (aggregate_id, aggregate_type)) is not None

    def _log_tag(self) -> int:
        row = self.first_row(IDENTITY)
        return log_tag_of(row[0] if row else "")

    def _take(self) -> apsw.Connection:
        """A connection that nobody else uses; of the idle ones that which was used last, since its cache is warm."""
        if self._closed:
            msg = f"{self.path} is not open."
            raise LogError(msg)
        try:
            return self._idle.pop()
        except IndexError:
            connection = connect(self.path, self._vfs, writing=False)
            connection.pragma("cache_size", -_CACHE_KB)
            return connection

    def _take_back(self, connection: apsw.Connection) -> None:
        if len(self._idle) < _KEPT_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        # Asked after it was put back: else it could be kept by a reader that closed in between.
        if self._closed:
            self.close()
