"""Opening a SQLite log for writing: its tables made or checked, its end checked, the next epoch taken. Not its files or its lock."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import apsw
import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt, LogError
from tallystick.store.chain import link, start
from tallystick.store.log import Beginning, Head, Query
from tallystick.store.sqlite.beginning import beginning_in, put
from tallystick.store.sqlite.query import page_of
from tallystick.store.sqlite.rows import IDENTITY, records_in
from tallystick.store.sqlite.tables import SCHEMA, check_tables

_NEXT_EPOCH: Final = "UPDATE meta SET epoch = epoch + 1 RETURNING epoch, correlated"
_CHECKED_AT_THE_END: Final = 64
_CACHE_KB: Final = 1_024
_SIDE_FILE_BYTES: Final = 16 << 20


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer has to know of the log that it has opened."""

    identity: str = ""
    epoch: int = 0
    head: Head = Head()
    correlated: int = 0
    beginning: Beginning | None = None


def prepare(connection: apsw.Connection, *, new: bool, synchronous: str) -> Opened:
    """Make the tables of a new log, or check those of an old one and its last records; then take the next epoch, durably (P22).

    Raises:
        LogCorrupt: the tables are not this format's, or the last records are not those that were written; nothing was changed.
        apsw.Error: from the database.
    """
    connection.pragma("synchronous", "FULL")
    # A file of no pages has a header only until its creation, which a power cut had interrupted, was rolled back by the first question.
    if new or not connection.pragma("page_count"):
        _create(connection)
    check_tables(lambda sql: connection.execute(sql).fetchone(), connection.filename)
    if connection.pragma("journal_mode", "wal") != "wal":
        msg = f"{connection.filename} cannot have a write-ahead log where it lies; use a local file system."
        raise LogError(msg)
    connection.pragma("cache_size", -_CACHE_KB)
    connection.pragma("journal_size_limit", _SIDE_FILE_BYTES)
    identity = _identity(connection)
    beginning = beginning_in(lambda sql: connection.execute(sql).fetchone())
    head = _checked_end(connection, identity, Head() if beginning is None else beginning.head)
    ((epoch, correlated),) = _rows(connection, _NEXT_EPOCH)
    connection.pragma("synchronous", synchronous)
    return Opened(identity=identity, epoch=epoch, head=head, correlated=correlated, beginning=beginning)


def begin(connection: apsw.Connection, identity: str, beginning: Beginning, records: Sequence[Recorded], *, epochs: int) -> None:
    """Make the tables of a new log that starts at a beginning, and was opened so often before; durable, or not there at all.

    Raises:
        apsw.Error: from the database.
    """
    # With FULL a power cut could bring the rollback journal back, whose removal is the commit: no opening follows that syncs the folder.
    connection.pragma("synchronous", "EXTRA")
    _create(connection, lambda: put(connection, identity, beginning, records, epochs=epochs))


def _create(connection: apsw.Connection, fill: Callable[[], None] = lambda: None) -> None:
    # In one transaction with a rollback journal, before there is a write-ahead log: so the header that says whose file this is
    # is whole on the disk before there are side files.
    # Not IMMEDIATE, which would make the first page before it is said that what leaves for archives is to give its space back bit by bit.
    connection.execute("BEGIN")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(SCHEMA.read_text("utf-8"))
    fill()
    connection.execute("COMMIT")


def _identity(connection: apsw.Connection) -> str:
    try:
        ((identity,),) = _rows(connection, IDENTITY)
        start(identity)
    except (ValueError, AttributeError) as error:
        msg = f"{connection.filename} has lost its identity, from which its events' ids are derived; restore a copy of the log."
        raise LogCorrupt(msg) from error
    return cast("str", identity)


def _checked_end(connection: apsw.Connection, identity: str, begins: Head) -> Head:
    """The last record, when the last few are contiguous and chained; the whole chain is `verify`'s. The first one follows `begins`."""
    try:
        row = connection.execute(*page_of(Query(after=begins.position, newest_first=True), _CHECKED_AT_THE_END)).fetchone()
        records = records_in(row)[::-1] if row else []
    except ValueError as error:
        msg = f"{connection.filename}: one of the last records is damaged and cannot be read; restore a copy of the log."
        raise LogCorrupt(msg) from error
    if not records:
        return begins
    first, last = records[0], records[-1]
    previous = begins.hash or start(identity)
    for position, record in enumerate(records, start=first.position):
        linked = link(previous, record) if position == begins.position + 1 or record is not first else record.hash
        if record.position != position or record.hash != linked:
            msg = f"{connection.filename}: the record at position {position} is not the one that was written. Restore a copy of the log."
            raise LogCorrupt(msg)
        previous = record.hash
    return Head(position=last.position, hash=last.hash, occurred_at_us=last.occurred_at_us)


def _rows(connection: apsw.Connection, sql: str) -> list[tuple[Any, ...]]:
    return cast("list[tuple[Any, ...]]", connection.execute(sql).fetchall())
