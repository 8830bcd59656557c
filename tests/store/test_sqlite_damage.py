"""Damage to a SQLite log that nobody reported: found by verify or at opening, never folded upon."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import Fenced, LogCorrupt
from tallystick.store.log import Query, Snapshot
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.store.sqlite.rows import COLUMNS, PAGE, records_in

Make = Callable[..., Recorded]
MakeMany = Callable[..., list[Recorded]]
END = 2_000


@pytest.fixture
def damaged(path: Path, records: MakeMany) -> Callable[[str], SqliteReader]:
    """Makes a log, closes it, runs SQL on it behind its back, and gives a reader of what is left."""

    def damage(sql: str) -> SqliteReader:
        log = SqliteLog(path)
        log.open()
        for first in range(1, END, 500):
            log.write(records(first, first + 499, token=None))
        log.save_snapshot(Snapshot(owner="things", position=END, hash=log.head().hash, format=1, body=b"new"))
        middle = next(log.read(Query(after=END // 2 - 1)))
        log.save_snapshot(Snapshot(owner="things", position=END // 2, hash=middle.hash, format=1, body=b"old"))
        log.close()
        connection = apsw.Connection(str(path))
        connection.execute(sql)
        connection.close()
        return SqliteReader(path)

    return damage


def intact(reader: SqliteReader) -> int:
    """How many records verify gives before it finds damage."""
    count = 0
    try:
        for _ in reader.verify():
            count += 1
    except LogCorrupt:
        return count
    pytest.fail("nothing was found")


def test_an_intact_log_verifies(damaged: Callable[[str], SqliteReader]) -> None:
    assert [record.position for record in damaged("SELECT 1").verify()] == list(range(1, END + 1))


SWAP = """
UPDATE event SET position = -1 WHERE position = 700;
UPDATE event SET position = 700 WHERE position = 701;
UPDATE event SET position = 701 WHERE position = -1;
"""
TEXTS = ("event_type", "aggregate_type", "aggregate_id", "owner", "correlation")


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "position"])
def test_a_change_in_any_column_is_found_at_its_position(damaged: Callable[[str], SqliteReader], column: str) -> None:
    value = "CAST(CAST(payload AS TEXT) || ' ' AS BLOB)" if column in {"payload", "hash"} else "'failed'" if column not in TEXTS else "'x'"
    if column in {"schema_version", "aggregate_version", "occurred_at_us", "causation", "seen"}:
        value = "77"
    reader = damaged(f"UPDATE event SET {column} = {value} WHERE position = 1234")  # noqa: S608 - from a fixed list
    assert intact(reader) == 1233


def test_a_change_of_the_identity_from_which_the_ids_are_derived_is_found(damaged: Callable[[str], SqliteReader]) -> None:
    assert intact(damaged("UPDATE meta SET identity = 'x' || substr(identity, 2)")) == 0


@pytest.mark.parametrize("sql", ["DELETE FROM meta", "UPDATE meta SET identity = CAST(X'ff80' AS TEXT)"], ids=["gone", "no text"])
def test_a_log_without_its_identity_is_damaged(path: Path, damaged: Callable[[str], SqliteReader], sql: str) -> None:
    assert intact(damaged(sql)) == 0
    with pytest.raises(LogCorrupt, match="lost its identity"):
        SqliteLog(path).open()


def test_a_single_flipped_bit_of_a_payload_is_found(path: Path, damaged: Callable[[str], SqliteReader]) -> None:
    reader = damaged("UPDATE event SET payload = CAST('unmistakable' AS BLOB) WHERE position = 1500")
    reader.close()
    content = bytearray(path.read_bytes())
    content[content.index(b"unmistakable")] ^= 1
    path.write_bytes(content)
    assert intact(SqliteReader(path)) == 1499


@pytest.mark.parametrize(
    ("sql", "whole"),
    [
        ("DELETE FROM event WHERE position = 1500", 1499),
        ("DELETE FROM event WHERE position = 1", 0),
        (
            SWAP,
            699,
        ),
        ("UPDATE event SET position = 5000 WHERE position = 2000", 1999),
        ("UPDATE event SET payload = X'ff80fe', owner = CAST(X'ff80' AS TEXT) WHERE position = 900", 899),
        ("UPDATE event SET payload = (SELECT payload || 'x' FROM event WHERE position = 2) WHERE position = 2", 1),
    ],
    ids=["a row left out", "the first row left out", "two rows swapped", "a row moved", "text that is none", "a longer payload"],
)
def test_rows_left_out_swapped_or_changed_are_found(damaged: Callable[[str], SqliteReader], sql: str, whole: int) -> None:
    sql = sql.replace("payload || 'x'", "CAST(payload || 'x' AS BLOB)")
    assert intact(damaged(sql)) == whole


def test_a_log_that_was_cut_off_is_found_by_what_refers_beyond_its_end(damaged: Callable[[str], SqliteReader]) -> None:
    reader = damaged("DELETE FROM event WHERE position > 1990; UPDATE meta SET correlated = 0")
    with pytest.raises(LogCorrupt, match=f"position {END}"):
        list(reader.verify())


def test_a_version_left_out_is_found(path: Path, record: Make) -> None:
    log = SqliteLog(path)
    log.open()
    log.write([record(1, aggregate_id="a"), record(2), record(3, aggregate_id="a", aggregate_version=3)])
    with pytest.raises(LogCorrupt, match="position 3 does not have its aggregate's next version"):
        list(log.verify())
    log.close()


def test_an_index_that_does_not_fit_its_table_is_found(path: Path, damaged: Callable[[str], SqliteReader]) -> None:
    damaged("SELECT 1").close()
    content = bytearray(path.read_bytes())
    # In the index the id comes first, in the table the type.
    content[content.index(b"thing-1500Thing")] = ord("s")
    path.write_bytes(content)
    assert intact(SqliteReader(path)) == END


@pytest.mark.parametrize("page", [2, 3, 5, 17])
def test_pages_of_nonsense_are_damage_and_not_a_crash(path: Path, damaged: Callable[[str], SqliteReader], page: int) -> None:
    damaged("SELECT 1").close()
    content = bytearray(path.read_bytes())
    content[4096 * (page - 1) : 4096 * page] = bytes(range(256)) * 16
    path.write_bytes(content)
    assert intact(SqliteReader(path)) <= END


def test_a_file_cut_short_is_damage(path: Path, damaged: Callable[[str], SqliteReader]) -> None:
    damaged("SELECT 1").close()
    path.write_bytes(path.read_bytes()[: 4096 * 20])
    assert intact(SqliteReader(path)) < END


def test_reading_stops_with_an_error_at_a_row_that_cannot_be_read(damaged: Callable[[str], SqliteReader]) -> None:
    reader = damaged("UPDATE event SET owner = CAST(X'ff80' AS TEXT) WHERE position = 900")
    seen = list[int]()
    with pytest.raises(LogCorrupt, match="after position 899"):
        seen.extend(record.position for record in reader.read())
    backwards = reader.read(Query(newest_first=True))
    assert [next(backwards).position for _ in range(END - 900)] == list(range(END, 900, -1))
    with pytest.raises(LogCorrupt, match="position 900"):
        next(backwards)


@pytest.mark.parametrize("column", ["payload", "hash"])
def test_a_row_without_a_value_that_every_row_has_is_damage(damaged: Callable[[str], SqliteReader], column: str) -> None:
    page = PAGE.replace(f"octet_length({column})", "NULL")
    row = damaged("SELECT 1").first_row(f"SELECT {page} FROM (SELECT * FROM event WHERE position = 900)")  # noqa: S608 - from a fixed list
    assert row is not None
    with pytest.raises(ValueError, match="a value is missing"):
        records_in(row)


@pytest.mark.parametrize("change", ["payload = X'7b7d'", "hash = X'00'", "owner = 'x'", "owner = CAST(X'ff80' AS TEXT)"])
def test_damage_among_the_last_records_keeps_the_log_from_opening_and_frees_the_lock(
    path: Path, damaged: Callable[[str], SqliteReader], change: str
) -> None:
    damaged(f"UPDATE event SET {change} WHERE position = 1998").close()  # noqa: S608 - from a fixed list
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(LogCorrupt):
            SqliteLog(path).open()
    assert path.read_bytes() == before


def test_tables_that_were_altered_keep_the_log_from_opening(path: Path, damaged: Callable[[str], SqliteReader]) -> None:
    damaged("DROP INDEX event_settlement").close()
    with pytest.raises(LogCorrupt, match="event_settlement"):
        SqliteLog(path).open()


@pytest.mark.parametrize("change", ["body = X'00'", "format = 2", "hash = X'00'", "checksum = X'00'", "position = 1999"])
def test_a_damaged_snapshot_is_left_out(damaged: Callable[[str], SqliteReader], change: str) -> None:
    reader = damaged(f"UPDATE snapshot SET {change} WHERE position = {END}")  # noqa: S608 - from a fixed list
    assert [snapshot.body for snapshot in reader.snapshots("things")] == [b"old"]


def test_a_snapshot_of_another_record_is_left_out(damaged: Callable[[str], SqliteReader]) -> None:
    reader = damaged("UPDATE event SET hash = X'00' WHERE position = 2000")
    assert [snapshot.body for snapshot in reader.snapshots("things")] == [b"old"]


def test_a_writer_whose_epoch_has_passed_is_fenced_p22(sqlite_log: SqliteLog, records: MakeMany) -> None:
    head = sqlite_log.write(records(1, 3))
    other = apsw.Connection(sqlite_log.path)
    other.execute("UPDATE meta SET epoch = epoch + 1")
    other.close()
    for size in (1, 20, 600):
        with pytest.raises(Fenced):
            sqlite_log.write(records(4, 3 + size))
    with pytest.raises(Fenced):
        sqlite_log.save_snapshot(Snapshot(owner="things", position=3, hash=head.hash, format=1, body=b""))
    assert sqlite_log.head() == head


@pytest.mark.parametrize("position", [900, 1998])
def test_a_text_that_has_become_a_blob_is_damage_at_its_position(path: Path, damaged: Callable[[str], SqliteReader], position: int) -> None:
    owner = "unmistakable" * 15
    damaged(f"UPDATE event SET owner = '{owner}' WHERE position = {position}").close()  # noqa: S608 - from a fixed list
    content = bytearray(path.read_bytes())
    # In the row's header the type of a text of that length is an odd number, 2 * 180 + 13 in base 128; that of a blob is one less.
    content[content.rindex(b"\x82\x75", 0, content.rindex(owner.encode())) + 1] -= 1
    path.write_bytes(content)
    assert intact(SqliteReader(path)) == position - 1
    if position == 1998:
        with pytest.raises(LogCorrupt):
            SqliteLog(path).open()


def test_a_correlation_index_ahead_of_its_mark_holds_up_neither_writing_nor_closing(path: Path, record: Make) -> None:
    log = SqliteLog(path)
    log.open()
    log.write([record(1), record(2)])
    other = apsw.Connection(str(path))
    other.execute("INSERT INTO correlation (correlation, position) VALUES ('c', 2)")
    other.close()
    log.close()
    again = log.reopened()
    assert again.open().position == 2
    assert [each.position for each in again.read(Query(correlation="c"))] == [1, 2]
    again.close()


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("DELETE FROM correlation WHERE position IN (700, 1500)", 700),
        ("UPDATE correlation SET correlation = 'x' WHERE position = 700", 700),
        ("INSERT INTO correlation SELECT 'x', position FROM event WHERE position > 1200", 1201),
        ("INSERT INTO correlation VALUES ('x', 9000); DELETE FROM correlation WHERE position = 1500", 1500),
        ("INSERT INTO correlation VALUES ('x', 9000)", 9000),
        ("UPDATE meta SET correlated = 1800", 1801),
        ("DELETE FROM correlation", 1),
    ],
    ids=["rows left out", "a row changed", "rows of others", "one for one", "one beyond the end", "a mark put back", "all gone"],
)
def test_a_correlation_index_that_is_not_that_of_the_records_is_found(damaged: Callable[[str], SqliteReader], sql: str, first: int) -> None:
    reader = damaged(sql)
    with pytest.raises(LogCorrupt, match=f"index of correlations is not that of the records, first at position {first}") as found:
        list(reader.verify())
    assert found.value.position == first


def test_a_correlation_index_that_lies_behind_while_the_log_is_written_is_whole(path: Path, records: MakeMany) -> None:
    log = SqliteLog(path)
    log.open()
    log.write(records(1, 100, token=None))
    log = log.reopened()
    log.open()
    log.write(records(101, 200, token=None))
    assert log._reading().first_row("SELECT correlated FROM meta") == (100,)
    assert len(list(log.verify())) == 200
    log.close()


@pytest.mark.parametrize("sql", ["DROP TABLE correlation", "DROP INDEX event_settlement", "CREATE TABLE more (a)"])
def test_a_log_that_cannot_be_opened_for_its_tables_is_not_verified_either(
    path: Path, damaged: Callable[[str], SqliteReader], sql: str
) -> None:
    reader = damaged(sql)
    with pytest.raises(LogCorrupt, match=f"{path} does not have the tables of its format: .* differ"):
        list(reader.verify())
    with pytest.raises(LogCorrupt, match=f"{path} does not have the tables of its format: .* differ"):
        SqliteLog(path).open()
