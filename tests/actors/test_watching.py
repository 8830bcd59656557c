"""The watcher: who is told of what and how often, what is swept, and what is never touched."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tests.actors.outside import FaultyLog

MINUTE = timedelta(minutes=1)


@pytest.fixture
def runtime() -> ts.SteppedRuntime:
    return ts.SteppedRuntime(ts.ManualClock())


@pytest.fixture
def system(runtime: ts.SteppedRuntime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def status(system: ts.System, operation_id: str) -> str:
    found = system.operations.get(operation_id)
    assert found is not None
    return found.status.value


def test_each_trouble_is_told_once_per_cool_down(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    told: list[tuple[str, str]] = []
    watcher = system.watch(on_alert=lambda alert: told.append((alert.trouble, alert.operation.operation_id)), cool_down=30 * MINUTE)
    stuck = system.operations.start("Import", stalled_after=10 * MINUTE)
    late = system.operations.start("Billing.Run", timeout=5 * MINUTE, on_overdue="alert")
    runtime.advance(11 * MINUTE)
    first = watcher.look()
    assert told == [("stalled", stuck), ("overdue", late)]
    assert [each.operation_id for each in first.marked] == [stuck], "overdue is no silence"
    assert watcher.look().told == ()
    runtime.advance(30 * MINUTE)
    assert watcher.look().marked == (), "it is marked already"
    assert told == [("stalled", stuck), ("overdue", late)] * 2
    system.operations.succeed(stuck)
    system.operations.succeed(late)
    assert watcher.look().alerts == ()


def test_one_that_is_well_in_between_is_told_once_per_cool_down_all_the_same(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    told: list[str] = []
    watcher = system.watch(on_alert=lambda alert: told.append(alert.trouble))
    flapping = system.operations.start("Import", heartbeat_within=MINUTE)
    for _ in range(3):
        runtime.advance(2 * MINUTE)
        assert [each.operation_id for each in watcher.look().marked] == [flapping]
        system.operations.heartbeat(flapping)
        assert watcher.look().alerts == ()
    assert told == ["silent"]
    runtime.advance(15 * MINUTE)
    watcher.look()
    assert told == ["silent"] * 2


def test_one_that_is_overdue_and_silent_is_told_as_overdue_and_marked_as_stalled(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    late = system.operations.start("Import", timeout=MINUTE, stalled_after=MINUTE, on_overdue="alert")
    slow = system.operations.start("Webhook.Process", timeout=MINUTE, on_overdue="alert")
    runtime.advance(2 * MINUTE)
    look = system.watch(thresholds={"Webhook": MINUTE}).look()
    assert [(alert.trouble, alert.operation.operation_id) for alert in look.alerts] == [("overdue", late), ("overdue", slow)]
    assert [each.operation_id for each in look.marked] == [late, slow]
    assert (status(system, late), status(system, slow)) == ("Stalled", "Stalled")


def test_a_threshold_is_that_of_the_longest_prefix_and_marks_too(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    watcher = system.watch(thresholds={"Webhook": 30 * MINUTE, "Webhook.Batch": 300 * MINUTE})
    hook, batch = system.operations.start("Webhook.Process"), system.operations.start("Webhook.Batch")
    system.operations.start("Other")
    runtime.advance(30 * MINUTE)
    assert watcher.look().alerts == (), "strictly longer"
    runtime.advance(timedelta(microseconds=1))
    assert [each.operation_id for each in watcher.look().marked] == [hook]
    assert (status(system, hook), status(system, batch)) == ("Stalled", "Pending")
    system.operations.progress(hook, 5)
    assert status(system, hook) == "Running"


def test_a_missed_heartbeat_stalls_and_the_next_one_resumes(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    beating = system.operations.start("Import", heartbeat_within=MINUTE, stalled_after=60 * MINUTE)
    watcher = system.watch()
    for _ in range(5):
        runtime.advance(MINUTE)
        system.operations.heartbeat(beating)
    assert watcher.look().alerts == ()
    runtime.advance(2 * MINUTE)
    assert [alert.trouble for alert in watcher.look().alerts] == ["silent"]
    assert status(system, beating) == "Stalled"
    system.operations.heartbeat(beating)
    assert status(system, beating) == "Running"
    runtime.advance(60 * MINUTE - 6 * MINUTE)
    system.operations.heartbeat(beating)
    assert [alert.trouble for alert in watcher.look().alerts] == ["stalled"], "alive, and got on with nothing for an hour"
    system.operations.heartbeat(beating)
    assert status(system, beating) == "Stalled", "a heartbeat is no progress"


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_callback_that_raises_holds_nothing_up(system: ts.System, runtime: ts.SteppedRuntime, error: type[BaseException]) -> None:
    def fails(alert: ts.Alert) -> None:
        raise error(alert.trouble)

    ids = [system.operations.start("Import", stalled_after=MINUTE) for _ in range(2)]
    runtime.advance(2 * MINUTE)
    with capture_logs() as lines:
        look = system.watch(on_alert=fails).look()
    assert [each.operation_id for each in look.marked] == ids
    assert [line["event"] for line in lines].count("watcher.callback_failed") == 2


def test_orphans_are_strictly_older_and_completed_ones_are_never_touched(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    old, done = system.operations.start("Import"), system.operations.start("Import")
    system.operations.succeed(done)
    watcher = system.watch()
    runtime.advance(60 * MINUTE)
    assert watcher.sweep(older_than=60 * MINUTE).given_up == (), "strictly older"
    runtime.advance(timedelta(microseconds=1))
    swept = watcher.sweep(older_than=60 * MINUTE)
    assert [each.operation_id for each in swept.given_up] == [old]
    assert (dict(swept.by_type), swept.overflow) == ({"Import": 1}, 0)
    assert (status(system, old), status(system, done)) == ("Abandoned", "Succeeded")
    assert [each.operation_id for each in system.operations.abandoned()] == [old]


def test_a_sweep_gives_up_a_hundred_at_most_and_warns_of_the_rest(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    for number in range(103):
        system.operations.start("Import" if number % 2 else "Export")
    runtime.advance(2 * MINUTE)
    with capture_logs() as lines:
        swept = system.watch().sweep(older_than=MINUTE)
    assert (len(swept.given_up), swept.overflow, dict(swept.by_type)) == (100, 3, {"Import": 51, "Export": 52})
    assert [line["left"] for line in lines if line["event"] == "watcher.sweep_overflow"] == [3]
    assert len(system.watch().sweep(older_than=MINUTE).given_up) == 3


def test_what_a_dead_process_ran_is_in_doubt_and_left_to_people(runtime: ts.SteppedRuntime) -> None:
    log = FaultyLog()
    with ts.System(log=log, runtime=runtime) as system:
        with system.bracket("Export"):
            assert system.watch().sweep(older_than=timedelta(microseconds=1)).in_doubt == (), "this process runs it"
        operation_id = system.operations.start("Import", held=True)
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(ts.ManualClock())) as again:
        swept = again.watch().sweep(older_than=timedelta(microseconds=1))
        assert ([each.operation_id for each in swept.in_doubt], swept.given_up) == ([operation_id], ())
        assert "a person" in again.why(operation_id).sentence
        again.operations.abandon(operation_id, by="ann", why="looked it up")
        assert again.watch().sweep().in_doubt == ()


def test_a_thread_of_its_own_looks_now_and_then() -> None:
    told = threading.Event()
    with ts.System() as system, system.watch(on_alert=lambda _alert: told.set()).every(timedelta(milliseconds=5)):
        system.operations.start("Import", stalled_after=timedelta(microseconds=1))
        assert told.wait(30)
