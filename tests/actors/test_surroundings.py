"""What a performer's code is a part of: the correlation, tags and traceparent of the execution that it works for, on every runtime."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.contextvars import get_contextvars

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import FaultyLog

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Rang(ts.Event):
    aggregate_type = "Door"
    door: str
    said: str = ""

    @property
    def aggregate_id(self) -> str:
        return self.door


class Seen(Rang): ...


class Fetch(ts.Action[str]):
    door: str


class Fetching(ts.Intent[str]):
    door: str
    retry = ts.FixedDelay(interval=timedelta(milliseconds=1), max_retries=1)
    ends_with = (Rang,)


class Ring(ts.Command[None]):
    door: str


class See(ts.Command[None]):
    door: str


class Doors(ts.Module):
    name = "doors"

    @ts.handles(Ring, emits=[])
    def ring(self, _turn: ts.Turn, command: Ring) -> ts.Decision[None]:
        yield ts.Begin(intent=Fetching(door=command.door), actions=(Fetch(door=command.door),))

    @ts.handles(See, emits=[Seen])
    def see(self, _turn: ts.Turn, command: See) -> ts.Decision[None]:
        yield Seen(door=command.door)

    @Fetching.settled
    def fetched(self, _turn: ts.Turn, fetching: Fetching, outcome: ts.Outcome[str]) -> ts.Effects:
        said = outcome.result if isinstance(outcome, ts.Succeeded) else str(outcome)
        yield Rang(door=fetching.door, said=said)


def told() -> str:
    """The surroundings, as a performer may hand them on to the outside world."""
    around = ts.surroundings()
    return f"{around.correlation} {dict(around.tags)} {around.traceparent} {around.operation_id}"


def plain(_action: Fetch, _call: ts.Call) -> str:
    return told()


async def asynchronous(_action: Fetch, _call: ts.Call) -> str:
    return told()


def second_time(_action: Fetch, call: ts.Call) -> str:
    if call.attempt == 1:
        raise ConnectionError
    return told()


def rung(system: ts.System) -> Rang:
    for recorded in system.subscribe(event_types=("Rang",)):
        event: Rang = system._codec.decode(recorded)
        return event
    raise AssertionError


@pytest.mark.parametrize("performer", [plain, asynchronous, second_time])
def test_a_performer_runs_in_the_surroundings_that_its_command_was_asked_in(performer: Callable[..., Any], runtime: Runtime) -> None:
    with ts.System([Doors()], performers=[Fetch.performed_by(performer)], runtime=runtime) as system:
        with system.bracket("Evening", tags={"tenant": "a"}, traceparent=TRACE):
            system.ask(Ring(door="front"))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.advance(timedelta(seconds=1))
        said = rung(system).said
    assert said == f"4bf92f3577b34da6a3ce929d0e0e4736 {{'tenant': 'a'}} {TRACE} "


def test_without_a_bracket_it_has_its_executions_own_correlation(runtime: Runtime) -> None:
    with ts.System([Doors()], performers=[Fetch.performed_by(plain)], runtime=runtime) as system:
        system.ask(Ring(door="front"))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.run_until_idle()
        said = rung(system).said
        (started,) = system.events(event_types=("FetchingStarted",))
    assert said == f"{started.correlation} {{}} None "


def test_it_does_not_run_as_the_operation_of_whoever_lets_time_pass() -> None:
    runtime = ts.SteppedRuntime()
    seen: list[object] = []

    def look(_action: Fetch, _call: ts.Call) -> str:
        seen.append(ts.current_operation())
        return told()

    with ts.System([Doors()], performers=[Fetch.performed_by(look)], runtime=runtime) as system:
        system.submit(Ring(door="front"))
        with system.bracket("Unrelated", tags={"tenant": "b"}):
            runtime.run_until_idle()
        assert rung(system).said.endswith(" {} None ")
    assert seen == [None]


def test_what_it_asks_and_begins_has_the_same_correlation_and_tags(runtime: Runtime) -> None:
    def busy(action: Fetch, _call: ts.Call) -> str:
        if isinstance(runtime, ts.SteppedRuntime):
            system.submit(See(door=action.door))
        else:
            system.ask(See(door=action.door))
            with system.bracket("Door.Fetch"):
                pass
        return ""

    with ts.System([Doors()], performers=[Fetch.performed_by(busy)], runtime=runtime) as system:
        with system.bracket("Evening", correlation="evening 1", tags={"tenant": "a"}):
            system.ask(Ring(door="front"))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.run_until_idle()
        rung(system)
        assert [each.correlation for each in system.events(event_types=("Seen",))] == ["evening 1"]
        assert {each.tags["tenant"] for each in system.operations.find(correlation="evening 1")} == {"a"}
        assert len(system.operations.find(correlation="evening 1")) == (1 if isinstance(runtime, ts.SteppedRuntime) else 2)


def test_so_it_is_after_a_crash_and_for_a_probe() -> None:
    log, seen = FaultyLog(), list[str]()

    def probe(_action: Fetch, _call: ts.Call) -> ts.NotDone:
        seen.append(told())
        return ts.NotDone()

    first = ts.SteppedRuntime(ts.ManualClock())
    with ts.System([Doors()], performers=[Fetch.performed_by(lambda _action, _call: ts.Later())], log=log, runtime=first) as system:
        with system.bracket("Evening", correlation="evening 1", tags={"tenant": "a"}, traceparent=TRACE):
            system.ask(Ring(door="front"))
        first.run_until_idle()
    runtime = ts.SteppedRuntime(ts.ManualClock())
    performer = Fetch.performed_by(plain, probe=probe)
    with ts.System([Doors()], performers=[performer], log=log.reopened(), runtime=runtime) as system:
        runtime.run_until_idle()
        assert seen == [rung(system).said] == [f"evening 1 {{'tenant': 'a'}} {TRACE} "]


def test_the_hosts_own_log_lines_in_it_say_what_it_works_for(runtime: Runtime) -> None:
    bound: list[dict[str, Any]] = []
    before = get_contextvars()

    def look(_action: Fetch, call: ts.Call) -> str:
        bound.append({**get_contextvars(), "token given": call.token})
        return ""

    with ts.System([Doors()], performers=[Fetch.performed_by(look)], runtime=runtime) as system:
        with system.bracket("Evening", correlation="evening 1", tags={"tenant": "a"}):
            system.ask(Ring(door="front"))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.run_until_idle()
        rung(system)
    (lines,) = bound
    assert (lines["owner"], lines["token"]) == ("doors", lines["token given"])
    assert (str(lines["correlation"]), lines["tags"]) == ("evening 1", {"tenant": "a"})
    assert get_contextvars() == before
