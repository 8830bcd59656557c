"""The execution map as a fold: whatever order the engine's events come in, it stays what a plain dictionary says it is."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

import tallystick as ts
from tallystick.domain import execution
from tallystick.domain.envelope import Recorded, Settles, from_micros
from tallystick.domain.execution import ExecutionMap, ExecutionRecord
from tallystick.domain.protocol import (
    ActionsAdvanced,
    AttemptStarted,
    CursorAdvanced,
    ExecutionRedriven,
    HeartbeatRecorded,
    IntentEnded,
    IntentStarted,
    LateSuccess,
    PersonNeeded,
    ProgressReported,
    RetryScheduled,
    TimeoutFired,
)

NOON_US = 1_767_268_800_000_000
MINUTE_US = 60_000_000


class Doing(ts.Intent[str]):
    thing_id: str
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=3)


class Asking(Doing):
    """As `Doing`; a timed-out attempt is not made again."""

    on_timeout = "abandon"


class Step(NamedTuple):
    """One event of the log, about a token or about none."""

    payload: Any
    token: str | None
    settles: Settles | None = None


def started(deadline_us: int | None = NOON_US + MINUTE_US, intent: Doing | None = None) -> IntentStarted[Any, Any]:
    deadline = None if deadline_us is None else from_micros(deadline_us)
    return IntentStarted(intent=intent or Doing(thing_id="t"), deadline=deadline)


def recorded(position: int, step: Step) -> Recorded:
    return Recorded(
        position=position,
        event_type=type(step.payload).__name__,
        schema_version=1,
        aggregate_type="Execution",
        aggregate_id=step.token or "",
        aggregate_version=position,
        occurred_at_us=NOON_US + position,
        owner="doers",
        correlation=f"c{position}",
        payload=b"",
        token=None if step.token is None else ts.Token(step.token),
        settles=step.settles,
    )


def after_event(executions: ExecutionMap, event: Recorded, payload: Any) -> ExecutionMap:
    """An owner's execution map after one more of its events; the same map when the event changes nothing."""
    if event.token is None:
        return executions
    before = executions.get(event.token)
    now = execution.after(before, event, payload)
    if now is before:
        return executions
    return executions.discard(event.token) if now is None else executions.set(event.token, now)


def folded(steps: list[Step]) -> ExecutionMap:
    executions = execution.nothing_open()
    for position, step in enumerate(steps, start=1):
        executions = after_event(executions, recorded(position, step), step.payload)
    return executions


tokens = st.sampled_from(["a", "b"])
attempts = st.integers(min_value=1, max_value=2)
moments = st.integers(min_value=NOON_US, max_value=NOON_US + 10 * MINUTE_US).map(from_micros)
payloads: st.SearchStrategy[Any] = st.one_of(
    st.builds(RetryScheduled, attempt=attempts, retry_at=moments, code=st.just("X")),
    st.builds(AttemptStarted, attempt=attempts, call=st.integers(1, 9), deadline=st.none() | moments),
    st.builds(ActionsAdvanced, attempt=attempts, index=st.integers(0, 2)),
    st.builds(HeartbeatRecorded, attempt=attempts, deadline=st.none() | moments),
    st.builds(
        ProgressReported,
        attempt=attempts,
        percent=st.sampled_from([None, 1.0, 2.0]),
        message=st.sampled_from(["", "x", "y"]),
        deadline=st.none() | moments,
    ),
    st.builds(TimeoutFired, attempt=attempts),
    st.builds(PersonNeeded, reason=st.just("odd"), cause=st.none() | st.just(ts.Failed(code="X"))),
    st.builds(ExecutionRedriven, attempt=attempts, who=st.just("Ann")),
    st.builds(LateSuccess, operation=st.just("Doing"), result=st.just(b'"late"')),
)
ENDED: IntentEnded[Any] = IntentEnded(operation="Doing", outcome=ts.Failed(code="X"))
endings = st.sampled_from(["succeeded", "failed", "abandoned"])
engine_events = st.builds(Step, payloads, tokens)
others = st.one_of(
    st.builds(Step, st.just(ENDED), tokens, endings),
    st.builds(Step, st.sampled_from([started(), started(None)]), tokens),
    st.builds(Step, st.just(CursorAdvanced()), st.none()),
)
# Beginnings and ends are rare, or the lives between them would be short.
steps = st.integers(0, 9).flatmap(lambda lot: others if lot == 0 else engine_events)


class Plain:
    """What one open execution is, in plain values, written down from the words of the protocol."""

    def __init__(self, position: int, deadline: datetime | None) -> None:
        self.position = position
        self.attempt, self.call, self.status = 1, 1, "running"
        self.deadline = deadline
        self.retry_at: datetime | None = None
        self.index = 0
        self.progress: ts.Progress | None = None

    def hear(self, event: Any, position: int) -> None:
        fields: dict[str, Any] = structs.asdict(event)
        alive = self.status in {"running", "fired"} and self.attempt == fields.get("attempt")
        another = isinstance(event, AttemptStarted) and event.attempt != self.attempt
        if another or isinstance(event, RetryScheduled | ExecutionRedriven):
            self.progress = None
        match event.__class__.__name__:
            case "RetryScheduled":
                self.status, self.attempt, self.deadline, self.retry_at = "retrying", fields["attempt"], None, fields["retry_at"]
            case "AttemptStarted":
                self.status, self.attempt, self.call = "running", fields["attempt"], fields["call"]
                self.deadline, self.retry_at = fields["deadline"], None
            case "TimeoutFired" if self.status == "running" and self.attempt == fields["attempt"]:
                self.status = "fired"
            case "ActionsAdvanced" if self.attempt == fields["attempt"]:
                self.index, self.progress = fields["index"], None
            case "HeartbeatRecorded" if alive:
                self.deadline = fields["deadline"]
            case "ProgressReported" if alive:
                said, self.deadline = self.progress, fields["deadline"] or self.deadline
                percent = said.percent if said and fields["percent"] is None else fields["percent"]
                message = fields["message"] or (said.message if said else "")
                self.progress = ts.Progress(at=from_micros(NOON_US + position), percent=percent, message=message)
            case "PersonNeeded":
                self.status, self.retry_at = "person", None
            case "ExecutionRedriven":
                self.status, self.attempt, self.call = "running", fields["attempt"], 0
                self.deadline, self.retry_at = None, None
            case _:
                pass

    def seen(self) -> tuple[Any, ...]:
        return (self.position, self.attempt, self.call, self.status, self.deadline, self.retry_at, self.index, self.progress)


def seen(record: ExecutionRecord) -> tuple[Any, ...]:
    deadline = None if record.deadline_us is None else from_micros(record.deadline_us)
    retry_at = None if record.retry_at_us is None else from_micros(record.retry_at_us)
    return (record.position, record.attempt, record.call, record.status, deadline, retry_at, record.index, record.progress)


@settings(max_examples=200)
@given(st.lists(steps, min_size=15, max_size=30))
def test_at_any_time_each_token_has_at_most_one_open_record_and_it_is_the_models(given_steps: list[Step]) -> None:
    model: dict[str, Plain] = {}
    executions = execution.nothing_open()
    for position, step in enumerate([Step(started(), "a"), Step(started(None), "b"), *given_steps], start=1):
        executions = after_event(executions, recorded(position, step), step.payload)
        if step.token is not None and step.settles is not None:
            model.pop(step.token, None)
        elif step.token is not None and isinstance(step.payload, IntentStarted):
            model[step.token] = Plain(position, step.payload.deadline)
        elif step.token in model:
            model[step.token].hear(step.payload, position)
        assert {token: seen(record) for token, record in executions.items()} == {token: each.seen() for token, each in model.items()}


@given(st.lists(steps, max_size=20), tokens, endings)
def test_a_settlement_removes_the_record_whatever_went_before(given_steps: list[Step], token: str, end: Settles) -> None:
    ended = Step(ENDED, token, end)
    assert token not in folded([*given_steps, ended])


@given(payloads, tokens)
def test_events_of_a_token_that_is_not_open_change_nothing_s3(payload: Any, token: str) -> None:
    before = folded([Step(started(), "other")])
    assert after_event(before, recorded(2, Step(payload, token)), payload) is before


@given(st.lists(steps, max_size=20), st.lists(steps.filter(lambda step: step.token in {None, "b"}), max_size=10))
def test_events_of_other_tokens_leave_a_record_as_it_is(given_steps: list[Step], of_others: list[Step]) -> None:
    assert folded([*given_steps, *of_others]).get(ts.Token("a")) == folded(given_steps).get(ts.Token("a"))


@pytest.mark.parametrize(
    "before",
    [
        [RetryScheduled(attempt=2, retry_at=from_micros(NOON_US), code="X")],
        [RetryScheduled(attempt=2, retry_at=from_micros(NOON_US), code="X"), AttemptStarted(attempt=2, call=2)],
        [PersonNeeded(reason="odd")],
        [TimeoutFired(attempt=1)],
    ],
    ids=["is being retried", "is at its next attempt", "waits for a person", "has fired already"],
)
def test_a_timeout_of_the_first_attempt_has_no_effect_once_the_execution(before: list[Any]) -> None:
    opened = [Step(started(), "a"), *(Step(payload, "a") for payload in before)]
    again = Step(TimeoutFired(attempt=1), "a")
    assert folded([*opened, again])[ts.Token("a")] == folded(opened)[ts.Token("a")]


def opened(**fields: Any) -> ExecutionRecord:
    intent = fields.pop("intent", Doing(thing_id="t"))
    given_fields: dict[str, Any] = {"position": 1, "correlation": "c", "started_at_us": NOON_US} | fields
    return ExecutionRecord(token=ts.Token("a"), started=started(intent=intent), **given_fields)


def test_what_is_due_next_follows_from_the_status() -> None:
    times = {"deadline_us": 7, "retry_at_us": 9}
    due = [opened(status=status, **times).due_us for status in ("running", "retrying", "fired", "person")]
    assert due == [7, 9, None, None]


def test_a_failure_counts_only_for_the_attempt_that_is_current_and_out_p4() -> None:
    running, retrying = opened(attempt=2), opened(attempt=2, status="retrying")
    assert [execution.counts(running, attempt) for attempt in (1, 2, 3)] == [False, True, False]
    assert [execution.counts(retrying, attempt) for attempt in (1, 2, 3)] == [False, False, False]
    assert execution.counts(retrying, None), "what a host says is about whatever is current"


@given(st.integers(min_value=0, max_value=8), st.floats(0, 1, exclude_max=True))
def test_attempts_never_exceed_what_the_policy_grants_s13(max_retries: int, draw: float) -> None:
    record, now_us, grants = opened(), NOON_US, 0
    policy = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=max_retries)
    record = structs.replace(record, started=IntentStarted(intent=record.intent, retry=policy))
    executions = execution.nothing_open().set(record.token, record)
    while (retry := execution.next_retry(executions[record.token], ts.Failed(code="X"), now_us, draw)) is not None:
        grants += 1
        assert retry.attempt == grants + 1
        assert retry.retry_at == from_micros(now_us) + timedelta(seconds=10)
        executions = after_event(executions, recorded(2, Step(retry, "a")), retry)
        begun = execution.next_attempt(executions[record.token], now_us)
        executions = after_event(executions, recorded(3, Step(begun, "a")), begun)
        now_us += MINUTE_US
    assert grants == max_retries
    assert executions[record.token].call == max_retries + 1


def test_a_timed_out_attempt_is_made_again_unless_the_intent_says_abandon() -> None:
    timed_out, failed = ts.TimedOut(attempts=1), ts.Failed(code="X", message="no")
    retry = execution.next_retry(opened(), timed_out, NOON_US, 0.0)
    assert retry is not None
    assert retry.code == "TIMED_OUT"
    asking = opened(intent=Asking(thing_id="t"))
    assert execution.next_retry(asking, timed_out, NOON_US, 0.0) is None
    again = execution.next_retry(asking, failed, NOON_US, 0.0)
    assert again is not None
    assert (again.code, again.message) == ("X", "no")


def test_a_retrys_deadline_counts_from_when_it_was_due_and_a_repeated_calls_stays_p24() -> None:
    due_us = NOON_US + MINUTE_US
    retrying = opened(attempt=2, status="retrying", retry_at_us=due_us)
    late = execution.next_attempt(retrying, due_us + 5 * MINUTE_US)
    assert (late.attempt, late.call, late.deadline) == (2, 2, from_micros(due_us + MINUTE_US))
    running = opened(attempt=2, call=2, deadline_us=due_us)
    again = execution.next_attempt(running, due_us + 5 * MINUTE_US, again=True)
    assert (again.attempt, again.call, again.deadline) == (2, 3, from_micros(due_us))


def test_a_timeout_that_was_given_for_one_execution_stands_in_for_the_intents() -> None:
    record = structs.replace(opened(), started=IntentStarted(intent=Doing(thing_id="t"), timeout_us=5))
    assert (record.timeout_us, opened().timeout_us) == (5, MINUTE_US)


def test_handlers_see_token_intent_attempt_and_deadline_and_no_more() -> None:
    view = opened(attempt=2, deadline_us=NOON_US).view()
    assert view == ts.Execution(
        token=ts.Token("a"), intent=Doing(thing_id="t"), attempt=2, deadline=datetime(2026, 1, 1, 12, tzinfo=UTC), key="a"
    )
