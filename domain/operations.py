"""The owner of operations: an ordinary module. It has an execution for each open operation, and is told by commands and completions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never

from msgspec import structs

from tallystick.domain import operation as operations
from tallystick.domain.command import Command
from tallystick.domain.effect import Begin, Decision, Effects
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import Rejected
from tallystick.domain.event import Event
from tallystick.domain.module import Module, Turn, folds, handles
from tallystick.domain.operation import (
    Bracket,
    Ending,
    Json,
    OnOverdue,
    OperationAbandoned,
    OperationCanceled,
    OperationFailed,
    OperationNoted,
    OperationProgressed,
    OperationSnapshot,
    OperationStalled,
    OperationStarted,
    OperationStatus,
    OperationSucceeded,
    OperationSucceededLate,
)
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, Succeeded, TimedOut

OWNER = "operations"
"""The owner's name in the log."""


class StartOperation(Command[str]):
    """Begin an operation; the reply is its id. Times are microseconds."""

    name: str
    parent: str = ""
    tags: Mapping[str, str] = {}
    timeout_us: int | None = None
    on_overdue: OnOverdue = "abandon"
    stalled_after_us: int | None = None


class UpdateProgress(Command[None]):
    """An operation got on."""

    operation_id: str
    percent: float | None = None
    message: str = ""


class AddEvidence(Command[None]):
    """Something worth keeping happened in an operation; also after its end."""

    operation_id: str
    kind: str
    message: str = ""
    data: Mapping[str, Json] = {}


class MarkStalled(Command[bool]):
    """Say that an operation is stalled, if it is; the reply says whether it was not known to be."""

    operation_id: str


class Operations(Module):
    """The owner of all operations of a system."""

    name = OWNER
    joins_at = "use"

    @handles(StartOperation, emits=[OperationStarted])
    def start(self, turn: Turn, command: StartOperation) -> Decision[str]:
        """The reply is the operation's id, which is its execution's token."""
        token = turn.new_token()
        timeout = None if command.timeout_us is None else command.timeout_us * MICROSECOND
        yield OperationStarted(
            operation_id=token,
            name=command.name,
            parent=command.parent,
            tags=command.tags,
            overdue_at=operations.overdue_at(turn.now, timeout),
            on_overdue=command.on_overdue,
            stalled_after_us=command.stalled_after_us,
            started_at=turn.now,
        )
        yield Begin(
            intent=Bracket(operation_id=token, operation_name=command.name, on_overdue=command.on_overdue),
            token=token,
            timeout=None if command.on_overdue == "alert" else timeout,
        )
        return token

    @handles(UpdateProgress, emits=[OperationProgressed])
    def progress(self, turn: Turn, command: UpdateProgress) -> Decision[None]:
        """Only while it goes on."""
        _open(turn, command.operation_id)
        yield OperationProgressed(operation_id=command.operation_id, at=turn.now, percent=command.percent, message=command.message)

    @handles(AddEvidence, emits=[OperationNoted])
    def note(self, turn: Turn, command: AddEvidence) -> Decision[None]:
        """Also after the end: evidence may come late."""
        _known(turn, command.operation_id)
        note = command
        yield OperationNoted(operation_id=note.operation_id, at=turn.now, kind=note.kind, message=note.message, data=note.data)

    @handles(MarkStalled, emits=[OperationStalled])
    def mark_stalled(self, turn: Turn, command: MarkStalled) -> Decision[bool]:
        """Judged anew by the turn's own time: it may have got on since somebody looked."""
        operation = _known(turn, command.operation_id)
        if operation.status is OperationStatus.STALLED or not operations.is_stalled(operation, turn.now):
            return False
        yield OperationStalled(
            operation_id=command.operation_id, at=turn.now, silent_us=(turn.now - (operation.updated_at or turn.now)) // MICROSECOND
        )
        return True

    @Bracket.settled
    def settle(self, turn: Turn, bracket: Bracket, outcome: Outcome[Ending]) -> Effects:
        """Exactly one end."""
        operation_id = bracket.operation_id
        match outcome:
            case Succeeded(result=ending):
                yield _end(operation_id, turn.now, ending)
            case Failed(code=code, message=message):
                yield OperationFailed(operation_id=operation_id, at=turn.now, code=code, message=message)
            case TimedOut():
                text = "nobody completed it in time"
                if bracket.on_overdue == "fail":
                    yield OperationFailed(operation_id=operation_id, at=turn.now, code="TIMED_OUT", message=text)
                else:
                    yield OperationAbandoned(operation_id=operation_id, at=turn.now, message=text)
            case Cancelled(reason=reason):
                yield OperationCanceled(operation_id=operation_id, at=turn.now, message=reason)
            case Refused(cause=cause):
                yield OperationFailed(operation_id=operation_id, at=turn.now, code=cause)
            case _:
                assert_never(outcome)

    @Bracket.late
    def late(self, turn: Turn, bracket: Bracket, ending: Ending) -> Effects:
        """It was completed after all; the end stands, and this is kept beside it."""
        if ending.status == "Succeeded":
            yield OperationSucceededLate(operation_id=bracket.operation_id, at=turn.now, message=ending.message)

    # The fold.

    @folds(OperationStarted, OperationSnapshot)
    def on_started(self, operation: OperationSnapshot, event: OperationStarted) -> OperationSnapshot:
        """Pending."""
        del operation
        return operations.started(event)

    @folds(OperationProgressed, OperationSnapshot)
    def on_progressed(self, operation: OperationSnapshot, event: OperationProgressed) -> OperationSnapshot:
        """Running."""
        return operations.progressed(operation, event)

    @folds(OperationNoted, OperationSnapshot)
    def on_noted(self, operation: OperationSnapshot, event: OperationNoted) -> OperationSnapshot:
        """A sign of life, and no progress."""
        return operation if operation.closed else structs.replace(operation, updated_at=event.at)

    @folds(OperationStalled, OperationSnapshot)
    def on_stalled(self, operation: OperationSnapshot, event: OperationStalled) -> OperationSnapshot:
        """Stalled; `updated_at` says since when."""
        del event
        return structs.replace(operation, status=OperationStatus.STALLED)

    @folds(OperationSucceeded, OperationSnapshot)
    def on_succeeded(self, operation: OperationSnapshot, event: OperationSucceeded) -> OperationSnapshot:
        """Ended."""
        return operations.ended(operation, event)

    @folds(OperationFailed, OperationSnapshot)
    def on_failed(self, operation: OperationSnapshot, event: OperationFailed) -> OperationSnapshot:
        """Ended."""
        return operations.ended(operation, event)

    @folds(OperationCanceled, OperationSnapshot)
    def on_canceled(self, operation: OperationSnapshot, event: OperationCanceled) -> OperationSnapshot:
        """Ended."""
        return operations.ended(operation, event)

    @folds(OperationAbandoned, OperationSnapshot)
    def on_abandoned(self, operation: OperationSnapshot, event: OperationAbandoned) -> OperationSnapshot:
        """Ended."""
        return operations.ended(operation, event)

    @folds(OperationSucceededLate, OperationSnapshot)
    def on_succeeded_late(self, operation: OperationSnapshot, event: OperationSucceededLate) -> OperationSnapshot:
        """Evidence only: the first end stands."""
        del event
        return operation


def _known(turn: Turn, operation_id: str) -> OperationSnapshot:
    operation = turn.get(OperationSnapshot, operation_id)
    if operation is None:
        code = "UNKNOWN_OPERATION"
        raise Rejected(code, f"There is no operation {operation_id}.")
    return operation


def _open(turn: Turn, operation_id: str) -> OperationSnapshot:
    operation = _known(turn, operation_id)
    if operation.status.ended:
        code = "ALREADY_ENDED"
        raise Rejected(code, f"{operation.name} {operation_id} has ended already: {operation.status}.")
    return operation


def _end(operation_id: str, now: datetime, ending: Ending) -> Event:
    said: dict[str, Any] = {"operation_id": operation_id, "at": now, "message": ending.message, "by": ending.by, "why": ending.why}
    match ending.status:
        case "Succeeded":
            return OperationSucceeded(**said)
        case "Failed":
            return OperationFailed(**said, code=ending.code, failure=ending.failure)
        case "Canceled":
            return OperationCanceled(**said)
        case "Abandoned":
            return OperationAbandoned(**said)
        case _:
            assert_never(ending.status)
