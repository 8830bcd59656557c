"""Operations that end elsewhere, their progress and evidence, the questions that people ask, and the watcher."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import tallystick as ts

MINUTE = timedelta(minutes=1)
WORDS = ["progress", "heartbeat", "succeed", "fail", "cancel", "wait", "look", "note"]


@pytest.fixture
def clock() -> ts.ManualClock:
    return ts.ManualClock()


@pytest.fixture
def runtime(clock: ts.ManualClock) -> ts.SteppedRuntime:
    return ts.SteppedRuntime(clock)


@pytest.fixture
def system(runtime: ts.SteppedRuntime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def types(system: ts.System) -> list[str]:
    return [each.event_type for each in system.events(aggregate_type="Operation")]


def snapshot(system: ts.System, operation_id: str) -> ts.OperationSnapshot:
    found = system.operations.get(operation_id)
    assert found is not None
    return found


def test_an_operation_that_ends_elsewhere_is_completed_by_its_id(system: ts.System) -> None:
    operation_id = system.operations.start("Webhook.Process", tags={"provider": "p"})
    system.operations.note(operation_id, "checkpoint", "received", {"bytes": 12})
    system.operations.progress(operation_id, 50, "Halfway")
    half = snapshot(system, operation_id)
    assert (half.status, half.percent, half.message) == (ts.OperationStatus.RUNNING, 50, "Halfway")
    system.operations.succeed(operation_id, "Processed")
    done = snapshot(system, operation_id)
    assert (done.status, done.message, done.percent) == (ts.OperationStatus.SUCCEEDED, "Processed", 50)
    assert types(system) == ["OperationStarted", "OperationNoted", "OperationProgressed", "OperationSucceeded"]


def test_started_twice_with_one_key_it_is_one_operation(system: ts.System) -> None:
    first = system.operations.start("Import", tags={"file": "a"}, idempotency_key="import a")
    assert system.operations.start("Import", tags={"file": "a"}, idempotency_key="import a") == first
    with pytest.raises(ts.IdempotencyConflict):
        system.operations.start("Import", tags={"file": "b"}, idempotency_key="import a")
    assert len(system.operations.find()) == 1


def test_a_person_settles_what_is_stuck_and_that_is_recorded_with_who_and_why(system: ts.System) -> None:
    operations = system.operations
    ids = [operations.start("Import") for _ in range(4)]
    operations.succeed(ids[0], by="ann", why="seen at the bank")
    operations.fail(ids[1], "LOST", by="ann", why="gone")
    operations.cancel(ids[2], by="ann", why="not wanted")
    operations.abandon(ids[3], by="ann", why="nobody knows")
    settled = [snapshot(system, operation_id) for operation_id in ids]
    assert [each.status.value for each in settled] == ["Succeeded", "Failed", "Canceled", "Abandoned"]
    assert [each.by for each in settled] == ["ann"] * 4
    assert [each.why for each in settled] == ["seen at the bank", "gone", "not wanted", "nobody knows"]
    assert system.open_executions() == ()


def test_what_is_unknown_is_said_to_be(system: ts.System) -> None:
    assert system.operations.get("nobody") is None
    with pytest.raises(ts.AlreadyEnded):
        system.operations.succeed("nobody")
    with pytest.raises(ts.Rejected, match="UNKNOWN_OPERATION"):
        system.operations.note("nobody", "warning")


@pytest.mark.parametrize("text", ["", "  ", "nobody", "0198c0de-0000-7000-8000"])
def test_an_id_is_never_blank(text: str) -> None:
    with pytest.raises(ts.InvalidOperation, match="no operation's id"):
        ts.parsed_id(text)


def test_an_id_that_was_written_down_is_read_again(system: ts.System) -> None:
    operation_id = system.operations.start("Import")
    assert ts.parsed_id(f" {operation_id}\n") == operation_id


@pytest.mark.parametrize("duration", [timedelta(0), timedelta(seconds=-1)])
def test_times_are_positive(system: ts.System, duration: timedelta) -> None:
    with pytest.raises(ts.InvalidOperation, match="positive"):
        system.operations.start("Import", timeout=duration)
    with pytest.raises(ts.InvalidOperation, match="positive"):
        system.operations.start("Import", stalled_after=duration)


def test_a_tight_loop_writes_little_and_the_last_of_it(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    with system.bracket("Import") as operation:
        for _ in operation.track(range(1_000)):
            runtime.advance(timedelta(milliseconds=1))
    progress = list(system.events(event_types=("OperationProgressed",)))
    assert len(progress) == 5, "one at first, and one every quarter of the second that it took"
    assert (snapshot(system, operation.id).percent, snapshot(system, operation.id).message) == (100, "1000 of 1000")


def test_items_that_cannot_be_counted_are_tracked_without_a_percentage(system: ts.System) -> None:
    with system.bracket("Import") as operation:
        assert list(operation.track(iter("abc"))) == ["a", "b", "c"]
    assert snapshot(system, operation.id).percent is None
    with system.bracket("Import") as operation:
        assert list(operation.track(iter("abc"), total=6)) == ["a", "b", "c"]
    assert snapshot(system, operation.id).percent == 100


def test_pages_of_what_is_found_come_newest_first(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    for number in range(5):
        runtime.advance(MINUTE)
        system.operations.start("Billing.Run" if number % 2 else "Import.Lines", tags={"number": str(number)})
    first = system.operations.find(limit=2)
    assert [each.tags["number"] for each in first] == ["4", "3"]
    started_at = first[-1].started_at
    assert started_at is not None
    rest = system.operations.find(until=started_at)
    assert [each.tags["number"] for each in rest] == ["2", "1", "0"]
    assert [each.tags["number"] for each in system.operations.find(name_prefix="Billing.")] == ["3", "1"]


def test_those_that_were_begun_in_a_certain_time_are_found(system: ts.System, clock: ts.ManualClock, runtime: ts.SteppedRuntime) -> None:
    moments = list[datetime]()
    for number in range(5):
        runtime.advance(MINUTE)
        moments.append(clock.now)
        system.operations.start("Import.Lines", tags={"number": str(number)})

    def numbers(since: datetime | None = None, until: datetime | None = None) -> list[str]:
        return [each.tags["number"] for each in system.operations.find(since=since, until=until)]

    assert numbers(since=moments[3]) == ["4", "3"]
    assert numbers(until=moments[2]) == ["1", "0"], "not those of that very moment"
    assert numbers(since=moments[1], until=moments[3]) == ["2", "1"]
    page = system.operations.page(size=1, since=moments[3])
    assert [each.tags["number"] for each in system.operations.page(before=page.next, since=moments[3]).operations] == ["3"]
    with pytest.raises(ts.InvalidOperation, match="no time zone"):
        numbers(since=datetime(2026, 1, 1))  # noqa: DTZ001 - refused for that


def test_the_stalled_are_those_that_were_silent_for_strictly_longer(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    stuck = system.operations.start("Import", stalled_after=10 * MINUTE)
    system.operations.start("Patient")
    runtime.advance(10 * MINUTE)
    assert system.operations.find_stalled() == []
    runtime.advance(timedelta(microseconds=1))
    assert [each.operation_id for each in system.operations.find_stalled()] == [stuck]


def test_stalled_is_no_end_and_is_warned_about_once(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", stalled_after=10 * MINUTE)
    runtime.advance(11 * MINUTE)
    with capture_logs() as lines:
        assert [each.operation_id for each in system.operations.mark_stalled()] == [operation_id]
        assert system.operations.mark_stalled() == []
    assert [line["event"] for line in lines] == ["operation.stalled"]
    assert snapshot(system, operation_id).status == ts.OperationStatus.STALLED
    system.operations.progress(operation_id, 10)
    assert snapshot(system, operation_id).status == ts.OperationStatus.RUNNING
    runtime.advance(11 * MINUTE)
    system.operations.mark_stalled()
    system.operations.succeed(operation_id)
    assert snapshot(system, operation_id).status == ts.OperationStatus.SUCCEEDED
    assert types(system).count("OperationStalled") == 2


def test_what_a_heartbeat_resumes_is_counted_as_running(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    beating = system.operations.start("Import", heartbeat_within=MINUTE)
    standing = system.operations.start("Import", stalled_after=MINUTE)
    runtime.advance(2 * MINUTE)
    system.operations.mark_stalled()
    system.operations.heartbeat(beating)
    system.operations.heartbeat(standing)
    assert [each.operation_id for each in system.operations.find(status=ts.OperationStatus.RUNNING)] == [beating]
    assert system.operations.statistics().by_status == {ts.OperationStatus.RUNNING: 1, ts.OperationStatus.STALLED: 1}


def test_evidence_is_kept_after_the_end_and_changes_nothing(system: ts.System) -> None:
    operation_id = system.operations.start("Import")
    system.operations.fail(operation_id, "LOST")
    before = snapshot(system, operation_id)
    system.operations.note(operation_id, "error", "what the provider said later")
    assert snapshot(system, operation_id) == before
    assert types(system)[-1] == "OperationNoted"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(WORDS)), max_size=25))
def test_whatever_is_said_each_operation_ends_at_most_once_and_the_sum_of_the_parts_is_the_whole(said: list[tuple[int, str]]) -> None:
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System(runtime=runtime) as system:
        ids = [system.operations.start("Import", timeout=(number + 2) * MINUTE, heartbeat_within=MINUTE / 2) for number in range(4)]
        operations = system.operations
        says: dict[str, Callable[[str, int], object]] = {
            "progress": lambda operation_id, number: operations.progress(operation_id, 10 * number),
            "heartbeat": lambda operation_id, _: operations.heartbeat(operation_id),
            "succeed": lambda operation_id, _: operations.succeed(operation_id),
            "fail": lambda operation_id, _: operations.fail(operation_id, "NO"),
            "cancel": lambda operation_id, _: operations.cancel(operation_id),
        }
        happens: dict[str, Callable[[str], object]] = {
            "note": lambda operation_id: operations.note(operation_id, "warning"),
            "look": lambda _: operations.mark_stalled(),
            "wait": lambda _: runtime.advance(MINUTE),
        }
        for number, what in said:
            if what in happens:
                happens[what](ids[number])
                continue
            ended = snapshot(system, ids[number]).status.ended
            try:
                says[what](ids[number], number)
            except ts.AlreadyEnded:
                assert ended
            else:
                assert not ended
        settled = [each.token for each in system.events() if each.settles is not None]
        assert len(settled) == len(set(settled))
        statistics = system.operations.statistics()
        assert statistics.total == 4
        assert statistics.by_status == Counter(each.status for each in system.operations.find())
