"""Logs that start at a beginning: they go on as the log that was saved would have, and show what of its past was kept."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveError, LogCorrupt, LogError, LogLocked, SnapshotError, VersionConflict
from tallystick.store.log import Beginning, EventLog, Head, Query, Snapshot, StreamStart
from tallystick.store.memory import MemoryLog
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader

Make = Callable[..., Recorded]
MakeMany = Callable[..., list[Recorded]]


@pytest.fixture
def whole(record: Make) -> MemoryLog:
    """Ten records of three aggregates."""
    log = MemoryLog(identity="colony")
    log.open()
    log.write([record(position, aggregate_id=f"thing-{position % 3}", aggregate_version=(position + 2) // 3) for position in range(1, 11)])
    return log


Cut = Callable[..., EventLog]


@pytest.fixture(params=["memory", "sqlite"])
def cut(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cut]:
    """A log of each kind that is the same as another, starting behind a position."""
    made: list[EventLog] = []

    def make(log: MemoryLog, at: int, *kept: int) -> EventLog:
        beginning, records, epochs = cut_off(log, at, *kept)
        if request.param == "memory":
            made.append(MemoryLog.starting(log.identity, beginning, records, epochs=epochs))
        else:
            file = SqliteLog(tmp_path / f"{len(made)}.db")
            file.begin(log.identity, beginning, records, epochs=epochs)
            made.append(file)
        made[-1].open()
        return made[-1]

    yield make
    for log in made:
        log.close()


def cut_off(log: MemoryLog, at: int, *kept: int) -> tuple[Beginning, list[Recorded], int]:
    """What a log needs that goes on behind a position."""
    records = list(log.read())
    last = records[at - 1]
    versions: dict[tuple[str, str], StreamStart] = {}
    for each in records[:at]:
        versions[each.aggregate_type, each.aggregate_id] = StreamStart(each.aggregate_version)
    head = Head(position=at, hash=last.hash, occurred_at_us=last.occurred_at_us)
    beginning = Beginning(head=head, streams=versions, kept=tuple(records[position - 1] for position in kept))
    return beginning, records[at:], log.epoch - 1


def found(log: EventLog, **query: object) -> list[int]:
    return [record.position for record in log.read(Query(**query))]  # type: ignore[arg-type]


def test_it_stands_where_the_whole_log_stands(cut: Cut, whole: MemoryLog) -> None:
    started = cut(whole, 6)
    assert (started.head(), started.epoch, started.identity) == (whole.head(), whole.epoch, whole.identity)
    assert sorted(started.streams()) == sorted(whole.streams())
    assert [started.version("Thing", f"thing-{n}") for n in range(3)] == [3, 4, 3]


def test_what_is_written_next_is_the_same_record_with_the_same_hash(cut: Cut, whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 6)
    after = [record(11, aggregate_id="thing-2", aggregate_version=4), record(12, aggregate_id="new")]
    assert started.write(after) == whole.write(after)
    assert [each.event_id for each in started.read(Query(after=10))] == [each.event_id for each in whole.read(Query(after=10))]


@pytest.mark.parametrize("at", [1, 6, 10])
def test_it_starts_empty_handed_but_for_the_tail_and_what_was_kept(cut: Cut, whole: MemoryLog, at: int) -> None:
    assert found(cut(whole, at)) == list(range(at + 1, 11))
    assert found(cut(whole, at, 1)) == [1, *range(at + 1, 11)]


def test_kept_records_are_found_in_every_way(cut: Cut, whole: MemoryLog) -> None:
    started = cut(whole, 6, 5, 2)
    assert found(started) == [2, 5, 7, 8, 9, 10]
    assert found(started, newest_first=True) == [10, 9, 8, 7, 5, 2]
    assert found(started, after=2, until=8) == [5, 7, 8]
    assert found(started, after=4, limit=1) == [5]
    assert found(started, aggregate_type="Thing", aggregate_id="thing-2") == [2, 5, 8]
    ids = {each.position: each.event_id for each in whole.read()}
    assert [found(started, event_id=ids[position]) for position in (1, 2, 6, 7)] == [[], [2], [], [7]]


def test_versions_from_before_the_beginning_are_refused(cut: Cut, whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 6)
    with pytest.raises(VersionConflict) as refused:
        started.write([record(11, aggregate_id="thing-0", aggregate_version=1)])
    assert (refused.value.expected, refused.value.actual) == (0, 3)


def test_it_is_verified_from_its_beginning_on(cut: Cut, whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 6, 1, 3)
    started.write([record(11, aggregate_id="thing-2", aggregate_version=4)])
    assert [each.position for each in started.verify()] == [7, 8, 9, 10, 11]
    started.write([record(12, aggregate_id="thing-2", aggregate_version=7)])
    with pytest.raises(LogCorrupt) as damaged:
        list(started.verify())
    assert damaged.value.position == 12


def test_records_that_do_not_follow_their_beginning_are_refused(whole: MemoryLog) -> None:
    records = list(whole.read())
    head = Head(position=6, hash=records[5].hash, occurred_at_us=records[5].occurred_at_us)
    for wrong in (records[7:], [msgspec.structs.replace(records[6], payload=b"{}"), *records[7:]], records[5:]):
        with pytest.raises(LogCorrupt):
            MemoryLog.starting("colony", Beginning(head=head, streams={}), wrong, epochs=0)
    with pytest.raises(LogCorrupt):
        MemoryLog.starting("colony", Beginning(head=msgspec.structs.replace(head, hash=b"other"), streams={}), records[6:], epochs=0)


def test_a_log_may_start_before_its_first_record(whole: MemoryLog) -> None:
    started = MemoryLog.starting("colony", Beginning(head=Head(), streams={}), list(whole.read()), epochs=4)
    assert started.open() == whole.head()
    assert started.epoch == 5
    assert found(started) == found(whole)


def test_snapshots_are_held_against_the_records_that_it_has(cut: Cut, whole: MemoryLog) -> None:
    started = cut(whole, 6, 2)
    hashes = {each.position: each.hash for each in whole.read()}
    for position in (2, 7, 10):
        started.save_snapshot(Snapshot(owner="things", position=position, hash=hashes[position], format=1, body=b""))
    for position in (1, 8, 11):
        with pytest.raises(SnapshotError):
            started.save_snapshot(Snapshot(owner="things", position=position, hash=b"another", format=1, body=b""))


def test_its_beginning_stays_when_it_is_opened_again(cut: Cut, whole: MemoryLog) -> None:
    started = cut(whole, 6, 2)
    again = started.reopened()
    again.open()
    assert found(again) == [2, 7, 8, 9, 10]
    assert again.beginning is not None
    assert started.beginning is not None
    assert (again.beginning.head, again.beginning.streams) == (started.beginning.head, started.beginning.streams)
    assert again.epoch == started.epoch + 1


def test_records_are_found_by_time_and_correlation_where_most_of_those_before_are_missing(cut: Cut, whole: MemoryLog) -> None:
    started = cut(whole, 6, 5, 2)
    for since in range(999, 1_013):
        assert found(started, since_us=since) == [at for at in (2, 5, 7, 8, 9, 10) if 1_000 + at >= since]
        assert found(started, before_us=since) == [at for at in (2, 5, 7, 8, 9, 10) if 1_000 + at < since]
    assert found(started, correlation="c") == [2, 5, 7, 8, 9, 10]
    assert found(started, correlation="c", after=2, limit=2) == [5, 7]


def test_it_may_have_no_record_of_its_own_yet(cut: Cut, whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 10, 3)
    assert started.head() == whole.head()
    assert list(started.verify()) == []
    again = started.reopened()
    assert again.open() == whole.head()
    assert again.write([record(11, aggregate_id="new")]) == whole.write([record(11, aggregate_id="new")])
    again.close()


# In a file


@pytest.fixture
def beginning(whole: MemoryLog) -> tuple[Beginning, list[Recorded], int]:
    """As a save has it: a state, a snapshot and single records."""
    begins, records, epochs = cut_off(whole, 6, 5, 2)
    states = {"State": msgspec.Raw(b'{"n":1}')}
    streams = {stream: StreamStart(start.version, states) for stream, start in begins.streams.items()}
    snapshot = Snapshot(owner="things", position=5, hash=begins.kept[0].hash, format=2, body=b"state")
    return msgspec.structs.replace(begins, streams=streams, snapshots={"things": snapshot}), records, epochs


@pytest.fixture
def begun(tmp_path: Path, beginning: tuple[Beginning, list[Recorded], int]) -> Path:
    begins, records, epochs = beginning
    SqliteLog(tmp_path / "log.db").begin("colony", begins, records, epochs=epochs)
    return tmp_path / "log.db"


def test_all_that_a_file_begins_with_is_read_back_from_it_alone(begun: Path, beginning: tuple[Beginning, list[Recorded], int]) -> None:
    def plain(begins: Beginning | None) -> object:
        assert begins is not None
        states = {stream: (start.version, {n: bytes(raw) for n, raw in start.states.items()}) for stream, start in begins.streams.items()}
        kept = [(each.position, each.payload, each.hash, each.event_id) for each in sorted(begins.kept, key=lambda each: each.position)]
        return begins.head, states, kept, dict(begins.snapshots)

    with closing(SqliteReader(begun)) as reader:
        assert plain(reader.beginning) == plain(beginning[0])
        assert [each.position for each in reader.verify()] == [7, 8, 9, 10]


def test_a_file_that_has_a_log_already_is_left_alone(begun: Path, beginning: tuple[Beginning, list[Recorded], int]) -> None:
    before = begun.read_bytes()
    with pytest.raises(LogError, match="has a log already"):
        SqliteLog(begun).begin("colony", beginning[0], beginning[1], epochs=0)
    assert begun.read_bytes() == before


def test_nothing_of_a_file_that_goes_on_from_a_save_is_archived(begun: Path) -> None:
    log = SqliteLog(begun)
    log.open()
    with pytest.raises(ArchiveError, match="goes on from a save"):
        log.archive(8, lambda _record: True)
    log.close()


def test_a_log_that_is_being_written_is_not_begun_anew(begun: Path, beginning: tuple[Beginning, list[Recorded], int]) -> None:
    log = SqliteLog(begun)
    log.open()
    with pytest.raises(LogLocked):
        SqliteLog(begun).begin("colony", beginning[0], beginning[1], epochs=0)
    log.close()


def test_a_beginning_that_could_not_be_written_leaves_no_log(tmp_path: Path, beginning: tuple[Beginning, list[Recorded], int]) -> None:
    begins, records, epochs = beginning
    twice = [records[0], msgspec.structs.replace(records[1], position=7)]
    with pytest.raises(LogError, match="there is no log in it"):
        SqliteLog(tmp_path / "log.db").begin("colony", begins, twice, epochs=epochs)
    log = SqliteLog(tmp_path / "log.db")
    log.begin("colony", begins, records, epochs=epochs)
    assert log.open().position == 10
    log.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE beginning SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)",
        "UPDATE beginning SET position = position + 1",
        "UPDATE meta SET identity = 'another'",
        "DELETE FROM beginning",
    ],
)
def test_a_damaged_beginning_is_an_error_for_no_event_can_stand_in_for_it(begun: Path, damage: str) -> None:
    with closing(apsw.Connection(str(begun))) as connection:
        connection.execute(damage)
    with pytest.raises(LogCorrupt, match="loaded with is damaged"):
        SqliteLog(begun).open()
    with closing(SqliteReader(begun)) as reader, pytest.raises(LogCorrupt, match="loaded with is damaged"):
        list(reader.verify())


@pytest.mark.parametrize(
    ("damage", "position"),
    [
        ("UPDATE event SET payload = x'00' WHERE position = 2", 2),
        ("DELETE FROM event WHERE position = 5", 5),
        ("UPDATE event SET position = 3 WHERE position = 2", 2),
        ("UPDATE event SET payload = x'00' WHERE position = 7", 7),
        ("DELETE FROM event WHERE position = 8", 8),
    ],
)
def test_verifying_finds_what_was_changed_before_and_after_the_beginning(begun: Path, damage: str, position: int) -> None:
    with closing(apsw.Connection(str(begun))) as connection:
        connection.execute(damage)
    with closing(SqliteReader(begun)) as reader, pytest.raises(LogCorrupt) as found:
        list(reader.verify())
    assert found.value.position == position


def test_a_log_of_all_its_events_has_no_beginning(log: EventLog) -> None:
    assert log.beginning is None


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_the_aggregates_of_every_log_are_listed_with_their_versions(log: EventLog, records: MakeMany, record: Make, count: int) -> None:
    log.write(records(1, count))
    token = "t"  # noqa: S105 - an execution's id, no password
    log.write([record(count + 1, aggregate_type="Execution", token=token), record(count + 2, aggregate_id="a", aggregate_version=7)])
    listed = list(log.streams())
    assert len(listed) == count + 1
    assert sorted(listed) == sorted([*(("Thing", f"thing-{n}", 1) for n in range(1, count + 1)), ("Thing", "a", 7)])
