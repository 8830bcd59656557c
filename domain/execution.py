"""Executions: where each begun operation stands, as a fold of its events. Pure decisions; who writes the events is the owner."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, TypeVar

from msgspec import structs
from msgspec.structs import force_setattr
from pyrsistent import PMap, pmap

from tallystick.domain import retry
from tallystick.domain.envelope import MICROSECOND, Recorded, from_micros, to_micros
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Failed, TimedOut
from tallystick.domain.progress import Progress, progress_after
from tallystick.domain.protocol import (
    ActionsAdvanced,
    AttemptStarted,
    ExecutionRedriven,
    HeartbeatRecorded,
    IntentStarted,
    PersonNeeded,
    ProgressReported,
    RetryScheduled,
    TimeoutFired,
)
from tallystick.domain.record import Record
from tallystick.domain.retry import NEVER_LATER, AnyRetry
from tallystick.domain.token import Token

I = TypeVar("I", bound=Intent[Any])  # noqa: E741 - the intent's type

CALLS_LIMIT = 20
"""How often an execution's actions are started, repeated attempts after crashes included, before it needs a person (P6)."""


def deadline_of(intent: type[Intent[Any]], timeout_us: int | None, from_us: int, closes_us: int | None = None) -> int | None:
    """When an attempt that begins then times out: when its own time is up, or that of all attempts, whichever is first.

    `closes_us` is the end of all attempts; where it is None, this is the first one.
    """
    if closes_us is None and intent.schedule_to_close is not None:
        closes_us = from_us + intent.schedule_to_close // MICROSECOND
    if timeout_us is None or closes_us is None:
        return closes_us if timeout_us is None else from_us + timeout_us
    return min(from_us + timeout_us, closes_us)


def timeout_us_of(intent: type[Intent[Any]]) -> int | None:
    """How long one attempt of an intent may take, if its own setting holds."""
    return None if intent.timeout is None else intent.timeout // MICROSECOND


def key_of(token: Token, index: int, actions: int, edits: tuple[int, ...] = ()) -> str:
    """The idempotency key of one of so many actions (P5): the token, and which one it is where there are several.

    An action that a person has edited is another request, and has a key of its own: with the number of the attempt that it was edited for.
    """
    key = f"{token}/{index}" if actions > 1 else str(token)
    edited = edits[index] if index < len(edits) else 0
    return f"{key}~{edited}" if edited else key


def edits_of(before: tuple[Any, ...], after: tuple[Any, ...], attempt: int, edits: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Which actions are edited, when these take the place of those for that attempt."""
    earlier = edits or (0,) * len(before)
    found = tuple(edited if old == new else attempt for old, new, edited in zip(before, after, earlier, strict=True))
    return found if any(found) else ()


class Execution(Record, Generic[I]):
    """One open execution as its owner's handlers see it. `key`: the idempotency key of its action that is out, or comes next."""

    token: Token
    intent: I
    attempt: int
    deadline: datetime | None
    key: str = ""
    progress: Progress | None = None


class ExecutionRecord(Record):
    """The execution map's value: everything the owner knows of an open execution.

    `status`: "running" while an attempt is out, "retrying" until the next attempt is due, "fired" while a timeout awaits the owner's
    decision (P8), "person" while it waits for somebody. Times are microseconds since 1970 UTC.
    """

    token: Token
    started: IntentStarted[Any, Any]
    position: int
    correlation: str
    started_at_us: int
    attempt: int = 1
    call: int = 1
    index: int = 0
    """The first action that is not known to be done; the attempts go on from there."""
    status: Literal["running", "retrying", "fired", "person"] = "running"
    deadline_us: int | None = None
    retry_at_us: int | None = None
    reason: str = ""
    first_attempt: int = 1
    """The attempt from which retries count: a later one after a person has redriven it."""
    asked_us: int = 0
    """Since when it has waited for somebody, last."""
    code: str = ""
    """Of a dead letter, what its last attempt failed with; `reason` is that failure's message."""
    opened_us: int = 0
    """When a person redrove it, last; the time for all its attempts counts from there."""
    since_us: int = 0
    """When the present attempt began, if it is not the first one."""
    edits: tuple[int, ...] = ()
    """For each action the attempt for which a person edited it last, 0 where nobody did; empty where nobody edited any."""
    progress: Progress | None = None
    """Of the present attempt and action; None where its performer has said nothing of it."""

    @property
    def dead(self) -> bool:
        """Whether it is a dead letter: its retries are used up, and it waits for a person."""
        return self.status == "person" and bool(self.code)

    @property
    def intent(self) -> Intent[Any]:
        """What was begun."""
        intent: Intent[Any] = self.started.intent
        return intent

    @property
    def timeout_us(self) -> int | None:
        """How long one attempt may take."""
        if self.started.timeout_us is not None:
            return self.started.timeout_us
        return timeout_us_of(type(self.intent))

    @property
    def limit_us(self) -> int | None:
        """When the present attempt times out, however often it says that it is alive."""
        return deadline_of(type(self.intent), self.timeout_us, self.since_us or self.started_at_us, self.closes_us)

    @property
    def policy(self) -> AnyRetry | None:
        """How failed attempts are repeated."""
        return self.started.retry or type(self.intent).retry

    @property
    def closes_us(self) -> int | None:
        """When all of it is over, however many retries are left; counted anew when a person has redriven it."""
        bound = type(self.intent).schedule_to_close
        return None if bound is None else (self.opened_us or self.started_at_us) + bound // MICROSECOND

    @property
    def due_us(self) -> int | None:
        """When the timer must act on it next, None when nothing is due by itself."""
        match self.status:
            case "running":
                return self.deadline_us
            case "retrying":
                return self.retry_at_us
            case _:
                return None

    def view(self) -> Execution[Any]:
        """What handlers see."""
        deadline = None if self.deadline_us is None else from_micros(self.deadline_us)
        key = key_of(self.token, self.index, len(self.started.actions), self.edits)
        return Execution(token=self.token, intent=self.intent, attempt=self.attempt, deadline=deadline, key=key, progress=self.progress)


ExecutionMap = PMap[Token, ExecutionRecord]
"""An owner's open executions; persistent, so that a snapshot or a turn holds a version of it while the next is made."""


_NO_TAGS: Mapping[str, str] = {}


def begun(recorded: Recorded, started: IntentStarted[Any, Any]) -> ExecutionRecord:
    """The execution that an intent event opens."""
    return ExecutionRecord(
        token=Token(recorded.token or ""),
        started=lean(started),
        position=recorded.position,
        correlation=recorded.correlation,
        started_at_us=recorded.occurred_at_us,
        deadline_us=None if started.deadline is None else to_micros(started.deadline),
    )


def lean(started: IntentStarted[Any, Any]) -> IntentStarted[Any, Any]:
    """The same, just made, sharing with others what most have alike: a decoder makes an empty mapping for each that has no tags."""
    if not started.tags:
        force_setattr(started, "tags", _NO_TAGS)
    return started


def _retried(record: ExecutionRecord, event: RetryScheduled) -> ExecutionRecord:
    at_us = to_micros(event.retry_at)
    return structs.replace(
        record, status="retrying", attempt=event.attempt, deadline_us=None, retry_at_us=at_us, since_us=at_us, progress=None
    )


def _restarted(record: ExecutionRecord, event: AttemptStarted) -> ExecutionRecord:
    return structs.replace(
        record,
        status="running",
        attempt=event.attempt,
        call=event.call,
        deadline_us=deadline_us(event),
        retry_at_us=None,
        progress=record.progress if event.attempt == record.attempt else None,
    )


def _advanced(record: ExecutionRecord, event: ActionsAdvanced) -> ExecutionRecord:
    return structs.replace(record, index=event.index, progress=None) if event.attempt == record.attempt else record


def _is_of_present(record: ExecutionRecord, attempt: int) -> bool:
    """Whether an attempt is the present one, and has not ended. "fired" too: the timer had written that before its owner knew."""
    return record.attempt == attempt and record.status in {"running", "fired"}


def _beaten(record: ExecutionRecord, event: HeartbeatRecorded) -> ExecutionRecord:
    if not _is_of_present(record, event.attempt):
        return record
    return structs.replace(record, deadline_us=None if event.deadline is None else to_micros(event.deadline))


def _progressed(record: ExecutionRecord, event: ProgressReported, at_us: int) -> ExecutionRecord:
    if not _is_of_present(record, event.attempt):
        return record
    progress = progress_after(record.progress, event, from_micros(at_us))
    deadline_us = record.deadline_us if event.deadline is None else to_micros(event.deadline)
    return structs.replace(record, progress=progress, deadline_us=deadline_us)


def _fired(record: ExecutionRecord, event: TimeoutFired) -> ExecutionRecord:
    return structs.replace(record, status="fired") if is_out(record, event.attempt) else record


def _left_to_a_person(record: ExecutionRecord, event: PersonNeeded, asked_us: int) -> ExecutionRecord:
    code, reason = "" if event.cause is None else code_of(event.cause), event.reason
    if isinstance(event.cause, Failed):
        reason = event.cause.message
    return structs.replace(record, status="person", reason=reason, code=code, asked_us=asked_us, retry_at_us=None)


def redriven(record: ExecutionRecord, event: ExecutionRedriven[Any]) -> ExecutionRecord:
    """An execution that a person has had tried again: its actions are the edited ones, its retries and calls count anew."""
    started, attempt, edits = record.started, event.attempt, record.edits
    if event.actions is not None:
        edits = edits_of(started.actions, event.actions, attempt, edits)
        started = structs.replace(started, actions=event.actions)
    return structs.replace(
        record,
        started=started,
        edits=edits,
        status="running",
        attempt=attempt,
        first_attempt=attempt,
        call=0,
        deadline_us=None,
        retry_at_us=None,
        progress=None,
    )


TRANSITIONS: dict[type[Any], Callable[[ExecutionRecord, Any], ExecutionRecord]] = {
    RetryScheduled: _retried,
    AttemptStarted: _restarted,
    ActionsAdvanced: _advanced,
    HeartbeatRecorded: _beaten,
    TimeoutFired: _fired,
}


def after(record: ExecutionRecord | None, recorded: Recorded, payload: Any) -> ExecutionRecord | None:
    """An execution after one more event with its token; None when it is not open, the same record when the event changes nothing."""
    if recorded.settles is not None:
        return None
    if type(payload) is IntentStarted:
        return begun(recorded, payload)
    if type(payload) is PersonNeeded and record is not None:
        return _left_to_a_person(record, payload, recorded.occurred_at_us)
    if type(payload) is ProgressReported and record is not None:
        return _progressed(record, payload, recorded.occurred_at_us)
    if type(payload) is ExecutionRedriven and record is not None:
        at_us = recorded.occurred_at_us
        return structs.replace(redriven(record, payload), opened_us=at_us, since_us=at_us)
    transition = TRANSITIONS.get(type(payload))
    return record if record is None or transition is None else transition(record, payload)


def nothing_open() -> ExecutionMap:
    """The empty execution map."""
    return pmap()


# Decisions.


def counts(record: ExecutionRecord, attempt: int | None) -> bool:
    """Whether a failure of that attempt counts: only if it is current and not being retried; None is whatever is current (P4)."""
    return attempt is None or (record.attempt == attempt and record.status != "retrying")


def is_out(record: ExecutionRecord, attempt: int) -> bool:
    """Whether what a call of that attempt says of itself counts: only while that is the one that runs (P4)."""
    return record.status == "running" and record.attempt == attempt


def is_final(record: ExecutionRecord, error: type[BaseException] | None) -> bool:
    """Whether its policy says that no retry follows what a performer raised."""
    return error is not None and retry.is_final(record.policy, error)


def next_retry(
    record: ExecutionRecord, cause: Failed | TimedOut, now_us: int, draw: float, asked: timedelta | None = None
) -> RetryScheduled | None:
    """The retry that the policy grants after this failure or timeout, None when it grants none (S13).

    `asked`: the delay that the outside world asks for instead of the policy's. None is granted that would begin when all is over.
    """
    kind = type(record.intent)
    policy = record.policy
    retries_done = record.attempt - record.first_attempt
    if policy is None or retries_done >= policy.max_retries or (isinstance(cause, TimedOut) and kind.on_timeout == "abandon"):
        return None
    message = cause.message if isinstance(cause, Failed) else ""
    delay = policy.delay(retries_done, draw) if asked is None else min(asked, NEVER_LATER)
    retry_at_us, closes_us = now_us + delay // MICROSECOND, record.closes_us
    if closes_us is not None and retry_at_us >= closes_us:
        return None
    return RetryScheduled(attempt=record.attempt + 1, retry_at=from_micros(retry_at_us), code=code_of(cause), message=message)


TIMED_OUT = "TIMED_OUT"


def code_of(cause: Failed | TimedOut) -> str:
    """A failure's code; a timeout's is TIMED_OUT."""
    return cause.code if isinstance(cause, Failed) else TIMED_OUT


def last_failure(record: ExecutionRecord) -> Failed | TimedOut:
    """What the last attempt of a dead letter came to."""
    if record.code == TIMED_OUT:
        return TimedOut(attempts=record.attempt)
    return Failed(code=record.code, message=record.reason, in_doubt=bool(record.started.actions))


def dead_letter(record: ExecutionRecord, cause: Failed | TimedOut) -> PersonNeeded | None:
    """What an execution without a retry left waits for, None where that ends it."""
    kind = type(record.intent)
    if kind.on_exhausted == "settle" or (isinstance(cause, TimedOut) and kind.on_timeout == "abandon"):
        return None
    message = f": {cause.message}" if isinstance(cause, Failed) and cause.message else ""
    attempts = record.attempt - record.first_attempt + 1
    return PersonNeeded(reason=f"attempt {attempts} failed, and none is left: {code_of(cause)}{message}", cause=cause)


def attempt_by_hand(record: ExecutionRecord, now_us: int) -> AttemptStarted:
    """The attempt that follows when a person has it tried again, at once."""
    ends_us = deadline_of(type(record.intent), record.timeout_us, now_us)
    return AttemptStarted(attempt=record.attempt + 1, call=1, deadline=None if ends_us is None else from_micros(ends_us))


def next_attempt(record: ExecutionRecord, now_us: int, *, again: bool = False) -> AttemptStarted:
    """The attempt that a due retry, or (`again`) a performer's call in doubt after a crash, starts.

    A retry's deadline counts from `retry_at` (P24); a call made again keeps its attempt's deadline, and beats anew.
    """
    ends_us = record.deadline_us if type(record.intent).heartbeat is None else record.limit_us
    if not again:
        ends_us = deadline_of(type(record.intent), record.timeout_us, record.retry_at_us or now_us, record.closes_us)
    deadline = None if ends_us is None else from_micros(ends_us)
    return AttemptStarted(attempt=record.attempt, call=record.call + 1, deadline=deadline)


def beat(record: ExecutionRecord, until_us: int | None) -> HeartbeatRecorded:
    """That the present attempt is alive, which holds until then, but not beyond its own time; None: nobody could say so now."""
    return HeartbeatRecorded(attempt=record.attempt, deadline=_alive_until(record, until_us))


def got_on(record: ExecutionRecord, percent: float | None, message: str, until_us: int | None) -> ProgressReported:
    """How far the present attempt is; that it is alive holds until then, as a beat does; None: it needs to show none."""
    deadline = None if until_us is None else _alive_until(record, until_us)
    return ProgressReported(attempt=record.attempt, percent=percent, message=message, deadline=deadline)


def _alive_until(record: ExecutionRecord, until_us: int | None) -> datetime | None:
    limit_us = record.limit_us
    ends_us = limit_us if until_us is None or (limit_us is not None and limit_us < until_us) else until_us
    return None if ends_us is None else from_micros(ends_us)


def deadline_us(event: AttemptStarted) -> int | None:
    """An attempt's deadline, as recorded."""
    return None if event.deadline is None else to_micros(event.deadline)
