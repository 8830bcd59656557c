"""Steps: a host that drives the time. One turn an owner, one commit where it can be, the same steps the same log."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tallystick as ts
from tallystick.actors.engine import Engine
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.testing.simulated import SimulatedRuntime
from tests.actors.village import NOON, BeBorn, Elders, Needs, SendForNeed, SendForWork, Task, Village, Walk, Walking, Works, begin, ticked

TENTH = timedelta(milliseconds=100)


class Counted(ts.Event):
    aggregate_type = "Counting"
    at_us: int

    @property
    def aggregate_id(self) -> str:
        return "counting"


class Counting(ts.Module):
    """Takes a turn in each step; writes one down now and then."""

    name = "counting"

    def __init__(self, every: int = 1_000_000) -> None:
        self.every = every
        self.steps: list[ts.Step] = []
        self.raises: BaseException | None = None

    @ts.each_step
    def count(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        self.steps.append(step)
        if self.raises is not None:
            yield Counted(at_us=-1)
            raise self.raises
        assert turn.now == step.now
        if step.now_us % self.every == 0:
            yield Counted(at_us=step.now_us)

    @ts.folds(Counted, ts.Aggregate)
    def counted(self, counting: ts.Aggregate, _event: Counted) -> ts.Aggregate:
        return counting


class BusyWorks(Works):
    """Sends whoever has nothing to do for a walk, in one turn for all."""

    @ts.each_step
    def dispatch(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        for who in ("ann", "bob", "cid"):
            if not turn.open(self.kind, who):
                yield begin(self.kind(name=f"{who} {step.now_us}", who=who), SendForWork(name=who, walks=(3,)))

    from tests.actors.village import Work as kind  # noqa: N813, PLC0415


def stepped(*modules: ts.Module, line: ts.Line | None = None) -> ts.System:
    performers = [Walk.ticked_by(Walking), Task.performed_by(lambda _task, _call: "done")]
    runtime = ts.SteppedRuntime(ts.ManualClock(NOON))
    return ts.System(modules, performers=performers, lines=[line or ts.Line("villagers")], runtime=runtime)


def test_a_step_is_one_turn_for_each_module_that_takes_one_and_nothing_is_written_when_it_says_nothing() -> None:
    counting = Counting()
    with stepped(counting, Elders()) as system:
        tail = system.health().tail
        for _ in range(9):
            system.step(TENTH)
        assert len(counting.steps) == 9
        assert (system.health().tail, system.health().commits) == (tail, 1)
        system.step(TENTH)
        assert system.health().tail == tail + 1
    assert [step.now - NOON for step in counting.steps] == [TENTH * (number + 1) for number in range(10)]
    assert {step.delta for step in counting.steps} == {TENTH}


def test_a_step_with_many_subjects_is_one_turn_one_append_and_one_commit() -> None:
    works = BusyWorks()
    with stepped(works, line=ts.Line("villagers", arbitration="each_step")) as system:
        commits = system.health().commits
        system.step(TENTH)
        assert (system.health().commits, system.health().queues_ticking) == (commits + 1, 3)
        for _ in range(3):
            system.step(TENTH)
        assert system.health().commits == commits + 2, "all three have arrived, and were sent again, in one"
        assert [each.event_type for each in system.events()].count("WorkTold") == 3


def test_no_thread_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail(f"{thread.name} was begun"))
    with stepped(BusyWorks(), line=ts.Line("villagers", arbitration="each_step")) as system:
        for _ in range(5):
            system.step(TENTH)
        system.save(tmp_path / "village.save")
        assert [each.event_type for each in system.events()].count("WorkTold") >= 3
    assert system.health().status == "stopped"


def test_what_begins_in_a_step_competes_in_that_very_step() -> None:
    with stepped(BusyWorks(), line=ts.Line("villagers", arbitration="each_step", waiting=0)) as system:
        system.step(TENTH)
        assert (system.health().queues_ticking, system.health().queues_waiting) == (3, 0)


def test_timers_that_are_due_on_the_way_fire_before_the_modules_take_their_turns() -> None:
    village = Village()
    village.work("mow")
    village.system.step(timedelta(seconds=60))
    assert [event.code for event in village.events("RetryScheduled")] == ["TIMED_OUT"]
    village.system.step(timedelta(seconds=10))
    assert village.outside.called == ["mow 0", "mow 0"]


def test_a_turn_that_raises_writes_nothing_and_the_step_raises_it_when_all_is_done() -> None:
    counting, busy = Counting(every=1), BusyWorks()
    counting.raises = ZeroDivisionError("a bug")
    with stepped(counting, busy) as system:
        with pytest.raises(ts.StepFailed) as caught:
            system.step(TENTH)
        assert caught.value.__cause__ is counting.raises
        assert [each.event_type for each in system.events()].count("WorkStarted") == 3, "the others took theirs"
        assert system.health().counters["step_failures"] == 1
        counting.raises = None
        system.step(TENTH)
        assert [each.event_type for each in system.events()].count("Counted") == 1


@pytest.mark.parametrize("written", [False, True])
def test_a_log_that_fails_in_the_middle_of_a_step_costs_that_step_no_more_than_its_ticks(written: bool) -> None:
    village = Village(ts.Line("villagers", arbitration="each_step"))
    village.work("walk", walks=(1, 3))
    village.step(2)
    village.need("eat", who="bob")
    village.log.disk.fails(written=written)
    village.work_later("mow", who="cid")
    village.step()
    assert village.system.health().restarts == 1
    village.step(5)
    for name in ("eat", "mow") if written else ("eat",):
        village.returns(name)
    village.step()
    assert sorted(village.told) == sorted([*(["mow: done"] if written else []), "eat: done", "walk: walk has walked"])
    assert village.nothing_left


def run(steps: list[tuple[str, int]]) -> tuple[list[bytes], list[tuple[str, int]]]:
    """Steps and errands as drawn; the hashes of the log, and the ticks."""
    ticked.clear()
    with stepped(Counting(300_000), BusyWorks(), Needs(), Elders(), line=ts.Line("villagers", arbitration="each_step")) as system:
        for number, (what, amount) in enumerate(steps):
            match what:
                case "step":
                    system.step(TENTH * amount)
                case "need":
                    wanted: dict[str, Any] = {"walks": (amount,), "priority": 100 * amount}
                    system.ask(SendForNeed(name=f"need {number}", who=("ann", "bob", "cid")[number % 3], **wanted))
                case _:
                    system.ask(BeBorn(who=f"{number}"))
        hashes = [each.hash for each in system.events()]
    return hashes, list(ticked)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["step", "step", "step", "need", "birth"]), st.integers(1, 4)), max_size=30))
def test_the_same_steps_make_the_same_log(steps: list[tuple[str, int]]) -> None:
    assert run(steps) == run(steps)


def test_a_step_inside_an_event_loop() -> None:
    async def loop() -> int:
        with stepped(Counting(every=100_000)) as system:
            for _ in range(3):
                system.step(TENTH)
                await asyncio.wait([asyncio.ensure_future(asyncio.wait_for(done(), 1))])
            return len([each for each in system.events() if each.event_type == "Counted"])

    async def done() -> None:
        return None

    assert asyncio.run(loop()) == 3


def test_an_async_performer_is_called_in_a_step_inside_an_event_loop() -> None:
    async def perform(_task: Task, _call: ts.Call) -> str:
        return "done"

    async def loop() -> list[str]:
        performers = [Task.performed_by(perform)]
        with ts.System([Works()], performers=performers, lines=[ts.Line("villagers")], runtime=ts.SteppedRuntime()) as system:
            system.ask(SendForWork(name="mow", tasks=1))
            system.step(TENTH)
            return [system._codec.decode(each).what for each in system.events(event_types=("WorkTold",))]

    assert asyncio.run(loop()) == ["done"]


@pytest.mark.parametrize("delta", [timedelta(seconds=-1), timedelta(microseconds=-1), 0.05, 1, None])
def test_a_step_that_is_no_time_or_goes_back_in_it_is_refused(delta: Any) -> None:
    with stepped(Counting()) as system, pytest.raises(ts.InvalidStep, match="not negative, such as"):
        system.step(delta)


def test_a_step_of_a_system_that_does_not_run_is_refused() -> None:
    system = stepped(Counting())
    with pytest.raises(ts.NotAccepted):
        system.step(TENTH)
    with system:
        pass
    with pytest.raises(ts.NotAccepted):
        system.step(TENTH)


def test_a_system_whose_time_passes_by_itself_says_what_to_do(real_runtime: Runtime) -> None:
    with ts.System([Elders()], runtime=real_runtime) as system, pytest.raises(ts.NotStepped, match="SteppedRuntime"):
        system.step(TENTH)


@pytest.mark.parametrize(
    ("what", "modules", "lines", "performers"),
    [
        ("module counting has a method for each step", [Counting()], [], []),
        ("line 'villagers' is decided on in each step", [], [ts.Line("villagers", arbitration="each_step")], []),
        ("Walk takes ticks", [], [], [Walk.ticked_by(Walking)]),
    ],
)
def test_what_needs_steps_is_refused_without_a_stepped_runtime(
    what: str, modules: list[ts.Module], lines: list[ts.Line], performers: list[ts.Performer], real_runtime: Runtime
) -> None:
    with pytest.raises(ts.DefinitionError, match=what):
        ts.System(modules, lines=lines, performers=performers, runtime=real_runtime)


@pytest.mark.parametrize("seed", range(5))
def test_a_step_may_be_taken_on_a_simulated_runtime_in_whatever_order_its_messages_come(seed: int) -> None:
    counting, works = Counting(), BusyWorks()
    performers = [Walk.ticked_by(Walking), Task.performed_by(lambda _task, _call: "done")]
    line = ts.Line("villagers", arbitration="each_step")
    with ts.System([counting, works], performers=performers, lines=[line], runtime=SimulatedRuntime(seed)) as system:
        for _ in range(12):
            system.step(TENTH)
        assert len(counting.steps) == 12
        assert len(list(system.events(event_types=("WorkTold",)))) >= 3


def post_step(engine: Engine) -> None:
    """Post a whole step and run nothing."""
    step = engine.step_of(100_000)
    engine.post_ticks(step)
    engine.post_turns(step)
    engine.post_arbitration()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_however_the_messages_of_steps_interleave_everything_ends_and_no_token_is_left(seed: int) -> None:
    """The steps are posted without being run, several at a time, on a runtime that chooses whose turn it is."""
    ticked.clear()
    runtime = SimulatedRuntime(seed)
    performers = [Walk.ticked_by(Walking), Task.performed_by(lambda _task, _call: "done")]
    line = ts.Line("villagers", arbitration="each_step", waiting=1, origins=("needs",))
    with ts.System([Needs(), Works()], performers=performers, lines=[line], runtime=runtime) as system:
        engine = system._life.engine
        for number in range(12):
            kind: Any = SendForWork if number % 3 else SendForNeed
            how = ("deferred", "replayable", "not_interruptible")[number % 3]
            system.submit(kind(name=f"{number}", walks=(2, 1), priority=100 * (number % 4), interruption=how, tasks=number % 2))
            for _ in range(number % 4):
                post_step(engine)
                runtime.step()
        for _ in range(400):
            post_step(engine)
            runtime.run_until_idle()
            runtime.advance(timedelta(seconds=1))
            if not system.open_executions():
                break
        heard = [each.aggregate_id for each in system.events(event_types=("NeedTold", "WorkTold"))]
        assert sorted(heard, key=int) == [str(number) for number in range(12)]
        queue = engine.queue
        assert not (queue._entries)
        assert not (queue._standings)
        assert not (queue.ticking)
        assert not (system._pool._calls)
