"""What an interruption means: for the call that is out, for the actions done before, for the owner, and after a crash."""

import pytest

import tallystick as ts
from tallystick.actors.messages import SettleFromOutside
from tests.actors.village import BeBorn, CallOff, Village


@pytest.fixture
def village() -> Village:
    return Village()


def test_a_critical_need_interrupts_work_and_the_work_is_called_again_with_the_same_key(village: Village) -> None:
    village.work("mow")
    call = village.open_call("mow").call
    village.need("eat")
    assert call.cancelled()
    assert (village.outside.called, village.system.health().queues_parked) == (["mow 0", "eat 0"], 1)
    village.returns("eat")
    again = village.open_call("mow").call
    assert (again.key, again.attempt, again.cancelled()) == (call.key, 1, False)
    village.returns("mow")
    assert village.told == ["eat: done", "mow: done"]
    assert village.nothing_left


def test_p11_a_success_of_the_cancelled_call_completes_the_token_while_it_is_parked(village: Village) -> None:
    village.work("mow")
    before = village.open_call("mow")
    village.need("eat")
    before.returns("mown after all")
    village.idle()
    assert village.told == ["mow: mown after all"]
    village.returns("eat")
    assert village.outside.called == ["mow 0", "eat 0"], "it is not called again"
    assert village.nothing_left


def test_p11_a_success_of_the_cancelled_call_completes_the_token_when_it_has_been_called_again(village: Village) -> None:
    village.work("mow")
    before = village.open_call("mow")
    village.need("eat")
    village.returns("eat")
    second = village.open_call("mow")
    before.returns("mown after all")
    village.idle()
    assert (village.told, second.call.cancelled()) == (["eat: done", "mow: mown after all"], True)
    second.returns("mown twice")
    village.idle()
    assert (len(village.told), village.nothing_left) == (2, True)


def test_p11_a_success_of_the_cancelled_call_ends_that_action_and_the_next_waits_for_its_turn(village: Village) -> None:
    village.work("mow", tasks=2)
    before = village.open_call("mow")
    village.need("eat")
    before.returns("first half")
    village.idle()
    assert village.outside.called == ["mow 0", "eat 0"]
    village.returns("eat")
    assert village.outside.called == ["mow 0", "eat 0", "mow 1"]
    village.returns("mow")
    assert village.nothing_left


def test_a_failure_of_the_cancelled_call_is_no_failure_of_the_work(village: Village) -> None:
    village.work("mow")
    before = village.open_call("mow")
    village.need("eat")
    before.raises(ConnectionError("cut off"))
    village.idle()
    village.returns("eat")
    before.raises(ConnectionError("cut off twice"))
    village.idle()
    assert village.events("RetryScheduled") == []
    village.returns("mow")
    assert village.told == ["eat: done", "mow: done"]
    assert village.nothing_left


def test_what_is_replayable_starts_again_from_its_first_action(village: Village) -> None:
    village.work("mow", tasks=2, interruption="replayable")
    village.returns("mow")
    village.need("eat")
    village.returns("eat")
    assert village.outside.called == ["mow 0", "mow 1", "eat 0", "mow 0"]
    assert [event.index for event in village.events("ActionsAdvanced")] == [1, 0]
    village.returns("mow")
    village.returns("mow")
    assert village.told == ["eat: done", "mow: done"]
    assert village.nothing_left


def test_what_is_deferred_goes_on_with_the_action_where_it_was(village: Village) -> None:
    village.work("mow", tasks=2)
    village.returns("mow")
    village.need("eat")
    village.returns("eat")
    assert village.outside.called == ["mow 0", "mow 1", "eat 0", "mow 1"]


def test_what_is_not_interruptible_is_waited_for(village: Village) -> None:
    village.work("give birth", interruption="not_interruptible")
    village.need("eat")
    assert village.outside.called == ["give birth 0"]
    village.returns("give birth")
    assert village.outside.called == ["give birth 0", "eat 0"]


def test_a_ticking_action_keeps_its_progress_or_starts_again_by_its_class(village: Village) -> None:
    for who, interruption, steps in (("ann", "deferred", 3), ("bob", "replayable", 5)):
        village.work(f"walk {who}", who=who, walks=(5,), interruption=interruption)
        village.step(2)
        village.need(f"eat {who}", who=who)
        village.step(7)
        village.returns(f"eat {who}")
        village.step(steps - 1)
        assert not any("walk" in each for each in village.told[-1:])
        village.step()
        assert village.told[-1] == f"walk {who}: walk {who} has walked"
    assert village.nothing_left


def test_an_answer_that_comes_later_is_still_awaited_and_may_come_while_parked(village: Village) -> None:
    village.outside.answers["mow"] = [ts.Later()]
    village.outside.answers["ask"] = [ts.Later()]
    village.work("mow", tasks=2)
    village.work("ask", who="bob", tasks=2)
    village.need("eat")
    village.need("drink", who="bob")
    assert village.system.complete(village.token("mow"), "half")
    village.idle()
    village.returns("eat")
    assert village.outside.called[-1] == "mow 1", "its answer came while it was parked"
    village.returns("drink")
    assert village.outside.called[-1] == "mow 1", "nobody is asked twice"
    assert village.system.complete(village.token("ask"), "half")
    village.idle()
    assert village.outside.called[-1] == "ask 1"


def test_an_answer_on_its_way_while_all_of_it_starts_again_is_written_down_and_skips_nothing_of_that(village: Village) -> None:
    village.outside.answers["mow"] = [ts.Later(), ts.Later(), ts.Later()]
    village.work("mow", tasks=2, interruption="replayable")
    village.need("eat")
    token = village.token("mow")
    village.open_call("eat").returns("done")
    said = village.system._send("works", lambda reply: SettleFromOutside(token, "half", None, reply))
    village.idle()
    assert said.value is True
    assert village.outside.called == ["mow 0", "eat 0", "mow 0"], "it starts again from its first action"
    assert [event.index for event in village.events("ActionsAdvanced")] == [1, 0]
    assert village.system.complete(token, "half again")
    village.idle()
    assert village.system.complete(token, "whole")
    village.idle()
    assert village.outside.called[-1] == "mow 1"
    assert village.told[-1] == "mow: whole"


@pytest.mark.parametrize(("policy", "heard"), [("resume_parent", []), ("drop_parent", ["mow: superseded"]), ("fail_parent", [])])
def test_what_interrupted_it_fails_and_it_goes_on_or_is_dropped_or_fails_too(village: Village, policy: str, heard: list[str]) -> None:
    village.work("mow")
    village.need("eat", if_it_fails=policy)
    village.raises("eat", ts.Rejected("POISONED"))
    assert village.told == ["eat: POISONED", *heard]
    retried = [event.code for event in village.events("RetryScheduled")]
    assert retried == (["INTERRUPTED"] if policy == "fail_parent" else [])
    village.advance(10)
    assert village.outside.called == ["mow 0", "eat 0", *(["mow 0"] if policy != "drop_parent" else [])]
    if policy != "drop_parent":
        village.returns("mow")
        assert village.told[-1] == "mow: done"
    assert village.nothing_left


def test_who_is_dropped_after_an_interruption_may_have_performed_some_of_its_actions(village: Village) -> None:
    village.work("mow", tasks=2)
    village.returns("mow")
    village.need("eat", if_it_fails="drop_parent")
    village.raises("eat", ts.Rejected("POISONED"))
    assert village.told == ["eat: POISONED", "mow: superseded"]
    assert village.outside.called == ["mow 0", "mow 1", "eat 0"]
    assert [event.index for event in village.events("ActionsAdvanced")] == [1], "the first of them is done"


def test_a_failure_that_is_retried_does_not_yet_take_its_parent_with_it(village: Village) -> None:
    village.work("mow")
    village.need("eat", if_it_fails="drop_parent")
    village.raises("eat", ConnectionError("no kitchen"))
    assert village.outside.called == ["mow 0", "eat 0", "mow 0"], "meanwhile the work goes on"
    village.advance(10)
    assert village.outside.called[3:] == ["eat 0"]
    village.raises("eat", ConnectionError("still no kitchen"))
    assert village.told == ["eat: ConnectionError", "mow: superseded"]
    assert village.nothing_left


def test_who_is_taken_along_is_whom_the_last_attempt_has_interrupted_and_not_an_earlier_one(village: Village) -> None:
    village.work("mow")
    village.need("eat", if_it_fails="drop_parent")
    village.work("sow")
    village.raises("eat", ConnectionError("no kitchen"))  # its turn is over until it is tried again: mowing goes on, then sowing begins
    village.returns("mow")
    village.advance(10)
    assert village.outside.called == ["mow 0", "eat 0", "mow 0", "sow 0", "eat 0"]
    village.raises("eat", ConnectionError("still no kitchen"))
    assert village.told == ["mow: done", "eat: ConnectionError", "sow: superseded"]
    assert village.nothing_left


def test_a_time_out_takes_its_parent_with_it(village: Village) -> None:
    village.work("mow", timeout_s=600)
    village.need("eat", if_it_fails="drop_parent")
    village.advance(60)
    assert (village.told, village.outside.called[2:]) == ([], ["mow 0"]), "an attempt has, and is to be made again"
    village.advance(10 + 60)
    assert village.told == ["eat: timed out", "mow: superseded"]
    assert village.nothing_left


def test_what_fails_for_good_with_what_interrupted_it_takes_its_own_parent_with_it(village: Village) -> None:
    village.work("sow", priority=ts.Priority.LOW)
    village.work("mow", if_it_fails="drop_parent")
    village.need("eat", if_it_fails="fail_parent")
    village.raises("eat", ts.Rejected("POISONED"))
    assert (village.told, village.outside.called[3:]) == (["eat: POISONED"], ["sow 0"]), "mowing is to be tried again"
    village.advance(10)
    village.need("drink", if_it_fails="fail_parent")
    village.raises("drink", ts.Rejected("POISONED"))
    assert village.told[1:] == ["drink: POISONED", "mow: INTERRUPTED", "sow: superseded"]
    assert village.outside.called[4:] == ["mow 0", "drink 0"]
    assert village.nothing_left


def test_a_time_out_while_parked_takes_its_parent_with_it_too(village: Village) -> None:
    village.work("sow", priority=ts.Priority.LOW, timeout_s=600)
    village.work("mow", if_it_fails="drop_parent")
    village.raises("mow", ConnectionError("no scythe"))
    village.advance(10)
    village.need("eat", timeout_s=600)
    assert village.system.health().queues_parked == 2
    village.advance(60)
    assert village.told == ["mow: timed out", "sow: superseded"]
    village.returns("eat")
    assert village.nothing_left


def test_being_called_off_is_no_failure(village: Village) -> None:
    village.need("eat", priority=ts.Priority.LOW)
    village.work("mow", if_it_fails="drop_parent")
    assert village.system.ask(CallOff(who="ann")) == 1
    village.idle()
    assert (village.told, village.outside.called) == (["mow: called off"], ["eat 0", "mow 0", "eat 0"])
    village.returns("eat")
    assert village.nothing_left


def test_calling_off_what_interrupted_or_what_is_parked_leaks_nothing(village: Village) -> None:
    village.work("sow", priority=ts.Priority.LOW)
    village.work("mow")
    village.need("eat")
    assert village.system.ask(CallOff(who="ann")) == 2
    village.idle()
    assert village.told == ["sow: called off", "mow: called off"]
    village.returns("eat")
    assert village.nothing_left


def test_a_parked_attempt_times_out_as_any_other(village: Village) -> None:
    village.work("mow")
    village.need("eat")
    village.advance(59)
    assert village.events("TimeoutFired") == []
    village.advance(1)
    assert [event.code for event in village.events("RetryScheduled")] == ["TIMED_OUT", "TIMED_OUT"]


def test_after_a_crash_in_the_middle_of_a_stack_each_finds_its_place_again_and_nothing_done_is_done_again(village: Village) -> None:
    village.work("sow", tasks=2, priority=ts.Priority.LOW)
    village.returns("sow")
    village.work("mow", tasks=2)
    village.returns("mow")
    village.need("eat")
    assert village.system.health().queues_parked == 2
    called = len(village.outside.calls)
    village.crash()
    assert village.system.health().queues_parked == 2
    for name in ("eat", "mow", "sow"):
        village.returns(name)
    assert village.told == ["eat: done", "mow: done", "sow: done"]
    assert set(village.outside.called[called:]) == {"sow 1", "mow 1", "eat 0"}
    assert village.nothing_left


def test_after_a_crash_what_was_let_in_is_not_refused_for_want_of_room() -> None:
    village = Village(ts.Line("villagers", waiting=0))
    village.need("eat", priority=ts.Priority.HIGH)
    village.work("mow", priority=ts.Priority.NORMAL)
    assert village.told == ["mow: busy"]
    village.need("drink")
    village.crash()
    village.returns("drink")
    village.returns("eat")
    assert village.told == ["mow: busy", "drink: done", "eat: done"]


def test_when_the_engine_is_rebuilt_in_the_middle_of_a_stack_no_call_that_runs_is_made_twice(village: Village) -> None:
    village.work("mow")
    village.need("eat")
    village.log.disk.fails(written=False)
    village.system.submit(BeBorn(who="cid"))
    village.idle()
    assert village.system.health().restarts == 1
    assert [each for each in village.outside.called if each == "eat 0"] == ["eat 0"]
    village.returns("eat")
    village.returns("mow")
    assert sorted(village.told) == ["eat: done", "mow: done"]
    assert village.nothing_left


# Who stands where


def test_it_is_told_whose_tokens_are_active_parked_and_waiting(village: Village) -> None:
    village.work("mow")
    village.need("drink", priority=300)
    village.need("eat")
    village.work("sow")
    tokens = {each.execution.intent.name: each.execution.token for each in village.system.open_executions()}  # type: ignore[attr-defined]
    (stands,) = village.system.queues(village.line.name).values()
    assert stands == ts.InLine(tokens["eat"], (tokens["mow"], tokens["drink"]), (tokens["sow"],))
    for name in ("eat", "drink", "mow", "sow"):
        village.returns(name)
    assert village.system.queues(village.line.name) == {}


def test_a_line_that_there_is_not_has_no_queues(village: Village) -> None:
    with pytest.raises(ts.DefinitionError, match="no line 'nobody'"):
        village.system.queues("nobody")
