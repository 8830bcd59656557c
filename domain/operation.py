"""Operations: what a person sees of a bracket. Statuses, the events that move them, and the snapshot that these are folded into.

Statuses and their moves are those of the platform's operations: Pending → Running with the first progress → an end; Stalled is no end, it
goes back to Running or on to one. `ABANDONED` is ours: nobody completed it in time.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, NewType

from msgspec import structs

from tallystick.domain.envelope import MICROSECOND, Settles, from_micros, to_micros
from tallystick.domain.errors import InvalidPayload, TallystickError
from tallystick.domain.event import Aggregate, Event
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Outcome, Succeeded, settlement
from tallystick.domain.record import Record

TEXT_LIMIT_CHARS: Final = 2_000
"""The longest message of an operation; a longer one is cut."""
NAME_LIMIT_CHARS: Final = 200
_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*)*")

Json = str | int | float | bool | None
"""What evidence may hold: plain values by name. What is larger belongs elsewhere, and its reference here."""

OnOverdue = Literal["abandon", "fail", "alert"]
"""What becomes of an operation that nobody completes in time: an end of either kind, or only a word to the watcher."""


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


class Failure(Record):
    """Evidence of an exception: its type, its message, and where it came through, as `file:line in function`, innermost last."""

    kind: str
    message: str = ""
    stack: tuple[str, ...] = ()


class _OfOperation(Event):
    """An event of one operation."""

    aggregate_type = "Operation"

    operation_id: str

    @property
    def aggregate_id(self) -> str:
        """The operation's id."""
        return self.operation_id


class OperationStarted(_OfOperation):
    """It was begun. `overdue_at` is when `on_overdue` happens; `stalled_after_us` is how long it may be silent."""

    name: str
    parent: str = ""
    tags: Mapping[str, str] = {}
    overdue_at: datetime | None = None
    on_overdue: OnOverdue = "abandon"
    stalled_after_us: int | None = None
    started_at: datetime


class OperationProgressed(_OfOperation):
    """It got on. `percent` is of 0 to 100, None where nobody knows."""

    at: datetime
    percent: float | None = None
    message: str = ""


class OperationNoted(_OfOperation):
    """Evidence: a checkpoint, a warning, an error, or whatever kind its author names."""

    at: datetime
    kind: str
    message: str = ""
    data: Mapping[str, Json] = {}


class OperationStalled(_OfOperation):
    """It was silent for too long; not an end."""

    at: datetime
    silent_us: int


class OperationSucceeded(_OfOperation):
    """Done."""

    at: datetime
    message: str = ""
    by: str = ""
    why: str = ""


class OperationFailed(_OfOperation):
    """Not done."""

    at: datetime
    code: str
    message: str = ""
    failure: Failure | None = None
    by: str = ""
    why: str = ""


class OperationCanceled(_OfOperation):
    """Not to be done any more."""

    at: datetime
    message: str = ""
    by: str = ""
    why: str = ""


class OperationAbandoned(_OfOperation):
    """Nobody completed it in time, or a person gave it up."""

    at: datetime
    message: str = ""
    by: str = ""
    why: str = ""


class OperationSucceededLate(_OfOperation):
    """Evidence: it was completed after it had been given up."""

    at: datetime
    message: str = ""


class Ending(Record):
    """What a completion says. `by` and `why` are set where a person says it."""

    status: Ended | Literal["Abandoned"]
    message: str = ""
    code: str = ""
    failure: Failure | None = None
    by: str = ""
    why: str = ""


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
        return _SETTLES[outcome.result.status] if isinstance(outcome, Succeeded) else settlement(outcome)


class OperationSnapshot(Aggregate):
    """Where one operation stands: a fold of its events, and of nothing else."""

    operation_id: str = ""
    name: str = ""
    status: OperationStatus = OperationStatus.PENDING
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    overdue_at: datetime | None = None
    stalled_after_us: int | None = None
    percent: float | None = None
    message: str = ""
    code: str = ""
    failure: Failure | None = None
    parent: str = ""
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
    if len(name) > NAME_LIMIT_CHARS or not _NAME.fullmatch(name):
        msg = f"{name[:NAME_LIMIT_CHARS]!r} is no operation's name; names are stable and dotted, such as Billing.Invoice.Generate."
        raise InvalidOperation(msg)
    return name


def checked_percent(percent: float | None) -> float | None:
    """A percentage of 0 to 100.

    Raises:
        InvalidOperation: it is outside of that, or no number.
    """
    if percent is not None and not 0 <= percent <= 100:  # noqa: PLR2004 - a hundred per cent
        msg = f"Progress is {percent!r} per cent; it lies between 0 and 100."
        raise InvalidOperation(msg)
    return percent


def cut(text: str) -> str:
    """A message of a length that the log takes."""
    return text if len(text) <= TEXT_LIMIT_CHARS else f"{text[: TEXT_LIMIT_CHARS - 1]}…"


# The fold.


def started(event: OperationStarted) -> OperationSnapshot:
    """A new operation."""
    return OperationSnapshot(
        operation_id=event.operation_id,
        name=event.name,
        started_at=event.started_at,
        updated_at=event.started_at,
        overdue_at=event.overdue_at,
        stalled_after_us=event.stalled_after_us,
        parent=event.parent,
        tags=event.tags,
    )


def progressed(operation: OperationSnapshot, event: OperationProgressed) -> OperationSnapshot:
    """It runs, also if it was stalled."""
    percent = operation.percent if event.percent is None else event.percent
    message = event.message or operation.message
    return structs.replace(operation, status=OperationStatus.RUNNING, updated_at=event.at, percent=percent, message=message)


def ended(
    operation: OperationSnapshot, event: OperationSucceeded | OperationFailed | OperationCanceled | OperationAbandoned
) -> OperationSnapshot:
    """It has ended."""
    code, failure = (event.code, event.failure) if isinstance(event, OperationFailed) else ("", None)
    return structs.replace(
        operation,
        status=STATUS_OF[type(event)],
        updated_at=event.at,
        ended_at=event.at,
        message=event.message or operation.message,
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


def is_stalled(operation: OperationSnapshot, now: datetime) -> bool:
    """Whether it was silent for longer than it may be; strictly longer."""
    if operation.stalled_after_us is None or operation.updated_at is None or operation.status.ended:
        return False
    return to_micros(now) - to_micros(operation.updated_at) > operation.stalled_after_us


def overdue_at(now: datetime, timeout: timedelta | None) -> datetime | None:
    """When an operation that is begun now is overdue."""
    return None if timeout is None else from_micros(to_micros(now) + timeout // MICROSECOND)
