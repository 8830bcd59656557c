"""Verifying a SQLite log from its first record to its last: the chain, positions, versions, then SQLite's own structure. Reads only.

SQLite's integrity check alone is not enough: it does not look at what is in a row.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt
from tallystick.store.chain import link, start
from tallystick.store.log import Query
from tallystick.store.sqlite_rows import IDENTITY

_GAP_IN_A_STREAM: Final = """
SELECT min(position) FROM (
    SELECT position, aggregate_version != row_number() OVER (PARTITION BY aggregate_id, aggregate_type ORDER BY position) AS wrong
    FROM event
) WHERE wrong
"""
_BEYOND_THE_END: Final = """
SELECT max(position) FROM (
    SELECT max(position) AS position FROM snapshot
    UNION ALL SELECT correlated FROM meta
    UNION ALL SELECT max(position) FROM event INDEXED BY event_stream
) WHERE position > (SELECT coalesce(max(position), 0) FROM event NOT INDEXED)
"""
_STRUCTURE: Final = "PRAGMA integrity_check(1)"

Read = Callable[[Query], Iterator[Recorded]]
FirstRow = Callable[[str], tuple[Any, ...] | None]


def verified(read: Read, first_row: FirstRow) -> Iterator[Recorded]:
    """Every record in order.

    Raises:
        LogCorrupt: at the first bad position; or, after the last record, for what no single record shows.
    """
    position = 1
    try:
        previous = _before_the_first(first_row)
        for record in read(Query()):
            _check(record, position, previous)
            yield record
            previous = record.hash
            position += 1
    except LogCorrupt as error:
        # What cannot be read does not say where it stands: it is the one behind those that could be.
        error.position = error.position or position
        raise
    _check_whole(first_row, end=position - 1)


def _before_the_first(first_row: FirstRow) -> bytes:
    (identity,) = first_row(IDENTITY) or ("",)
    return start(identity if isinstance(identity, str) else "")


def _check(record: Recorded, position: int, previous: bytes) -> None:
    if record.position != position:
        msg = f"Position {position} is missing: record {record.position} follows {position - 1}. Restore a copy of the log."
        raise LogCorrupt(msg, position=position)
    if record.hash != link(previous, record):
        msg = f"The record at position {position} is not the one that was written there. Restore a copy of the log."
        raise LogCorrupt(msg, position=position)


def _check_whole(first_row: FirstRow, *, end: int) -> None:
    row = first_row(_GAP_IN_A_STREAM)
    if row and row[0] is not None:
        msg = f"The record at position {row[0]} does not have its aggregate's next version."
        raise LogCorrupt(msg, position=row[0])
    row = first_row(_BEYOND_THE_END)
    if row and row[0] is not None:
        msg = f"Something refers to position {row[0]}, beyond the last record: the log was cut off after it was written. Restore a copy."
        raise LogCorrupt(msg, position=end + 1)
    row = first_row(_STRUCTURE)
    if row != ("ok",):
        msg = f"All records are as written, but the file's structure is damaged ({row[0] if row else None}). Restore a copy of the log."
        raise LogCorrupt(msg)
