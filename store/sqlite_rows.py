"""Rows of the `event` table: their columns, the statements that write many at once, and pages of them as one result row.

Not transactions or connections. The shapes here have one cause: every step of a SQLite statement gives the interpreter lock away, and
while another Python thread is busy each costs up to 5 ms to get it back. So a batch is few statements, and a page is one row.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from tallystick.domain.envelope import Recorded

COLUMNS: Final = tuple(name for name in Recorded.__struct_fields__ if name != "event")
"""The columns of a row, in order."""

CHUNK: Final = 256
"""The most rows of one statement: its text must stay below 16 KB, or the driver does not keep it prepared."""

# Up to 16 rows have a statement each; above that, one of the next size is filled up with rows of nulls, which it leaves out.
_SIZES: Final = (*range(1, 17), 24, 32, 48, 64, 96, 128, 192, CHUNK)
_EXACT: Final = 16
_SIZE_FOR: Final = tuple(next(size for size in _SIZES if size >= count) for count in range(1, CHUNK + 1))

_ONLY_IN_EPOCH: Final = "(SELECT ? FROM meta WHERE epoch=?)"

Statement = tuple[str, tuple[Any, ...]]
"""A statement's text and its bindings."""


def insertions(rows: Sequence[tuple[Any, ...]], epoch: int) -> Iterator[Statement]:
    """The statements that insert `rows` (in the order of `COLUMNS`), the first of which asserts the epoch.

    It does so without a step of its own: the first row's hash is null, which its column does not allow, unless the epoch still stands.
    """
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        size = _SIZE_FOR[len(chunk) - 1]
        bindings = [value for row in chunk for value in row]
        if start == 0:
            bindings.insert(len(COLUMNS), epoch)
        bindings.extend([None] * ((size - len(chunk)) * len(COLUMNS)))
        yield _insertion(size, padded=size > len(chunk), asserting=start == 0), tuple(bindings)


@cache
def _insertion(size: int, *, padded: bool, asserting: bool) -> str:
    places = ["?"] * len(COLUMNS)
    rows = [f"({','.join(places)})"] * size
    if asserting:
        rows[0] = f"({','.join(places[:-1])},{_ONLY_IN_EPOCH})"
    # Only places stand in it; the values are bound.
    values = f"VALUES{','.join(rows)}"
    return f"INSERT INTO event SELECT * FROM ({values}) WHERE column1 IS NOT NULL" if padded else f"INSERT INTO event {values}"  # noqa: S608


# A page is one row of as many columns as the table has: JSON arrays, one for each plain column, and the payloads and hashes, each run
# together, with the lengths by which to cut them. Blobs go through CAST only, which changes no byte, since JSON has no bytes.
_PLAIN: Final = COLUMNS[:-2]
PAGE: Final = ", ".join(
    (
        *(f"json_group_array({name})" for name in _PLAIN),
        *(f"json_group_array(octet_length({name}))" for name in COLUMNS[-2:]),
        *(f"CAST(group_concat(CAST({name} AS TEXT), '') AS BLOB)" for name in COLUMNS[-2:]),
    )
)
"""What to select from a subquery of rows to get all of them in one row, for `records_in`."""

_decode = msgspec.json.Decoder().decode


def records_in(page: tuple[Any, ...]) -> list[Recorded]:
    """The records of a page.

    Raises:
        ValueError: the row does not hold what `PAGE` selects from intact rows (msgspec's errors included).
    """
    if page[0] == "[]":
        return []
    columns = [_decode(column) for column in page[: len(COLUMNS)]]
    blobs = (_cut(page[len(COLUMNS) + at], columns[len(_PLAIN) + at]) for at in range(2))
    rows = zip(*columns[: len(_PLAIN)], *blobs, strict=True)
    # Spelled out, since it is half again as fast as a dictionary for each row.
    return [
        Recorded(
            position=position,
            event_id=event_id,
            event_type=event_type,
            schema_version=schema_version,
            aggregate_type=aggregate_type,
            aggregate_id=aggregate_id,
            aggregate_version=aggregate_version,
            occurred_at_us=occurred_at_us,
            owner=owner,
            token=token,
            settles=settles,
            correlation=correlation,
            causation=causation,
            seen=seen,
            payload=payload,
            hash=hash_,
        )
        for (
            position,
            event_id,
            event_type,
            schema_version,
            aggregate_type,
            aggregate_id,
            aggregate_version,
            occurred_at_us,
            owner,
            token,
            settles,
            correlation,
            causation,
            seen,
            payload,
            hash_,
        ) in rows
    ]


def _cut(joined: bytes | None, lengths: Sequence[int]) -> list[bytes]:
    parts, start = list[bytes](), 0
    joined = joined or b""
    for length in lengths:
        parts.append(joined[start : start + length])
        start += length
    if start != len(joined):
        msg = "the lengths of the values do not add up"
        raise ValueError(msg)
    return parts
