"""Verifying a SQLite log from its first record to its last: the chain, positions, versions, then its indexes and SQLite's own structure.

Reads only. SQLite's integrity check alone is not enough: it does not look at what is in a row, and takes the correlation index for a table.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt
from tallystick.store.archives.archives import Archives
from tallystick.store.chain import link, start
from tallystick.store.log import Beginning, Head, Query
from tallystick.store.sqlite.beginning import check_kept
from tallystick.store.sqlite.rows import IDENTITY
from tallystick.store.version_steps import VersionSteps
from tallystick.store.versions_since import VersionsSince

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
) WHERE position > max(?, (SELECT coalesce(max(position), 0) FROM event NOT INDEXED))
"""
_DOUBLED: Final = """
SELECT count(*) + (SELECT sum(records) FROM archive) - (max(position) - min((SELECT min(first) FROM archive), min(position)) + 1) FROM event
WHERE NOT EXISTS (SELECT 1 FROM archive WHERE gone < last)
"""
"""How many records are in two places; null while some are on their way, which are in both for that time."""
# The records in their order, each with one look-up in the index by its key. Whether rows of the index are left over, the counts say: which
# ones, is asked only then.
_CORRELATED: Final = """
SELECT
    min(iif(EXISTS (SELECT 1 FROM correlation AS filed WHERE (filed.correlation, filed.position) = (event.correlation, event.position)),
        NULL, position)),
    count(*) - (SELECT count(*) FROM correlation)
FROM event WHERE position <= (SELECT correlated FROM meta)
"""
_STRAY: Final = """
SELECT min(position) FROM correlation AS filed
WHERE position > (SELECT correlated FROM meta)
    OR NOT EXISTS (SELECT 1 FROM event WHERE event.position = filed.position AND event.correlation = filed.correlation)
"""
_STRUCTURE: Final = "PRAGMA integrity_check(1)"

Read = Callable[[Query], Iterator[Recorded]]
FirstRow = Callable[..., tuple[Any, ...] | None]
"""How a statement is run, with its bindings, that has one row at most."""


def verified(read: Read, first_row: FirstRow, archives: Archives, current: Callable[[], str]) -> Iterator[Recorded]:
    """Every record in order, wherever it is.

    Raises:
        LogCorrupt: at the first bad position; or, after the last record, for what no single record shows. ArchiveDamaged: naming the file.
    """
    end, revision = 0, current()
    with closing(VersionSteps()) as steps:
        for record in _chained(Head(), read, first_row):
            if revision:
                steps.take(record)
            yield record
            end = record.position
        gap = steps.first_wrong() if revision else _gap(first_row)
        if gap is not None:
            msg = f"The record at position {gap} does not have its aggregate's next version."
            raise LogCorrupt(msg, position=gap)
    if revision:
        _check_archives(first_row, archives, revision)
    _check_whole(first_row, Head(), end=end)


def verified_since(beginning: Beginning, read: Read, first_row: FirstRow) -> Iterator[Recorded]:
    """Every record after a log's beginning, in order; what was kept from before it is held against the beginning. Errors as above."""
    versions, head = VersionsSince(beginning), beginning.head
    end = head.position
    for record in _chained(head, read, first_row):
        versions.take(record)
        yield record
        end = record.position
    versions.end()
    check_kept(beginning, read(Query(until=head.position)))
    _check_whole(first_row, head, end=end)


def _chained(begins: Head, read: Read, first_row: FirstRow) -> Iterator[Recorded]:
    """Every record after a head, in order, each held against the one before it."""
    position = begins.position + 1
    try:
        previous = begins.hash or _before_the_first(first_row)
        for record in read(Query(after=begins.position)):
            _check(record, position, previous)
            yield record
            previous = record.hash
            position += 1
    except LogCorrupt as error:
        # What cannot be read does not say where it stands: it is the one behind those that could be.
        error.position = error.position or position
        raise


def _gap(first_row: FirstRow) -> int | None:
    row = first_row(_GAP_IN_A_STREAM)
    return None if row is None else row[0]


def _check_archives(first_row: FirstRow, archives: Archives, revision: str) -> None:
    """What reading their records did not show: their indexes, and that nothing is in two places."""
    for entry in archives.as_of(revision):
        archives.opened(entry).check()
    doubled = first_row(_DOUBLED)
    if doubled and doubled[0]:
        msg = f"{doubled[0]} records are both in an archive and in the live log, or in two archives. Restore a copy of the log."
        raise LogCorrupt(msg)


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


def _check_whole(first_row: FirstRow, begins: Head, *, end: int) -> None:
    row = first_row(_BEYOND_THE_END, (begins.position,))
    if row and row[0] is not None:
        msg = f"Something refers to position {row[0]}, beyond the last record: the log was cut off after it was written. Restore a copy."
        raise LogCorrupt(msg, position=end + 1)
    _check_correlations(first_row)
    row = first_row(_STRUCTURE)
    if row != ("ok",):
        msg = f"All records are as written, but the file's structure is damaged ({row[0] if row else None}). Restore a copy of the log."
        raise LogCorrupt(msg)


def _check_correlations(first_row: FirstRow) -> None:
    """The index has each live record up to its mark, and nothing else; or what is asked by correlation is short, or doubled."""
    missing, surplus = first_row(_CORRELATED) or (None, 0)
    wrong = [position for position in (missing, _stray(first_row) if surplus or missing else None) if position is not None]
    if wrong:
        msg = f"The index of correlations is not that of the records, first at position {min(wrong)}. Restore a copy of the log."
        raise LogCorrupt(msg, position=min(wrong))


def _stray(first_row: FirstRow) -> int | None:
    row = first_row(_STRAY)
    return None if row is None else row[0]
