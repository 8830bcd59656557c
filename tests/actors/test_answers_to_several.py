"""Of several actions one waits for an answer from outside: what is said of it is durable when that is acknowledged, and said once."""

import pytest

import tallystick as ts
from tallystick.actors.messages import Context, RetryDue, SettleFromOutside
from tallystick.actors.replies import HostReply
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Drop


def begun(stage: Stage, *answers: str | ts.Later | BaseException, steps: int = 2) -> ts.Token:
    """Job "a" in so many steps, whose first calls are answered like that."""
    stage.provider.answers("a", *answers)
    stage.system.ask(Do(job_id="a", steps=steps))
    stage.idle()
    return stage.token("a")


def says(stage: Stage, token: ts.Token, result: object) -> HostReply:
    """What `complete` sends, before anybody has looked at it."""
    return stage.system._send("workshop", lambda reply: SettleFromOutside(token, result, None, reply))


def steps_called(stage: Stage) -> list[int]:
    return [call.step for call in stage.provider.calls_for("a")]


def results(stage: Stage) -> list[str]:
    return [event.result for event in stage.events("JobDone")]


def test_what_was_acknowledged_is_known_to_the_process_after_a_crash(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    assert stage.system.complete(token, "the first", who="Ann")
    assert stage.types(of="workshop")[-2:] == ["PersonActed", "ActionsAdvanced"]
    stage.crash()
    stage.idle()
    assert (steps_called(stage), results(stage)) == ([1, 2], ["a is done"]), "the first is not done again"


def test_nothing_goes_on_from_an_answer_that_is_lost_and_it_can_be_given_again(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.complete(token, "the first")
    stage.idle()
    assert stage.system.health().restarts == 1
    assert steps_called(stage) == [1], "neither is the first called again, nor the second before the answer is durable"
    assert stage.system.complete(token, "the first")
    stage.idle()
    assert (steps_called(stage), results(stage)) == ([1, 2], ["a is done"])


def test_an_answer_whose_fate_is_unknown_is_not_forgotten_where_it_was_written(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    stage.disk.fails(written=True)
    with pytest.raises(ts.CommitUnknown):
        stage.system.complete(token, "the first")
    stage.idle()
    assert (steps_called(stage), results(stage)) == ([1, 2], ["a is done"])


def test_the_last_result_of_the_wrong_type_is_refused_and_the_right_one_still_awaited(stage: Stage) -> None:
    token = begun(stage, "the first", ts.Later())
    before = stage.types()
    for wrong in (4711, None):
        with pytest.raises(ts.InvalidPayload, match="not a str"):
            stage.system.complete(token, wrong, who="Ann")
    stage.idle()
    assert stage.types() == before
    assert stage.system.complete(token, "the second")
    stage.idle()
    assert (steps_called(stage), results(stage)) == ([1, 2], ["the second"])


def test_two_who_say_the_same_at_once_answer_one_action_between_them(stage: Stage) -> None:
    token = begun(stage, ts.Later(), steps=3)
    first, second = says(stage, token, "done"), says(stage, token, "done")
    stage.idle()
    assert (first.value, second.value) == (True, False)
    assert stage.counted("duplicate_successes") == 1
    assert [event.index for event in stage.events("ActionsAdvanced")] == [1, 2], "the third is its last"
    assert (steps_called(stage), results(stage)) == ([1, 2, 3], ["a is done"])


def test_an_answer_is_to_the_action_that_is_out_though_its_owner_has_not_yet_heard_that_it_is(stage: Stage) -> None:
    stage.provider.answers("a", "the first", ts.Later())
    stage.system.submit(Do(job_id="a", steps=2))
    stage.step_until(lambda: steps_called(stage) == [1, 2])
    said = says(stage, stage.token("a"), "the second")
    assert stage.engine.owners["workshop"].state.open[stage.token("a")].index == 0
    stage.idle()
    assert (said.value, results(stage)) == (True, ["the second"])


def test_between_two_attempts_an_answer_is_to_the_action_that_comes_next_and_the_others_follow(stage: Stage) -> None:
    token = begun(stage, OSError("busy"))
    assert stage.system.open_executions()[0].execution.status == "retrying"
    assert stage.system.complete(token, "the first, after all")
    assert results(stage) == []
    stage.advance(10)
    assert (steps_called(stage), results(stage)) == ([1, 2], ["a is done"])


def test_an_attempt_that_begins_while_an_answer_is_on_its_way_skips_what_is_answered(stage: Stage) -> None:
    token = begun(stage, OSError("busy"), StillRunning())
    said = says(stage, token, "the first, after all")
    stage.engine.owners["workshop"].post.tell(RetryDue(Context("workshop", token), 2))
    stage.idle()
    assert (said.value, steps_called(stage)) == (True, [1, 1, 2])
    stage.open_call("a").returns("the first again")
    stage.idle()
    assert results(stage) == ["a is done"]
    assert [event.index for event in stage.events("ActionsAdvanced")] == [1], "nobody says it twice"


@pytest.mark.parametrize("late", ["the first", OSError("broken"), ts.Rejected("NO")])
def test_what_the_call_itself_says_after_the_answer_changes_nothing(stage: Stage, late: str | BaseException) -> None:
    token = begun(stage, StillRunning(), ts.Later())
    call = stage.open_call("a")
    said = says(stage, token, "the first")
    stage.step_until(lambda: stage.engine.queue.held.entries[token].answered)
    assert call.call.cancelled()
    if isinstance(late, BaseException):
        call.raises(late)
    else:
        call.returns(late)
    stage.idle()
    assert (said.value, steps_called(stage)) == (True, [1, 2])
    assert stage.system.complete(token, "the second")
    assert results(stage) == ["the second"]
    assert len(stage.of_type("ActionsAdvanced")) == 1


def test_an_answer_that_an_end_overtakes_is_not_acknowledged(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    said = says(stage, token, "the first")
    stage.step_until(lambda: stage.engine.queue.held.entries[token].answered)
    dropped = stage.system.submit(Drop(job_id="a"))
    stage.idle()
    assert (said.value, dropped.result()) == (False, 1)
    assert "ActionsAdvanced" not in stage.types()
    assert steps_called(stage) == [1]
    assert not stage.engine.queue.held.entries


def test_a_no_from_outside_ends_it_all_and_is_durable_too(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    assert stage.system.fail(token, ts.Failed(code="NO"), who="Ann")
    stage.crash()
    stage.idle()
    assert [event.reason for event in stage.events("JobFailed")] == ["NO"]
    assert steps_called(stage) == [1]
    assert not stage.system.fail(token, ts.Failed(code="NO"))


def test_an_answer_that_comes_while_nothing_is_performed_is_kept(stage: Stage) -> None:
    token = begun(stage, ts.Later())
    stage.engine.drain()
    assert stage.system.complete(token, "the first")
    stage.idle()
    assert steps_called(stage) == [1]
    stage.reopen()
    stage.idle()
    assert (steps_called(stage), results(stage)) == ([1, 2], ["a is done"])


def test_an_answer_by_the_key_of_its_action_is_not_taken_for_the_next_ones_when_it_comes_twice(stage: Stage) -> None:
    begun(stage, ts.Later(), ts.Later(), ts.Later(), steps=3)
    first = ts.Token(stage.provider.calls[0].key)
    assert [stage.system.complete(first, "the first"), stage.system.complete(first, "the first")] == [True, False]
    stage.idle()
    assert steps_called(stage) == [1, 2]
    assert not stage.system.fail(first, ts.Failed(code="NO")), "it is done"
    for call in (1, 2):
        key = ts.Token(stage.provider.calls[call].key)
        assert stage.system.complete(key, "done")
        assert not stage.system.complete(key, "done")
        stage.idle()
    assert results(stage) == ["done"]


def test_a_key_says_which_action_also_where_there_is_one_or_it_comes_too_early(stage: Stage) -> None:
    token = begun(stage, ts.Later(), ts.Later())
    assert not stage.system.complete(ts.Token(f"{token}/1"), "the second"), "nobody has asked for it"
    assert not stage.system.complete(ts.Token(f"{token}/7"), "there is none")
    assert not stage.system.complete(ts.Token(f"{token}/0~3"), "it was not edited")
    assert not stage.system.fail(ts.Token(f"{token}/7"), ts.Failed(code="NO"))
    assert steps_called(stage) == [1]
    assert not stage.engine.queue.held.entries[token].answered
    assert stage.system.fail(ts.Token(f"{token}/0"), ts.Failed(code="NO"))
    assert [event.reason for event in stage.events("JobFailed")] == ["NO"]
