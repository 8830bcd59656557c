"""Rates: calls beyond what a type of action may make wait in the queue, by the clock and in order, and hold nothing else up."""

from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.line import PATIENCE
from tests.actors.village import CallOff, Needs, SendForWork, Task, Village, Walk, Walking, Works

ONE_A_SECOND = ts.Rate(calls=1, per=timedelta(seconds=1))


class At:
    """Performs at once, and remembers when."""

    def __init__(self, clock: ts.ManualClock) -> None:
        self._clock = clock
        self.calls: list[tuple[str, int]] = []

    def __call__(self, task: Task, _call: ts.Call) -> str:
        self.calls.append((task.name, self._clock.now_us()))
        return "done"


def limited(rate: ts.Rate) -> tuple[ts.System, ts.SteppedRuntime, At]:
    clock = ts.ManualClock()
    runtime, at = ts.SteppedRuntime(clock), At(clock)
    performers = [Task.performed_by(at, rate=rate), Walk.ticked_by(Walking)]
    return ts.System([Needs(), Works()], performers=performers, lines=[ts.Line("villagers")], runtime=runtime), runtime, at


def send(system: ts.System, runtime: ts.SteppedRuntime, *names: str, **wanted: Any) -> None:
    settings: dict[str, Any] = {"tasks": 1, **wanted}
    for name in names:
        system.ask(SendForWork(name=name, who=name, **settings))
    runtime.run_until_idle()


def test_calls_beyond_the_rate_are_made_in_order_when_their_time_has_come() -> None:
    system, runtime, at = limited(ts.Rate(calls=10, per=timedelta(seconds=1), burst=2))
    with system:
        send(system, runtime, *"abcde")
        assert at.calls == [("a", 0), ("b", 0)]
        assert (system.health().calls_waiting_for_rates, system.health().calls_running) == (3, 0)
        runtime.advance(timedelta(milliseconds=99))
        assert len(at.calls) == 2
        runtime.advance(timedelta(seconds=10))
        assert at.calls[2:] == [("c", 100_000), ("d", 200_000), ("e", 300_000)]
        assert system.open_executions() == ()


def test_the_higher_priority_has_a_head_start_of_so_many_calls() -> None:
    system, runtime, at = limited(ts.Rate(calls=1, per=timedelta(seconds=1)))
    early, late = [f"low {number}" for number in range(60)], [f"low {number}" for number in range(60, 80)]
    with system:
        send(system, runtime, *early, priority=ts.Priority.LOW)
        send(system, runtime, "critical", priority=ts.Priority.CRITICAL)
        send(system, runtime, *late, priority=ts.Priority.LOW)
        runtime.advance(timedelta(minutes=2))
        made = [name for name, _ in at.calls]
    assert [name for name in made if name != "critical"] == [*early, *late]
    assert made.index("critical") == 1 + len(early) - 3 * PATIENCE, "three classes of priority above the others; the first did not wait"


def test_nobody_waits_for_a_rate_for_ever() -> None:
    system, runtime, at = limited(ts.Rate(calls=1, per=timedelta(seconds=1)))
    with system:
        send(system, runtime, "first", priority=ts.Priority.CRITICAL)
        send(system, runtime, "low", priority=ts.Priority.LOW)
        for number in range(100):
            send(system, runtime, f"critical {number}", priority=ts.Priority.CRITICAL)
            runtime.advance(timedelta(seconds=1))
        made = [name for name, _ in at.calls]
    assert made.index("low") <= 3 * PATIENCE + 1


def test_each_action_of_a_queue_needs_a_call_of_its_own() -> None:
    system, runtime, at = limited(ONE_A_SECOND)
    with system:
        send(system, runtime, "a", tasks=3)
        runtime.advance(timedelta(seconds=5))
        assert at.calls == [("a", 0), ("a", 1_000_000), ("a", 2_000_000)]


def test_an_action_without_a_rate_is_not_held_up() -> None:
    system, runtime, _at = limited(ONE_A_SECOND)
    with system:
        send(system, runtime, "a", "b")
        send(system, runtime, "walk", tasks=0, walks=(1,))
        system.step(timedelta(0))
        assert [each.aggregate_id for each in system.events(event_types=("WorkTold",))] == ["a", "walk"]


def test_one_that_waits_is_not_called_when_it_has_been_called_off_and_costs_no_call() -> None:
    system, runtime, at = limited(ONE_A_SECOND)
    with system:
        send(system, runtime, "a", "b", "c")
        assert system.ask(CallOff(who="b")) == 1
        runtime.run_until_idle()
        assert system.health().calls_waiting_for_rates == 1
        runtime.advance(timedelta(seconds=1))
        assert at.calls == [("a", 0), ("c", 1_000_000)]


def test_the_deadline_of_one_that_waits_goes_on() -> None:
    system, runtime, at = limited(ts.Rate(calls=1, per=timedelta(hours=1)))
    with system:
        send(system, runtime, "a", "b")
        runtime.advance(timedelta(seconds=60 + 10 + 60))
        assert [name for name, _ in at.calls] == ["a"]
        assert [system._codec.decode(each).what for each in system.events(event_types=("WorkTold",))] == ["done", "timed out"]
        assert system.health().calls_waiting_for_rates == 0


def test_one_that_is_interrupted_while_it_waits_waits_anew_when_it_goes_on() -> None:
    village = Village(rate=ONE_A_SECOND)
    village.work("mow", who="bob")
    village.work("sow")
    assert village.outside.called == ["mow 0"]
    village.need("walk", walks=(1,))
    village.advance(5)
    assert village.outside.called == ["mow 0"], "it is parked"
    village.step()
    assert village.outside.called == ["mow 0", "sow 0"]


def test_a_full_drain_makes_no_call_that_waits_and_the_next_opening_makes_it() -> None:
    village = Village(rate=ONE_A_SECOND)
    village.work("mow")
    village.work("sow", who="bob")
    village.system.stop()
    assert village.outside.called == ["mow 0"]
    village.crash()
    village.advance(5)
    assert sorted(village.outside.called) == ["mow 0", "mow 0", "sow 0"]


def test_when_the_engine_is_rebuilt_the_rate_does_not_start_afresh() -> None:
    village = Village(rate=ONE_A_SECOND)
    village.work("mow")
    village.log.disk.fails(written=False)
    village.system.submit(SendForWork(name="sow", who="bob", tasks=1))
    village.idle()
    assert village.system.health().restarts == 1
    village.work("reap", who="cid")
    assert village.outside.called == ["mow 0"]
    village.advance(1)
    assert village.outside.called == ["mow 0", "reap 0"]


@pytest.mark.parametrize("calls", [1, 3])
def test_the_rate_is_kept_on_every_runtime(runtime: Runtime, calls: int) -> None:
    times: list[int] = []
    clock = runtime.clock

    def perform(_task: Task, _call: ts.Call) -> str:
        times.append(clock.now_us())
        return "done"

    rate = ts.Rate(calls=calls, per=timedelta(milliseconds=40), burst=1)
    with ts.System(
        [Works(), Needs()], performers=[Task.performed_by(perform, rate=rate)], lines=[ts.Line("villagers")], runtime=runtime
    ) as s:
        for number in range(5):
            s.ask(SendForWork(name=f"{number}", who=f"{number}", tasks=1))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.advance(timedelta(seconds=1))
        assert runtime.until(lambda: not s.open_executions(), 10)
    assert len(times) == 5
    assert max(times) - min(times) >= 4 * 40_000 // calls - 10_000, "threads may be a little late, and so nearer to the next"
