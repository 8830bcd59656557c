"""Logs that start at a beginning: they go on as the log that was saved would have, and show what of its past was kept."""

from collections.abc import Callable

import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt, SnapshotError, VersionConflict
from tallystick.store.log import Beginning, EventLog, Head, Query, Snapshot, StreamStart
from tallystick.store.memory import MemoryLog

Make = Callable[..., Recorded]
MakeMany = Callable[..., list[Recorded]]


@pytest.fixture
def whole(record: Make) -> MemoryLog:
    """Ten records of three aggregates."""
    log = MemoryLog(identity="colony")
    log.open()
    log.write([record(position, aggregate_id=f"thing-{position % 3}", aggregate_version=(position + 2) // 3) for position in range(1, 11)])
    return log


def cut(log: MemoryLog, at: int, *kept: int) -> MemoryLog:
    """The same log, starting behind a position."""
    records = list(log.read())
    last = records[at - 1]
    versions: dict[tuple[str, str], StreamStart] = {}
    for each in records[:at]:
        versions[each.aggregate_type, each.aggregate_id] = StreamStart(each.aggregate_version)
    head = Head(position=at, hash=last.hash, occurred_at_us=last.occurred_at_us)
    beginning = Beginning(head=head, streams=versions, kept=tuple(records[position - 1] for position in kept))
    started = MemoryLog.starting(log.identity, beginning, records[at:], epochs=log.epoch - 1)
    started.open()
    return started


def found(log: EventLog, **query: object) -> list[int]:
    return [record.position for record in log.read(Query(**query))]  # type: ignore[arg-type]


def test_it_stands_where_the_whole_log_stands(whole: MemoryLog) -> None:
    started = cut(whole, 6)
    assert (started.head(), started.epoch, started.identity) == (whole.head(), whole.epoch, whole.identity)
    assert sorted(started.streams()) == sorted(whole.streams())
    assert [started.version("Thing", f"thing-{n}") for n in range(3)] == [3, 4, 3]


def test_what_is_written_next_is_the_same_record_with_the_same_hash(whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 6)
    after = [record(11, aggregate_id="thing-2", aggregate_version=4), record(12, aggregate_id="new")]
    assert started.write(after) == whole.write(after)
    assert [each.event_id for each in started.read(Query(after=10))] == [each.event_id for each in whole.read(Query(after=10))]


@pytest.mark.parametrize("at", [1, 6, 10])
def test_it_starts_empty_handed_but_for_the_tail_and_what_was_kept(whole: MemoryLog, at: int) -> None:
    assert found(cut(whole, at)) == list(range(at + 1, 11))
    assert found(cut(whole, at, 1)) == [1, *range(at + 1, 11)]


def test_kept_records_are_found_in_every_way(whole: MemoryLog) -> None:
    started = cut(whole, 6, 5, 2)
    assert found(started) == [2, 5, 7, 8, 9, 10]
    assert found(started, newest_first=True) == [10, 9, 8, 7, 5, 2]
    assert found(started, after=2, until=8) == [5, 7, 8]
    assert found(started, after=4, limit=1) == [5]
    assert found(started, aggregate_type="Thing", aggregate_id="thing-2") == [2, 5, 8]
    ids = {each.position: each.event_id for each in whole.read()}
    assert [found(started, event_id=ids[position]) for position in (1, 2, 6, 7)] == [[], [2], [], [7]]


def test_versions_from_before_the_beginning_are_refused(whole: MemoryLog, record: Make) -> None:
    started = cut(whole, 6)
    with pytest.raises(VersionConflict) as refused:
        started.write([record(11, aggregate_id="thing-0", aggregate_version=1)])
    assert (refused.value.expected, refused.value.actual) == (0, 3)


def test_it_is_verified_from_its_beginning_on(whole: MemoryLog, record: Make) -> None:
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


def test_snapshots_are_held_against_the_records_that_it_has(whole: MemoryLog) -> None:
    started = cut(whole, 6, 2)
    hashes = {each.position: each.hash for each in whole.read()}
    for position in (2, 6, 7, 10):
        started.save_snapshot(Snapshot(owner="things", position=position, hash=hashes[position], format=1, body=b""))
    for position in (1, 8, 11):
        with pytest.raises(SnapshotError):
            started.save_snapshot(Snapshot(owner="things", position=position, hash=b"another", format=1, body=b""))


def test_its_beginning_stays_when_it_is_opened_again(whole: MemoryLog) -> None:
    started = cut(whole, 6, 2)
    again = started.reopened()
    again.open()
    assert found(again) == [2, 7, 8, 9, 10]
    assert again.beginning == started.beginning
    assert again.epoch == started.epoch + 1


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
