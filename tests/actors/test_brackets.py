"""Brackets: whatever leaves a body, its operation has exactly one end in the log, and the body's own exception goes on as it was."""

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.surroundings import surroundings
from tests.actors.outside import FaultyLog, Provider
from tests.actors.workshop import Desk, Do, Ledger, Workshop


@pytest.fixture
def system(runtime: Runtime) -> Iterator[ts.System]:
    """An empty system, on each runtime."""
    with ts.System(runtime=runtime) as system:
        yield system


def status(system: ts.System, operation: ts.Operation) -> ts.OperationStatus:
    snapshot = system.operations.get(operation.id)
    assert snapshot is not None
    return snapshot.status


def ends(system: ts.System) -> list[str]:
    return [each.event_type for each in system.events() if each.settles is not None]


def fail(text: str) -> None:
    raise ValueError(text)


class Unwanted(BaseException):
    """Neither an error nor a wish to stop."""


def test_a_body_that_leaves_normally_has_succeeded(system: ts.System) -> None:
    with system.bracket("Billing.Invoice.Generate", tags={"tenant": "a"}) as operation:
        assert status(system, operation) == ts.OperationStatus.PENDING, "it is in the log before the body runs"
        operation.message = "42 invoices"
    snapshot = system.operations.get(operation.id)
    assert snapshot is not None
    assert (snapshot.status, snapshot.message, snapshot.tags) == (ts.OperationStatus.SUCCEEDED, "42 invoices", {"tenant": "a"})
    assert ends(system) == ["OperationSucceeded"]
    assert system.open_executions() == ()


def test_trap_an_exception_that_escapes_is_a_failure_with_evidence_and_goes_on(system: ts.System) -> None:
    error = ValueError("no such customer")
    with pytest.raises(ValueError, match="no such customer") as caught, system.bracket("Import") as operation:
        raise error
    assert caught.value is error
    snapshot = system.operations.get(operation.id)
    assert snapshot is not None
    assert snapshot.status == ts.OperationStatus.FAILED
    assert snapshot.failure is not None
    assert (snapshot.failure.kind, snapshot.failure.message) == ("ValueError", "no such customer")
    assert snapshot.failure.stack[-1].startswith("test_brackets.py:")
    assert [each.settles for each in system.events(event_types=("OperationFailed",))] == ["failed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()], ids=lambda error: type(error).__name__)
def test_whoever_does_not_want_it_any_more_cancels_it(system: ts.System, error: BaseException) -> None:
    with pytest.raises(type(error)), system.bracket("Import") as operation:
        raise error
    assert status(system, operation) == ts.OperationStatus.CANCELED


def test_any_other_exception_is_a_failure(system: ts.System) -> None:
    with pytest.raises(Unwanted), system.bracket("Import") as operation:
        raise Unwanted
    assert status(system, operation) == ts.OperationStatus.FAILED


def test_trap_a_completed_operation_is_not_completed_again(system: ts.System) -> None:
    with system.bracket("Import") as operation:
        pass
    with pytest.raises(ts.AlreadyEnded, match="first end stands"):
        system.operations.fail(operation.id, "LATE")
    with pytest.raises(ts.AlreadyEnded):
        system.operations.succeed(operation.id)
    with pytest.raises(ts.AlreadyEnded, match="has ended already"):
        system.operations.progress(operation.id, 50)
    assert status(system, operation) == ts.OperationStatus.SUCCEEDED
    assert len(ends(system)) == 1


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan"), float("inf")])
def test_trap_progress_that_is_no_percentage_is_refused(system: ts.System, percent: float) -> None:
    with system.bracket("Import") as operation:
        with pytest.raises(ts.InvalidOperation, match="between 0 and 100"):
            operation.progress(percent)
        with pytest.raises(ts.InvalidOperation):
            system.operations.progress(operation.id, percent)
        assert status(system, operation) == ts.OperationStatus.PENDING


@pytest.mark.parametrize(
    "name", ["", " ", "import", "Import.", ".Import", "Import..Lines", "Import for Ann", "Import/1", "I" * 201, "Rechnung.Ä"]
)
def test_names_are_of_the_code_and_not_of_its_users(system: ts.System, name: str) -> None:
    with pytest.raises(ts.InvalidOperation, match="stable and dotted"):
        system.bracket(name)
    with pytest.raises(ts.InvalidOperation):
        system.operations.start(name)


def test_brackets_inside_are_children_and_have_one_correlation(system: ts.System) -> None:
    with (
        system.bracket("Outer", tags={"tenant": "a"}) as outer,
        system.bracket("Middle") as middle,
        system.bracket("Inner", tags={"part": "b"}) as inner,
    ):
        pass
    found = {each.name: each for each in system.operations.find()}
    assert (found["Outer"].parent, found["Middle"].parent, found["Inner"].parent) == ("", outer.id, middle.id)
    assert found["Inner"].tags == {"tenant": "a", "part": "b"}
    assert len({each.correlation for each in system.events(aggregate_type="Operation")}) == 1
    assert [each.name for each in system.operations.find(parent=middle.id)] == ["Inner"]
    assert [each.operation_id for each in system.operations.find(tag=("part", "b"))] == [inner.id]
    assert surroundings().operation_id == ""


def test_a_failure_inside_fails_what_is_around_it_each_with_its_own_evidence(system: ts.System) -> None:
    with pytest.raises(ValueError, match="deep"), system.bracket("Outer") as outer, system.bracket("Inner") as inner:
        fail("deep")
    assert status(system, inner) == status(system, outer) == ts.OperationStatus.FAILED
    assert system.operations.statistics().by_status == {ts.OperationStatus.FAILED: 2}


def test_a_correlation_that_comes_from_outside_is_kept(system: ts.System) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with system.bracket("Webhook.Process", traceparent=trace), system.bracket("Inner"):
        assert surroundings().traceparent == trace
    assert {each.correlation for each in system.events(aggregate_type="Operation")} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    with system.bracket("Webhook.Process", correlation="corr-123", traceparent=trace):
        pass
    assert [each.name for each in system.operations.find(correlation="corr-123")] == ["Webhook.Process"]
    with system.bracket("Webhook.Process", traceparent="not one") as operation:
        pass
    assert status(system, operation) == ts.OperationStatus.SUCCEEDED


def test_commands_asked_inside_and_what_they_lead_to_have_its_correlation_and_tags() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System([Desk(), Workshop(), Ledger()], performers=Provider().performers(), runtime=runtime) as system:
        with system.bracket("Outer", correlation="corr-1", tags={"tenant": "a"}):
            system.ask(Do(job_id="x"))
        runtime.run_until_idle()
        of_job = [each for each in system.events() if each.aggregate_type not in {"Operation", "Owner"}]
        assert {each.correlation for each in of_job} == {"corr-1"}
        assert "JobDone" in {each.event_type for each in of_job}
        (started,) = system.events(event_types=("MakingStarted",))
        assert b'"tenant":"a"' in started.payload


def test_surroundings_flow_into_tasks_and_into_threads_that_are_given_them(system: ts.System) -> None:
    async def both() -> tuple[str, str]:
        async def task() -> str:
            return surroundings().operation_id

        return await asyncio.create_task(task()), await asyncio.to_thread(lambda: surroundings().operation_id)

    seen: list[str] = []
    with system.bracket("Outer") as outer:
        assert asyncio.run(both()) == (outer.id, outer.id)
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(lambda: seen.append(surroundings().operation_id),))
        thread.start()
        thread.join()
    assert seen == [outer.id]


def test_tasks_side_by_side_do_not_see_each_others_operations(runtime: Runtime) -> None:
    async def one(system: ts.System, name: str, met: asyncio.Barrier) -> str:
        async with system.bracket(name) as operation:
            await met.wait()
            assert surroundings().operation_id == operation.id
            async with system.bracket("Inner") as inner:
                await met.wait()
            snapshot = system.operations.get(inner.id)
            assert snapshot is not None
            assert snapshot.parent == operation.id
            return operation.id

    async def all_of_them() -> None:
        async with ts.System(runtime=runtime) as system:
            met = asyncio.Barrier(3)
            assert len(set(await asyncio.gather(*(one(system, "Outer", met) for _ in range(3))))) == 3

    asyncio.run(all_of_them())


def test_a_cancelled_task_cancels_its_operation(system: ts.System) -> None:
    async def main() -> ts.OperationStatus:
        began = asyncio.Event()
        ids: list[ts.Operation] = []

        async def body() -> None:
            async with system.bracket("Import") as operation:
                ids.append(operation)
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return status(system, ids[0])

    assert asyncio.run(main()) == ts.OperationStatus.CANCELED


def test_a_term_that_there_is_not_is_refused_and_not_overlooked(system: ts.System) -> None:
    given: dict[str, Any] = {"time_out": timedelta(minutes=5)}
    with pytest.raises(TypeError, match="unexpected keyword argument 'time_out'"):
        system.bracket("Import", **given)


def test_before_it_is_entered_a_system_says_how_to_enter_it() -> None:
    system = ts.System()

    @system.bracket("Import")
    def import_it() -> None:
        pytest.fail("the body must not run")

    with pytest.raises(ts.NotAccepted, match="was not started: use it inside `with system:`"):
        import_it()


def test_a_bracket_is_entered_once(system: ts.System) -> None:
    bracket = system.bracket("Import")
    with bracket:
        pass
    with pytest.raises(ts.InvalidOperation, match="entered before"), bracket:
        pass


def test_a_crash_leaves_it_open_until_its_time_is_over() -> None:
    clock, log = ts.ManualClock(), ts.MemoryLog()
    before = ts.System(log=log, runtime=ts.SteppedRuntime(clock)).__enter__()
    dying = contextvars.copy_context()  # what its process had around it dies with it
    operation = dying.run(before.bracket("Import", timeout=timedelta(minutes=5)).__enter__)
    failing = dying.run(before.bracket("Export", timeout=timedelta(minutes=6), on_overdue="fail").__enter__)
    watched = dying.run(before.bracket("Watch", timeout=timedelta(minutes=5), on_overdue="alert").__enter__)
    runtime = ts.SteppedRuntime(clock)
    with ts.System(log=log.reopened(), runtime=runtime) as system:
        assert [each.name for each in system.operations.open()] == ["Import", "Export", "Watch"]
        runtime.advance(timedelta(minutes=5, seconds=-1))
        assert status(system, operation) == ts.OperationStatus.PENDING
        runtime.advance(timedelta(seconds=2))
        assert status(system, operation) == ts.OperationStatus.ABANDONED
        runtime.advance(timedelta(minutes=1))
        snapshot = system.operations.get(failing.id)
        assert snapshot is not None
        assert (snapshot.status, snapshot.code) == (ts.OperationStatus.FAILED, "TIMED_OUT")
        assert status(system, watched) == ts.OperationStatus.PENDING, "only a word to the watcher"


def test_trap_completed_and_abandoned_are_never_both_recorded() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(runtime=runtime) as system:
        with capture_logs() as lines, system.bracket("Import", timeout=timedelta(minutes=1)) as operation:
            assert not operation.cancelled()
            runtime.advance(timedelta(minutes=2))
            assert operation.cancelled()
        assert status(system, operation) == ts.OperationStatus.ABANDONED
        assert ends(system) == ["OperationAbandoned"]
        late = [each.event_type for each in system.events(aggregate_type="Operation", aggregate_id=operation.id)]
        assert late[-1] == "OperationSucceededLate", "that it was done after all is evidence"
        assert [line["event"] for line in lines if line["event"].startswith("operation.")] == [
            "operation.started",
            "operation.abandoned",
            "operation.ended_before",
        ]


def test_a_log_that_fails_masks_no_exception_of_the_body() -> None:
    log, before = FaultyLog(), surroundings()

    def import_something(system: ts.System) -> None:
        with system.bracket("Import"):
            log.disk.fails(written=False)
            fail("the body's")

    with ts.System(log=log, runtime=ts.SteppedRuntime(), restarts=ts.RestartPolicy(restarts=0)) as system:
        with pytest.raises(ValueError, match="the body's") as caught:
            import_something(system)
        assert "could not be ended in the log" in caught.value.__notes__[0]
        assert surroundings() is before


def test_a_log_that_fails_is_heard_of_where_the_body_has_nothing_to_say() -> None:
    log = FaultyLog()
    with (
        ts.System(log=log, runtime=ts.SteppedRuntime(), restarts=ts.RestartPolicy(restarts=0)) as system,
        pytest.raises(ts.TallystickError),
        system.bracket("Import"),
    ):
        log.disk.fails(written=False)


def test_a_system_may_be_without_operations() -> None:
    with ts.System(operations=False, runtime=ts.SteppedRuntime()) as system, pytest.raises(ts.UnknownCommand), system.bracket("Import"):
        pytest.fail("the body must not run")


def test_a_log_has_no_trace_of_operations_before_the_first() -> None:
    log = ts.MemoryLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        assert list(system.events()) == []
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(), operations=False) as system:
        assert list(system.events()) == []


def test_the_hosts_own_lines_inside_have_operation_correlation_and_tags(system: ts.System) -> None:
    before = get_contextvars()
    with system.bracket("Outer", tags={"tenant": "a"}) as outer, system.bracket("Inner", tags={"part": "b"}) as inner:
        bound = get_contextvars()
        correlation = json.loads(structlog.processors.JSONRenderer()(None, "info", {"correlation": bound["correlation"]}))["correlation"]
    assert (bound["operation"], bound["operation_id"], bound["tags"]) == ("Inner", inner.id, {"tenant": "a", "part": "b"})
    assert correlation == str(bound["correlation"]) == system.operations.correlation_of(outer.id)
    assert get_contextvars() == before


def test_what_happened_is_told_with_the_standard_tags(system: ts.System) -> None:
    with capture_logs() as lines:
        with system.bracket("Import", correlation="corr-1"):
            pass
        with pytest.raises(ValueError, match="secret"), system.bracket("Import"):
            fail("secret")
    told = [line for line in lines if line["event"].startswith("operation.")]
    assert [line["event"] for line in told] == ["operation.started", "operation.completed", "operation.started", "operation.failed"]
    assert [line.get("outcome") for line in told] == [None, "Success", None, "Failure"]
    assert told[0]["correlation"] == "corr-1"
    assert "secret" not in str(told), "messages may hold anybody's data: they are in the log, not in the lines"
