"""Times to wait of any length, `timedelta.max` among them: none ends an engine or a thread, and none makes a log unopenable."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.clock import LONGEST_SLEEP_S, SystemClock
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.envelope import LATEST, LONGEST, MICROSECOND
from tallystick.domain.operations.commands import StartOperation
from tests.actors.outside import PATIENCE_S, wait_until
from tests.actors.stage import Stage

BEYOND_CALENDARS = (timedelta.max, LONGEST + MICROSECOND)
HUNDREDS_OF_YEARS = timedelta(days=300 * 365)
"""Longer than a thread can be put to sleep."""


class Ask(ts.Action[str]):
    """Somebody is asked."""


class Asking(ts.Intent[str]):
    """Somebody is asked, for as long as it takes."""

    retry = ts.FixedDelay(interval=timedelta(milliseconds=1), max_retries=1)


class Begun(ts.Command[ts.Token]):
    """Have somebody asked, with so much time."""

    timeout_us: int


class Askers(ts.Module):
    """Who asks."""

    name = "askers"

    @ts.handles(Begun)
    def begin(self, turn: ts.Turn, command: Begun) -> ts.Decision[ts.Token]:
        token = turn.new_token()
        yield ts.Begin(intent=Asking(), actions=(Ask(),), token=token, timeout=command.timeout_us * MICROSECOND)
        return token

    @Asking.settled
    def settle(self, _turn: ts.Turn, _asking: Asking, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


@pytest.mark.parametrize("term", ["timeout", "stalled_after", "heartbeat_within"])
@pytest.mark.parametrize("span", BEYOND_CALENDARS)
def test_an_operation_that_asks_for_more_time_than_calendars_have_is_refused(term: str, span: timedelta) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        too_long: Any = {term: span}
        with pytest.raises(ts.InvalidOperation, match="longer than calendars go"):
            system.operations.start("Billing.Run", **too_long)
        assert list(system.events()) == []
        long_enough: Any = {term: LONGEST}
        system.operations.start("Billing.Run", **long_enough)
        assert [each.name for each in system.operations.find()] == ["Billing.Run"]


@pytest.mark.parametrize("term", ["stalled_after_us", "heartbeat_us", "timeout_us"])
def test_a_log_in_which_one_stands_all_the_same_opens_and_is_used(term: str) -> None:
    """An earlier version wrote such ones, and no process could open their log again."""
    log = ts.MemoryLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        terms: dict[str, Any] = {term: timedelta.max // MICROSECOND}
        operation_id = system.ask(StartOperation(name="Billing.Run", **terms))
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime()) as system:
        (found,) = system.operations.find()
        assert LATEST in {found.stalls_at, found.beat_by, found.overdue_at}
        system.operations.progress(operation_id, 50)
        system.operations.heartbeat(operation_id)
        assert system.operations.statistics().by_name["Billing.Run"][ts.OperationStatus.RUNNING] == 1
        system.operations.succeed(operation_id)
        assert system.health().restarts == 0


def far_operation(system: ts.System) -> None:
    system.operations.start("Billing.Run", timeout=HUNDREDS_OF_YEARS)


def far_schedule(system: ts.System) -> None:
    system.schedules.after(HUNDREDS_OF_YEARS, Begun(timeout_us=1), id="far")


def last_moment(system: ts.System) -> None:
    system.schedules.at(datetime.max.replace(tzinfo=UTC), Begun(timeout_us=1), id="far")


def far_execution(system: ts.System) -> None:
    system.ask(Begun(timeout_us=timedelta.max // MICROSECOND))


@pytest.mark.parametrize("wait", [far_operation, far_schedule, last_moment, far_execution])
def test_what_is_due_in_hundreds_of_years_holds_nobody_up(runtime: Runtime, wait: Callable[[ts.System], None]) -> None:
    """A thread cannot sleep for so long, and must not end of the attempt."""
    with ts.System([Askers()], performers=[Ask.performed_by(lambda _ask, _call: "yes")], runtime=runtime) as system:
        wait(system)
        begun = [system.ask(Begun(timeout_us=HUNDREDS_OF_YEARS // MICROSECOND), timeout_s=PATIENCE_S) for _ in range(3)]
        wait_until(lambda: not any(map(system.open_execution, begun)))
        assert (system.health().status, system.health().restarts) == ("running", 0)


def test_an_attempt_that_has_more_time_than_calendars_is_retried_as_any(stage: Stage) -> None:
    def refuse(_ask: Ask, _call: ts.Call) -> str:
        raise ConnectionError

    with ts.System([Askers()], performers=[Ask.performed_by(refuse)], runtime=ts.SteppedRuntime(stage.clock)) as system:
        token = system.ask(Begun(timeout_us=timedelta.max // MICROSECOND))
        started = next(iter(system.events(event_types=("AskingStarted",))))
        assert b"9999-12-30" in started.payload
        assert isinstance(system._runtime, ts.SteppedRuntime)
        system._runtime.advance(timedelta(minutes=1))
        assert [each.event_type for each in system.events(token=token)][1:] == ["RetryScheduled", "AttemptStarted", "AskingFailed"]
        assert system.health().restarts == 0


def test_a_sweep_of_none_but_the_infinitely_old_finds_none(stage: Stage) -> None:
    stage.system.operations.start("Billing.Run")
    assert stage.system.watch().sweep(older_than=timedelta.max).given_up == ()


def test_nobody_sleeps_longer_than_a_day_at_once() -> None:
    clock = SystemClock()
    assert clock.sleeping_us(1 << 62) == LONGEST_SLEEP_S
    assert clock.sleeping_us(clock.now_us() + 10_000_000) <= 10.0
