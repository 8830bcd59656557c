"""Settlement handlers that fail: the outcome is kept, and nobody outside is asked again (P13)."""

import pytest

import tallystick as ts
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Drop, Making, no_hook


def failing_to_settle(stage: Stage, times: int) -> list[str]:
    """The workshop fails to settle so often; what it tried to settle."""
    tried: list[str] = []

    def hook(what: str, job_id: str) -> None:
        if what == "settle":
            tried.append(job_id)
            if len(tried) <= times:
                raise ValueError(job_id)

    stage.workshop.hook = hook
    return tried


def test_p13_the_outcome_is_kept_with_the_failure_and_settled_when_the_handler_works_again(stage: Stage) -> None:
    failing_to_settle(stage, 2)
    stage.provider.answers("a", "the one result", "another result")
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    (failed,) = stage.events("ReactionFailed")
    assert (failed.role, failed.token, failed.attempt) == ("settlement", stage.token("a"), 1)
    assert b"the one result" in bytes(failed.outcome)
    stage.advance(60)
    assert [event.result for event in stage.events("JobDone")] == ["the one result"]
    assert len(stage.provider.calls) == 1
    assert stage.system.open_executions() == ()


def test_p13_the_timer_is_suspended_while_the_outcome_waits(stage: Stage) -> None:
    failing_to_settle(stage, 99)
    stage.system.ask(Do(job_id="a"))
    stage.advance(3600)
    assert "TimeoutFired" not in stage.types()
    assert len(stage.provider.calls) == 1
    (letter,) = stage.system.dead_letters()
    assert (letter.kind, letter.attempts, letter.source.aggregate_id) == ("settlement", 4, stage.token("a"))


def test_p13_no_other_report_settles_what_has_its_outcome(stage: Stage) -> None:
    failing_to_settle(stage, 99)
    stage.provider.answers("a", StillRunning(), "by the second attempt")
    stage.system.ask(Do(job_id="a"))
    stage.advance(3600)
    stage.open_call("a").returns("by the first attempt")
    stage.idle()
    token = stage.token("a")
    assert stage.system.complete(token, "by a person") is False
    assert stage.system.fail(token, ts.Failed(code="NO")) is False
    with pytest.raises(ts.Rejected, match="NOT_OPEN"):
        stage.system.abandon(stage.system.open_executions()[0], "impatient")
    stage.workshop.hook = no_hook
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["by the second attempt"]


@pytest.mark.parametrize("way", ["crash", "stop"])
@pytest.mark.parametrize("dead", [False, True])
def test_p13_after_a_restart_the_stored_outcome_is_settled_and_nothing_is_probed_or_performed(
    stage: Stage, way: str, *, dead: bool
) -> None:
    tried = failing_to_settle(stage, 4)
    stage.provider.answers("a", "the one result", "another result")
    stage.system.ask(Do(job_id="a"))
    stage.advance(3600 if dead else 1)
    (stage.crash if way == "crash" else stage.reopen)()
    stage.advance(3600)
    assert stage.provider.probed == []
    assert len(stage.provider.calls) == 1
    assert "AttemptStarted" not in stage.types()
    assert len(tried) == 4, "a restart is no attempt"
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["the one result"]


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_p13_a_timeout_whose_settlement_failed_is_not_decided_again_by_a_restart(stage: Stage, way: str) -> None:
    tried = failing_to_settle(stage, 4)
    stage.times_out("a")
    stage.advance(3600)
    assert len(tried) == 4
    (stage.crash if way == "crash" else stage.reopen)()
    stage.advance(3600)
    assert len(tried) == 4
    assert stage.types(of="workshop").count("TimeoutFired") == 3
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.idle()
    assert [event.reason for event in stage.events("JobFailed")] == ["no answer to 3 attempts"]


def test_p13_a_discarded_settlement_ends_with_the_librarys_own_event_and_the_stored_outcome(stage: Stage) -> None:
    failing_to_settle(stage, 99)
    stage.provider.answers("a", "the one result")
    stage.system.ask(Do(job_id="a"))
    stage.advance(3600)
    stage.system.discard(stage.system.dead_letters()[0], who="Ann", why="settled by hand")
    stage.idle()
    (ended,) = stage.events("MakingSucceeded")
    assert ended.outcome == ts.Succeeded(result="the one result")
    assert stage.of_type("MakingSucceeded")[0].settles == "succeeded"
    assert stage.system.open_executions() == ()
    assert stage.system.dead_letters() == ()


def test_p13_one_failing_settlement_holds_up_no_other(stage: Stage) -> None:
    def hook(what: str, job_id: str) -> None:
        if (what, job_id) == ("settle", "a"):
            raise ValueError(job_id)

    stage.workshop.hook = hook
    for job_id in ("a", "b"):
        stage.system.ask(Do(job_id=job_id))
    stage.idle()
    assert [event.job_id for event in stage.events("JobDone")] == ["b"]


def test_p13_a_person_who_ends_an_execution_whose_settlement_fails_is_answered_and_the_outcome_kept(stage: Stage) -> None:
    failing_to_settle(stage, 1)
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.system.abandon(stage.system.open_executions()[0], "no longer wanted")
    stage.advance(60)
    assert [event.reason for event in stage.events("JobFailed")] == ["no longer wanted"]


def test_p13_a_stored_success_that_a_cancellation_overtakes_came_late_and_is_undone(stage: Stage) -> None:
    """Otherwise what the outside world has done is known to nobody: the outcome went with the parked failure."""
    failing_to_settle(stage, 1)
    stage.provider.answers("a", "done outside")
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert stage.system.ask(Drop(job_id="a")) == 1
    stage.idle()
    assert stage.types(of="workshop")[-4:] == ["JobFailed", "LateSuccess", "UndoingStarted", "JobUndone"]
    assert stage.provider.undone == ["a"]
    stage.crash()
    stage.advance(60)
    assert len(stage.of_type("LateSuccess")) == 1
    assert stage.provider.probed == []


def test_p13_a_stored_failure_that_a_cancellation_overtakes_is_no_late_success(stage: Stage) -> None:
    failing_to_settle(stage, 1)
    stage.provider.answers("a", ts.Rejected("NO"))
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert stage.system.ask(Drop(job_id="a")) == 1
    stage.advance(60)
    assert stage.types(of="workshop")[-1] == "JobFailed"


def test_p13_a_second_completion_event_in_one_settlement_is_an_error_of_that_turn(stage: Stage) -> None:
    settle = stage.workshop.settle
    stage.system._behaviours["workshop"].settlements[Making] = lambda *given: [*settle(*given), *settle(*given)]
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert stage.types(of="workshop") == ["JobBegun", "MakingStarted", "ReactionFailed"]
    assert "second completion event" in stage.events("ReactionFailed")[0].error
