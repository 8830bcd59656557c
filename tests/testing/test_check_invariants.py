"""One system, without a simulation: `check_invariants` holds what is in memory, and what a rebuilding would make, against the log."""

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
