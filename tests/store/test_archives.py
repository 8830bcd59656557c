"""Archives of a SQLite log: what they hold is found as before, what is wrong with them is said, and the live file shrinks."""

import stat
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveDamaged, ArchiveError, LogCorrupt, LogVersionError
from tallystick.store.archives import archives
from tallystick.store.log import Query, Snapshot
from tallystick.store.sqlite import file as sqlite_file
from tallystick.store.sqlite import reader as sqlite_reader
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader
from tests.powerloss.noted import records
from tests.store.archived import archived, contents, everything, small_archives

END = 600
QUERIES = (
    Query(),
    Query(newest_first=True, limit=77),
    Query(after=133, until=401, limit=50),
    Query(aggregate_type="Thing", aggregate_id="thing-3"),
    Query(aggregate_id="thing-3", newest_first=True, limit=5),
    Query(aggregate_id="thing-3", after=300, until=302),
    Query(correlation="story-17"),
    Query(token="token-45"),  # noqa: S106 - no secret
    Query(event_types=("Happened1",), after=33, limit=60),
    Query(event_types=("Never",)),
    Query(owner="things", newest_first=True, until=9),
    Query(owner="nobody"),
    Query(since_us=100_000_000, before_us=230_000_000),
    Query(since_us=590_000_000),
    Query(before_us=7_000_000, newest_first=True),
)


def two_of_three(record: Recorded) -> bool:
    return record.position % 3 > 0


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_archives():
        yield


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path)
    log.open()
    log.write(records(1, END))
    yield log
    log.close()


def archives_of(path: Path) -> list[Path]:
    return sorted(path.parent.glob("log.db-archive*"))


# The same answers


@pytest.mark.parametrize(
    "moves", [everything, two_of_three, lambda r: r.position < 200 or r.position > 400], ids=["all", "two of three", "ends"]
)
def test_every_query_has_the_same_answer_as_before(log: SqliteLog, path: Path, moves: Callable[[Recorded], bool]) -> None:
    before = [contents(log.read(query)) for query in QUERIES]
    streams = sorted(log.streams())
    sealed = archived(log, moves)
    assert len(sealed) > 3
    assert sum(each.records for each in sealed) == sum(1 for record in log.read(Query(until=END - 1)) if moves(record))
    with closing(SqliteReader(path)) as reader:
        for asked in (log, reader):
            assert [contents(asked.read(query)) for query in QUERIES] == before
            assert sorted(asked.streams()) == streams
            assert all(asked.version(kind, key) == version for kind, key, version in streams)
            assert asked.version("Thing", "nobody") == 0
            assert contents(asked.verify()) == before[0]
    ids = [record.event_id for record in log.read(Query(limit=3))]
    assert [record.position for each in ids for record in log.read(Query(event_id=each))] == [1, 2, 3]


@pytest.mark.parametrize("first", [two_of_three, lambda r: r.position > 300], ids=["two of three", "the later half"])
def test_what_stayed_at_one_time_goes_at_the_next_and_archives_overlap(log: SqliteLog, first: Callable[[Recorded], bool]) -> None:
    before, streams = [contents(log.read(query)) for query in QUERIES], sorted(log.streams())
    archived(log, first)
    assert archived(log, first) == []
    archived(log)
    assert [contents(log.read(query)) for query in QUERIES] == before
    assert sorted(log.streams()) == streams
    assert contents(log.verify()) == before[0]


def test_a_log_goes_on_after_archiving_and_is_opened_as_before(log: SqliteLog, path: Path) -> None:
    archived(log)
    log.close()
    with closing(SqliteLog(path)) as again:
        assert again.open().position == END
        again.write(records(END + 1, 100))
        assert again.version("Thing", "thing-1") == (END + 100 - 1 - 1) // 7 + 1
        archived(again)
        assert [record.position for record in again.verify()] == list(range(1, END + 101))


def test_the_last_records_stay_for_an_opening_checks_them(path: Path) -> None:
    with small_archives(tail=64), closing(SqliteLog(path)) as log:
        log.open()
        log.write(records(1, END))
        archived(log)
        assert [record.position for record in log.live(until=END)] == list(range(END - 63, END + 1))


def test_a_page_that_was_read_while_its_records_moved_misses_and_doubles_nothing(log: SqliteLog) -> None:
    reading = log.read()
    seen = [next(reading) for _ in range(10)]
    moving = log.archive(END, everything)
    for record in reading:
        seen.append(record)
        if record.position % 37 == 0:
            next(moving, None)
    assert [record.position for record in seen] == list(range(1, END + 1))


def test_a_reader_that_was_there_before_the_first_archive_finds_all(log: SqliteLog, path: Path) -> None:
    with closing(SqliteReader(path)) as reader:
        assert len(list(reader.read())) == END
        assert reader.revision() == ""
        archived(log)
        assert len(list(reader.read())) == END
        assert reader.version("Thing", "thing-2") == 86


def test_snapshots_at_archived_positions_are_still_of_this_log(log: SqliteLog) -> None:
    at = {record.position: record.hash for record in log.read()}
    log.save_snapshot(Snapshot(owner="things", position=100, hash=at[100], format=1, body=b"one"))
    archived(log)
    log.save_snapshot(Snapshot(owner="things", position=120, hash=at[120], format=1, body=b"two"))
    assert [snapshot.body for snapshot in log.snapshots("things")] == [b"two", b"one"]


# Space


def test_the_live_file_shrinks_to_what_is_left(log: SqliteLog, path: Path) -> None:
    log.close()
    before = path.stat().st_size
    with closing(SqliteLog(path)) as again:
        again.open()
        archived(again)
    assert path.stat().st_size < before / 8
    assert sum(each.stat().st_size for each in archives_of(path)) < before


def test_an_older_log_keeps_its_space_for_records_to_come(log: SqliteLog, path: Path) -> None:
    log.close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = delete; PRAGMA auto_vacuum = NONE; VACUUM").fetchall()
    connection.close()
    before = path.stat().st_size
    with closing(SqliteLog(path)) as again:
        again.open()
        archived(again)
        assert len(list(again.verify())) == END
    assert path.stat().st_size >= before


def test_archives_are_readable_by_their_user_alone(log: SqliteLog, path: Path) -> None:
    archived(log)
    assert {stat.S_IMODE(each.stat().st_mode) for each in archives_of(path)} == {0o600}


def test_a_version_that_does_not_know_of_archives_refuses_a_log_that_has_some(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.close()
    monkeypatch.setattr(sqlite_file, "WITH_ARCHIVES", 3)
    with closing(SqliteLog(path)) as again:
        again.open()
    monkeypatch.undo()
    with closing(SqliteLog(path)) as again, small_archives():
        again.open()
        archived(again)
    monkeypatch.setattr(sqlite_file, "WITH_ARCHIVES", 3)
    with pytest.raises(LogVersionError, match="has format 4"):
        SqliteReader(path)


# Damage


def read_all(path: Path) -> None:
    with closing(SqliteReader(path)) as reader:
        list(reader.read())


def test_a_missing_archive_is_named_with_its_position(log: SqliteLog, path: Path) -> None:
    sealed = archived(log)
    log.close()
    second = archives_of(path)[1]
    second.rename(path.with_name("elsewhere"))
    for look in (read_all, lambda path: list(SqliteReader(path).verify())):
        with pytest.raises(ArchiveDamaged, match="is missing") as missing:
            look(path)
        assert (missing.value.file, missing.value.position) == (str(second), sealed[1].first)
    path.with_name("elsewhere").rename(second)
    read_all(path)


@pytest.mark.parametrize("left", [0, 5, 300, -1], ids=["empty", "header only", "half", "a byte short"])
def test_an_archive_that_is_cut_off_is_named_and_nothing_is_deleted(log: SqliteLog, path: Path, left: int) -> None:
    archived(log)
    log.close()
    first = archives_of(path)[0]
    first.write_bytes(first.read_bytes()[:left])
    with pytest.raises(ArchiveDamaged) as damaged:
        read_all(path)
    assert (damaged.value.file, damaged.value.position) == (str(first), 1)
    with closing(SqliteLog(path)) as again:
        again.open()
        again.write(records(END + 1, 50))
        archived(again)
    assert first.stat().st_size > 0 or left == 0
    assert len(archives_of(path)) > 9


def test_an_archive_in_anothers_place_is_found(log: SqliteLog, path: Path) -> None:
    archived(log)
    log.close()
    one, two = archives_of(path)[:2]
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(ArchiveDamaged, match="archive of positions 1 to 60") as damaged:
        read_all(path)
    assert damaged.value.file == str(one)


def test_verify_finds_every_flipped_byte_and_names_file_and_position(log: SqliteLog, path: Path) -> None:
    sealed = archived(log, two_of_three)
    log.close()
    victim, of = archives_of(path)[1], sealed[1]
    content = victim.read_bytes()
    found = 0
    for offset in (*range(0, len(content), 211), *range(len(content) - 40, len(content)), *range(12)):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << offset % 8
        victim.write_bytes(flipped)
        with closing(SqliteReader(path)) as reader, pytest.raises(ArchiveDamaged) as damaged:
            list(reader.verify())
        assert damaged.value.file == str(victim)
        assert of.first <= (damaged.value.position or 0) <= of.last
        found += 1
    assert found > 100
    victim.write_bytes(content)
    with closing(SqliteReader(path)) as reader:
        assert len(list(reader.verify())) == END


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("UPDATE archive SET gone = gone - 1 WHERE id = 2", "missing"),
        ("UPDATE archive SET checksum = zeroblob(16) WHERE id = 2", "not the file that was sealed"),
        ("UPDATE archive SET records = records + 1 WHERE id = 2", "more or less|both in an archive"),
        ("DELETE FROM archive WHERE id = 2", "missing"),
    ],
)
def test_a_catalogue_that_was_changed_is_found(log: SqliteLog, path: Path, sql: str, error: str) -> None:
    archived(log)
    log.close()
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()
    with closing(SqliteReader(path)) as reader, pytest.raises(LogCorrupt, match=error):
        list(reader.verify())


def test_a_record_that_is_in_the_live_log_and_in_an_archive_is_found(log: SqliteLog, path: Path) -> None:
    log.close()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TEMP TABLE kept AS SELECT * FROM event WHERE position = 5")
    with closing(SqliteLog(path)) as again:
        again.open()
        archived(again)
    connection.execute("INSERT INTO event SELECT * FROM kept")
    connection.close()
    with closing(SqliteReader(path)) as reader, pytest.raises(LogCorrupt, match="1 records are both"):
        list(reader.verify())


def change(path: Path, position: int) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE event SET hash = zeroblob(16) WHERE position = ?", (position,))
    connection.close()


def test_a_record_that_is_not_as_it_was_written_is_not_archived(log: SqliteLog, path: Path) -> None:
    moving = log.archive(END, everything)
    next(moving)
    change(path, 75)
    with pytest.raises(LogCorrupt, match="position 75 is not the one") as corrupt:
        list(moving)
    assert corrupt.value.position == 75
    assert [record.position for record in log.live(until=90)] == [*range(61, 91)]


def test_a_record_that_is_changed_between_its_being_archived_and_its_leaving_does_not_leave(log: SqliteLog, path: Path) -> None:
    def told(position: int) -> None:
        if position == 10:  # the first step has left, of an archive that ends at 60
            change(path, 25)

    with pytest.raises(LogCorrupt, match="does not have the records of positions 21 to 30"):
        list(log.archive(END, everything, told))
    assert [record.position for record in log.live(until=40)] == [*range(21, 41)]


# What a crash leaves


def test_files_that_were_never_sealed_or_catalogued_are_removed_at_the_next_time(log: SqliteLog, path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives.Archives, "opened", lambda *_: 1 // 0)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(ZeroDivisionError):
            archived(log)
    (sealed,) = archives_of(path)
    path.with_name("log.db-archive000009e7").write_bytes(b"")
    path.with_name("log.db-archive000010e7").write_bytes(b"TALLYPRT\0\1" + bytes(900))
    log.close()
    with closing(SqliteLog(path)) as again:
        again.open()
        archived(again)
        assert len(list(again.verify())) == END
    assert sealed not in archives_of(path)
    assert not [each for each in archives_of(path) if each.name.endswith("e7")]


def test_an_archive_of_a_later_state_of_the_log_is_not_removed(log: SqliteLog, path: Path) -> None:
    log.close()
    older = path.read_bytes()
    with closing(SqliteLog(path)) as again:
        again.open()
        again.write(records(END + 1, 200))
        archived(again, lambda record: record.position > END - 50)
    path.write_bytes(older)
    kept = archives_of(path)
    with closing(SqliteLog(path)) as restored:
        restored.open()
        with pytest.raises(ArchiveError, match="later state"):
            archived(restored)
        assert len(list(restored.verify())) == END
    assert archives_of(path) == kept


# Memory


def peak_bytes(path: Path, count: int) -> int:
    """What archiving that many records takes in memory at most, beside what was there."""
    with closing(SqliteLog(path)) as log:
        log.open()
        for first in range(1, count, 200):
            log.write(records(first, 200))
        tracemalloc.start()
        try:
            for _ in log.archive(count, everything):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_archiving_takes_no_more_memory_for_a_longer_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_reader, "_PAGE_ROWS", 40)
    for folder in ("short", "long"):
        (tmp_path / folder).mkdir()
    short, long = peak_bytes(tmp_path / "short" / "log.db", 400), peak_bytes(tmp_path / "long" / "log.db", 1_600)
    assert long < short * 1.5
