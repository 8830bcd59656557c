"""The owner of operations: an ordinary module. It has an execution for each open operation, and is told by commands and completions."""

from datetime import datetime, timedelta
from typing import Any, assert_never

from tallystick.domain.action import Action
from tallystick.domain.effect import Begin, Decision, Effects, Settle
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import Rejected
from tallystick.domain.event import Event
from tallystick.domain.intent import Intent
from tallystick.domain.module import Turn, extended, handles
from tallystick.domain.operations import operation as operations
from tallystick.domain.operations.commands import (
    AddEvidence,
    Beat,
    GiveUp,
    MarkStalled,
    RecordAudit,
    Resume,
    StartOperation,
    UpdateProgress,
)
from tallystick.domain.operations.events import (
    OperationAbandoned,
    OperationAudited,
    OperationBeat,
    OperationCanceled,
    OperationExtended,
    OperationFailed,
    OperationNoted,
    OperationOverdue,
    OperationProgressed,
    OperationResumed,
    OperationStalled,
    OperationStarted,
    OperationSucceeded,
    OperationSucceededLate,
    Verdict,
)
from tallystick.domain.operations.folding import IndexOfOperations, SnapshotsOfOperations
from tallystick.domain.operations.operation import GIVEN_UP, GIVES_UP, ORPHAN, Bracket, Ending, OperationSnapshot, OperationStatus
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, Succeeded, TimedOut
from tallystick.domain.retry import ExponentialBackoff, FixedDelay
from tallystick.domain.token import Token

OWNER = "operations"
"""The owner's name in the log."""


class AttendOperation(Action[Verdict]):
    """Ask the host's handler what is to become of an overdue operation."""

    operation_id: str
    operation_name: str
    round: int


class OperationDeadline(Intent[Verdict]):
    """The time that an operation has before a handler is asked; nothing but its timeout ends it, or the operation's end."""

    operation_id: str
    operation_name: str
    timeout_us: int
    round: int = 1

    @property
    def subject(self) -> str:
        """The operation."""
        return self.operation_id


class OperationAttention(Intent[Verdict]):
    """The host's handler is asked about an overdue operation."""

    operation_id: str
    operation_name: str
    timeout_us: int
    round: int
    timeout = timedelta(minutes=5)
    retry = ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(minutes=1), max_retries=5)

    @property
    def subject(self) -> str:
        """The operation."""
        return self.operation_id


OVERDUE = "OVERDUE"
BY_HANDLER = "its handler said so"
RETRIES = FixedDelay(interval=timedelta(seconds=1), max_retries=3)
"""How often an overdue operation is tried again where nobody says it."""


class Operations(SnapshotsOfOperations, IndexOfOperations):
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
            heartbeat_us=command.heartbeat_us,
            held=command.held,
            started_at=turn.now,
        )
        by_itself = command.on_overdue in {"abandon", "fail", "retry"}
        yield Begin(
            intent=Bracket(operation_id=token, operation_name=command.name, on_overdue=command.on_overdue),
            token=token,
            timeout=timeout if by_itself else None,
            retry=(command.retry or RETRIES) if command.on_overdue == "retry" else None,
        )
        if command.on_overdue == "handler" and timeout is not None:
            yield _deadline(token, command.name, timeout // MICROSECOND, 1)
        return token

    @handles(UpdateProgress, emits=[OperationProgressed])
    def progress(self, turn: Turn, command: UpdateProgress) -> Decision[None]:
        """Only while it goes on."""
        _open(turn, command.operation_id)
        yield OperationProgressed(operation_id=command.operation_id, at=turn.now, percent=command.percent, message=command.message)

    @handles(Beat, emits=[OperationBeat])
    def beat(self, turn: Turn, command: Beat) -> Decision[None]:
        """Only while it goes on."""
        _open(turn, command.operation_id)
        yield OperationBeat(operation_id=command.operation_id, at=turn.now)

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
        since = operation.updated_at or turn.now
        missed = operations.missed_by(operation, turn.now)
        if missed is None and command.silent_us is not None and turn.now - since > command.silent_us * MICROSECOND:
            missed = "progress"
        if operation.status.ended or operation.status is OperationStatus.STALLED or missed is None:
            return False
        last = since if missed == "progress" else operation.alive_at or turn.now
        yield OperationStalled(operation_id=command.operation_id, at=turn.now, silent_us=(turn.now - last) // MICROSECOND, missed=missed)
        return True

    @handles(Resume, emits=[OperationResumed])
    def resume(self, turn: Turn, command: Resume) -> Decision[None]:
        """Only one that stands still."""
        operation = _open(turn, command.operation_id)
        if operation.status is not OperationStatus.STALLED:
            code = "NOT_STALLED"
            raise Rejected(code, f"{operation.name} {operation.operation_id} is {operation.status}; only a stalled one is resumed.")
        yield OperationResumed(operation_id=command.operation_id, at=turn.now, by=command.by, why=command.why)

    @handles(GiveUp)
    def give_up(self, turn: Turn, command: GiveUp) -> Decision[bool]:
        """Judged anew by what has happened since somebody looked; a completed one is never touched."""
        operation = _known(turn, command.operation_id)
        if operation.status.ended or operation.started_at is None or operation.started_at >= command.started_before:
            return False
        if operation.overdue_at is not None and operation.overdue_at >= turn.now:
            return False
        yield Settle(token=Token(command.operation_id), outcome=Failed(code=ORPHAN, message=command.why))
        return True

    @handles(RecordAudit, emits=[OperationAudited])
    def audit(self, turn: Turn, command: RecordAudit) -> Decision[str]:
        """As it is said; the operation, if one is named, is one of ours."""
        if command.operation_id:
            _known(turn, command.operation_id)
        audit_id = turn.new_id()
        yield OperationAudited(
            audit_id=audit_id,
            at=turn.now,
            name=command.name,
            message=command.message,
            outcome=command.outcome,
            who=command.who,
            operation_id=command.operation_id,
            anchors=command.anchors,
        )
        return audit_id

    @Bracket.settled
    def settle(self, turn: Turn, bracket: Bracket, outcome: Outcome[Ending]) -> Effects:
        """Exactly one end."""
        operation_id = bracket.operation_id
        yield _ended(bracket, turn.now, outcome)
        by_handler = isinstance(outcome, Failed) and outcome.code in {GIVEN_UP, OVERDUE}
        if bracket.on_overdue == "handler" and not by_handler:  # whose own turn this is, then
            waiting = [each.token for each in turn.open(OperationDeadline, operation_id)]
            waiting += [each.token for each in turn.open(OperationAttention, operation_id)]
            for token in waiting:
                yield Settle(token=token, outcome=Cancelled(reason="the operation has ended"))

    @extended(Bracket)
    def extend(self, turn: Turn, bracket: Bracket, ends_at: datetime) -> Effects:
        """Another attempt is overdue when its own time is up, and not when that of the first one was."""
        yield OperationExtended(operation_id=bracket.operation_id, at=turn.now, overdue_at=ends_at)

    @Bracket.late
    def late(self, turn: Turn, bracket: Bracket, ending: Ending) -> Effects:
        """It was completed after all; the end stands, and this is kept beside it."""
        if ending.status == "Succeeded":
            yield OperationSucceededLate(operation_id=bracket.operation_id, at=turn.now, message=ending.message)

    # Those that a handler decides on.

    @OperationDeadline.settled
    def is_overdue(self, turn: Turn, deadline: OperationDeadline, outcome: Outcome[Verdict]) -> Effects:
        """Its time is up: the handler is asked."""
        if isinstance(outcome, TimedOut) and _goes_on(turn, deadline.operation_id):
            operation_id, name = deadline.operation_id, deadline.operation_name
            yield OperationOverdue(operation_id=operation_id, at=turn.now, round=deadline.round)
            yield Begin(
                intent=OperationAttention(
                    operation_id=operation_id, operation_name=name, timeout_us=deadline.timeout_us, round=deadline.round
                ),
                actions=(AttendOperation(operation_id=operation_id, operation_name=name, round=deadline.round),),
            )

    @OperationAttention.settled
    def attended(self, turn: Turn, attention: OperationAttention, outcome: Outcome[Verdict]) -> Effects:
        """What the handler has decided happens; if it cannot decide, the operation is abandoned."""
        if isinstance(outcome, Cancelled) or not _goes_on(turn, attention.operation_id):
            return
        token = Token(attention.operation_id)
        match outcome:
            case Succeeded(result="retry"):
                ends_at = turn.now + attention.timeout_us * MICROSECOND
                yield OperationExtended(operation_id=attention.operation_id, at=turn.now, overdue_at=ends_at)
                yield _deadline(token, attention.operation_name, attention.timeout_us, attention.round + 1)
            case Succeeded(result="alert"):
                return
            case Succeeded(result="fail"):
                yield Settle(token=token, outcome=Failed(code=OVERDUE, message=BY_HANDLER))
            case Succeeded():
                yield Settle(token=token, outcome=Failed(code=GIVEN_UP, message=BY_HANDLER))
            case _:
                said = f"its handler came to no decision: {outcome.code if isinstance(outcome, Failed) else type(outcome).__name__}"
                yield Settle(token=token, outcome=Failed(code=GIVEN_UP, message=said))


def _goes_on(turn: Turn, operation_id: str) -> bool:
    operation = turn.get(OperationSnapshot, operation_id)
    return operation is not None and not operation.status.ended


def _deadline(operation_id: str, name: str, timeout_us: int, number: int) -> Begin:
    intent = OperationDeadline(operation_id=operation_id, operation_name=name, timeout_us=timeout_us, round=number)
    return Begin(intent=intent, timeout=timeout_us * MICROSECOND)


def _ended(bracket: Bracket, now: datetime, outcome: Outcome[Ending]) -> Event:
    operation_id = bracket.operation_id
    match outcome:
        case Succeeded(result=ending):
            return _end(operation_id, now, ending)
        case Failed(code=code, message=message) if code in GIVES_UP:
            return OperationAbandoned(operation_id=operation_id, at=now, message=message)
        case Failed(code=code, message=message):
            return OperationFailed(operation_id=operation_id, at=now, code=code, message=message)
        case TimedOut(attempts=attempts):
            return _too_late(bracket, now, attempts)
        case Cancelled(reason=reason):
            return OperationCanceled(operation_id=operation_id, at=now, message=reason)
        case Refused(cause=cause):
            return OperationFailed(operation_id=operation_id, at=now, code=cause)
        case _:
            assert_never(outcome)


def _too_late(bracket: Bracket, now: datetime, attempts: int) -> Event:
    if bracket.on_overdue == "abandon":
        return OperationAbandoned(operation_id=bracket.operation_id, at=now, message="nobody completed it in time")
    text = f"timed out after {attempts} attempts" if bracket.on_overdue == "retry" else "nobody completed it in time"
    return OperationFailed(operation_id=bracket.operation_id, at=now, code="TIMED_OUT", message=text)


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
            return OperationSucceeded(**said, data=ending.data)
        case "Failed":
            return OperationFailed(**said, code=ending.code, failure=ending.failure)
        case "Canceled":
            return OperationCanceled(**said)
        case "Abandoned":
            return OperationAbandoned(**said)
        case _:
            assert_never(ending.status)
