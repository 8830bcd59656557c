"""Snapshots in a SQLite log: kept, checked and given back. Not what is in them."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import apsw
import msgspec

from tallystick.domain.errors import LogCorrupt, SnapshotError
from tallystick.store.chain import GENESIS
from tallystick.store.log import Snapshot

_KEPT: Final = 2

_HASH_AT: Final = "SELECT hash FROM event WHERE position = ?"
_SAVE: Final = "INSERT OR REPLACE INTO snapshot (owner, position, hash, format, body, checksum) VALUES (?, ?, ?, ?, ?, ?)"
_DROP_OLDER: Final = """
DELETE FROM snapshot WHERE owner = ?1
AND position < (SELECT min(position) FROM (SELECT position FROM snapshot WHERE owner = ?1 ORDER BY position DESC LIMIT ?2))
"""
_BEFORE: Final = "SELECT max(position) FROM snapshot WHERE owner = ? AND position < ?"
_ONE: Final = "SELECT owner, position, hash, format, body, checksum FROM snapshot WHERE owner = ? AND position = ?"
_BEYOND: Final = (1 << 63) - 1

FirstRow = Callable[[str, tuple[Any, ...]], tuple[Any, ...] | None]
"""How a statement is run that has one row at most."""
ArchivedHash = Callable[[int], bytes | None]
"""The hash of a record that is not in the live log any more."""


def keep(connection: apsw.Connection, snapshot: Snapshot, archived_hash: ArchivedHash, *, end: int) -> None:
    """Save it, and drop the owner's older ones but one; inside the caller's transaction.

    Raises:
        SnapshotError: its position lies beyond `end`, or its hash is not that of the record there (P21).
    """
    _check_belongs(connection, snapshot, archived_hash, end)
    fields = msgspec.structs.astuple(snapshot)
    connection.execute(_SAVE, (*fields, _checksum(fields)))
    connection.execute(_DROP_OLDER, (snapshot.owner, _KEPT))


def newest_first(first_row: FirstRow, archived_hash: ArchivedHash, owner: str) -> Iterator[Snapshot]:
    """The owner's snapshots that are whole and belong to this log, newest first, each read when it is asked for."""
    position = _BEYOND
    while (row := first_row(_BEFORE, (owner, position))) and row[0] is not None:
        position = row[0]
        snapshot = _whole(first_row, archived_hash, owner, position)
        if snapshot is not None:
            yield snapshot


def _whole(first_row: FirstRow, archived_hash: ArchivedHash, owner: str, position: int) -> Snapshot | None:
    try:
        row = first_row(_ONE, (owner, position))
        at = first_row(_HASH_AT, (position,))
        own = at[0] if at else archived_hash(position)
    except LogCorrupt:
        # Its pages are damaged. A snapshot only saves time: without it the state is folded from an older one, or from the events.
        return None
    if row is None or _checksum(row[:-1]) != row[-1] or row[2] != (GENESIS if own is None else own):
        return None
    return Snapshot(owner=row[0], position=row[1], hash=row[2], format=row[3], body=row[4])


def _check_belongs(connection: apsw.Connection, snapshot: Snapshot, archived_hash: ArchivedHash, end: int) -> None:
    if snapshot.position > end:
        msg = f"A snapshot of {snapshot.owner!r} at {snapshot.position} lies beyond the log's end at {end}."
        raise SnapshotError(msg)
    row = connection.execute(_HASH_AT, (snapshot.position,)).fetchone()
    own = row[0] if row else archived_hash(snapshot.position)
    if snapshot.hash != (GENESIS if own is None else own):
        msg = f"A snapshot of {snapshot.owner!r} at {snapshot.position} is of another log: the record there has another hash."
        raise SnapshotError(msg)


def _checksum(fields: tuple[Any, ...]) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(fields), digest_size=16).digest()
