"""Progress of attempts: whose it is, what it does for their lives, and what it survives."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import tallystick as ts
from tests.actors.fetcher import NOON, SECOND, Begin, Fetch, Fetcher, Scene
from tests.actors.outside import ByHandRuntime, StillRunning
from tests.store.archived import contents, small_archives

Make = Callable[..., Scene]


# Whose progress it is.


def test_a_new_attempt_has_said_nothing_yet_and_what_an_old_one_says_is_left_out(scene: Make) -> None:
    """P4."""
    it = scene(StillRunning())
    it.begin_and_wait()
    first = it.open_call
    first.progress(80, "nearly")
    it.advance(60)
    assert it.progress is None
    it.advance(10)
    before = it.story()
    first._cancelled = False  # as if it had looked a moment ago
    first.progress(90, "nearly there")
    it.settle()
    assert it.story() == before
    it.open_call.progress(10)
    it.settle()
    assert it.progress == ts.Progress(at=NOON + 70 * SECOND, percent=10)


def test_a_call_that_nobody_waits_for_any_more_writes_nothing(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(10)
    it.open_call.progress(20)
    it.settle()
    assert it.system.complete(token, "by hand")
    it.settle()
    before = it.story()
    it.advance(1)
    it.open_call.progress(30)
    it.runtime.open_calls[-1].returns("there")
    it.settle()
    assert it.story() == before
    assert it.reports == [(10, "")]


def test_the_next_action_has_said_nothing_yet_and_what_the_one_before_says_is_left_out(scene: Make) -> None:
    it = scene(StillRunning())
    it.begin_and_wait(several=2)
    first = it.runtime.open_calls[-1]
    first.call.progress(80, "of the first")
    first.returns("there")
    it.settle()
    assert it.progress is None
    first.call._cancelled = False
    it.advance(1)
    first.call.progress(90)
    it.settle()
    assert it.progress is None
    it.open_call.progress(10, "of the second")
    it.settle()
    assert it.progress == ts.Progress(at=NOON + SECOND, percent=10, message="of the second")


def test_a_person_sees_how_far_the_last_attempt_came_until_it_is_tried_again(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(80)
    it.runtime.open_calls[-1].returns(4711)  # is not what its intent promises
    it.settle()
    (waiting,) = it.system.open_executions()
    assert waiting.execution.status == "person"
    assert waiting.execution.progress == ts.Progress(at=NOON, percent=80)
    it.script.append(StillRunning())
    it.system.retry(waiting, who="ann", why="again")
    it.settle()
    assert it.progress is None
    assert it.system.why(token).standing.progress is None


def test_who_has_promised_an_answer_may_report_until_it_comes(scene: Make) -> None:
    it = scene(ts.Later())
    token = it.begin("Beating")
    call = it.calls[-1]
    for seconds in range(30):
        call.progress(seconds)
        it.advance(1)
    assert it.progress == ts.Progress(at=NOON + 29 * SECOND, percent=29)
    it.advance(20)
    assert it.system.complete(token, "by a webhook")
    assert it.story()[-1] == (50, "BeatingSucceeded"), "and needs no heartbeat"
    it.settle()
    assert call.cancelled()


def test_a_promised_call_that_beats_does_not_open_its_window_again(scene: Make) -> None:
    it = scene(ts.Later())
    it.begin("Beating")
    before = it.story()
    it.calls[-1].heartbeat()
    it.advance(50)
    assert it.story() == before


# A sign of life.


def test_who_gets_on_is_alive_by_the_one_event(scene: Make) -> None:
    it = scene()
    it.begin_and_wait("Beating")
    for part in range(50):
        it.open_call.progress(part)
        it.advance(1)
    assert "TimeoutFired" not in [what for _, what in it.story()]
    assert [what for _, what in it.story()].count("HeartbeatRecorded") == 1, "which opened its window"
    it.advance(7)
    assert it.story()[-2:] == [(57, "TimeoutFired"), (57, "RetryScheduled")]


def test_who_is_silent_after_it_has_got_on_times_out_as_after_a_heartbeat(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait("Beating")
    it.advance(5)
    it.open_call.progress(50)
    it.settle()
    (open_one,) = it.system.open_executions()
    assert open_one.execution.view().deadline == it.system.why(token).standing.deadline == NOON + 13 * SECOND
    it.advance(8)
    assert it.story()[-2:] == [(13, "TimeoutFired"), (13, "RetryScheduled")]


def test_who_reports_too_often_to_be_written_is_alive_all_the_same(scene: Make) -> None:
    it = scene()
    it.begin_and_wait("Hasty")
    for part in range(300):
        it.open_call.progress(part / 10)
        it.advance(0.03)
    assert "TimeoutFired" not in [what for _, what in it.story()]
    assert [percent for percent, _ in it.reports] == [part / 10 for part in range(0, 300, 9)]


def test_progress_lives_no_longer_than_the_attempts_own_time(scene: Make) -> None:
    it = scene()
    it.begin_and_wait("Beating")
    for part in range(70):
        if it.story()[-1][1] != "RetryScheduled":
            it.open_call.progress(part)
        it.advance(1)
    assert [when for when, what in it.story() if what == "TimeoutFired"] == [60]


# What survives.


def test_it_survives_a_crash_and_is_kept_while_the_call_is_made_again(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(80, "nearly")
    it.settle()
    it.advance(3)
    said = ts.Progress(at=NOON, percent=80, message="nearly")
    it.script.append(StillRunning())
    it.crash()
    it.settle()
    assert it.progress == said
    assert it.system.why(token).standing.progress == said
    it.open_call.progress(5)
    it.settle()
    assert it.progress == ts.Progress(at=NOON + 3 * SECOND, percent=5, message="nearly")


def test_of_what_was_lost_with_a_commit_the_next_report_makes_up(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    it.system._pool.report_to(None)
    it.open_call.progress(10, "while there is no engine")
    life = it.system._life
    life.engine.begin()
    it.open_call.progress(20)
    it.settle()
    assert it.reports == [(20, "while there is no engine")]


def test_it_survives_a_clean_stop_and_a_snapshot(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    it.open_call.progress(80, "nearly")
    it.settle()
    it.system.stop()
    it.script.append(StillRunning())
    it.crash()
    assert it.progress == ts.Progress(at=NOON, percent=80, message="nearly")


def test_it_survives_save_and_load(scene: Make, tmp_path: Path) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(80, "nearly")
    it.settle()
    it.system.save(tmp_path / "save")
    runtime = ByHandRuntime(ts.ManualClock(NOON))
    it.script.append(StillRunning())
    with ts.System.load(tmp_path / "save", [Fetcher()], performers=[Fetch.performed_by(it.fetch)], runtime=runtime) as loaded:
        runtime.run_until_idle()
        (open_one,) = loaded.open_executions()
        assert open_one.execution.progress == ts.Progress(at=NOON, percent=80, message="nearly")
        assert open_one.execution.token == token
        runtime.advance(SECOND)
        runtime.open_calls[-1].call.progress(81)
        runtime.run_until_idle()
        (open_one,) = loaded.open_executions()
        assert open_one.execution.progress == ts.Progress(at=NOON + SECOND, percent=81, message="nearly")


def test_archives_have_that_of_what_has_ended_and_the_log_that_of_what_is_open(tmp_path: Path) -> None:
    runtime = ByHandRuntime(ts.ManualClock(NOON))

    def fetch(action: Fetch, call: ts.Call) -> str:
        call.progress(80, action.what)
        if action.what == "open":
            raise StillRunning
        return "there"

    performers = [Fetch.performed_by(fetch)]
    with (
        small_archives(records=2, tail=0),
        ts.System([Fetcher()], performers=performers, log=tmp_path / "log.db", runtime=runtime) as system,
    ):
        ended, still_open = (system.ask(Begin(what=what)) for what in ("ended", "open"))
        runtime.advance(SECOND)
        before = [contents(system.events(token=token)) for token in (ended, still_open)]
        assert system.archive(ts.Retention(keep=timedelta(0)), who="ann").records > 0
        assert [contents(system.events(token=token)) for token in (ended, still_open)] == before
        (open_one,) = [each for each in system.open_executions() if each.owner == "fetcher"]
        assert open_one.execution.progress == ts.Progress(at=NOON, percent=80, message="open")
