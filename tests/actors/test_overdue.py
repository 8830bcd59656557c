"""What becomes of operations that are overdue, by each policy; and what people, keys and audit records add to them."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.domain.operations.events import Verdict
from tallystick.domain.token import Token
from tallystick.testing import check_invariants
from tests.actors.outside import FaultyLog, StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Do

MINUTE = timedelta(minutes=1)


@pytest.fixture
def runtime() -> ts.SteppedRuntime:
    return ts.SteppedRuntime(ts.ManualClock())


@pytest.fixture
def system(runtime: ts.SteppedRuntime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def found(system: ts.System, operation_id: str) -> ts.OperationSnapshot:
    operation = system.operations.get(operation_id)
    assert operation is not None
    return operation


def test_abandoned_or_failed_when_the_time_that_the_call_gave_is_up(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    abandoned = system.operations.start("Import", timeout=5 * MINUTE)
    failed = system.operations.start("Import", timeout=6 * MINUTE, on_overdue="fail")
    runtime.advance(5 * MINUTE)
    assert (found(system, abandoned).status, found(system, failed).status) == ("Abandoned", "Pending")
    runtime.advance(MINUTE)
    assert (found(system, failed).status, found(system, failed).code) == ("Failed", "TIMED_OUT")


def test_what_ends_by_itself_is_told_once_with_the_standard_tags(
    system: ts.System, runtime: ts.SteppedRuntime, lines: list[dict[str, object]]
) -> None:
    """By its time, by its handler's decision, and as an orphan: nobody who would tell of it waits for such an end."""
    system.operations.when_overdue("Judged", lambda _operation, _round: "fail")
    begun = {
        "abandoned": system.operations.start("Import", timeout=5 * MINUTE),
        "failed": system.operations.start("Import", timeout=5 * MINUTE, on_overdue="fail", tags={"tenant": "a"}),
        "retried": system.operations.start(
            "Import", timeout=MINUTE, on_overdue="retry", retry=ts.FixedDelay(interval=MINUTE, max_retries=1)
        ),
        "judged": system.operations.start("Judged", timeout=5 * MINUTE, on_overdue="handler"),
        "orphan": system.operations.start("Import"),
    }
    runtime.advance(5 * MINUTE)
    runtime.advance(MINUTE)
    system.watch().sweep(older_than=MINUTE)
    ends = [line for line in lines if line["event"] in {"operation.failed", "operation.abandoned", "operation.completed"}]
    assert {each["operation_id"]: (each["event"], each["outcome"], each.get("code")) for each in ends} == {
        begun["abandoned"]: ("operation.abandoned", "Warning", None),
        begun["failed"]: ("operation.failed", "Failure", "TIMED_OUT"),
        begun["retried"]: ("operation.failed", "Failure", "TIMED_OUT"),
        begun["judged"]: ("operation.failed", "Failure", "OVERDUE"),
        begun["orphan"]: ("operation.abandoned", "Warning", None),
    }
    assert len(ends) == len(begun), "each end is told once"
    assert {(each["operation"], each["milliseconds"]) for each in ends} == {
        *(("Import", 300_000), ("Judged", 300_000), ("Import", 180_000), ("Import", 360_000)),
    }
    assert all(each["correlation"] == system.operations.correlation_of(str(each["operation_id"])) for each in ends)
    assert all(each["log_level"] == "warning" for each in ends)


def test_abandoned_ones_are_told_newest_first(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    first, second, third = (system.operations.start("Import", timeout=minutes * MINUTE) for minutes in (7, 5, 6))
    runtime.advance(10 * MINUTE)
    assert [each.operation_id for each in system.operations.abandoned()] == [first, third, second]
    assert [each.operation_id for each in system.operations.abandoned(limit=2)] == [first, third]


def test_the_line_of_an_end_comes_when_the_end_is_durable(lines: list[dict[str, object]]) -> None:
    log = FaultyLog()
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System(log=log, runtime=runtime) as system:
        operation_id = system.operations.start("Import", timeout=5 * MINUTE)
        log.disk.fails(written=False)
        runtime.advance(5 * MINUTE)
        runtime.run_until_idle()
        assert found(system, operation_id).status == "Abandoned"
    assert [line["event"] for line in lines].count("operation.abandoned") == 1


def test_retried_as_the_policy_says_and_then_failed(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    policy = ts.FixedDelay(interval=MINUTE, max_retries=2)
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="retry", retry=policy)
    runtime.advance(5 * MINUTE)
    assert "attempt 2, due in 60 s" in system.why(operation_id).sentence
    runtime.advance(6 * MINUTE)
    assert found(system, operation_id).status == "Pending"
    assert [each.aggregate_id for each in system.events(event_types=("AttemptStarted",))] == [operation_id]
    runtime.advance(6 * MINUTE)
    assert (found(system, operation_id).status, found(system, operation_id).message) == ("Failed", "timed out after 3 attempts")


def test_retried_as_often_as_the_policy_says_for_nobody_is_called(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    """The limit of calls is there for the outside world, which hears nothing of these attempts."""
    policy = ts.FixedDelay(interval=MINUTE, max_retries=30)
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="retry", retry=policy)
    runtime.advance(60 * MINUTE)
    assert system.why(operation_id).standing.attempt == 31
    check_invariants(system)
    runtime.advance(MINUTE)
    assert (found(system, operation_id).status, found(system, operation_id).message) == ("Failed", "timed out after 31 attempts")


def test_a_success_of_any_attempt_completes(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="retry")
    runtime.advance(5 * MINUTE)
    system.operations.succeed(operation_id)
    assert found(system, operation_id).status == "Succeeded"


def test_left_to_the_watcher(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="alert")
    runtime.advance(60 * MINUTE)
    assert found(system, operation_id).status == "Pending"
    assert [each.operation_id for each in system.operations.find_overdue()] == [operation_id]


@pytest.mark.parametrize(
    ("verdict", "status", "code"), [("abandon", "Abandoned", ""), ("fail", "Failed", "OVERDUE"), ("alert", "Pending", "")]
)
def test_the_hosts_own_handler_decides(system: ts.System, runtime: ts.SteppedRuntime, verdict: Verdict, status: str, code: str) -> None:
    asked: list[tuple[str, int]] = []

    def decide(operation: ts.OperationSnapshot, number: int) -> Verdict:
        asked.append((operation.operation_id, number))
        return verdict

    system.operations.when_overdue("Import", decide)
    system.operations.when_overdue("", lambda _operation, _number: "fail")
    operation_id = system.operations.start("Import.Lines", timeout=5 * MINUTE, on_overdue="handler")
    runtime.advance(60 * MINUTE)
    assert asked == [(operation_id, 1)]
    assert (found(system, operation_id).status, found(system, operation_id).code) == (status, code)


def test_a_handler_that_gives_more_time_is_asked_again(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    asked: list[int] = []

    def decide(_operation: ts.OperationSnapshot, number: int) -> Verdict:
        asked.append(number)
        return "retry" if number < 3 else "abandon"

    system.operations.when_overdue("Import", decide)
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="handler")
    runtime.advance(14 * MINUTE)
    assert (asked, found(system, operation_id).status) == ([1, 2], "Pending")
    runtime.advance(MINUTE)
    assert (asked, found(system, operation_id).status) == ([1, 2, 3], "Abandoned")
    assert system.open_executions() == ()


def test_whatever_ends_first_ends_the_waiting_for_a_handler(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="handler")
    system.operations.succeed(operation_id)
    assert system.open_executions() == ()
    runtime.advance(60 * MINUTE)
    assert found(system, operation_id).status == "Succeeded"


def test_nobody_to_decide_abandons_and_says_so(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=5 * MINUTE, on_overdue="handler")
    runtime.advance(60 * MINUTE)
    assert found(system, operation_id).status == "Abandoned"
    assert "no decision" in found(system, operation_id).message


@pytest.mark.parametrize("answer", ["nope", None, ["fail"]])
def test_a_handler_that_answers_with_no_verdict_abandons_and_says_so(system: ts.System, runtime: ts.SteppedRuntime, answer: Any) -> None:
    system.operations.when_overdue("Import", lambda _operation, _round: answer)
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="handler")
    runtime.advance(MINUTE)
    assert (found(system, operation_id).status, system.dead_letters()) == ("Abandoned", ())
    assert found(system, operation_id).message == "its handler came to no decision: NO_VERDICT"


def test_a_person_retries_a_stalled_one_and_that_is_recorded(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=60 * MINUTE, stalled_after=MINUTE)
    runtime.advance(2 * MINUTE)
    system.operations.mark_stalled()
    system.operations.retry(operation_id, by="ann", why="the provider is back")
    assert found(system, operation_id).status == "Running"
    redriven = next(system.events(event_types=("ExecutionRedriven",)))
    assert b'"who":"ann","why":"the provider is back"' in redriven.payload
    assert system.why(operation_id).standing.attempt == 2
    runtime.advance(59 * MINUTE)
    assert found(system, operation_id).status == "Running", "a new attempt has its own time"
    runtime.advance(MINUTE)
    assert found(system, operation_id).status == "Abandoned"
    with pytest.raises(ts.AlreadyEnded):
        system.operations.retry(operation_id, by="ann", why="again")


def test_what_is_no_operation_is_not_retried_as_one(stage: Stage) -> None:
    """Neither another module's execution, whose actions would be performed again, nor the time that a handler's operation has."""
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    handled = stage.system.operations.start("Import", timeout=MINUTE, on_overdue="handler")
    ours = {handled, stage.token("a")}
    deadline = next(each.execution.token for each in stage.system.open_executions() if each.execution.token not in ours)
    for token in (stage.token("a"), deadline):
        with pytest.raises(ts.AlreadyEnded, match="is not open"):
            stage.system.operations.retry(token, by="ann", why="a wrong id was pasted")
    assert not stage.of_type("ExecutionRedriven")
    assert len(stage.provider.calls) == 1


def test_a_person_resumes_a_stalled_one_only(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", stalled_after=MINUTE)
    with pytest.raises(ts.Rejected, match="NOT_STALLED"):
        system.operations.resume(operation_id, by="ann", why="early")
    runtime.advance(2 * MINUTE)
    system.operations.mark_stalled()
    system.operations.resume(operation_id, by="ann", why="it is slow")
    assert found(system, operation_id).status == "Running"


def test_intents_and_completions_by_token_keep_the_result(system: ts.System) -> None:
    token = system.record_intent("OrderSubmission", timeout=5 * MINUTE, metadata={"streamId": "o1"}, idempotency_key="submit o1")
    assert system.record_intent("OrderSubmission", timeout=5 * MINUTE, metadata={"streamId": "o1"}, idempotency_key="submit o1") == token
    assert system.record_completion(token, result={"orderId": "o1"})
    assert not system.record_completion(token, "failure", reason="EMPTY_ORDER")
    assert (found(system, token).status, found(system, token).data) == ("Succeeded", {"orderId": "o1"})
    refused = system.record_intent("OrderSubmission")
    system.record_completion(refused, "failure", reason="EMPTY_ORDER")
    assert (found(system, refused).status, found(system, refused).code) == ("Failed", "EMPTY_ORDER")
    given_up = system.record_intent("OrderSubmission")
    system.record_completion(given_up, "abandoned", reason="no answer")
    assert [each.operation_id for each in system.operations.abandoned(name_prefix="Order")] == [given_up]


def test_whoever_ends_an_operation_has_it_told_once_with_the_standard_tags(system: ts.System, lines: list[dict[str, object]]) -> None:
    ids = [system.record_intent("Import") for _ in range(5)]
    assert system.record_completion(ids[0])
    assert system.record_completion(ids[1], "failure", reason="EMPTY_ORDER")
    assert system.record_completion(ids[2], "abandoned", reason="no answer")
    assert system.complete(Token(ids[3]), ts.Ending(status="Failed", code="LOST"))
    execution = system.open_execution(Token(ids[4]))
    assert execution is not None
    system.abandon(execution, "not wanted any more")
    for operation_id in ids[:4]:
        assert not system.record_completion(operation_id, "failure", reason="TOO_LATE")
        assert not system.complete(Token(operation_id), ts.Ending(status="Failed", code="TOO_LATE"))
    ends = [line for line in lines if line["event"] in {"operation.failed", "operation.abandoned", "operation.completed"}]
    assert [(each["operation_id"], each["event"], each["outcome"], each.get("code")) for each in ends] == [
        (ids[0], "operation.completed", "Success", None),
        (ids[1], "operation.failed", "Failure", "EMPTY_ORDER"),
        (ids[2], "operation.abandoned", "Warning", None),
        (ids[3], "operation.failed", "Failure", "LOST"),
        (ids[4], "operation.completed", "Warning", None),
    ]
    assert all(each["operation"] == "Import" for each in ends)


def test_one_that_its_key_has_found_is_not_told_as_started_again(
    system: ts.System, runtime: ts.SteppedRuntime, lines: list[dict[str, object]]
) -> None:
    first = system.operations.start("Import", idempotency_key="import a")
    runtime.advance(MINUTE)
    assert system.operations.start("Import", idempotency_key="import a") == first
    assert [line["operation_id"] for line in lines if line["event"] == "operation.started"] == [first]


@pytest.mark.parametrize("result", [{"body": b"raw"}, {"rows": [1]}, [1]])
def test_a_result_is_plain_values_by_name_whoever_gives_it(system: ts.System, result: Any) -> None:
    token = system.record_intent("Import")
    with pytest.raises(ts.InvalidPayload):
        system.record_completion(token, result=result)
    with pytest.raises(ts.InvalidPayload):
        system.operations.complete(token, ts.Ending(status="Succeeded", data=result))
    with pytest.raises(ts.InvalidPayload):
        system.complete(Token(token), ts.Ending(status="Succeeded", data=result))
    assert found(system, token).status == "Pending"


def test_a_sensitive_result_shows_only_whose_it_is(system: ts.System) -> None:
    token = system.record_intent("Import")
    assert system.record_completion(token, result={"email": ts.sensitive("ann@example.org", of="ann")})  # type: ignore[dict-item]
    assert found(system, token).data == {"email": "<sensitive of 'ann'>"}


def test_a_completion_is_one_of_three(system: ts.System) -> None:
    token = system.record_intent("OrderSubmission")
    unheard_of: Any = "ok"
    with pytest.raises(ts.InvalidOperation, match="'ok' is no completion; say success, failure or abandoned"):
        system.record_completion(token, unheard_of)
    assert found(system, token).status == "Pending"


def test_a_bracket_with_a_key_is_entered_again_and_its_result_is_there(runtime: ts.SteppedRuntime) -> None:
    log = FaultyLog()
    with ts.System(log=log, runtime=runtime) as system, system.bracket("Agent.Call", idempotency_key="run 1, call 1") as first:
        assert not first.ended
        first.data = {"answer": 42}
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(ts.ManualClock())) as again:
        with again.bracket("Agent.Call", idempotency_key="run 1, call 1") as second:
            assert (second.id, second.ended) == (first.id, True)
            assert second.found is not None
            assert second.found.data == {"answer": 42}
        assert [each.event_type for each in again.events() if each.settles] == ["OperationSucceeded"]


def test_open_intents_are_asked_for_by_type_age_and_number(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    for name in ("Import", "Import", "Export"):
        system.operations.start(name)
        runtime.advance(MINUTE)
    asked = system.operations.open_intents(name_prefix="Import", older_than=2 * MINUTE, limit=5)
    assert [(each.operation.name, each.since_start) for each in asked] == [("Import", 3 * MINUTE), ("Import", 2 * MINUTE)]
    assert len(system.operations.open_intents(limit=1)) == 1


def test_of_a_limit_of_none_there_are_none_and_what_is_below_is_refused(system: ts.System) -> None:
    open_one, given_up = (system.operations.start("Import") for _ in range(2))
    system.operations.abandon(given_up, by="ann", why="it hangs")
    asked: list[Callable[[int], Sequence[object]]] = [
        lambda limit: system.operations.find(limit=limit),
        lambda limit: system.operations.open_intents(limit=limit),
        lambda limit: system.operations.abandoned(limit=limit),
        lambda limit: list(system.events(limit=limit)),
    ]
    assert [len(ask(1)) for ask in asked] == [1, 1, 1, 1]
    assert [len(ask(0)) for ask in asked] == [0, 0, 0, 0]
    for ask in asked:
        with pytest.raises(ValueError, match="limit is -1; it cannot be below zero"):
            ask(-1)
    for size in (0, -1):  # whoever goes on to the next page would never come to the last
        with pytest.raises(ts.InvalidOperation, match="give a size of 1 or more"):
            system.operations.page(size=size)
    assert [each.operation_id for each in system.operations.find()] == [given_up, open_one]


def test_pages_lose_none_of_those_that_began_at_one_time(system: ts.System) -> None:
    ids = [system.operations.start("Import") for _ in range(5)]
    seen: list[str] = []
    page = system.operations.page(size=2)
    while True:
        seen += [each.operation_id for each in page.operations]
        if page.next is None:
            break
        page = system.operations.page(size=2, before=page.next)
    assert seen == ids[::-1]


def test_durations_are_percentiles_by_name(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    for minutes in range(1, 11):
        operation_id = system.operations.start("Import")
        runtime.advance(minutes * MINUTE)
        system.operations.succeed(operation_id)
    took = system.operations.statistics().durations["Import"]
    assert took == (10, 5 * MINUTE, 9 * MINUTE, 10 * MINUTE, 10 * MINUTE)
