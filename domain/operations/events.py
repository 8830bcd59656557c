"""What can happen to an operation, as events. What they add up to is the snapshot, in `operation`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from tallystick.domain.event import Event
from tallystick.domain.record import Record

Json = str | int | float | bool | None
"""What evidence may hold: plain values by name. What is larger belongs elsewhere, and its reference here."""

OnOverdue = Literal["abandon", "fail", "retry", "alert", "handler"]
"""What becomes of an operation that nobody completes in time: an end of either kind; another attempt while its policy grants one; only a
word to the watcher; or what the host's own handler decides."""
Verdict = Literal["abandon", "fail", "retry", "alert"]
"""What a handler of overdue operations may decide; "retry" gives it the same time once more, "alert" leaves it open for the watcher."""
AuditOutcome = Literal["Success", "Failure", "Warning"]
Silence = Literal["progress", "heartbeat"]
"""What a stalled operation did not give in time."""


class Failure(Record):
    """Evidence of an exception: its type, its message, and where it came through, as `file:line in function`, innermost last.

    Of a group of exceptions both go on with those of its first members.
    """

    kind: str
    message: str = ""
    stack: tuple[str, ...] = ()


class OfOperation(Event):
    """An event of one operation."""

    aggregate_type = "Operation"

    operation_id: str

    @property
    def aggregate_id(self) -> str:
        """The operation's id."""
        return self.operation_id


class OperationStarted(OfOperation, omit_defaults=True):
    """It was begun.

    `overdue_at` is when `on_overdue` happens; `stalled_after_us` is how long it may go without progress, `heartbeat_us` how long without
    any sign of life. `held`: code of the process that began it runs as it, and dies with that process.
    """

    name: str
    parent: str = ""
    tags: Mapping[str, str] = {}
    overdue_at: datetime | None = None
    on_overdue: OnOverdue = "abandon"
    stalled_after_us: int | None = None
    heartbeat_us: int | None = None
    held: bool = False
    started_at: datetime


class OperationProgressed(OfOperation):
    """It got on. `percent` is of 0 to 100, None where nobody knows."""

    at: datetime
    percent: float | None = None
    message: str = ""


class OperationBeat(OfOperation):
    """It is alive, and has not got on."""

    at: datetime


class OperationNoted(OfOperation):
    """Evidence: a checkpoint, a warning, an error, or whatever kind its author names."""

    at: datetime
    kind: str
    message: str = ""
    data: Mapping[str, Json] = {}


class OperationStalled(OfOperation, omit_defaults=True):
    """It was silent for too long; not an end."""

    at: datetime
    silent_us: int
    missed: Silence = "progress"


class OperationResumed(OfOperation):
    """A person says that it goes on."""

    at: datetime
    by: str
    why: str


class OperationOverdue(OfOperation):
    """Its time is up, and the host's handler is asked; for the `round`-th time."""

    at: datetime
    round: int


class OperationExtended(OfOperation):
    """It has another time: it is to be tried again, or whoever decides on it gives it more. No sign of life."""

    at: datetime
    overdue_at: datetime


class OperationSucceeded(OfOperation, omit_defaults=True):
    """Done; `data` is its result, as far as it is worth keeping."""

    at: datetime
    message: str = ""
    data: Mapping[str, Json] = {}
    by: str = ""
    why: str = ""


class OperationFailed(OfOperation):
    """Not done."""

    at: datetime
    code: str
    message: str = ""
    failure: Failure | None = None
    by: str = ""
    why: str = ""


class OperationCanceled(OfOperation):
    """Not to be done any more."""

    at: datetime
    message: str = ""
    by: str = ""
    why: str = ""


class OperationAbandoned(OfOperation):
    """Nobody completed it in time, or a person gave it up."""

    at: datetime
    message: str = ""
    by: str = ""
    why: str = ""


class OperationSucceededLate(OfOperation):
    """Evidence: it was completed after it had been given up."""

    at: datetime
    message: str = ""


class Anchor(Record):
    """What an audit record is about: `Anchor(kind="Webhook", id="evt_1", role="Subject")`."""

    kind: str
    id: str
    role: str = ""


class OperationAudited(Event, omit_defaults=True):
    """Who did what, to which operation or none, and what came of it. It joins the timeline by its correlation."""

    aggregate_type = "OperationAudit"

    audit_id: str
    at: datetime
    name: str
    message: str = ""
    outcome: AuditOutcome = "Success"
    who: str = ""
    operation_id: str = ""
    anchors: tuple[Anchor, ...] = ()

    @property
    def aggregate_id(self) -> str:
        """The record's own id."""
        return self.audit_id


End = OperationSucceeded | OperationFailed | OperationCanceled | OperationAbandoned
"""The last event of an operation, evidence aside."""
