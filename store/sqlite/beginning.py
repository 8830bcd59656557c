"""The beginning of a SQLite log that was loaded from a save: put into a new file as a whole, and read back. Not how it goes on.

A snapshot may be lost, a beginning may not: no events can stand in for it. So whatever is wrong with it is an error.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tallystick.domain.envelope import Recorded, log_tag_of
from tallystick.domain.errors import LogCorrupt
from tallystick.store.chain import linked, start, stored_values
from tallystick.store.log import Beginning, Head, Snapshot, StreamStart
from tallystick.store.sqlite.rows import IDENTITY, insertions

_LEVEL: Final = 3
"""As that of the save: states of thousands of settlers say much the same."""

SCHEMA: Final = Path(__file__).with_name("beginning.sql")

_IS_THERE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'beginning'"
_ROW: Final = f"SELECT ({IDENTITY}), position, hash, occurred_at_us, body, checksum FROM beginning"  # noqa: S608 - a fixed text
_PUT: Final = "INSERT INTO beginning (id, position, hash, occurred_at_us, body, checksum) VALUES (1, ?, ?, ?, ?, ?)"
_GO_ON: Final = "UPDATE meta SET identity = ?, epoch = ?, correlated = ?"
_CORRELATE: Final = "INSERT INTO correlation SELECT correlation, position FROM event WHERE position <= ? ORDER BY correlation, position"

FirstRow = Callable[[str], tuple[Any, ...] | None]
"""How a statement is run that has one row at most."""


class _Body(msgspec.Struct, array_like=True):
    """All of a beginning but its head. States are JSON, as they were saved."""

    streams: list[tuple[str, str, int, dict[str, bytes]]]
    kept: list[tuple[Any, ...]]
    snapshots: list[Snapshot]


def put(connection: apsw.Connection, identity: str, beginning: Beginning, records: Sequence[Recorded], *, epochs: int) -> None:
    """Have a log with no record yet start at a beginning, with the records that follow it; inside the caller's transaction."""
    head = beginning.head
    connection.execute(SCHEMA.read_text("utf-8"))
    connection.execute(_GO_ON, (identity, epochs, head.position))
    row = (head.position, head.hash, head.occurred_at_us, _encoded(beginning))
    connection.execute(_PUT, (*row, _checksum(identity, row)))
    kept = [value for record in _in_order(beginning) for value in stored_values(record)]
    for values in (kept, linked(head.hash or start(identity), records)):
        for statement, bindings in insertions(values, epochs):
            connection.execute(statement, bindings)
    connection.execute(_CORRELATE, (head.position,))


def beginning_in(first_row: FirstRow) -> Beginning | None:
    """What a log starts at; None for one that has all its events.

    Raises:
        LogCorrupt: it is not as it was written.
    """
    if first_row(_IS_THERE) is None:
        return None
    row = first_row(_ROW)
    if row is None or _checksum(row[0], row[1:5]) != row[5]:
        msg = "What the log was loaded with is damaged, and no event can stand in for it; restore a copy, or load the save again."
        raise LogCorrupt(msg)
    identity, position, digest, occurred_at_us, body, _ = row
    saved = msgspec.msgpack.decode(zlib.decompress(body), type=_Body)
    return Beginning(
        head=Head(position=position, hash=digest, occurred_at_us=occurred_at_us),
        streams={(kind, key): StreamStart(version, _raw(states)) for kind, key, version, states in saved.streams},
        kept=tuple(_record(values, log_tag_of(identity)) for values in saved.kept),
        snapshots={snapshot.owner: snapshot for snapshot in saved.snapshots},
    )


def check_kept(beginning: Beginning, found: Iterator[Recorded]) -> None:
    """The single records from before the beginning, as the log has them, must be those that were kept.

    Raises:
        LogCorrupt: naming the first that is not.
    """
    rows = {record.position: stored_values(record) for record in found}
    for record in _in_order(beginning):
        if rows.pop(record.position, None) != stored_values(record):
            msg = f"The record at position {record.position}, from before the log's beginning, is not the one that was kept."
            raise LogCorrupt(msg, position=record.position)
    if rows:
        msg = f"A record stands at position {min(rows)}, before the log's beginning, and none was kept there."
        raise LogCorrupt(msg, position=min(rows))


def _raw(states: Mapping[str, bytes]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(state) for name, state in states.items()}


def _record(values: Sequence[Any], log_tag: int) -> Recorded:
    return msgspec.structs.replace(Recorded(*values[:-1]), log_tag=log_tag, hash=values[-1])


def _in_order(beginning: Beginning) -> list[Recorded]:
    return sorted(beginning.kept, key=lambda record: record.position)


def _encoded(beginning: Beginning) -> bytes:
    streams = [
        (kind, key, start.version, {name: bytes(state) for name, state in start.states.items()})
        for (kind, key), start in beginning.streams.items()
    ]
    kept = [stored_values(record) for record in _in_order(beginning)]
    return zlib.compress(msgspec.msgpack.encode(_Body(streams, kept, list(beginning.snapshots.values()))), _LEVEL)


def _checksum(identity: str, row: Sequence[Any]) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode((identity, *row)), digest_size=16).digest()
