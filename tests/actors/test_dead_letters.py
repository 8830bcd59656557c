"""Dead letters: what waits for a person, in one list, and what becomes of it (P12, P13)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import tallystick as ts
from tallystick.testing import check_invariants
from tests.actors.kiln import AskFor, Doubt, Fire, KilnStage
from tests.actors.outside import StillRunning
from tests.actors.workshop import Work, no_hook


@pytest.fixture
def kiln() -> Iterator[KilnStage]:
    stage = KilnStage()
    yield stage
    stage.idle()
    check_invariants(stage.system)


def test_actions_out_of_retries_are_a_dead_letter_with_all_that_is_needed_to_decide(kiln: KilnStage) -> None:
    kiln.fails()
    letter, begun = kiln.letter, kiln.of_type("FiringStarted")[0]
    asked = kiln.of_type("PersonNeeded")[0]
    assert (letter.owner, letter.kind, letter.token, letter.position) == ("kiln", "actions", begun.token, begun.position)
    assert (letter.code, letter.error, letter.attempts) == ("OSError", "OSError: smoke", 3)
    assert (letter.event_type, letter.correlation, letter.since) == ("FiringStarted", begun.correlation, asked.occurred_at)
    assert json.loads(bytes(letter.payload)) == [{"type": "Work", "jobId": "a", "step": 1}]
    assert letter.id == f"kiln:{begun.position}"
    assert kiln.types(of="kiln").count("RetryScheduled") == 2
    assert kiln.system.open_executions()[0].execution.dead


def test_an_unanswered_call_out_of_retries_is_one_too(kiln: KilnStage) -> None:
    kiln.provider.answers("a", *(StillRunning() for _ in range(3)))
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(3600)
    assert (kiln.letter.code, kiln.letter.attempts) == ("TIMED_OUT", 3)


def test_the_outside_worlds_final_no_is_an_answer_and_settles(kiln: KilnStage) -> None:
    kiln.provider.answers("a", ts.Rejected("BROKEN"))
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(60)
    assert kiln.reasons == ["BROKEN"]
    assert kiln.system.dead_letters() == ()


def test_a_timeout_that_is_to_abandon_does_so(kiln: KilnStage) -> None:
    kiln.provider.answers("a", StillRunning())
    kiln.system.ask(AskFor(job_id="a"))
    kiln.advance(3600)
    assert kiln.reasons == ["no answer to 1 attempts"]


def test_a_dead_letter_holds_up_no_other_of_its_subject(kiln: KilnStage) -> None:
    kiln.fails("a", place="here")
    kiln.system.ask(Fire(job_id="b", place="here"))
    kiln.idle()
    assert kiln.results == ["b is done"]


def test_a_success_that_comes_after_all_completes_it(kiln: KilnStage) -> None:
    kiln.provider.answers("a", *(StillRunning() for _ in range(3)))
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(3600)
    kiln.open_call("a").returns("at last")
    kiln.idle()
    assert kiln.results == ["at last"]
    assert kiln.system.dead_letters() == ()


def test_a_failure_that_comes_after_all_changes_nothing_and_is_counted(kiln: KilnStage) -> None:
    kiln.provider.answers("a", *(StillRunning() for _ in range(3)))
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(3600)
    before = kiln.written
    kiln.open_call("a").raises(OSError("too late"))
    kiln.idle()
    assert len(kiln.written) == len(before)
    assert kiln.counted("stale_failures") == 1


# Redriving.


def test_a_redrive_starts_a_new_attempt_with_as_many_retries_as_at_first_under_the_same_key(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.provider.answers("a", OSError("4"), OSError("5"))
    kiln.system.redrive(kiln.letter, who="Ann", why="the chimney is swept")
    kiln.advance(60)
    assert kiln.results == ["a is done"]
    calls = kiln.provider.calls_for("a")
    assert [call.attempt for call in calls] == [1, 2, 3, 4, 5, 6]
    assert len({call.key for call in calls}) == 1
    (redriven,) = kiln.events("ExecutionRedriven")
    assert (redriven.who, redriven.why, redriven.actions) == ("Ann", "the chimney is swept", None)


def test_a_redriven_letter_may_die_again_and_counts_its_attempts_anew(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.provider.answers("a", *(OSError("still") for _ in range(3)))
    kiln.system.redrive(kiln.letter)
    assert kiln.system.dead_letters() == ()
    kiln.advance(60)
    assert (kiln.letter.attempts, kiln.letter.error) == (3, "OSError: still")
    assert len(kiln.provider.calls) == 6


def test_a_redriven_attempt_has_the_intents_time_from_now_on(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.advance(3600)
    kiln.provider.answers("a", *(StillRunning() for _ in range(3)))
    kiln.system.redrive(kiln.letter)
    kiln.advance(59)
    assert "TimeoutFired" not in kiln.types()
    kiln.advance(2)
    assert kiln.types().count("TimeoutFired") == 1


def test_edited_actions_are_recorded_and_performed_in_place_of_the_others_also_after_a_crash(kiln: KilnStage) -> None:
    kiln.fails()
    token = kiln.letter.token
    kiln.provider.answers("b", OSError("once more"))
    kiln.system.redrive(kiln.letter, edited=[Work(job_id="b", step=7)], who="Ann", why="a slip of the pen")
    kiln.idle()
    kiln.crash()
    kiln.advance(60)
    assert [(call.job_id, call.step) for call in kiln.provider.calls] == [("a", 1)] * 3 + [("b", 7)] * 2
    before, after = {call.key for call in kiln.provider.calls[:3]}, {call.key for call in kiln.provider.calls[3:]}
    assert (before, after) == ({token}, {f"{token}~4"}), "what is edited is another request, and its retries repeat it"
    (redriven,) = kiln.events("ExecutionRedriven")
    assert (redriven.who, redriven.actions) == ("Ann", (Work(job_id="b", step=7),))
    assert kiln.results == ["b is done"]


def test_of_several_actions_only_what_is_edited_has_a_key_of_its_own(kiln: KilnStage) -> None:
    kiln.fails(steps=3)
    token = kiln.letter.token
    first, second, third = [Work(job_id="a", step=step) for step in (1, 2, 3)]
    kiln.provider.answers("b", *[OSError("the other one")] * 3)
    kiln.system.redrive(kiln.letter, edited=[first, Work(job_id="b", step=2), third], who="Ann", why="a slip of the pen")
    kiln.advance(60)
    kiln.system.redrive(kiln.letter, edited=[first, second, third], who="Ann", why="it was right")
    kiln.idle()
    (*_, edited_again, last) = kiln.provider.calls
    asked_first = kiln.provider.calls[3]
    edited = {call.key for call in kiln.provider.calls if call.job_id == "b"}
    assert (asked_first.key, edited) == (f"{token}/0", {f"{token}/1~4"})
    assert (edited_again.key, last.key) == (f"{token}/1~7", f"{token}/2")


def test_what_was_edited_is_asked_about_under_its_own_key(kiln: KilnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    find = kiln.provider.find

    def finds(action: Work, call: ts.Call) -> Any:
        asked.append(call.key)
        return find(action, call)

    monkeypatch.setattr(kiln.provider, "find", finds)
    kiln.fails()
    token = kiln.letter.token
    kiln.provider.answers("b", StillRunning())
    kiln.system.redrive(kiln.letter, edited=[Work(job_id="b")])
    kiln.idle()
    kiln.crash()
    kiln.idle()
    assert asked == [f"{token}~4"]
    assert kiln.results == ["b is done"]


def test_an_edit_may_be_given_as_the_json_that_the_letter_shows(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.system.redrive(kiln.letter, edited=bytes(kiln.letter.payload).replace(b'"a"', b'"b"'))
    kiln.idle()
    assert kiln.provider.calls[-1].job_id == "b"


@pytest.mark.parametrize(
    ("edited", "error"),
    [
        (b'[{"type":"Work","jobId":3}]', "not actions of this system"),
        (b'[{"type":"Other"}]', "not actions of this system"),
        (b"{broken", "not actions of this system"),
        (b"[]", "NOT_EDITABLE"),
        (b'[{"type":"Undo","jobId":"a"}]', "NOT_EDITABLE"),
        ([Work(job_id=3)], "not actions of this system"),  # type: ignore[arg-type]
    ],
    ids=["wrong type", "unknown", "no JSON", "another number", "of another kind", "a record with wrong types"],
)
def test_an_edit_that_cannot_be_is_refused_and_the_letter_stays(kiln: KilnStage, edited: bytes | list[Work], error: str) -> None:
    kiln.fails()
    letter, before = kiln.letter, len(kiln.written)
    with pytest.raises((ts.Rejected, ts.InvalidPayload), match=error):
        kiln.system.redrive(letter, edited=edited)
    kiln.idle()
    assert kiln.letter == letter
    assert len(kiln.written) == before


def test_an_event_cannot_be_edited_for_it_is_history(kiln: KilnStage) -> None:
    def failing(_what: str, _job_id: str) -> None:
        raise ValueError

    kiln.provider.answers("a", "done")
    kiln.kiln.hook = failing
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(600)
    assert kiln.letter.kind == "settlement"
    with pytest.raises(ts.Rejected, match=r"NOT_EDITABLE.*discard"):
        kiln.system.redrive(kiln.letter, edited=b"[]")
    assert json.loads(bytes(kiln.letter.payload)) == {"type": "Succeeded", "result": "done"}


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_a_dead_letter_outlives_a_restart_and_nothing_is_performed_or_probed_for_it(kiln: KilnStage, way: str) -> None:
    kiln.fails()
    letter = kiln.letter
    (kiln.crash if way == "crash" else kiln.reopen)()
    kiln.advance(3600)
    assert kiln.letter == letter
    assert len(kiln.provider.calls) == 3
    assert kiln.provider.probed == []
    kiln.system.redrive(kiln.letter)
    kiln.idle()
    assert kiln.results == ["a is done"]


def test_a_redrive_that_a_crash_cut_short_is_asked_about_and_performed(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.provider.answers("a", StillRunning())
    kiln.system.redrive(kiln.letter)
    kiln.idle()
    kiln.crash()
    kiln.advance(1)
    assert kiln.provider.probed == ["a"]
    assert kiln.results == ["a is done"]


# Ending it.


def test_a_discarded_letter_ends_with_its_last_failure_and_who_and_why_are_recorded(kiln: KilnStage) -> None:
    kiln.fails()
    kiln.system.discard(kiln.letter, who="Ann", why="nobody wants it")
    kiln.idle()
    assert kiln.reasons == ["OSError"]
    assert kiln.types(of="kiln")[-2:] == ["PersonActed", "JobFailed"]
    (acted,) = kiln.events("PersonActed")
    assert (acted.did, acted.who, acted.why) == ("discarded", "Ann", "nobody wants it")
    assert kiln.system.open_executions() == ()


def test_a_discarded_timeout_ends_timed_out(kiln: KilnStage) -> None:
    kiln.provider.answers("a", *(StillRunning() for _ in range(3)))
    kiln.system.ask(Fire(job_id="a"))
    kiln.advance(3600)
    kiln.system.discard(kiln.letter)
    assert kiln.reasons == ["no answer to 3 attempts"]
    assert "PersonActed" not in kiln.types(), "nobody is named"


@pytest.mark.parametrize("how", ["completed", "failed", "abandoned"])
def test_a_person_can_complete_fail_or_abandon_it_and_who_and_why_are_recorded_before_the_end(kiln: KilnStage, how: str) -> None:
    kiln.fails()
    (waiting,) = kiln.system.open_executions()
    token = waiting.execution.token
    match how:
        case "completed":
            assert kiln.system.complete(token, "by hand", who="Ann", why="saw it done")
        case "failed":
            assert kiln.system.fail(token, ts.Failed(code="BROKEN"), who="Ann", why="saw it done")
        case _:
            kiln.system.abandon(waiting, "too late", who="Ann", why="saw it done")
    kiln.idle()
    assert (kiln.results, kiln.reasons) == (
        (["by hand"], []) if how == "completed" else ([], ["BROKEN" if how == "failed" else "too late"])
    )
    (acted,) = kiln.events("PersonActed")
    assert (acted.did, acted.who, acted.why) == (how, "Ann", "saw it done")
    assert kiln.types(of="kiln")[-2] == "PersonActed"


def test_who_decided_is_recorded_also_when_the_settlement_fails(kiln: KilnStage) -> None:
    def failing(_what: str, _job_id: str) -> None:
        raise ValueError

    kiln.fails()
    kiln.kiln.hook = failing
    kiln.system.discard(kiln.letter, who="Ann", why="nobody wants it")
    assert kiln.types(of="kiln")[-2:] == ["PersonActed", "ReactionFailed"]
    assert kiln.system.dead_letters() == (), "it is tried again by itself"
    kiln.kiln.hook = no_hook
    kiln.advance(60)
    assert kiln.reasons == ["OSError"]
    assert len(kiln.of_type("PersonActed")) == 1


def test_one_who_gives_the_outcome_of_one_of_several_actions_is_recorded(kiln: KilnStage) -> None:
    kiln.provider.answers("a", ts.Later())
    kiln.system.ask(Fire(job_id="a", steps=2))
    kiln.idle()
    token = kiln.system.open_executions()[0].execution.token
    assert kiln.system.complete(token, "the first", who="Ann", why="by telephone")
    kiln.idle()
    assert kiln.results == ["a is done"]
    assert [event.who for event in kiln.events("PersonActed")] == ["Ann"]


def test_what_needs_a_person_is_in_the_list_too_and_its_discarding_cancels_it(kiln: KilnStage) -> None:
    kiln.provider.answers("a", StillRunning())
    kiln.system.ask(Fire(job_id="a"))
    kiln.system.ask(Doubt(job_id="a"))
    assert (kiln.letter.kind, kiln.letter.code, kiln.letter.error) == ("person", "NEEDS_PERSON", "it looks odd")
    kiln.system.discard(kiln.letter, who="Ann", why="odd indeed")
    assert kiln.reasons == ["odd indeed"]


def test_what_is_no_dead_letter_any_more_can_be_neither_redriven_nor_discarded(kiln: KilnStage) -> None:
    kiln.fails()
    letter = kiln.letter
    kiln.provider.answers("a", StillRunning())
    kiln.system.redrive(letter)
    for again in (kiln.system.redrive, kiln.system.discard):
        with pytest.raises(ts.Rejected, match="NO_DEAD_LETTER"):
            again(letter)
    kiln.system.abandon(kiln.system.open_executions()[0], "enough")
    for again in (kiln.system.redrive, kiln.system.discard):
        with pytest.raises(ts.Rejected, match="NOT_OPEN"):
            again(letter)


@pytest.mark.parametrize("outcome", [ts.Succeeded(result="by hand"), ts.Failed(code="BROKEN"), ts.Cancelled(reason="too late")])
def test_a_letter_is_settled_whole_whatever_is_left_of_its_actions(
    kiln: KilnStage, outcome: ts.Succeeded[str] | ts.Failed | ts.Cancelled
) -> None:
    kiln.fails(steps=3)
    kiln.system.settle(kiln.letter, outcome, who="Ann", why="saw it")
    kiln.idle()
    assert [*kiln.results, *kiln.reasons][0] in {"by hand", "BROKEN", "too late"}
    assert kiln.events("PersonActed")[0].did in {"completed", "failed", "abandoned"}
    assert len(kiln.provider.calls) == 3
    assert kiln.system.open_executions() == ()


def test_a_result_that_is_not_what_the_intent_promises_settles_nothing(kiln: KilnStage) -> None:
    kiln.fails()
    with pytest.raises(ts.InvalidPayload):
        kiln.system.settle(kiln.letter, ts.Succeeded(result=3))
    assert kiln.letter.kind == "actions"


def test_only_what_waits_is_settled_so(kiln: KilnStage) -> None:
    kiln.fails()
    letter = kiln.letter
    kiln.provider.answers("a", StillRunning())
    kiln.system.redrive(letter)
    with pytest.raises(ts.Rejected, match="NOT_OPEN"):
        kiln.system.settle(letter, ts.Cancelled(reason="x"))


# Any open execution.


@pytest.mark.parametrize("status", ["running", "retrying"])
def test_a_person_can_have_an_execution_tried_again_however_it_stands(kiln: KilnStage, status: str) -> None:
    kiln.provider.answers("a", StillRunning() if status == "running" else OSError("no"))
    kiln.system.ask(Fire(job_id="a"))
    kiln.idle()
    (execution,) = kiln.system.open_executions()
    assert execution.execution.status == status
    kiln.system.retry(execution, who="Ann", why="impatient")
    kiln.advance(30)
    assert kiln.results == ["a is done"]
    assert len(kiln.provider.calls) == 2
    assert kiln.events("ExecutionRedriven")[0].why == "impatient"
    with pytest.raises(ts.Rejected, match="NOT_OPEN"):
        kiln.system.retry(execution)


def test_an_execution_whose_calls_are_at_their_limit_may_be_called_again_by_hand(kiln: KilnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.actors.owner.settling.CALLS_LIMIT", 2)
    kiln.fails()
    assert kiln.letter.kind == "person"
    kiln.system.redrive(kiln.letter)
    kiln.advance(30)
    assert len(kiln.provider.calls) == 4
    assert kiln.results == ["a is done"]
