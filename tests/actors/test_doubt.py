"""Calls in doubt after a crash, and successes that come too late (P9, P10)."""

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors import lifecycle
from tallystick.actors.performers import probing
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, Provider, StillRunning, wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Drop, Undo, Work, Workshop


def crash_with_a_call_out(stage: Stage, *, steps: int = 1, down_s: float = 0) -> None:
    """The process dies while a call for job "a" is out, and is down for some time."""
    stage.provider.answers("a", *["done"] * (steps - 1), StillRunning())
    stage.system.ask(Do(job_id="a", steps=steps))
    stage.idle()
    assert len(stage.provider.calls) == steps
    stage.clock.advance(timedelta(seconds=down_s))
    stage.crash()


def test_p9_what_the_probe_finds_done_is_not_performed_again(stage: Stage) -> None:
    stage.provider.found["a"] = ts.Done(result="found")
    crash_with_a_call_out(stage)
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["found"]
    assert len(stage.provider.calls) == 1
    assert stage.types(of="workshop") == ["JobBegun", "MakingStarted", "JobDone"]


def test_p9_what_the_probe_finds_not_done_is_performed_again_with_the_same_key(stage: Stage) -> None:
    crash_with_a_call_out(stage)
    stage.idle()
    assert stage.provider.probed == ["a"]
    assert [call.key for call in stage.provider.calls] == [stage.token("a")] * 2
    assert stage.types(of="workshop") == ["JobBegun", "MakingStarted", "AttemptStarted", "JobDone"]


def test_p9_without_a_probe_it_is_performed_again() -> None:
    stage = Stage(probes=False)
    crash_with_a_call_out(stage)
    stage.idle()
    assert len(stage.provider.calls) == 2
    assert len(stage.of_type("JobDone")) == 1


def test_p9_what_nobody_can_tell_is_left_to_a_person(stage: Stage) -> None:
    stage.provider.found["a"] = ts.Unknown()
    crash_with_a_call_out(stage)
    stage.advance(3600)
    (waiting,) = stage.system.open_executions()
    assert waiting.execution.status == "person"
    assert len(stage.provider.calls) == 1
    assert "TimeoutFired" not in stage.types()
    assert stage.system.complete(waiting.execution.token, "a person has seen it")
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["a person has seen it"]


def test_p9_what_a_person_has_failed_while_its_request_was_on_its_way_is_found_later(stage: Stage) -> None:
    stage.provider.found["a"] = ts.Unknown()
    crash_with_a_call_out(stage)
    (waiting,) = stage.system.open_executions()
    assert stage.system.fail(waiting.execution.token, ts.Failed(code="PERSON", message="nobody has done it"), who="ann", why="I asked them")
    stage.idle()
    assert stage.types(of="workshop")[-1] == "JobFailed"
    stage.provider.found["a"] = ts.Done(result="the request arrived at last")
    stage.crash()
    stage.idle()
    assert stage.types(of="workshop")[-3:] == ["LateSuccess", "UndoingStarted", "JobUndone"]
    assert stage.provider.undone == ["a"]


@pytest.mark.parametrize("error", [ValueError("down"), SystemExit("rude"), BaseException("ruder")], ids=lambda error: type(error).__name__)
def test_p9_a_probe_that_raises_is_no_answer(stage: Stage, error: BaseException) -> None:
    stage.provider.found["a"] = error
    crash_with_a_call_out(stage)
    stage.idle()
    assert len(stage.provider.calls) == 2
    assert len(stage.of_type("JobDone")) == 1


def test_p9_a_call_is_probed_before_its_timeout_fires(stage: Stage) -> None:
    stage.provider.found["a"] = ts.Done(result="found")
    crash_with_a_call_out(stage, down_s=3600)
    stage.idle()
    assert [event.result for event in stage.events("JobDone")] == ["found"]
    assert "TimeoutFired" not in stage.types()


def test_p9_a_call_that_is_not_done_and_overdue_times_out_after_the_probe(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    crash_with_a_call_out(stage, down_s=3600)
    stage.idle()
    assert stage.provider.probed == ["a"]
    assert stage.types(of="workshop")[-3:] == ["AttemptStarted", "TimeoutFired", "RetryScheduled"]


def test_p9_of_several_actions_only_those_that_are_not_done_are_performed_again(stage: Stage) -> None:
    stage.provider.found["a/1"] = ts.Done(result="found")
    crash_with_a_call_out(stage, steps=2)
    stage.idle()
    assert [(call.step, call.key) for call in stage.provider.calls] == [(n, f"{stage.token('a')}/{n - 1}") for n in (1, 2, 2)]
    assert len(stage.of_type("JobDone")) == 1


def test_p9_a_hung_probe_is_given_up_and_the_call_is_made_again(monkeypatch: pytest.MonkeyPatch, real_runtime: Runtime) -> None:
    monkeypatch.setattr(lifecycle, "DRAIN_S", 0.01)
    monkeypatch.setattr(probing, "PROBING_LIMIT_S", 0.05)
    done, called, asked = threading.Event(), threading.Event(), threading.Event()

    def hang(_action: Work, _call: ts.Call) -> str:
        called.set()
        assert done.wait(PATIENCE_S)
        return "by the call that hung"

    def hanging_probe(_action: Work, _call: ts.Call) -> ts.NotDone:
        asked.set()
        assert done.wait(PATIENCE_S)
        return ts.NotDone()

    log, provider = ts.MemoryLog(), Provider()
    with ts.System([Workshop()], performers=[Work.performed_by(hang), *provider.performers()[1:]], log=log, runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        assert called.wait(PATIENCE_S)
    log = log.reopened()
    performers = [Work.performed_by(provider.work, probe=hanging_probe), *provider.performers()[1:]]
    with ts.System([Workshop()], performers=performers, log=log, runtime=type(real_runtime)()) as system:
        assert asked.is_set()
        wait_until(lambda: system.open_executions() == ())
        assert [call.attempt for call in provider.calls] == [1]
        done.set()


def test_p9_an_abandoned_token_is_probed_too_and_a_late_success_is_found(stage: Stage) -> None:
    stage.times_out("a")
    assert [event.reason for event in stage.events("JobFailed")] == ["no answer to 3 attempts"]
    stage.crash()
    stage.idle()
    assert stage.provider.probed == ["a"]
    assert "LateSuccess" not in stage.types()
    stage.provider.found["a"] = ts.Done(result="it was done after all")
    stage.crash()
    stage.idle()
    assert stage.types(of="workshop")[-3:] == ["LateSuccess", "UndoingStarted", "JobUndone"]
    assert stage.provider.undone == ["a"]
    stage.crash()
    stage.idle()
    assert len(stage.of_type("LateSuccess")) == 1
    assert stage.provider.probed == ["a", "a"], "what is known is not asked again"


def test_p9_an_abandoned_call_that_raises_at_last_is_asked_about_for_it_may_have_had_its_effect(stage: Stage) -> None:
    stage.times_out("a")
    stage.provider.found["a"] = ts.Done(result="done, and then it raised")
    for call in list(stage.runtime.open_calls):
        call.raises(ConnectionError("the line went dead"))
    stage.idle()
    assert stage.types(of="workshop")[-4:] == ["JobFailed", "LateSuccess", "UndoingStarted", "JobUndone"]
    assert stage.provider.undone == ["a"]
    assert len(stage.of_type("LateSuccess")) == 1


def test_p9_an_execution_that_failed_because_every_attempt_raised_is_asked_about_once(stage: Stage) -> None:
    stage.provider.answers("a", *[ConnectionError("the line went dead")] * 3)
    stage.provider.found["a"] = ts.Done(result="done all the same")
    stage.system.ask(Do(job_id="a"))
    stage.advance(60)
    assert [event.reason for event in stage.events("JobFailed")] == ["ConnectionError"]
    assert (len(stage.provider.calls), stage.provider.probed, stage.provider.undone) == (3, ["a"], ["a"])


@pytest.mark.parametrize("last", [ts.Rejected("NO", "final"), "done"], ids=["final no", "success"])
def test_p9_what_ended_with_a_word_from_outside_is_not_asked_about(stage: Stage, last: Any) -> None:
    stage.provider.answers("a", ConnectionError("the line went dead"), last)
    stage.system.ask(Do(job_id="a"))
    stage.advance(60)
    assert {"JobFailed", "JobDone"} & set(stage.types())
    assert stage.provider.probed == []


def test_p9_a_failed_execution_is_asked_about_after_a_crash_too(stage: Stage) -> None:
    stage.provider.answers("a", *[ConnectionError("the line went dead")] * 3)
    stage.system.ask(Do(job_id="a"))
    stage.advance(60)
    assert stage.provider.probed == ["a"]
    stage.crash()
    assert stage.provider.probed == ["a", "a"]
    stage.clock.advance(timedelta(days=400))
    stage.provider.found["a"] = ts.Done(result="found at last")
    stage.crash()
    stage.idle()
    assert stage.provider.undone == ["a"], "however long it was down, it is asked about once more"


@pytest.mark.parametrize("answer", [ts.NotDone(), ts.Unknown(), ConnectionError("no answer")])
def test_p9_what_is_not_done_yet_is_asked_about_at_every_opening_however_old_it_is(stage: Stage, answer: Any) -> None:
    """The call may have been made a moment before the wall clock jumped by a year, and may still have its effect."""
    stage.times_out("a")
    stage.provider.found["a"] = answer
    for probed in (1, 2):
        stage.clock.advance(timedelta(days=400))
        stage.crash()
        assert len(stage.provider.probed) == probed
    stage.provider.found["a"] = ts.Done(result="done since")
    stage.crash()
    stage.idle()
    assert stage.provider.undone == ["a"]


def test_p9_who_is_asked_holds_nobody_up(real_runtime: Runtime) -> None:
    asked, answer, provider = threading.Event(), threading.Event(), Provider()

    def find(_action: Work, _call: ts.Call) -> ts.Done[str]:
        asked.set()
        assert answer.wait(PATIENCE_S)
        return ts.Done(result="done all the same")

    def work(action: Work, _call: ts.Call) -> str:
        if action.job_id == "a":
            raise ConnectionError
        return "done"

    class Impatient(Workshop):
        """Gives up at once."""

        def __init__(self) -> None:
            super().__init__()
            self.retries = ts.FixedDelay(interval=timedelta(0), max_retries=0)

        def _begin(self, job_id: str, steps: int, place: str) -> ts.Effects:
            for effect in super()._begin(job_id, steps, place):
                yield msgspec.structs.replace(effect, retry=self.retries) if isinstance(effect, ts.Begin) else effect

    performers = [Work.performed_by(work, probe=find), Undo.performed_by(provider.undo)]
    with ts.System([Impatient()], performers=performers, runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        assert asked.wait(PATIENCE_S)
        system.ask(Do(job_id="b"))
        wait_until(lambda: any(True for _ in system.events(event_types=("JobDone",))))
        assert provider.undone == []
        answer.set()
        wait_until(lambda: provider.undone == ["a"])


def test_p10_a_late_success_is_evidence_once_and_its_handler_answers_with_a_new_intent(stage: Stage) -> None:
    stage.times_out("a")
    first, second, third = stage.runtime.open_calls
    first.returns("late")
    stage.idle()
    assert stage.types(of="workshop")[-4:] == ["JobFailed", "LateSuccess", "UndoingStarted", "JobUndone"]
    second.returns("later")
    third.returns("latest")
    stage.idle()
    assert stage.provider.undone == ["a"]
    assert len(stage.of_type("LateSuccess")) == 1
    assert (stage.counted("late_successes"), stage.counted("duplicate_successes")) == (1, 2)
    assert len(stage.of_type("JobFailed")) == 1
    assert stage.of_type("LateSuccess")[0].correlation == stage.of_type("JobBegun")[0].correlation


def test_p10_a_success_after_a_cancellation_is_late_evidence_too(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.system.ask(Drop(job_id="a"))
    stage.open_call("a").returns("done anyway")
    stage.idle()
    assert stage.provider.undone == ["a"]


def test_p10_a_late_success_is_told_from_a_duplicate_in_the_tail_too(stage: Stage) -> None:
    stage.times_out("a")
    for call in stage.runtime.open_calls:
        call.returns("late")  # all of them before anything is written
    stage.idle()
    assert len(stage.of_type("LateSuccess")) == 1


def test_p10_a_late_failure_changes_nothing(stage: Stage) -> None:
    stage.times_out("a")
    before = stage.types()
    stage.open_call("a").raises(ts.Rejected("NO"))
    stage.idle()
    assert stage.types() == before
    assert stage.counted("stale_failures") == 1


def test_p10_a_late_result_of_the_wrong_type_is_counted_and_changes_nothing(stage: Stage) -> None:
    stage.times_out("a")
    before = stage.types()
    stage.open_call("a").returns(42)
    stage.idle()
    assert stage.types() == before
    assert stage.counted("invalid_late_results") == 1


def test_p10_an_unknown_token_is_a_counted_warning(stage: Stage, lines: list[Any]) -> None:
    assert not stage.system.complete(ts.Token("nobody's"), "done")
    assert not stage.system.fail(ts.Token("nobody's"), ts.Failed(code="NO"))
    assert stage.counted("unknown_tokens") == 2
    assert [(line["log_level"], line["token"]) for line in lines] == [("warning", "nobody's")] * 2


def test_p10_completing_a_settled_token_is_no_error_and_says_that_it_was_not_open(stage: Stage) -> None:
    stage.times_out("a")
    assert not stage.system.complete(stage.token("a"), "a person says so, too late")
    stage.idle()
    assert len(stage.of_type("LateSuccess")) == 1
    assert not stage.system.fail(stage.token("a"), ts.Failed(code="NO"))


def test_p10_when_the_late_handler_raises_the_evidence_stands_and_the_handler_is_tried_again(stage: Stage) -> None:
    stage.times_out("a")
    raising = [ValueError("not now")] * 5

    def hook(what: str, _job_id: str) -> None:
        if what == "late" and raising:
            raise raising.pop()

    stage.workshop.hook = hook
    stage.open_call("a").returns("late")
    stage.idle()
    assert stage.types(of="workshop")[-2:] == ["LateSuccess", "ReactionFailed"]
    stage.advance(60)
    (letter,) = stage.system.dead_letters()
    assert (letter.owner, letter.kind, letter.attempts) == ("workshop", "late", 4)
    stage.crash()
    stage.idle()
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.advance(60)
    assert stage.provider.undone == ["a"]
    assert len(stage.of_type("LateSuccess")) == 1
    assert stage.system.dead_letters() == ()
