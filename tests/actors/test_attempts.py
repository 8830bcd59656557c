"""Attempts at an execution: which report counts, what is recorded, what is started and what is dropped (P4 to P8, P11)."""

from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.actors.messages import Context, QueueCompleted
from tallystick.actors.owner import settling as settling_module
from tallystick.actors.queue import queue as queue_module
from tests.actors.outside import StillRunning
from tests.actors.stage import NOON, Stage
from tests.actors.workshop import Do, Drop, Making, Workshop


def with_a_second_attempt_out(stage: Stage) -> None:
    """The first attempt has timed out, its call is still open, and so is the second one's."""
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.advance(60 + 10)
    assert [call.attempt for call in stage.provider.calls] == [1, 2]


def test_p4_a_success_of_an_old_attempt_completes_and_the_current_ones_is_a_counted_no_op(stage: Stage) -> None:
    with_a_second_attempt_out(stage)
    old, current = stage.runtime.open_calls
    old.returns("by the first attempt")
    stage.idle()
    current.returns("by the second attempt")
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["by the first attempt"]
    assert stage.types()[-2:] == ["JobDone", "Entered"]
    assert stage.counted("duplicate_successes") == 1


def test_p4_a_failure_of_an_old_attempt_is_a_counted_no_op(stage: Stage) -> None:
    with_a_second_attempt_out(stage)
    old, current = stage.runtime.open_calls
    before = stage.types()
    old.raises(ts.Rejected("NO", "said too late"))
    stage.idle()
    assert stage.types() == before
    assert stage.counted("stale_failures") == 1
    current.returns("done")
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["done"]


def test_p4_a_failure_while_the_retry_is_waited_for_is_a_counted_no_op(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.advance(65)
    stage.open_call("a").raises(ts.Rejected("NO", "said too late"))
    stage.idle()
    assert stage.types()[-1] == "RetryScheduled"
    assert stage.counted("stale_failures") == 1


def test_p4_the_same_report_twice_completes_once(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    for _ in range(3):
        stage.open_call("a").returns("done")
    stage.idle()
    assert len(stage.of_type("JobDone")) == 1
    assert stage.counted("duplicate_successes") == 2


def test_p4_a_report_to_another_owner_settles_nothing(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.engine.router.post.tell(QueueCompleted(Context("ledger", stage.token("a")), 1, "done"))
    stage.idle()
    assert "JobDone" not in stage.types()
    assert stage.counted("unknown_tokens") == 1


def test_p5_the_key_is_the_token_for_every_attempt(stage: Stage) -> None:
    stage.provider.answers("a", ValueError("no"), ValueError("no"))
    stage.system.ask(Do(job_id="a"))
    stage.advance(60)
    assert [(call.attempt, call.key) for call in stage.provider.calls] == [(n, stage.token("a")) for n in (1, 2, 3)]


def test_p5_with_several_actions_the_key_is_token_and_index_and_they_run_in_order(stage: Stage) -> None:
    stage.provider.answers("a", "first", ValueError("no"))
    stage.system.ask(Do(job_id="a", steps=3))
    stage.advance(60)
    token = stage.token("a")
    assert [(call.attempt, call.step, call.key) for call in stage.provider.calls] == [
        (1, 1, f"{token}/0"),
        (1, 2, f"{token}/1"),
        (2, 2, f"{token}/1"),
        (2, 3, f"{token}/2"),
    ]
    assert [event.result for event in stage.events("JobDone")] == ["a is done"]


def test_p6_a_first_attempt_costs_no_extra_event(stage: Stage) -> None:
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert stage.types(of="workshop") == ["JobBegun", "MakingStarted", "JobDone"]


def test_p6_a_retry_is_scheduled_then_started_with_its_call_number_and_deadline(stage: Stage) -> None:
    stage.provider.answers("a", ValueError("no"))
    stage.system.ask(Do(job_id="a"))
    stage.advance(60)
    assert stage.types(of="workshop") == ["JobBegun", "MakingStarted", "RetryScheduled", "AttemptStarted", "JobDone"]
    (scheduled,), (started,) = stage.events("RetryScheduled"), stage.events("AttemptStarted")
    assert (scheduled.attempt, scheduled.retry_at, scheduled.code) == (2, NOON + timedelta(seconds=10), "ValueError")
    assert (started.attempt, started.call, started.deadline) == (2, 2, NOON + timedelta(seconds=70))


def test_p6_no_start_leaves_before_its_event_is_durable(stage: Stage) -> None:
    durable_at_call: list[int] = []

    def watch() -> None:
        types = stage.types(of="workshop")
        durable_at_call.append(types.count("MakingStarted") + types.count("AttemptStarted"))

    stage.provider.watch = watch
    stage.provider.answers("a", ValueError("no"), ValueError("no"))
    stage.system.submit(Do(job_id="a"))
    stage.advance(60)
    assert durable_at_call == [1, 2, 3]


def test_p6_recovery_records_another_call_of_the_same_attempt_before_it_performs_again(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.advance(5)
    stage.crash()
    stage.idle()
    (started,) = stage.events("AttemptStarted")
    assert (started.attempt, started.call, started.deadline) == (1, 2, NOON + timedelta(minutes=1))
    assert [(call.attempt, call.key) for call in stage.provider.calls] == [(1, stage.token("a"))] * 2
    assert len(stage.of_type("JobDone")) == 1


def test_p6_calls_have_a_limit_and_then_a_person_is_needed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling_module, "CALLS_LIMIT", 3)
    stage.provider.answers("a", *[StillRunning() for _ in range(10)])
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    for _ in range(4):
        stage.crash()
        stage.idle()
    assert len(stage.provider.calls) == 3
    (waiting,) = stage.system.open_executions()
    assert (waiting.execution.status, waiting.execution.call) == ("person", 3)
    assert stage.system.health().owners["workshop"].waiting_for_person == 1
    stage.advance(3600)
    assert "TimeoutFired" not in stage.types(), "it waits for a person, not for time"
    stage.system.abandon(waiting, "looked into it")
    assert [event.reason for event in stage.events("JobFailed")] == ["looked into it"]


def test_p6_a_failing_action_is_tried_as_often_as_the_policy_says_and_no_more(stage: Stage) -> None:
    stage.provider.answers("a", *[ValueError("no") for _ in range(10)])
    stage.system.ask(Do(job_id="a"))
    stage.advance(600)
    assert len(stage.provider.calls) == 3
    assert [event.reason for event in stage.events("JobFailed")] == ["ValueError"]


def test_p6_the_outside_worlds_final_no_is_not_retried(stage: Stage) -> None:
    stage.provider.answers("a", ts.Rejected("NO_FUNDS"))
    stage.system.ask(Do(job_id="a"))
    stage.advance(600)
    assert len(stage.provider.calls) == 1
    assert [event.reason for event in stage.events("JobFailed")] == ["NO_FUNDS"]


def test_p7_a_start_whose_execution_ended_before_it_was_durable_is_dropped(stage: Stage) -> None:
    stage.idle()
    begun, dropped = stage.system.submit(Do(job_id="a")), stage.system.submit(Drop(job_id="a"))
    stage.idle()
    assert (begun.result(), dropped.result()) == ("a", 1)
    assert stage.disk.batches[-2] == ("JobBegun", "MakingStarted", "JobFailed"), "begun and ended in one commit"
    assert stage.provider.calls == []


def test_p7_a_running_call_is_told_that_nobody_waits_for_it_any_more(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    call = stage.open_call("a").call
    assert not call.cancelled()
    stage.system.ask(Drop(job_id="a"))
    stage.idle()
    assert call.cancelled()


def test_p8_a_timeout_that_fired_but_was_not_decided_is_decided_after_the_crash(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.clock.advance(timedelta(seconds=60))
    stage.step_until(lambda: "TimeoutFired" in stage.types())
    assert "RetryScheduled" not in stage.types()
    stage.provider.found["a"] = ts.Done(result="too late to ask: the timeout stands before it in the log")
    stage.crash()
    stage.idle()
    assert stage.types(of="workshop")[-2:] == ["TimeoutFired", "RetryScheduled"]
    assert len(stage.of_type("TimeoutFired")) == 1


def test_p8_several_timeouts_for_one_attempt_have_one_effect(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    for _ in range(3):
        stage.fires("a", attempt=1)
    stage.idle()
    assert len(stage.of_type("TimeoutFired")) == 3
    assert len(stage.of_type("RetryScheduled")) == 1
    assert stage.counted("stale_timeouts") == 2
    stage.advance(10)
    stage.fires("a", attempt=1)
    stage.idle()
    assert stage.counted("stale_timeouts") == 3
    assert len(stage.of_type("RetryScheduled")) == 1


def test_p8_a_timeout_that_crosses_a_success_changes_nothing(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.open_call("a").returns("done")
    stage.fires("a", attempt=1)
    stage.idle()
    stage.crash()
    stage.advance(3600)
    assert len(stage.of_type("JobDone")) == 1
    assert stage.system.open_executions() == ()


def test_p11_jobs_of_one_place_run_one_after_another_in_log_order_and_others_beside_them(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    for job_id, place in (("a", "here"), ("b", "here"), ("c", "here"), ("d", "there"), ("e", "")):
        stage.system.ask(Do(job_id=job_id, place=place))
    stage.idle()
    assert [call.job_id for call in stage.provider.calls] == ["a", "d", "e"]
    stage.open_call("a").returns("done")
    stage.idle()
    assert [call.job_id for call in stage.provider.calls] == ["a", "d", "e", "b", "c"]


def test_p11_a_full_queue_refuses_and_the_owner_hears_of_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "OWN_LINE", ts.Line("own", waiting=2))
    stage.provider.answers("a", StillRunning())
    for job_id in "abcd":
        stage.system.ask(Do(job_id=job_id, place="here"))
    stage.idle()
    assert [(event.job_id, event.reason) for event in stage.events("JobFailed")] == [("d", "busy")]
    stage.open_call("a").returns("done")
    stage.idle()
    assert [event.job_id for event in stage.events("JobDone")] == ["a", "b", "c"]
    assert stage.system.open_executions() == ()


def test_s1_an_execution_that_is_settled_twice_in_one_turn_fails_that_turn_and_changes_nothing() -> None:
    class Twice(Workshop):
        @ts.handles(Drop)
        def drop(self, turn: ts.Turn, command: Drop) -> ts.Decision[int]:
            (execution,) = turn.open(Making, "")
            for reason in ("once", "twice"):
                yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason=reason))
            return len(command.job_id)

    stage = Stage([Twice()])
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    with pytest.raises(ts.EffectError, match="settled twice"):
        stage.system.ask(Drop(job_id="a"))
    assert len(stage.system.open_executions()) == 1
    stage.open_call("a").returns("done")
    stage.idle()
    assert (stage.types().count("JobDone"), stage.system.health().restarts) == (1, 0)
