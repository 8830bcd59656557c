"""A log's file damaged as by a bad disk, or by a hand in the wrong place; and what is left in it, read without the library."""

import random
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import msgspec

import tallystick as ts
from tallystick.scenarios.tiny_store.providers import Gateway, Manner, scripted
from tallystick.scenarios.tiny_store.stage import Stage

ORDERS: Final = 16
SECTOR_BYTES: Final = 512

Row = tuple[Any, ...]


class Content(NamedTuple):
    """What a log says: its identity and its rows in order, as far as they can be read."""

    identity: Any
    rows: list[Row]


def new_log(path: Path) -> Content:
    """A Tiny Store's log, with addresses that take pages of their own, and snapshots; closed in good order."""
    stage = Stage(ts.SqliteLog(path))
    stage.gateway = Gateway(charges=scripted({"order-3": [Manner.DECLINED], "order-5": [Manner.ERROR, Manner.AT_ONCE]}))
    stage.open()
    stage.stock(tea=ORDERS)
    for number in range(ORDERS):
        address = "1 High Street " * (500 if number % 8 == 0 else 1)
        stage.at_once(msgspec.structs.replace(stage.order(f"order-{number}"), address=address))
    stage.close()
    return content_of(path)


def content_of(path: Path) -> Content:
    """By plain SQL; up to the first row that cannot be read."""
    rows: list[Row] = []
    identity = None
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            identity = connection.execute("SELECT identity FROM meta").fetchall()
            rows.extend(connection.execute("SELECT * FROM event NOT INDEXED ORDER BY position"))
    except (apsw.Error, UnicodeDecodeError):
        return Content(identity, rows)
    return Content(identity, rows)


def first_bad(whole: Content, found: Content) -> int | None:
    """The first position whose record is not what it was or is gone; None where the content is as it was."""
    if found == whole:
        return None
    if found.identity != whole.identity:
        return 1
    same = zip(whole.rows, found.rows, strict=False)
    return next((number for number, (was, is_now) in enumerate(same, start=1) if was != is_now), min(len(whole.rows), len(found.rows)) + 1)


# What may happen to a file. Each takes its path and a source of chance.


def flip_a_bit(path: Path, lots: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[lots.randrange(len(content))] ^= 1 << lots.randrange(8)
    path.write_bytes(content)


def cut_the_file(path: Path, lots: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: lots.randrange(len(content))])


def blank_a_sector(path: Path, lots: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = lots.randrange(len(content) // SECTOR_BYTES) * SECTOR_BYTES
    content[start : start + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    path.write_bytes(content)


def swap_two_sectors(path: Path, lots: random.Random) -> None:
    content = bytearray(path.read_bytes())
    one, two = (start * SECTOR_BYTES for start in lots.sample(range(len(content) // SECTOR_BYTES), 2))
    kept = content[one : one + SECTOR_BYTES]
    content[one : one + SECTOR_BYTES] = content[two : two + SECTOR_BYTES]
    content[two : two + SECTOR_BYTES] = kept
    path.write_bytes(content)


def delete_rows(path: Path, lots: random.Random) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        end = _end(connection)
        first = lots.randint(1, end)
        last = min(end, first + lots.choice((0, 0, 0, 1, 5)))
        connection.execute("DELETE FROM event WHERE position BETWEEN ? AND ?", (first, last))


def swap_rows(path: Path, lots: random.Random) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        one, two = lots.sample(range(1, _end(connection) + 1), 2)
        for old, new in ((one, -1), (two, one), (-1, two)):
            connection.execute("UPDATE event SET position = ? WHERE position = ?", (new, old))


def change_a_row(path: Path, lots: random.Random) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        position = lots.randint(1, _end(connection))
        change = lots.choice(
            (
                "payload = CAST(CAST(payload AS TEXT) || ' ' AS BLOB)",
                "occurred_at_us = occurred_at_us + 1",
                "owner = owner || 'x'",
                "correlation = 'none'",
                "hash = X'00112233445566778899aabbccddeeff'",
                "seen = coalesce(seen, 0) + 1",
                "tags_json = coalesce(tags_json, '') || 'x'",
                "payload = hash, hash = payload",
            )
        )
        connection.execute(f"UPDATE event SET {change} WHERE position = ?", (position,))  # noqa: S608 - from the list above


def cut_the_log(path: Path, lots: random.Random) -> None:
    """So well that nothing in the file shows it: the mark of the index and the snapshots go too."""
    with closing(apsw.Connection(str(path))) as connection:
        last = lots.randrange(_end(connection))
        connection.execute("DELETE FROM event WHERE position > ?", (last,))
        connection.execute("DELETE FROM snapshot WHERE position > ?", (last,))
        connection.execute("DELETE FROM correlation WHERE position > ?", (last,))
        connection.execute("UPDATE meta SET correlated = min(correlated, ?)", (last,))


def _end(connection: apsw.Connection) -> int:
    end: int = connection.execute("SELECT max(position) FROM event").get
    return end


Damage = Callable[[Path, random.Random], None]

DAMAGES: Final[Mapping[Damage, int]] = {
    flip_a_bit: 60,
    cut_the_file: 8,
    blank_a_sector: 4,
    swap_two_sectors: 4,
    delete_rows: 8,
    swap_rows: 6,
    change_a_row: 6,
    cut_the_log: 4,
}
"""Each with how often it comes in a hundred."""
NEEDS_THE_HEAD: Final = frozenset({cut_the_log})


class Case(NamedTuple):
    """A damaged file and what the check made of it. `bad`: the first bad position by plain reading, None if the content is as it was."""

    number: int
    damage: str
    bad: int | None
    error: ts.TallystickError | None
    touched: bool

    @property
    def named(self) -> int | None:
        """The position that the check has named."""
        return getattr(self.error, "position", None)


def damaged(pristine: bytes, folder: Path, number: int, seed: int) -> tuple[Path, Damage]:
    """The file of that number."""
    lots = random.Random(f"{seed}:{number}")  # noqa: S311 - repeatable on purpose
    (damage,) = lots.choices(list(DAMAGES), list(DAMAGES.values()))
    path = folder / "log.db"
    path.write_bytes(pristine)
    damage(path, lots)
    return path, damage


def files_in(folder: Path) -> dict[str, bytes]:
    """All that hold something; but for the memory that SQLite's readers share, which is no part of a log."""
    return {each.name: content for each in sorted(folder.iterdir()) if (content := each.read_bytes()) and not each.name.endswith("-shm")}
