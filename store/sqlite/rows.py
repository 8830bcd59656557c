"""Rows of the `event` table: their columns, the statements that write many at once, and pages of them as one result row.

Not transactions or connections. The shapes here have one cause: every step of a SQLite statement gives the interpreter lock away, and
while another Python thread is busy each costs up to 5 ms to get it back. So a batch is few statements, and a page is one row.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import starmap
from typing import Any, Final

import msgspec

from tallystick.domain.envelope import Recorded, log_tag_of
from tallystick.store.chain import COVERED

COLUMNS: Final = (*COVERED, "hash")
"""The columns of a row, in order."""

CHUNK: Final = 448
"""The most rows of one statement: its text must stay below 16 KB, or the driver does not keep it prepared."""

# Up to 16 rows have a statement each; above that, one of the next size is filled up with rows of nulls, which it leaves out.
_SIZES: Final = (*range(1, 17), 24, 32, 48, 64, 96, 128, 192, 256, 384, CHUNK)
_SIZE_FOR: Final = tuple(next(size for size in _SIZES if size >= count) for count in range(1, CHUNK + 1))

_CHUNK_VALUES: Final = CHUNK * len(COLUMNS)
_ONLY_IN_EPOCH: Final = "(SELECT ? FROM meta WHERE epoch=?)"

Statement = tuple[str, Sequence[Any]]
"""A statement's text and its bindings."""


def insertions(values: list[Any], epoch: int) -> Iterator[Statement]:
    """The statements that insert rows, the first of which asserts the epoch; `values` are all rows' values, in the order of `COLUMNS`.

    It does so without a step of its own: the first row's hash is null, which its column does not allow, unless the epoch still stands.
    """
    for start in range(0, len(values), _CHUNK_VALUES):
        bindings = values[start : start + _CHUNK_VALUES]
        count = len(bindings) // len(COLUMNS)
        size = _SIZE_FOR[count - 1]
        if start == 0:
            bindings.insert(len(COLUMNS), epoch)
        bindings += [None] * ((size - count) * len(COLUMNS))
        yield _insertion(size, padded=size > count, asserting=start == 0), bindings


@cache
def _insertion(size: int, *, padded: bool, asserting: bool) -> str:
    places = ["?"] * len(COLUMNS)
    rows = [f"({','.join(places)})"] * size
    if asserting:
        rows[0] = f"({','.join(places[:-1])},{_ONLY_IN_EPOCH})"
    # Only places stand in it; the values are bound.
    values = f"VALUES{','.join(rows)}"
    return f"INSERT INTO event SELECT * FROM ({values}) WHERE column1 IS NOT NULL" if padded else f"INSERT INTO event {values}"  # noqa: S608


IDENTITY: Final = "SELECT identity FROM meta"

# A page is one row: a JSON array for each plain column, and for each column of blobs the lengths by which to cut them and all of them run
# together, through CAST only, which changes no byte, since JSON has no bytes; last the log's identity.
_BLOBS: Final = ("payload", "hash")


def _selected(name: str) -> tuple[str, ...]:
    if name not in _BLOBS:
        return (f"json_group_array({name})",)
    return f"json_group_array(octet_length({name}))", f"CAST(group_concat(CAST({name} AS TEXT), '') AS BLOB)"


PAGE: Final = ", ".join((*(part for name in COLUMNS for part in _selected(name)), f"({IDENTITY})"))
"""What to select from a subquery of rows to get all of them in one row, for `records_in`."""

_decode = msgspec.json.Decoder().decode


def records_in(page: tuple[Any, ...]) -> list[Recorded]:
    """The records of a page.

    Raises:
        ValueError: the row does not hold what `PAGE` selects from intact rows (msgspec's errors included).
    """
    *parts, identity = page
    if parts[0] == "[]":
        return []
    left = iter(parts)
    try:
        columns: list[list[Any]] = [_cut(_decode(next(left)), next(left)) if name in _BLOBS else _decode(next(left)) for name in COLUMNS]
    except TypeError as error:
        msg = "a value is missing that every row has"
        raise ValueError(msg) from error
    if not isinstance(identity, str):
        msg = "the log has no identity"
        raise ValueError(msg)  # noqa: TRY004 - as for other values that no intact row has
    count = len(columns[0])
    same: list[list[Any]] = [[log_tag_of(identity)] * count, [None] * count]
    # Nothing of it is a step of Python's for each row.
    return list(starmap(Recorded, zip(*columns[:-1], *same, columns[-1], strict=True)))


def _cut(lengths: Sequence[int], joined: bytes | None) -> list[bytes]:
    parts, start = list[bytes](), 0
    joined = joined or b""
    for length in lengths:
        parts.append(joined[start : start + length])
        start += length
    if start != len(joined):
        msg = "the lengths of the values do not add up"
        raise ValueError(msg)
    return parts
