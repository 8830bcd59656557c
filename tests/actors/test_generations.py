"""Generations: what is thrown away when an engine fails, what survives, and what the callers hear (P14, P18, P19)."""

from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.messages import TakeSnapshot
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, Done, Drop, JobState, Ledger, Order, Workshop


def break_actor(stage: Stage, actor: str, error: BaseException) -> None:
    """The next message of an engine actor finds a bug of ours."""
    found: Any = {**vars(stage.engine), **stage.engine.owners}[actor]

    def broken(_message: object) -> None:
        raise error

    found.handlers = dict.fromkeys(found.handlers, broken)


@pytest.mark.parametrize("actor", ["workshop", "router", "queue", "writer"])
@pytest.mark.parametrize("error", [RuntimeError("a bug of ours"), SystemExit("rude")], ids=["error", "exit"])
def test_p14_an_actors_failure_rebuilds_the_engine_and_work_goes_on(stage: Stage, actor: str, error: BaseException) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    break_actor(stage, actor, error)
    asked = stage.system.submit(Do(job_id="b"))
    stage.open_call("a").returns("done")
    stage.idle()
    if asked.exception() is not None:
        assert isinstance(asked.exception(), ts.NotAccepted | ts.NotCommitted)
        stage.system.ask(Do(job_id="b"))
    stage.idle()
    assert sorted(event.job_id for event in stage.events("JobDone")) == ["a", "b"]
    assert len(stage.provider.calls_for("a")) == 1
    health = stage.system.health()
    assert (health.status, health.restarts, health.epoch) == ("running", 1, 2)
    assert health.last_failure == f"{actor}: {type(error).__name__}: {error}"


def test_p14_a_timer_that_fails_is_rebuilt_and_its_deadlines_with_it(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    break_actor(stage, "timer", RuntimeError("a bug of ours"))
    stage.advance(59)
    assert stage.system.health().restarts == 0
    stage.advance(1)
    assert stage.system.health().restarts == 1
    assert stage.types(of="workshop")[-2:] == ["TimeoutFired", "RetryScheduled"]
    assert len(stage.of_type("TimeoutFired")) == 1


def test_p14_too_many_failures_within_the_period_stop_the_system() -> None:
    stage = Stage(restarts=ts.RestartPolicy(restarts=2, period=timedelta(minutes=1)))
    for _ in range(3):
        stage.idle()
        break_actor(stage, "desk", RuntimeError("again"))
        with pytest.raises(ts.NotAccepted):
            stage.system.ask(Order(order_id="x"))
    health = stage.system.health()
    assert (health.status, health.restarts) == ("failed", 3)
    with pytest.raises(ts.NotAccepted):
        stage.system.ask(Order(order_id="x"))
    with pytest.raises(ts.NotAccepted):
        stage.system.submit(Order(order_id="x"))
    stage.system.stop()


def test_p14_failures_that_are_far_apart_do_not_stop_it() -> None:
    stage = Stage(restarts=ts.RestartPolicy(restarts=2, period=timedelta(minutes=1)))
    for _ in range(5):
        break_actor(stage, "desk", RuntimeError("again"))
        with pytest.raises(ts.NotAccepted):
            stage.system.ask(Order(order_id="x"))
        stage.advance(61)
    assert stage.system.health().status == "running"
    assert stage.system.ask(Order(order_id="x")) == "x"


@pytest.mark.parametrize("error", [ts.LogError("not yet"), OSError("not yet")], ids=["the log's", "unexpected"])
def test_p14_a_rebuild_that_fails_counts_as_a_failure_and_is_tried_again(stage: Stage, error: Exception) -> None:
    stage.disk.openings_that_fail = [error, error]
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="a"))
    health = stage.system.health()
    assert (health.status, health.restarts) == ("running", 3)
    assert stage.system.ask(Do(job_id="a")) == "a"


@pytest.mark.parametrize("error", [ts.LogPoisoned(), OSError("gone")], ids=["the log's", "unexpected"])
def test_p19_a_log_that_cannot_be_opened_again_stays_closed(stage: Stage, error: Exception) -> None:
    stage.disk.openings_that_fail = [error] * 10
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="a"))
    assert stage.system.health().status == "failed"
    with pytest.raises(ts.NotAccepted):
        stage.system.ask(Do(job_id="b"))
    with pytest.raises(ts.NotAccepted, match=f"has failed, and .* is mended: {type(error).__name__}: {error}") as refused:
        stage.system.complete(ts.Token("of a call before"), None)
    assert refused.value.__cause__ is error


def test_p22_a_system_whose_log_another_one_has_opened_stops_and_does_not_take_it_back(stage: Stage) -> None:
    """S15: rebuilt on the log, it would fence the other in turn, and that one it, for ever."""
    stage.system.ask(Order(order_id="mine"))
    other_log = ts.MemoryLog()
    other_log._storage = stage.log._storage
    with ts.System(
        [Desk(), Workshop(), Ledger()], performers=stage.provider.performers(), log=other_log, runtime=ts.SteppedRuntime()
    ) as other:
        with pytest.raises(ts.CommitUnknown):
            stage.system.ask(Order(order_id="no longer mine"))
        health = stage.system.health()
        assert (health.status, health.last_failure.partition(":")[0]) == ("failed", "writer")
        assert other.ask(Order(order_id="the other's")) == "the other's"
        assert [each.aggregate_id for each in other.events(event_types=("Ordered",))] == ["mine", "the other's"]


def test_p18_what_was_acknowledged_stays_and_the_failing_batch_is_unknown(stage: Stage) -> None:
    """S4."""
    acknowledged = stage.system.submit(Do(job_id="a"))
    stage.idle()
    stage.disk.fails(written=False)
    failing = stage.system.submit(Do(job_id="b"))
    stage.idle()
    assert acknowledged.result() == "a"
    assert isinstance(failing.exception(), ts.CommitUnknown)
    assert [event.job_id for event in stage.events("JobBegun")] == ["a"]
    assert stage.system.resident(Done).count == 1
    assert stage.system.get(JobState, "b") is None
    assert stage.system.ask(Do(job_id="b")) == "b", "no cache of the lost generation remembers it"


def test_p18_a_running_call_is_taken_up_again_and_not_performed_twice(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    lose_a_batch(stage)
    stage.idle()
    assert stage.provider.probed == [], "nobody is in doubt about a call that still runs here"
    stage.open_call("a").returns("done")
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["done"]
    assert len(stage.provider.calls) == 1
    assert "AttemptStarted" not in stage.types()


def lose_a_batch(stage: Stage) -> None:
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Order(order_id="lost", text="nothing"))


def test_p18_a_report_that_came_while_there_was_no_engine_is_kept(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.system._pool.report_to(None)
    stage.open_call("a").returns("done")
    lose_a_batch(stage)
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["done"]
    assert len(stage.provider.calls) == 1


def test_p18_a_consumed_report_is_given_again_when_its_event_is_lost(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.disk.fails(written=False)
    stage.open_call("a").returns("the one result")
    stage.step_until(lambda: stage.system.health().restarts == 1)
    assert "JobDone" not in stage.types(), "the settlement must be lost"
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["the one result"]
    assert len(stage.provider.calls) == 1
    assert stage.provider.probed == []


def test_p18_a_consumed_failure_is_given_again_too_and_counts_once(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.disk.fails(written=False)
    stage.open_call("a").raises(ValueError("no"))
    stage.idle()
    assert stage.system.health().restarts == 1
    assert [event.attempt for event in stage.events("RetryScheduled")] == [2]
    stage.advance(10)
    assert [call.attempt for call in stage.provider.calls] == [1, 2]


def test_p18_several_actions_are_taken_up_where_they_stood(stage: Stage) -> None:
    stage.provider.answers("a", "one", StillRunning())
    stage.system.ask(Do(job_id="a", steps=3))
    stage.idle()
    lose_a_batch(stage)
    stage.idle()
    stage.open_call("a").returns("two")
    stage.idle()
    assert [call.step for call in stage.provider.calls] == [1, 2, 3]
    assert len(stage.of_type("JobDone")) == 1


def test_p18_starts_and_timers_of_the_lost_generation_are_dropped(stage: Stage) -> None:
    stage.idle()
    stage.disk.fails(written=False)
    lost = stage.system.submit(Do(job_id="a"))
    stage.advance(3600)
    assert isinstance(lost.exception(), ts.CommitUnknown)
    assert stage.provider.calls == []
    assert stage.types() == []
    assert stage.system.health().timers == 0


def test_p18_a_pending_snapshot_of_the_lost_generation_is_dropped(stage: Stage) -> None:
    stage.idle()
    stage.disk.fails(written=False)
    stage.system.submit(Do(job_id="a"))
    stage.step_until(lambda: stage.engine.journal.tail > stage.engine.journal.watermark)
    stage.engine.owners["workshop"].post.tell(TakeSnapshot())
    stage.idle()
    assert stage.system.health().restarts == 1
    assert list(stage.log.snapshots("workshop")) == []


def test_p18_a_request_that_was_withdrawn_on_its_way_is_not_carried_out_by_the_next_generation(stage: Stage) -> None:
    """It was let in, then the engine failed and was rebuilt, and only then does its message reach an actor: the new one's."""
    admission: Any = stage.system._admission
    enter = admission.enter

    def enter_and_be_overtaken(*given: Any) -> None:
        enter(*given)
        admission.enter = enter
        lose_a_batch(stage)

    admission.enter = enter_and_be_overtaken
    overtaken = stage.system.submit(Do(job_id="a"))
    stage.idle()
    assert isinstance(overtaken.exception(), ts.NotAccepted)
    assert "JobBegun" not in stage.types(), "the caller was told that it is safe to send it again"


def test_p18_subscribers_see_only_what_is_durable_and_go_on_after_a_rebuild(stage: Stage) -> None:
    """S14."""
    seen = [each.position for each in stage.system.subscribe()]
    stage.idle()
    stage.system.submit(Do(job_id="a"))
    stage.step_until(lambda: stage.engine.journal.tail > stage.engine.journal.watermark)
    assert [each.position for each in stage.system.subscribe(after=seen[-1])] == []
    stage.disk.fails(written=False)
    stage.idle()
    stage.system.ask(Drop(job_id="a"), idempotency_key="k")
    assert [each.event_type for each in stage.system.subscribe(after=seen[-1])] == ["CommandSettled"]


@pytest.mark.parametrize("written", [False, True])
def test_p18_wherever_a_write_fails_nothing_is_lost_or_done_twice(*, written: bool) -> None:
    failed = 0
    for batch in range(12):
        stage = Stage()
        stage.provider.answers("a", ValueError("once"))
        stage.disk.failures = [(True, None)] * batch
        stage.disk.fails(written=written)
        for key, command in (("1", Order(order_id="a")), ("2", Do(job_id="b", steps=2))):
            try:
                stage.system.ask(command, idempotency_key=key)
            except (ts.CommitUnknown, ts.NotCommitted, ts.NotAccepted):
                stage.system.ask(command, idempotency_key=key)
        stage.advance(600)
        failed += stage.system.health().restarts
        assert sorted(stage.entered()) == [("a", "done"), ("a", "ordered"), ("b", "done")], batch
        assert sorted(event.job_id for event in stage.events("JobDone")) == ["a", "b"], batch
        calls = [(call.job_id, call.step, call.attempt) for call in stage.provider.calls]
        assert sorted(calls) == [("a", 1, 1), ("a", 1, 2), ("b", 1, 1), ("b", 2, 1)], batch
        assert stage.system.open_executions() == (), batch
    assert failed > 6, "most of these writes must have happened, and failed"
