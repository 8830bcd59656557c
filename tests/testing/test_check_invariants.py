"""One system, without a simulation: `check_invariants` holds what is in memory, and what a rebuilding would make, against the log."""

from datetime import timedelta
from pathlib import Path

import pytest

import tallystick as ts
from tallystick.testing import Chance, InvariantViolation, check_invariants
from tests.actors.outside import wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Order
from tests.testing.shops import SimulatedWorkshop


def test_a_system_at_rest_passes() -> None:
    stage = Stage()
    stage.system.ask(Do(job_id="a"))
    stage.system.ask(Order(order_id="b"), idempotency_key="once")
    stage.idle()
    model = check_invariants(stage.system)
    assert [each["settled"] for each in model.executions.values()] == ["succeeded", "succeeded"]
    assert list(model.commands) == ["once"]


def test_a_system_on_threads_and_sqlite_is_checked_too(tmp_path: Path) -> None:
    program = SimulatedWorkshop(Chance(1))
    with ts.System(program.modules(), performers=program.performers(), log=tmp_path / "log.db") as system:
        for wish in program.wishes():
            system.ask(wish.command, idempotency_key=wish.key)

        def is_done() -> bool:
            program.deliver(system)
            return system.open_executions() == ()

        wait_until(is_done)
        model = check_invariants(system)
    assert len(model.executions) == program.jobs


def test_a_state_that_is_not_the_fold_of_its_log_is_found() -> None:
    stage = Stage()
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    state = stage.engine.owners["workshop"].state
    state.entries = {stream: (version + 1, states) for stream, (version, states) in state.entries.items()}
    with pytest.raises(InvariantViolation, match=r"^S7: Job 'a' is .* at version 3") as violation:
        check_invariants(stage.system)
    assert (violation.value.invariant, violation.value.seed) == ("S7", None)


def test_a_violation_says_where_and_in_which_run() -> None:
    violation = InvariantViolation("S1", "twice", position=7, token=ts.Token("t"), seed=3)
    assert str(violation) == "S1: twice (position 7, token t, seed 3)"
    assert isinstance(violation, ts.TallystickError)
    assert isinstance(violation, AssertionError)


def test_a_system_with_operations_is_as_its_log_says() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        with system.bracket("Nightly.Import", correlation="night 1"):
            pass
        system.operations.start("Nightly.Open")
        check_invariants(system)


class Made(ts.Event):
    aggregate_type = "Made"
    name: str

    @property
    def aggregate_id(self) -> str:
        return self.name


class Make(ts.Command[str]):
    name: str


class Work(ts.Action[str]):
    name: str


def maker(*, retries: int, timeout_s: float | None = None) -> ts.Module:
    """A program, as it is in one release or another."""

    class Making(ts.Intent[str]):
        name: str
        timeout = None if timeout_s is None else timedelta(seconds=timeout_s)
        retry = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=retries)
        ends_with = (Made,)

    class Maker(ts.Module):
        name = "maker"

        @ts.handles(Make)
        def make(self, _turn: ts.Turn, command: Make) -> ts.Decision[str]:
            yield ts.Begin(intent=Making(name=command.name), actions=(Work(name=command.name),))
            return command.name

        @Making.settled
        def settle(self, _turn: ts.Turn, making: Making, _outcome: ts.Outcome[str]) -> ts.Effects:
            yield Made(name=making.name)

    return Maker()


def made_after(failures: int, module: ts.Module, log: ts.EventLog) -> None:
    """Something is made with so many retries, and the log is good."""
    left = [RuntimeError("not yet")] * failures

    def work(_work: Work, _call: ts.Call) -> str:
        if left:
            raise left.pop()
        return "made"

    runtime = ts.SteppedRuntime()
    with ts.System([module], performers=[Work.performed_by(work)], log=log, runtime=runtime) as system:
        before = system.health().tail
        system.ask(Make(name="a"))
        runtime.advance(timedelta(minutes=1))
        assert [each.event_type for each in system.events(after=before)].count("RetryScheduled") == failures
        assert not left, "it was made in the end"
        check_invariants(system)


def test_retries_of_what_has_no_timeout_pass() -> None:
    made_after(2, maker(retries=2), ts.MemoryLog())


def test_what_was_written_under_other_limits_passes() -> None:
    log = ts.MemoryLog()
    made_after(2, maker(retries=2, timeout_s=5), log)
    made_after(0, maker(retries=1, timeout_s=7), log.reopened())
