"""What every log keeps. One suite for all of them."""
# ruff: noqa: S105, S106 - a token is an execution's id, no password

import threading
from collections.abc import Callable

import msgspec
import pytest

from tallystick.domain.envelope import Recorded, log_tag_of
from tallystick.domain.errors import AlreadySettled, Fenced, LogError, PositionConflict, SnapshotError, VersionConflict
from tallystick.store.chain import link, start
from tallystick.store.log import EventLog, Head, Query, Snapshot

Make = Callable[..., Recorded]
MakeMany = Callable[..., list[Recorded]]


def found(log: EventLog, **query: object) -> list[int]:
    return [record.position for record in log.read(Query(**query))]  # type: ignore[arg-type]


def test_a_new_log_is_empty(log: EventLog) -> None:
    assert log.head() == Head()
    assert list(log.read()) == []
    assert list(log.verify()) == []
    assert log.version("Thing", "thing-1") == 0


def test_a_log_has_no_epoch_before_it_is_opened(closed_log: EventLog) -> None:
    assert closed_log.epoch == 0
    closed_log.open()
    assert closed_log.epoch == 1


def test_what_is_written_is_read_back_as_it_was_with_its_hash(log: EventLog, record: Make) -> None:
    written = record(
        1,
        event_type="Größe-geändert",
        schema_version=7,
        aggregate_version=3,
        token="t",
        settles="failed",
        causation=9,
        seen=-(1 << 63),
        occurred_at_us=(1 << 63) - 1,
        payload=b'{"quote":"\\" \xc3\xa4 \\u0000"}',
    )
    log.write([written])
    (read,) = log.read()
    wanted = msgspec.structs.replace(written, hash=link(start(log.identity), written), log_tag=log_tag_of(log.identity))
    assert msgspec.structs.astuple(read) == msgspec.structs.astuple(wanted)


@pytest.mark.parametrize("payload", [b"", b"\x00\xff\xfe\x80 not text", b'"' * 70_000], ids=["empty", "not text", "long"])
def test_payload_bytes_come_back_unchanged(log: EventLog, record: Make, payload: bytes) -> None:
    log.write([record(1), record(2, payload=payload), record(3)])
    assert [read.payload for read in log.read()] == [b'{"n":1}', payload, b'{"n":1}']


def test_the_decoded_event_is_not_stored(log: EventLog, record: Make) -> None:
    log.write([record(1, event=object())])
    (read,) = log.read()
    assert read.event is None


def test_the_head_is_the_last_record(log: EventLog, records: MakeMany) -> None:
    head = log.write(records(1, 3))
    last = list(log.read())[-1]
    assert head == log.head() == Head(position=3, hash=last.hash, occurred_at_us=last.occurred_at_us)


def test_an_empty_batch_changes_nothing(log: EventLog, records: MakeMany) -> None:
    head = log.write(records(1, 3))
    assert log.write([]) == head


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 24, 25, 100, 191, 193, 255, 256, 257, 511, 512, 513, 1000])
def test_batches_of_every_size_are_written_whole(log: EventLog, records: MakeMany, count: int) -> None:
    log.write(records(1, 5))
    assert log.write(records(6, 5 + count)).position == 5 + count
    assert [record.position for record in log.verify()] == list(range(1, 6 + count))


@pytest.mark.parametrize("offered", [(2, 2), (0, 0), (2, 1)], ids=["a gap before", "from nothing", "backwards"])
def test_positions_out_of_order_are_refused(log: EventLog, record: Make, offered: tuple[int, ...]) -> None:
    with pytest.raises(PositionConflict):
        log.write([record(position, aggregate_id=str(at)) for at, position in enumerate(offered)])
    assert log.head() == Head()


def test_a_gap_within_a_batch_is_refused_as_a_whole(log: EventLog, record: Make) -> None:
    with pytest.raises(PositionConflict):
        log.write([record(1), record(3)])
    assert log.head() == Head()


def test_a_version_that_exists_is_refused_with_the_actual_one(log: EventLog, record: Make) -> None:
    log.write([record(1, aggregate_id="a"), record(2, aggregate_id="a", aggregate_version=2)])
    with pytest.raises(VersionConflict) as refused:
        log.write([record(3), record(4, aggregate_id="a", aggregate_version=2)])
    assert (refused.value.aggregate_type, refused.value.aggregate_id) == ("Thing", "a")
    assert (refused.value.expected, refused.value.actual) == (1, 2)
    assert log.head().position == 2


def test_a_version_that_stands_twice_in_a_batch_is_refused(log: EventLog, record: Make) -> None:
    with pytest.raises(VersionConflict) as refused:
        log.write([record(1, aggregate_id="a"), record(2, aggregate_id="a")])
    assert refused.value.actual == 1
    assert log.head() == Head()


def test_one_id_under_two_types_is_two_aggregates(log: EventLog, record: Make) -> None:
    log.write([record(1, aggregate_id="a"), record(2, aggregate_id="a", aggregate_type="Other")])
    assert (log.version("Thing", "a"), log.version("Other", "a"), log.version("Third", "a")) == (1, 1, 0)


def test_a_token_is_settled_once_s1(log: EventLog, record: Make) -> None:
    log.write([record(1, token="t", settles="succeeded")])
    with pytest.raises(AlreadySettled) as refused:
        log.write([record(2), record(3, token="t", settles="failed")])
    assert refused.value.token == "t"
    assert log.head().position == 1


def test_a_token_settled_twice_in_one_batch_is_refused_s1(log: EventLog, record: Make) -> None:
    with pytest.raises(AlreadySettled):
        log.write([record(1, token="t", settles="succeeded"), record(2, token="t", settles="succeeded")])
    assert log.head() == Head()


def test_a_token_may_stand_in_many_events_that_settle_nothing(log: EventLog, record: Make) -> None:
    log.write([record(1, token="t"), record(2, token="t"), record(3, token="t", settles="abandoned")])
    assert log.head().position == 3


def test_a_refused_batch_leaves_the_log_open_and_its_chain_whole(log: EventLog, record: Make, records: MakeMany) -> None:
    log.write(records(1, 300))
    with pytest.raises(VersionConflict):
        log.write([*records(301, 600), record(601, aggregate_id="thing-7")])
    log.write(records(301, 302))
    assert len(list(log.verify())) == 302


def test_text_that_is_not_unicode_is_refused_and_the_log_stays_open(log: EventLog, record: Make) -> None:
    with pytest.raises(LogError, match="position 1"):
        log.write([record(1, owner="\ud800")])
    log.write([record(1)])


def filled(log: EventLog, record: Make) -> EventLog:
    log.write(
        [
            record(1, aggregate_id="a", correlation="x", owner="one", tags_json='{"tenant":"a","who":"b"}'),
            record(2, aggregate_id="b", event_type="Started", token="t", correlation="x", tags_json='{"tenant":"a"}'),
            record(3, aggregate_id="t", aggregate_type="Execution", event_type="RetryScheduled", token="t", correlation="y"),
            record(4, aggregate_id="a", aggregate_version=2, event_type="Ended", token="t", settles="succeeded", correlation="x"),
            record(5, aggregate_id="a", aggregate_type="Other", event_type="Ended", token="u", settles="failed", owner="one"),
            record(6, aggregate_id="t", aggregate_type="Execution", aggregate_version=2, event_type="LateSuccess", token="t"),
        ]
    )
    return log


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"after": 4}, [5, 6]),
        ({"after": 6}, []),
        ({"after": -3, "until": 2}, [1, 2]),
        ({"until": 0}, []),
        ({"after": 1, "until": 4, "newest_first": True}, [4, 3, 2]),
        ({"limit": 0}, []),
        ({"limit": 2}, [1, 2]),
        ({"limit": 2, "newest_first": True}, [6, 5]),
        ({"event_types": ("Ended", "Started")}, [2, 4, 5]),
        ({"event_types": ("Ended", "Started"), "limit": 1, "newest_first": True}, [5]),
        ({"aggregate_type": "Thing", "aggregate_id": "a"}, [1, 4]),
        ({"aggregate_id": "a"}, [1, 4, 5]),
        ({"aggregate_type": "Other"}, [5]),
        ({"aggregate_type": "Thing", "aggregate_id": "a", "newest_first": True, "after": 1}, [4]),
        ({"owner": "one"}, [1, 5]),
        ({"token": "t"}, [3, 4, 6]),
        ({"token": "t", "newest_first": True, "limit": 2}, [6, 4]),
        ({"token": "t", "aggregate_type": "Execution", "aggregate_id": "t"}, [3, 6]),
        ({"token": "t", "correlation": "x"}, [4]),
        ({"token": "nobody's"}, []),
        ({"correlation": "x"}, [1, 2, 4]),
        ({"correlation": "x", "aggregate_id": "a"}, [1, 4]),
        ({"correlation": "x", "after": 1, "limit": 1}, [2]),
        ({"tag": ("tenant", "a")}, [1, 2]),
        ({"tag": ("who", "b")}, [1]),
        ({"tag": ("tenant", "b")}, []),
        ({"tag": ("a", "tenant")}, []),
        ({"tag": ("tenant", "a"), "newest_first": True, "limit": 1}, [2]),
        ({"tag": ("tenant", "a"), "correlation": "x", "owner": "one"}, [1]),
        ({"since_us": 1_004}, [4, 5, 6]),
        ({"before_us": 1_003}, [1, 2]),
        ({"since_us": 1_002, "before_us": 1_004}, [2, 3]),
        ({"since_us": 1_002, "before_us": 1_002}, []),
        ({"since_us": 0, "before_us": 9_999, "owner": "one"}, [1, 5]),
    ],
)
def test_every_filter_that_is_given_holds(log: EventLog, record: Make, query: dict[str, object], wanted: list[int]) -> None:
    assert found(filled(log, record), **query) == wanted


def test_times_that_repeat_are_all_found(log: EventLog, records: MakeMany) -> None:
    log.write([*records(1, 3, occurred_at_us=1), *records(4, 70, occurred_at_us=2), *records(71, 71)])
    assert found(log, since_us=2, before_us=3) == list(range(4, 71))


def test_reading_goes_on_over_many_pages_in_both_directions(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 2_500))
    assert found(log) == list(range(1, 2_501))
    assert found(log, newest_first=True) == list(range(2_500, 0, -1))
    assert found(log, limit=1_500, after=100) == list(range(101, 1_601))
    assert found(log, correlation="c") == list(range(1, 2_501))


def test_a_reading_under_way_sees_what_is_written_meanwhile(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 100))
    reading = log.read()
    assert next(reading).position == 1
    log.write(records(101, 200))
    assert len(list(reading)) == 199


def test_the_version_is_the_highest_one(log: EventLog, record: Make) -> None:
    log.write([record(version, aggregate_id="a", aggregate_version=version) for version in range(1, 13)])
    assert log.version("Thing", "a") == 12


def test_a_version_is_the_one_of_now_however_often_it_was_asked_for_p17(log: EventLog, record: Make) -> None:
    for version in range(1, 9):
        assert [log.version("Thing", "a") for _ in range(3)] == [version - 1] * 3
        log.write([record(version, aggregate_id="a", aggregate_version=version)])


def test_many_threads_read_while_one_writes(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 100))
    written, wrong = threading.Event(), list[object]()

    def read() -> None:
        try:
            while not written.is_set():
                seen = found(log)
                if seen != list(range(1, len(seen) + 1)) or log.head().position < len(seen) or log.version("Thing", "thing-1") != 1:
                    wrong.append(seen)
        except Exception as error:  # noqa: BLE001 - shown below, since nobody sees it in a thread
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for first in range(101, 1_101, 100):
        log.write(records(first, first + 99))
    written.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert found(log) == list(range(1, 1_101))


def snapshot(log: EventLog, position: int, body: bytes = b"state", owner: str = "things") -> Snapshot:
    at = next(log.read(Query(after=position - 1)), None) if position else None
    return Snapshot(owner=owner, position=position, hash=at.hash if at else b"", format=1, body=body)


def test_the_newest_two_snapshots_of_an_owner_are_kept(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 9))
    other = snapshot(log, 1, owner="others")
    log.save_snapshot(other)
    for position in (2, 5, 9):
        log.save_snapshot(snapshot(log, position))
    assert list(log.snapshots("things")) == [snapshot(log, 9), snapshot(log, 5)]
    assert list(log.snapshots("others")) == [other]
    assert list(log.snapshots("nobody")) == []


def test_a_snapshot_at_the_same_position_replaces_the_older_one(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 3))
    log.save_snapshot(snapshot(log, 2))
    log.save_snapshot(snapshot(log, 3, b"old"))
    log.save_snapshot(snapshot(log, 3, b"new"))
    assert [kept.body for kept in log.snapshots("things")] == [b"new", b"state"]


def test_a_snapshot_of_nothing_is_kept_too(log: EventLog) -> None:
    log.save_snapshot(snapshot(log, 0))
    assert list(log.snapshots("things")) == [snapshot(log, 0)]


def test_a_snapshot_beyond_the_end_is_refused_p21(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 3))
    with pytest.raises(SnapshotError, match="beyond"):
        log.save_snapshot(Snapshot(owner="things", position=4, hash=b"", format=1, body=b""))
    log.write(records(4, 4))
    assert list(log.snapshots("things")) == []


def test_a_snapshot_with_another_records_hash_is_refused_p21(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 3))
    with pytest.raises(SnapshotError, match="another log"):
        log.save_snapshot(msgspec.structs.replace(snapshot(log, 3), position=2))
    assert list(log.snapshots("things")) == []


def test_reopened_it_has_all_records_and_snapshots_and_the_next_epoch(log: EventLog, records: MakeMany) -> None:
    head = log.write(records(1, 9))
    log.save_snapshot(snapshot(log, 9))
    kept, identity = list(log.snapshots("things")), log.identity
    again = log.reopened()
    assert again.open() == head
    assert (again.epoch, again.identity) == (2, identity)
    assert len(list(again.verify())) == 9
    assert list(again.snapshots("things")) == kept
    assert again.write([*records(10, 10)]).position == 10
    again.close()


def test_a_log_that_was_opened_again_is_fenced(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 1))
    again = log.reopened()
    again.open()
    with pytest.raises(Fenced):
        log.write(records(2, 2))
    with pytest.raises(Fenced):
        log.save_snapshot(Snapshot(owner="things", position=0, hash=b"", format=1, body=b""))
    assert again.head().position == 1
    again.close()


def test_a_log_is_opened_once(log: EventLog) -> None:
    with pytest.raises(LogError, match=r"reopened\(\)"):
        log.open()


def test_a_log_that_is_not_open_answers_nothing(closed_log: EventLog, records: MakeMany) -> None:
    for ask in (
        closed_log.head,
        lambda: closed_log.write(records(1, 1)),
        lambda: list(closed_log.read()),
        lambda: closed_log.version("", ""),
    ):
        with pytest.raises(LogError, match="not open"):
            ask()


def test_a_closed_log_answers_nothing_more_and_closes_again(log: EventLog, records: MakeMany) -> None:
    assert log.version("", "") == 0
    log.close()
    log.close()
    for ask in (
        log.head,
        lambda: log.write(records(1, 1)),
        lambda: list(log.read()),
        lambda: list(log.snapshots("")),
        lambda: log.version("", ""),
    ):
        with pytest.raises(LogError, match="not open"):
            ask()
