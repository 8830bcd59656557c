"""Lines: several owners want the same subject; one at a time is served, and every owner hears what became of its queue."""

from collections.abc import Callable
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import wait_until
from tests.actors.village import BeBorn, CallOff, Elders, Errand, Needs, SendForNeed, SendForWork, Task, Village, Villagers, Works


@pytest.fixture
def village() -> Village:
    return Village()


@pytest.fixture
def stepwise() -> Village:
    """A village whose line decides once a step, and in which nobody waits."""
    return Village(ts.Line("villagers", waiting=0, arbitration="each_step", origins=("needs", "works")))


def test_queues_of_two_owners_for_one_subject_run_one_after_another_and_others_beside_them(village: Village) -> None:
    village.work("mow")
    village.need("eat", priority=ts.Priority.NORMAL)
    village.work("sow", who="bob")
    assert village.outside.called == ["mow 0", "sow 0"]
    village.returns("mow")
    assert village.outside.called == ["mow 0", "sow 0", "eat 0"]


def test_of_those_that_wait_priority_goes_first_then_origin_then_age(village: Village) -> None:
    village.work("first", interruption="not_interruptible")
    village.work("low", priority=ts.Priority.LOW)
    village.work("older")
    village.work("younger")
    village.need("need", priority=ts.Priority.NORMAL)
    village.work("unknown origin", origin="whim")
    village.need("critical")
    for _ in range(7):
        village.runtime.open_calls[-1].returns("done")
        village.idle()
    assert [said.partition(":")[0] for said in village.told] == ["first", "critical", "need", "older", "younger", "unknown origin", "low"]
    assert village.nothing_left


def test_what_cannot_be_taken_is_refused_with_its_reason_and_leaves_nothing() -> None:
    village = Village(ts.Line("villagers", waiting=1, subjects=Villagers))
    village.system.ask(BeBorn(who="ann"))
    village.work("stranger", who="nobody")
    village.work("no subject", who="")
    village.work("no actions", tasks=0)
    assert village.told == ["stranger: unknown_subject", "no subject: unknown_subject", "no actions: no_actions"]
    village.work("mow")
    village.work("sow")
    village.work("reap")
    assert village.told[3:] == ["reap: busy"]
    village.returns("mow")
    village.returns("sow")
    assert village.nothing_left


def test_who_lost_the_resolution_of_a_step_is_superseded_and_leaves_nothing(stepwise: Village) -> None:
    stepwise.work("mow")
    stepwise.work("sow")
    stepwise.need("rest", priority=ts.Priority.NORMAL)
    assert stepwise.outside.called == [], "nothing is decided before the step"
    stepwise.step()
    assert stepwise.outside.called == ["rest 0"]
    assert sorted(stepwise.told) == ["mow: superseded", "sow: superseded"]
    stepwise.work("reap")
    stepwise.step()
    assert stepwise.told[2:] == ["reap: busy"]
    stepwise.returns("rest")
    assert stepwise.nothing_left


def test_of_equals_the_latest_wins_the_step(stepwise: Village) -> None:
    stepwise.work("mow")
    stepwise.work("sow")
    stepwise.step()
    assert stepwise.outside.called == ["sow 0"]


def test_a_critical_need_interrupts_at_the_step_and_work_goes_on_at_a_later_one(stepwise: Village) -> None:
    stepwise.work("mow")
    stepwise.step()
    stepwise.need("eat")
    assert not stepwise.open_call("mow").call.cancelled()
    stepwise.step()
    assert stepwise.open_call("mow").call.cancelled()
    stepwise.returns("eat")
    assert stepwise.outside.called == ["mow 0", "eat 0"]
    stepwise.step()
    assert stepwise.outside.called == ["mow 0", "eat 0", "mow 0"]
    stepwise.returns("mow")
    assert stepwise.nothing_left


def test_calling_off_before_the_step_is_decided_leaves_nothing(stepwise: Village) -> None:
    stepwise.work("mow")
    assert stepwise.system.ask(CallOff(who="ann")) == 1
    stepwise.step(2)
    assert (stepwise.outside.called, stepwise.told) == ([], ["mow: called off"])
    assert stepwise.nothing_left


def test_calling_off_what_runs_and_what_waits_leaves_nothing_and_the_next_is_served(village: Village) -> None:
    village.work("mow")
    village.work("sow")
    village.need("eat", priority=ts.Priority.LOW)
    call = village.open_call("mow").call
    assert village.system.ask(CallOff(who="ann")) == 2
    village.idle()
    assert call.cancelled()
    assert village.outside.called == ["mow 0", "eat 0"]
    village.returns("eat")
    assert village.nothing_left


def test_a_person_who_abandons_everything_leaves_nothing(village: Village) -> None:
    village.work("mow")
    village.work("sow")
    village.need("eat")
    village.work("walk", who="bob", walks=(5,))
    for each in village.system.open_executions():
        village.system.abandon(each, "reset")
    village.idle()
    assert village.nothing_left


def test_one_that_failed_makes_room_while_its_retry_is_awaited(village: Village) -> None:
    village.work("mow")
    village.work("sow")
    village.raises("mow", ConnectionError())
    assert village.outside.called == ["mow 0", "sow 0"]
    village.advance(10)
    village.returns("sow")
    assert village.outside.called == ["mow 0", "sow 0", "mow 0"]
    village.returns("mow")
    assert village.nothing_left


def test_a_retry_goes_on_from_the_action_that_failed(village: Village) -> None:
    village.work("mow", tasks=3)
    village.returns("mow")
    village.raises("mow", ConnectionError())
    village.advance(10)
    assert [(step, attempt) for _, step, attempt, _ in village.outside.calls] == [(0, 1), (1, 1), (1, 2)]
    assert [event.index for event in village.events("ActionsAdvanced")] == [1]


def test_after_a_crash_finished_actions_are_not_repeated(village: Village) -> None:
    village.work("mow", tasks=3)
    village.returns("mow")
    village.returns("mow")
    village.crash()
    village.crash()
    assert village.outside.called == ["mow 0", "mow 1", "mow 2", "mow 2", "mow 2"]
    village.returns("mow")
    assert (village.told, village.nothing_left) == (["mow: done"], True)


def test_a_stale_word_of_progress_changes_nothing(village: Village) -> None:
    from tallystick.actors.messages import Context, QueueAdvanced  # noqa: PLC0415

    village.work("mow", tasks=3)
    context = Context("works", village.token("mow"))
    for report in (QueueAdvanced(context, 2, 1), QueueAdvanced(Context("works", ts.Token("nobody")), 1, 1)):
        village.engine.router.post.tell(report)
    village.idle()
    assert village.events("ActionsAdvanced") == []
    assert village.system.health().counters["stale_advances"] == 2


def test_with_a_single_action_progress_is_not_written(village: Village) -> None:
    village.work("mow")
    village.returns("mow")
    assert village.events("ActionsAdvanced") == []


def test_the_log_holds_of_how_it_stands_in_line_what_is_not_usual(village: Village) -> None:
    village.work("mow")
    village.need("eat", interruption="replayable", if_it_fails="drop_parent", origin="belly")
    bodies = [each.payload.decode() for each in village.written if each.event_type in {"WorkStarted", "NeedStarted"}]
    assert not {"priority", "origin", "interruption", "ifItFails"} & set(bodies[0].replace('"', " ").split())
    assert all(f'"{key}":' in bodies[1] for key in ("priority", "origin", "interruption", "ifItFails"))


def test_what_the_queue_holds_of_an_execution_is_owner_and_token(village: Village) -> None:
    village.work("mow")
    assert [type(entry.start.context).__struct_fields__ for entry in village.engine.queue._entries.values()] == [("owner", "token")]


# Composition.


class Elsewhere(Errand):
    line = "elsewhere"


class Wanderers(ts.Module):
    name = "wanderers"

    @Elsewhere.settled
    def settle(self, _turn: ts.Turn, _errand: Elsewhere, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


def test_an_intent_that_names_a_line_which_there_is_not_is_refused_at_composition() -> None:
    with pytest.raises(ts.DefinitionError, match="Elsewhere stands in line 'elsewhere'"):
        ts.System([Wanderers()], lines=[ts.Line("villagers")])


def test_two_lines_of_one_name_are_refused() -> None:
    with pytest.raises(ts.DefinitionError, match="Two lines are named 'a'"):
        ts.System(lines=[ts.Line("a"), ts.Line("a", waiting=1)])


def test_a_line_whose_subjects_nobody_knows_is_refused() -> None:
    with pytest.raises(ts.DefinitionError, match="Villagers"):
        ts.System(lines=[ts.Line("a", subjects=Villagers)])


def test_line_is_a_setting_of_intents_and_no_field() -> None:
    with pytest.raises(ts.DefinitionError, match="setting"):
        type("Odd", (ts.Intent,), {"__annotations__": {"line": str}})


# On every runtime.


def composed(runtime: Runtime, perform: Callable[[Task, ts.Call], str], line: ts.Line) -> ts.System:
    return ts.System([Elders(), Needs(), Works()], performers=[Task.performed_by(perform)], lines=[line], runtime=runtime)


def told(system: ts.System) -> list[str]:
    return [f"{each.aggregate_id}: {system._codec.decode(each).what}" for each in system.events(event_types=("NeedTold", "WorkTold"))]


def heard_of(system: ts.System, errands: int) -> Callable[[], bool]:
    return lambda: len(told(system)) == errands


def test_at_once_one_subject_is_served_one_at_a_time_on_every_runtime(runtime: Runtime) -> None:
    under_way: list[str] = []
    most: list[int] = []

    def perform(task: Task, _call: ts.Call) -> str:
        under_way.append(task.name)
        most.append(len(under_way))
        under_way.remove(task.name)
        return "done"

    with composed(runtime, perform, ts.Line("villagers", waiting=100)) as system:
        for number in range(20):
            kind: Any = SendForWork if number % 2 else SendForNeed
            system.ask(kind(name=str(number), tasks=2))
        runtime.until(heard_of(system, 20), 10)
        assert sorted(told(system)) == sorted(f"{number}: done" for number in range(20))
        assert max(most) == 1
        assert system.open_executions() == ()


def test_at_once_a_critical_need_interrupts_a_call_that_runs_in_a_thread(real_runtime: Runtime) -> None:
    calls: list[tuple[str, bool]] = []

    def perform(task: Task, call: ts.Call) -> str:
        if task.name == "mow" and not calls:
            calls.append(("mow", False))
            wait_until(call.cancelled)
        calls.append((task.name, call.cancelled()))
        if call.cancelled():
            raise ConnectionAbortedError(task.name)
        return "done"

    with composed(real_runtime, perform, ts.Line("villagers")) as system:
        system.ask(SendForWork(name="mow", tasks=1))
        wait_until(lambda: bool(calls))
        system.ask(SendForNeed(name="eat", tasks=1, priority=ts.Priority.CRITICAL))
        wait_until(heard_of(system, 2))
        wait_until(lambda: len(calls) == 4)
        assert told(system) == ["eat: done", "mow: done"]
        assert sorted(calls) == [("eat", False), ("mow", False), ("mow", False), ("mow", True)]
        assert system.open_executions() == ()


def test_a_line_that_knows_its_subjects_refuses_others_on_every_runtime(runtime: Runtime) -> None:
    with composed(runtime, lambda _task, _call: "done", ts.Line("villagers", subjects=Villagers)) as system:
        system.ask(BeBorn(who="ann"))
        system.ask(SendForWork(name="a", tasks=1))
        system.ask(SendForWork(name="b", who="nobody", tasks=1))
        runtime.until(heard_of(system, 2), 10)
        assert sorted(told(system)) == ["a: done", "b: unknown_subject"]


def test_own_lines_have_priorities_too_and_others_keep_their_order() -> None:
    """Without a line, an owner's queues of one subject run as ever, but for a priority that somebody has given."""

    class OwnWork(Errand):
        line = ""

    class Own(ts.Module):
        name = "own"

        @ts.handles(SendForWork)
        def send(self, _turn: ts.Turn, command: SendForWork) -> ts.Decision[None]:
            yield ts.Begin(intent=OwnWork(name=command.name, who=command.who), actions=command.actions, priority=command.priority)

        @OwnWork.settled
        def settle(self, _turn: ts.Turn, _work: OwnWork, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

    village = Village(modules=[Own()])
    for name, priority in (("a", 200), ("b", 200), ("c", 300)):
        village.work(name, priority=priority)
    for name in ("c", "a", "b"):
        village.returns(name)
    assert village.outside.called == ["a 0", "c 0", "a 0", "b 0"]
    assert village.nothing_left
