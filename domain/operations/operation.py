"""Operations: what a person sees of a bracket. Statuses, and the snapshot that an operation's events are folded into.

Statuses and their moves are those of the platform's operations: Pending → Running with the first progress → an end; Stalled is no end, it
goes back to Running or on to one. `ABANDONED` is ours: nobody completed it in time.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, NewType, get_args

from msgspec import structs

from tallystick.domain.envelope import LATEST, MICROSECOND, Recorded, Settles, from_micros, to_micros
from tallystick.domain.errors import InvalidPayload, TallystickError
from tallystick.domain.event import Aggregate, Event
from tallystick.domain.intent import Intent
from tallystick.domain.operations.events import (
    End,
    Failure,
    Json,
    OnOverdue,
    OperationAbandoned,
    OperationBeat,
    OperationCanceled,
    OperationExtended,
    OperationFailed,
    OperationProgressed,
    OperationStalled,
    OperationStarted,
    OperationSucceeded,
    Silence,
)
from tallystick.domain.outcome import Failed, Outcome, Succeeded, settlement
from tallystick.domain.record import Record
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import writable

TEXT_LIMIT_CHARS: Final = 2_000
"""The longest message of an operation; a longer one is cut."""
NAME_LIMIT_CHARS: Final = 200
_AUDIT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_POLICIES: Final = get_args(OnOverdue)
_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*)*")


class InvalidOperation(InvalidPayload, ValueError):
    """An operation was given a name, an id, a percentage or a message that it cannot have."""


class AlreadyEnded(TallystickError):
    """The operation has ended already; its first end stands."""


OperationId = NewType("OperationId", str)
"""The id of one operation: its execution's token. Never blank."""


def parsed_id(text: str) -> OperationId:
    """Read an id that was written down.

    Raises:
        InvalidOperation: it is blank, or no id.
    """
    trimmed = text.strip()
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", trimmed):
        msg = f"{text!r} is no operation's id; ids look like 0198c0de-0000-7000-8000-000000000001."
        raise InvalidOperation(msg)
    return OperationId(trimmed)


class OperationStatus(StrEnum):
    """Where an operation stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    STALLED = "Stalled"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    ABANDONED = "Abandoned"

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self in _ENDS


_ENDS: Final = frozenset({OperationStatus.SUCCEEDED, OperationStatus.FAILED, OperationStatus.CANCELED, OperationStatus.ABANDONED})
Ended = Literal["Succeeded", "Failed", "Canceled"]
"""How whoever does the work may end it."""


class Ending(Record):
    """What a completion says. `data` is a success's result; `by` and `why` are set where a person says it."""

    status: Ended | Literal["Abandoned"]
    message: str = ""
    data: Mapping[str, Json] = {}
    code: str = ""
    failure: Failure | None = None
    by: str = ""
    why: str = ""


GIVEN_UP: Final = "GIVEN_UP"
ORPHAN: Final = "ORPHAN"
GIVES_UP: Final = frozenset({GIVEN_UP, ORPHAN})
"""The codes of failures that abandon: what the owner says to itself when a handler, or a sweep, gives an operation up."""
_SETTLES: Final[Mapping[str, Settles]] = {"Succeeded": "succeeded", "Failed": "failed", "Canceled": "abandoned", "Abandoned": "abandoned"}


class Bracket(Intent[Ending]):
    """The execution between an operation's two events. It has no actions: whoever holds its token completes it."""

    operation_id: str
    operation_name: str
    on_overdue: OnOverdue = "abandon"
    ends_with = (OperationSucceeded, OperationFailed, OperationCanceled, OperationAbandoned)

    @classmethod
    def settles_as(cls, outcome: Outcome[Ending]) -> Settles:
        """As the completion says."""
        if isinstance(outcome, Succeeded):
            return _SETTLES[outcome.result.status]
        if isinstance(outcome, Failed) and outcome.code in GIVES_UP:
            return "abandoned"
        return settlement(outcome)


class OperationSnapshot(Aggregate):
    """Where one operation stands: a fold of its events, and of nothing else."""

    operation_id: str = ""
    name: str = ""
    status: OperationStatus = OperationStatus.PENDING
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    overdue_at: datetime | None = None
    on_overdue: OnOverdue = "abandon"
    stalled_after_us: int | None = None
    stalls_at: datetime | None = None
    """Until when there must be some progress; None where nobody asked for it."""
    heartbeat_us: int | None = None
    alive_at: datetime | None = None
    """The last sign of life of any kind."""
    beat_by: datetime | None = None
    """Until when there must be a sign of life; None where nobody asked for it."""
    missed: Silence | None = None
    """Of a stalled one, what it did not give in time."""
    held: bool = False
    """Whether code of the process that began it runs as it, and dies with that process."""
    percent: float | None = None
    message: str = ""
    data: Mapping[str, Json] = {}
    code: str = ""
    failure: Failure | None = None
    parent: str = ""
    correlation: str = ""
    """What it, and all that it leads to, have in common; the envelope of its first record says so, and no event."""
    tags: Mapping[str, str] = {}
    by: str = ""
    why: str = ""

    @property
    def closed(self) -> bool:  # type: ignore[override]  # a setting of the class there, a property here
        """Whether it has ended."""
        return self.status.ended

    @property
    def duration(self) -> timedelta | None:
        """From its start to its end; None while it goes on."""
        return None if self.ended_at is None or self.started_at is None else self.ended_at - self.started_at


# What may be said.


def checked_name(name: str) -> str:
    """An operation's name: words of code, not of users, each with a capital letter, with dots between them.

    Raises:
        InvalidOperation: it is none.
    """
    refuse_sensitive("an operation's name", name)
    if len(name) > NAME_LIMIT_CHARS or not _NAME.fullmatch(name):
        msg = f"{name[:NAME_LIMIT_CHARS]!r} is no operation's name; names are stable and dotted, such as Billing.Invoice.Generate."
        raise InvalidOperation(msg)
    return name


def checked_audit_name(name: str) -> str:
    """An audit record's name: words of code, not of users, with dots between them, such as `webhook.processed`.

    Raises:
        InvalidOperation: it is none.
    """
    if len(name) > NAME_LIMIT_CHARS or not _AUDIT_NAME.fullmatch(name):
        msg = f"{name[:NAME_LIMIT_CHARS]!r} is no name of an audit record; names are stable and dotted, such as webhook.processed."
        raise InvalidOperation(msg)
    return name


def check_overdue(name: str, on_overdue: OnOverdue, *, timed: bool, retried: bool) -> None:
    """Refuse what could never have an effect. Only a time makes an operation overdue; alerts come of its silence, too.

    Raises:
        InvalidOperation: there is no such policy, it needs a time that is not given, or it is not one that retries.
    """
    if on_overdue not in _POLICIES:
        msg = f"on_overdue is {on_overdue!r}; it is one of {', '.join(_POLICIES)}."
        raise InvalidOperation(msg)
    if on_overdue in {"fail", "retry", "handler"} and not timed:
        msg = f"{name} has on_overdue={on_overdue!r} and no timeout, so it would never be overdue; give it a timeout."
        raise InvalidOperation(msg)
    if on_overdue != "retry" and retried:
        msg = f'{name} has a retry and on_overdue={on_overdue!r}, so it would never be tried again; say on_overdue="retry".'
        raise InvalidOperation(msg)


def checked_percent(percent: float | None) -> float | None:
    """A percentage of 0 to 100.

    Raises:
        InvalidOperation: it is outside of that, or no number.
    """
    try:
        fits = percent is None or (0 <= percent <= 100 and not isinstance(percent, bool))  # noqa: PLR2004 - a hundred per cent
    except TypeError:
        fits = False
    if not fits:
        msg = f"Progress is {percent!r} per cent; it lies between 0 and 100."
        raise InvalidOperation(msg)
    return percent if percent is None else float(percent)  # of a Decimal, a log would not take it


def cut(text: str) -> str:
    """A message of a length that the log takes, without lone surrogates; of a sensitive value, only whose it is."""
    text = writable(str(text))
    return text if len(text) <= TEXT_LIMIT_CHARS else f"{text[: TEXT_LIMIT_CHARS - 1]}…"


# The fold.


def _after(moment: datetime, span_us: int | None) -> datetime | None:
    """A fold never fails for it: a log may ask for more time than calendars have."""
    try:
        return None if span_us is None else moment + span_us * MICROSECOND
    except OverflowError:
        return LATEST


def started(event: OperationStarted, recorded: Recorded) -> OperationSnapshot:
    """A new operation, by its first record."""
    now = event.started_at
    return OperationSnapshot(
        operation_id=event.operation_id,
        name=event.name,
        started_at=now,
        updated_at=now,
        overdue_at=event.overdue_at,
        on_overdue=event.on_overdue,
        stalled_after_us=event.stalled_after_us,
        stalls_at=_after(now, event.stalled_after_us),
        heartbeat_us=event.heartbeat_us,
        alive_at=now,
        beat_by=_after(now, event.heartbeat_us),
        held=event.held,
        parent=event.parent,
        correlation=recorded.correlation,
        tags=event.tags,
    )


def _alive(operation: OperationSnapshot, at: datetime, **changes: Any) -> OperationSnapshot:
    """It has given a sign of progress."""
    stalls_at, beat_by = _after(at, operation.stalled_after_us), _after(at, operation.heartbeat_us)
    return structs.replace(operation, updated_at=at, alive_at=at, stalls_at=stalls_at, beat_by=beat_by, **changes)


def progressed(operation: OperationSnapshot, event: OperationProgressed) -> OperationSnapshot:
    """It runs, also if it was stalled."""
    percent = operation.percent if event.percent is None else event.percent
    message = event.message or operation.message
    return _alive(operation, event.at, status=OperationStatus.RUNNING, missed=None, percent=percent, message=message)


def noted(operation: OperationSnapshot, at: datetime) -> OperationSnapshot:
    """A sign of life; of no matter once it has ended."""
    return operation if operation.closed else _alive(operation, at)


def beaten(operation: OperationSnapshot, event: OperationBeat) -> OperationSnapshot:
    """It is alive: stalled no more, if that was all that was missed."""
    beat_by = _after(event.at, operation.heartbeat_us)
    if operation.missed == "heartbeat":
        return structs.replace(operation, status=OperationStatus.RUNNING, missed=None, alive_at=event.at, beat_by=beat_by)
    return structs.replace(operation, alive_at=event.at, beat_by=beat_by)


def stalled(operation: OperationSnapshot, event: OperationStalled) -> OperationSnapshot:
    """It stands still; `updated_at` says since when."""
    return structs.replace(operation, status=OperationStatus.STALLED, missed=event.missed)


def resumed(operation: OperationSnapshot, at: datetime) -> OperationSnapshot:
    """It runs, because a person says so."""
    return _alive(operation, at, status=OperationStatus.RUNNING, missed=None)


def extended(operation: OperationSnapshot, event: OperationExtended) -> OperationSnapshot:
    """Its time is up later; nobody has said anything of it."""
    return structs.replace(operation, overdue_at=event.overdue_at)


def ended(operation: OperationSnapshot, event: End) -> OperationSnapshot:
    """It has ended."""
    code, failure = (event.code, event.failure) if isinstance(event, OperationFailed) else ("", None)
    return structs.replace(
        operation,
        status=STATUS_OF[type(event)],
        updated_at=event.at,
        ended_at=event.at,
        missed=None,
        message=event.message or operation.message,
        data=event.data if isinstance(event, OperationSucceeded) else {},
        code=code,
        failure=failure,
        by=event.by,
        why=event.why,
    )


STATUS_OF: Final[Mapping[type[Event], OperationStatus]] = {
    OperationSucceeded: OperationStatus.SUCCEEDED,
    OperationFailed: OperationStatus.FAILED,
    OperationCanceled: OperationStatus.CANCELED,
    OperationAbandoned: OperationStatus.ABANDONED,
}
"""What each end leaves an operation as."""


def missed_by(operation: OperationSnapshot, now: datetime) -> Silence | None:
    """What an open operation did not give in time, strictly; a missed heartbeat is told before missing progress."""
    if operation.beat_by is not None and operation.beat_by < now:
        return "heartbeat"
    if operation.stalls_at is not None and operation.stalls_at < now:
        return "progress"
    return None


def is_stalled(operation: OperationSnapshot, now: datetime) -> bool:
    """Whether it was silent for longer than it may be; strictly longer."""
    return not operation.status.ended and missed_by(operation, now) is not None


def overdue_at(now: datetime, timeout: timedelta | None) -> datetime | None:
    """When an operation that is begun now is overdue."""
    return None if timeout is None else from_micros(to_micros(now) + timeout // MICROSECOND)
