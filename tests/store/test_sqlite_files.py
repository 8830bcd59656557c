"""The files of a SQLite log: whose they are, who may read them, and that a reader neither writes, nor waits, nor takes too much at once."""
# ruff: noqa: S106 - a token is an execution's id, no password

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt, LogError, LogPoisoned, LogVersionError, SnapshotError
from tallystick.store.log import Query, Snapshot
from tallystick.store.sqlite import upkeep as sqlite_upkeep
from tallystick.store.sqlite.file import connect
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.query import page_of
from tallystick.store.sqlite.reader import VERSION, SqliteReader
from tallystick.store.sqlite.rows import CHUNK, COLUMNS, Statement, insertions

MakeMany = Callable[..., list[Recorded]]


@pytest.fixture
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_to_all")
def test_every_file_is_for_its_user_alone(path: Path, records: MakeMany) -> None:
    log = SqliteLog(path)
    log.open()
    log.write(records(1, 3))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm", "log.db.lock"), 0o600)
    log.close()


@pytest.mark.parametrize("name", ["what? #1 %41 &mode=memory.db", "ä.db"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, records: MakeMany, name: str) -> None:
    log = SqliteLog(tmp_path / name)
    log.open()
    log.write(records(1, 3))
    reader = SqliteReader(tmp_path / name)
    assert reader.head().position == 3
    reader.close()
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [name, f"{name}.lock"]


def another_database(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = wal; CREATE TABLE notes (text)")
    connection.close()


def another_format(path: Path, number: int = 5) -> None:
    log = SqliteLog(path)
    log.open()
    log.close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", number)
    connection.close()


def one_without_tags(path: Path) -> None:
    """As before the envelope had tags."""
    another_format(path, 1)
    connection = apsw.Connection(str(path))
    connection.execute("ALTER TABLE event DROP COLUMN tags_json")
    connection.close()


def one_with_archives_without_tags(path: Path) -> None:
    one_without_tags(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 2)
    connection.close()


def a_diary(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 100)


def a_word(path: Path) -> None:
    path.write_bytes(b"short")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (another_database, LogCorrupt, "another program's SQLite database"),
        (another_format, LogVersionError, "has format 5"),
        (one_without_tags, LogVersionError, "has format 1; this version of Tallystick reads formats 3 and 4"),
        (one_with_archives_without_tags, LogVersionError, "has format 2; this version of Tallystick reads formats 3 and 4"),
        (a_diary, LogCorrupt, "something else than a SQLite database"),
        (a_word, LogCorrupt, "something else than a SQLite database"),
    ],
    ids=["another database", "another format", "no tags", "archives and no tags", "something else", "something short"],
)
def test_a_file_that_is_no_log_of_ours_is_refused_and_not_touched(
    path: Path, make: Callable[[Path], object], error: type[LogError], message: str
) -> None:
    make(path)
    Path(f"{path}-wal").write_bytes(b"not ours either")
    before = path.read_bytes()
    for opening in (lambda: SqliteLog(path).open(), lambda: SqliteReader(path)):
        with pytest.raises(error, match=message):
            opening()
    assert path.read_bytes() == before
    assert Path(f"{path}-wal").read_bytes() == b"not ours either"


def test_an_empty_file_becomes_a_log(path: Path) -> None:
    path.touch()
    log = SqliteLog(path)
    assert log.open().position == 0
    log.close()


def test_two_logs_have_two_identities(tmp_path: Path) -> None:
    logs = [SqliteLog(tmp_path / name) for name in ("one.db", "two.db")]
    assert [log.identity for log in logs] == ["", ""]
    for log in logs:
        log.open()
        log.close()
    assert logs[0].identity != logs[1].identity


def test_a_reader_of_nothing_is_a_clear_error_and_makes_no_file(path: Path) -> None:
    with pytest.raises(LogError, match="holds no log"):
        SqliteReader(path)
    assert list(path.parent.iterdir()) == []


def test_a_reader_is_not_held_up_by_an_open_write_transaction(sqlite_log: SqliteLog, records: MakeMany) -> None:
    sqlite_log.write(records(1, 3))
    reader = SqliteReader(sqlite_log.path)
    other = apsw.Connection(sqlite_log.path)
    other.execute("BEGIN IMMEDIATE; DELETE FROM event")
    assert [record.position for record in reader.read()] == [1, 2, 3]
    assert reader.head().position == sqlite_log.head().position == 3
    other.execute("ROLLBACK")
    other.close()
    reader.close()


def test_a_write_is_not_held_up_by_an_open_read_transaction(sqlite_log: SqliteLog, records: MakeMany) -> None:
    sqlite_log.write(records(1, 3))
    other = apsw.Connection(sqlite_log.path, flags=apsw.SQLITE_OPEN_READONLY)
    other.execute("BEGIN; SELECT * FROM event").fetchone()
    for first in range(4, 3_000, 100):
        sqlite_log.write(records(first, first + 99, payload=bytes(4_000)))
    assert other.execute("SELECT max(position) FROM event").fetchone() == (3,)
    other.close()


def test_a_writer_that_another_program_locks_out_poisons_itself(sqlite_log: SqliteLog, records: MakeMany) -> None:
    assert sqlite_log._connection is not None
    sqlite_log._connection.set_busy_timeout(1)
    other = apsw.Connection(sqlite_log.path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogPoisoned):
        sqlite_log.write(records(1, 1))
    other.execute("ROLLBACK")
    other.close()


def test_a_closed_reader_leaves_nothing_open(sqlite_log: SqliteLog, records: MakeMany) -> None:
    sqlite_log.write(records(1, 300))
    before = len(list(Path("/dev/fd").iterdir()))
    reader = SqliteReader(sqlite_log.path)
    reading = reader.read()
    next(reading)
    reader.close()
    reader.close()
    assert len(list(Path("/dev/fd").iterdir())) == before
    with pytest.raises(LogError, match="not open"):
        list(reading)


def test_a_reader_keeps_a_bounded_number_of_connections(sqlite_log: SqliteLog) -> None:
    reader = SqliteReader(sqlite_log.path)
    taken = [reader._take() for _ in range(9)]
    for connection in taken:
        reader._take_back(connection)
    assert len(reader._idle) == 4
    assert reader._take() is taken[3], "the one used last"
    reader.close()


@pytest.mark.parametrize("wanted", ["thing-1", "nothing"])
def test_asking_for_a_version_leaves_no_read_transaction_open(sqlite_log: SqliteLog, records: MakeMany, wanted: str) -> None:
    sqlite_log.write(records(1, 3))
    reader = SqliteReader(sqlite_log.path)
    assert reader.version("Thing", wanted) == (wanted == "thing-1")
    connection = reader._for_versions
    assert connection is not None
    assert connection.txn_state() == apsw.SQLITE_TXN_NONE
    reader.version("Thing", "thing-2")
    assert reader._for_versions is connection
    reader.close()


@pytest.mark.parametrize("ask", ["version", "aggregate_id", "token", "correlation", "owner"])
def test_a_look_up_is_planned_once_whatever_it_looks_for(sqlite_log: SqliteLog, records: MakeMany, ask: str) -> None:
    sqlite_log.write(records(1, 100))
    connection, planned = connect(sqlite_log.path, None, writing=False), list[int]()

    def plans(operation: int, *_: object) -> int:
        planned.append(operation)
        return apsw.SQLITE_OK

    connection.authorizer = plans
    counts: list[int] = []
    for wanted in ("thing-1", "c", "nothing"):
        sql, bindings = (
            (VERSION, (wanted, "Thing"))
            if ask == "version"
            else page_of(msgspec.structs.replace(Query(aggregate_type="Thing"), **{ask: wanted}), 10)
        )
        connection.execute(sql, bindings).fetchall()
        counts.append(len(planned))
    assert counts[0] > 0
    assert counts == [counts[0]] * 3
    connection.close()


def test_a_damaged_index_is_an_error_of_the_log_in_asking_for_a_version(path: Path, records: MakeMany) -> None:
    log = SqliteLog(path)
    log.open()
    log.write(records(1, 2_000))
    log.close()
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4_096):
        if content[page * 4_096] in {2, 10}:  # an index's
            content[page * 4_096 : page * 4_096 + 4_096] = bytes(range(256)) * 16
    path.write_bytes(content)
    reader = SqliteReader(path)
    with pytest.raises(LogCorrupt, match="damaged"):
        reader.version("Thing", "thing-7")
    reader.close()


def test_a_long_reading_takes_pages_of_bounded_size(sqlite_log: SqliteLog, records: MakeMany, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_log.write(records(1, 3_000))
    asked: list[int] = []
    first_row = SqliteReader.first_row

    def counting(self: SqliteReader, sql: str, bindings: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        asked.append(bindings[-1])
        return first_row(self, sql, bindings)

    monkeypatch.setattr(SqliteReader, "first_row", counting)
    reading = sqlite_log.read()
    next(reading)
    assert asked == [64]
    assert len(list(reading)) == 2_999
    assert asked == [64, 1_000, 1_000, 1_000]


def test_pages_of_large_payloads_have_fewer_rows(sqlite_log: SqliteLog, records: MakeMany, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_log.write(records(1, 100, payload=bytes(400_000)))
    asked: list[int] = []

    def counting(query: Query, rows: int, *, revision: str) -> Statement:
        asked.append(rows)
        return page_of(query, rows, revision=revision)

    monkeypatch.setattr("tallystick.store.sqlite.reader.page_of", counting)
    assert len(list(sqlite_log.read())) == 100
    assert asked == [64, 10, 10, 10, 10]


@pytest.mark.parametrize(
    ("query", "ways"),
    [
        (Query(aggregate_type="Thing", aggregate_id="a"), {"event_stream"}),
        (Query(aggregate_id="a", newest_first=True), {"event_stream"}),
        (Query(token="t", after=3), {"event_stream", "event_settlement", "PRIMARY KEY"}),
        (Query(correlation="c", owner="o"), {"PRIMARY KEY"}),
        (Query(after=5, until=6), {"PRIMARY KEY"}),
        (Query(since_us=5, before_us=9), {"PRIMARY KEY"}),
        (Query(after=5, event_types=("x",)), {"PRIMARY KEY"}),
    ],
)
def test_what_has_an_index_is_found_without_reading_the_whole_log(sqlite_log: SqliteLog, query: Query, ways: set[str]) -> None:
    assert sqlite_log._connection is not None
    sql, bindings = page_of(query, 10)
    plan = [row[3] for row in sqlite_log._connection.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    assert [step for step in plan if step.startswith("SCAN event")] == []
    for way in ways:
        assert any(way in step for step in plan), plan


@pytest.mark.parametrize("count", [1, 16, 17, 200, 400, CHUNK, CHUNK + 1, 2 * CHUNK + 40])
def test_a_batch_is_few_statements_that_the_driver_keeps_prepared(count: int) -> None:
    statements = list(insertions([1] * len(COLUMNS) * count, epoch=1))
    assert len(statements) == -(-count // CHUNK)
    for sql, bindings in statements:
        assert len(sql.encode()) < 16_384
        assert sql.count("?") == len(bindings)


def test_the_correlation_index_is_filled_well_behind_and_at_the_end(path: Path, records: MakeMany, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_upkeep, "CORRELATION_LAG", 100)
    monkeypatch.setattr(sqlite_upkeep, "CORRELATION_BATCH", 70)
    log = SqliteLog(path)
    log.open()

    def indexed() -> object:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        row: object = connection.execute("SELECT (SELECT count(*) FROM correlation), correlated FROM meta").fetchone()
        connection.close()
        return row

    log.write(records(1, 99))
    log.write(records(100, 150))
    assert indexed() == (0, 0)
    log.write(records(151, 160))
    assert indexed() == (70, 70)
    assert [record.position for record in log.read(Query(correlation="c"))] == list(range(1, 161))
    log.close()
    assert indexed() == (160, 160)


def test_the_contract_does_not_import_the_database_driver() -> None:
    program = "import sys, tallystick.store.log, tallystick.store.memory; sys.exit('apsw' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - our own program


def test_values_of_another_type_are_refused_and_the_log_stays_open(sqlite_log: SqliteLog, records: MakeMany) -> None:
    unfit: list[dict[str, Any]] = [
        {"owner": b"5"},
        {"schema_version": "one"},
        {"seen": 1 << 63},
        {"payload": None},
        {"causation": object()},
    ]
    for fields in unfit:
        with pytest.raises(LogError, match="cannot be stored"):
            sqlite_log.write([*records(1, 300), *records(301, 301, **fields)])
    bad: Any = "text"
    with pytest.raises(SnapshotError, match="cannot be stored"):
        sqlite_log.save_snapshot(Snapshot(owner="things", position=0, hash=b"", format=1, body=bad))
    assert sqlite_log.write(records(1, 1)).position == 1


def test_the_table_has_the_envelopes_fields(sqlite_log: SqliteLog) -> None:
    assert sqlite_log._connection is not None
    assert tuple(row[1] for row in sqlite_log._connection.execute("PRAGMA table_info(event)")) == COLUMNS


def test_the_write_ahead_log_stays_small(sqlite_log: SqliteLog, records: MakeMany) -> None:
    end = 0
    for _ in range(100):
        end = sqlite_log.write(records(end + 1, end + 100, payload=bytes(1_000))).position
    assert Path(f"{sqlite_log.path}-wal").stat().st_size < 3 * sqlite_upkeep.CHECKPOINT_PAGES * 4_096


def test_readers_that_keep_the_write_ahead_log_growing_are_waited_for_now_and_then(
    sqlite_log: SqliteLog, records: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_upkeep, "CHECKPOINT_PAGES", 1)
    monkeypatch.setattr(sqlite_upkeep, "LONG_PAGES", 40)
    monkeypatch.setattr(sqlite_upkeep, "_WAIT_FOR_READERS_MS", 1)
    asked: list[int] = []
    copy = sqlite_upkeep.Upkeep._copy

    def counting(self: sqlite_upkeep.Upkeep, mode: int) -> int:
        asked.append(mode)
        return copy(self, mode)

    monkeypatch.setattr(sqlite_upkeep.Upkeep, "_copy", counting)
    assert sqlite_log._upkeep is not None
    sqlite_log._upkeep._wait_at = 40
    reader = apsw.Connection(sqlite_log.path, flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN; SELECT * FROM meta").fetchone()
    end = 0
    for _ in range(40):
        end = sqlite_log.write(records(end + 1, end + 1)).position
    grown = Path(f"{sqlite_log.path}-wal").stat().st_size
    assert 1 <= asked.count(apsw.SQLITE_CHECKPOINT_RESTART) <= grown // 4_096 // 40
    reader.close()
    asked.clear()
    for _ in range(100):
        end = sqlite_log.write(records(end + 1, end + 1)).position
    assert asked.count(apsw.SQLITE_CHECKPOINT_RESTART) <= 1
    assert Path(f"{sqlite_log.path}-wal").stat().st_size <= grown + 8 * 4_096
