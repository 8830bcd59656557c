"""A further attempt of an operation has a time of its own: until that is up nobody takes the operation for overdue or for an orphan."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.domain.operations.figures import snapshots_of
from tallystick.domain.operations.operation import OperationSnapshot
from tallystick.domain.token import Token
from tests.actors.outside import FaultyLog

MINUTE = timedelta(minutes=1)


@pytest.fixture
def runtime() -> ts.SteppedRuntime:
    return ts.SteppedRuntime(ts.ManualClock())


@pytest.fixture
def system(runtime: ts.SteppedRuntime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def retried(system: ts.System, runtime: ts.SteppedRuntime) -> str:
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="retry")
    runtime.advance(1.5 * MINUTE)
    return operation_id


def waiting_for_its_retry(system: ts.System, runtime: ts.SteppedRuntime) -> str:
    policy = ts.FixedDelay(interval=10 * MINUTE, max_retries=1)
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="retry", retry=policy)
    runtime.advance(5 * MINUTE)
    return operation_id


def retried_by_a_person(system: ts.System, runtime: ts.SteppedRuntime) -> str:
    operation_id = system.operations.start("Import", timeout=MINUTE)
    runtime.advance(MINUTE / 2)
    system.operations.retry(operation_id, by="ann", why="the provider is back")
    runtime.advance(MINUTE * 0.75)
    return operation_id


def given_more_time_by_its_handler(system: ts.System, runtime: ts.SteppedRuntime) -> str:
    system.operations.when_overdue("Import", lambda _operation, _round: "retry")
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="handler")
    runtime.advance(1.5 * MINUTE)
    return operation_id


EXTENDED = [retried, waiting_for_its_retry, retried_by_a_person, given_more_time_by_its_handler]


def known(system: ts.System, operation_id: str) -> OperationSnapshot:
    """What is known of it, which is the same in its snapshot, in the index, and to whoever reads the log without a program."""
    operation = system.operations.get(operation_id)
    assert operation is not None
    assert operation == system.operations.index().get(operation_id) == snapshots_of(system.events())[operation_id]
    return operation


@pytest.mark.parametrize("extended", EXTENDED)
def test_within_its_time_it_is_neither_overdue_nor_an_orphan(
    system: ts.System, runtime: ts.SteppedRuntime, extended: Callable[[ts.System, ts.SteppedRuntime], str]
) -> None:
    operation_id = extended(system, runtime)
    assert not known(system, operation_id).status.ended
    assert system.operations.find_overdue() == []
    assert system.watch().look().alerts == ()
    assert system.watch().sweep().given_up == ()
    assert not known(system, operation_id).status.ended


@pytest.mark.parametrize("extended", [retried, retried_by_a_person])
def test_it_is_overdue_when_the_time_of_its_attempt_is_up(
    system: ts.System, runtime: ts.SteppedRuntime, extended: Callable[[ts.System, ts.SteppedRuntime], str]
) -> None:
    operation_id = extended(system, runtime)
    execution = system.open_execution(Token(operation_id))
    assert execution is not None
    assert known(system, operation_id).overdue_at == execution.execution.view().deadline


def test_a_retry_that_is_not_due_yet_says_when_its_attempt_will_be_over(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation = known(system, waiting_for_its_retry(system, runtime))
    assert operation.started_at is not None
    assert operation.overdue_at == operation.started_at + 12 * MINUTE
    runtime.advance(7 * MINUTE)
    assert [each.code for each in system.operations.find(status=ts.OperationStatus.FAILED)] == ["TIMED_OUT"]


def test_a_sweep_judges_anew_one_that_is_tried_again_meanwhile(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation = known(system, retried_by_a_person(system, runtime))
    assert not system.operations.give_up(operation, "it was overdue when somebody looked")
    assert known(system, operation.operation_id).status == "Pending"


@pytest.mark.parametrize("extended", EXTENDED[:3])
def test_another_process_knows_it_too(runtime: ts.SteppedRuntime, extended: Callable[[ts.System, ts.SteppedRuntime], str]) -> None:
    log = FaultyLog()
    system = ts.System(log=log, runtime=runtime)
    system.__enter__()
    before = known(system, extended(system, runtime))
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(runtime.clock)) as again:
        assert known(again, before.operation_id) == before
        assert again.operations.find_overdue() == []
