"""The tracker: operations started, followed and completed by whoever holds their id. All that it knows, it reads from the log."""

from asyncio import CancelledError, Task
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict, Unpack, get_args

from msgspec import structs

from tallystick.actors.landing import Awaited, InThread, outlasting
from tallystick.actors.operation_ends import tell_end
from tallystick.actors.operations.queries import Host, OperationQueries, check_named
from tallystick.actors.surroundings import Surrounded, Surroundings, surroundings
from tallystick.actors.telling import WhenShown, note, warn
from tallystick.domain.action import Call
from tallystick.domain.clock import Clock
from tallystick.domain.envelope import LONGEST, MICROSECOND, from_micros
from tallystick.domain.errors import NotAccepted, Overloaded, Rejected
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
from tallystick.domain.operations.events import Anchor, AuditOutcome, Json, OnOverdue, Verdict
from tallystick.domain.operations.operation import (
    AlreadyEnded,
    Bracket,
    Ending,
    InvalidOperation,
    OperationId,
    OperationSnapshot,
    OperationStatus,
    checked_audit_name,
    checked_name,
    checked_percent,
    cut,
)
from tallystick.domain.operations.owner import OWNER, AttendOperation
from tallystick.domain.operations.saved import SavedOperations
from tallystick.domain.retry import AnyRetry
from tallystick.domain.sensitive import checked_evidence, refuse_sensitive
from tallystick.domain.text import checked_person, checked_text
from tallystick.domain.token import Token

Cancelled = CancelledError | None
NOT_NOW = (Overloaded, NotAccepted)
"""What is raised where something would have to be waited for: room, or an engine that takes the place of one that has failed."""
OfOperationCommand = UpdateProgress | Beat | AddEvidence | Resume
OverdueHandler = Callable[[OperationSnapshot, int], Verdict]
"""Decides on an overdue operation; the number says for which time it is asked."""


class Runner(NamedTuple):
    """What runs the body of a bracket in this process."""

    thread: int
    """The identity of its thread; for a task, of the thread of its event loop."""
    task: "Task[Any] | None" = None


class OperationTerms(TypedDict, total=False):
    """How an operation is begun: `OperationTracker.start` says what each means."""

    timeout: timedelta | None
    on_overdue: OnOverdue
    retry: AnyRetry | None
    stalled_after: timedelta | None
    heartbeat_within: timedelta | None
    tags: Mapping[str, str] | None
    idempotency_key: str | None
    correlation: str | None


class OperationTracker(OperationQueries):
    """Operations of one system. Thread-safe; what a method has said is durable when it returns, progress aside."""

    def __init__(self, host: Host, clock: Clock, saved: Callable[[], SavedOperations]) -> None:
        super().__init__(host, clock, saved)
        self._overdue_handlers: dict[str, OverdueHandler] = {}
        self.running: dict[str, Runner] = {}
        """The brackets that code of this process is in, by operation."""

    # Starting.

    def start(self, name: str, *, held: bool = False, **terms: Unpack[OperationTerms]) -> OperationId:
        """Begin an operation that somebody completes by its id. With a key it is begun once, and its id returned again, also elsewhere.

        It becomes a child of the operation that the calling code runs in, and has its tags and, unless one is given, its correlation.
        `timeout` is when it is overdue, and `on_overdue` what happens then: it is abandoned (unless said otherwise), or fails; "retry"
        begins another attempt, with its own `timeout`, as `retry` says, and fails it after the last; "alert" leaves it to the watcher,
        "handler" to whom `when_overdue` names. `stalled_after` is how long it may go without progress, `heartbeat_within` how long
        without any sign of life. `held`: the calling process does it, and nobody does when that is gone.

        Raises:
            InvalidOperation: the name is none, or a time is no timedelta or not positive.
            IdempotencyConflict: the key was used with other content.
            TypeError: there is no such term.
        """
        command, around = self._asked_for(name, terms, held=held)
        asked_at = None if terms.get("idempotency_key") is None else from_micros(self.clock.now_us())
        with Surrounded(around):
            operation_id = self._host.ask(command, idempotency_key=terms.get("idempotency_key"))
        return self._started(OperationId(operation_id), command, around, asked_at)

    async def start_in_loop(self, name: str, *, held: bool = False, **terms: Unpack[OperationTerms]) -> tuple[OperationId, Cancelled]:
        """As `start`, without holding up the event loop that runs here, and whatever happens to the task; with what it was cancelled by.

        What it was cancelled by is for the caller to raise, who alone can end the operation. Not in the stepped runtime.
        """
        command, around = self._asked_for(name, terms, held=held)
        key = terms.get("idempotency_key")
        asked_at = None if key is None else from_micros(self.clock.now_us())
        begun: Awaited[str] | InThread[str]
        with Surrounded(around):
            try:
                begun = self._host.ask_in_loop(command, key)
            except NOT_NOW:  # a thread can wait for room, and for the next engine
                begun = InThread(lambda: self._host.ask(command, idempotency_key=key))
        operation_id, cancelled = await outlasting(begun)
        return self._started(OperationId(operation_id), command, around, asked_at), cancelled

    def _asked_for(self, name: str, terms: OperationTerms, *, held: bool) -> tuple[StartOperation, Surroundings]:
        """The command that begins it, and in what surroundings it is asked."""
        check_named("start", terms, OperationTerms)
        outside, correlation = surroundings(), terms.get("correlation")
        refuse_sensitive("an operation's name, key or correlation", name, terms.get("idempotency_key"), correlation)
        refuse_sensitive("a tag", *(terms.get("tags") or {}), *(terms.get("tags") or {}).values())
        around = outside
        if correlation is not None or terms.get("tags"):
            around = Surroundings(
                correlation,
                operation_id=outside.operation_id,
                tags={**outside.tags, **(terms.get("tags") or {})},
                traceparent=outside.traceparent,
                of=outside.of,
                look_up=lambda: outside.correlation,
            )
        command = StartOperation(
            name=checked_name(name),
            parent=around.operation_id if around.of is self else "",
            tags=around.tags,
            timeout_us=_span_us(terms.get("timeout")),
            on_overdue=terms.get("on_overdue", "abandon"),
            retry=terms.get("retry"),
            stalled_after_us=_span_us(terms.get("stalled_after")),
            heartbeat_us=_span_us(terms.get("heartbeat_within")),
            held=held,
            given=terms.get("tags") or {},
        )
        return command, around

    def _started(self, operation_id: OperationId, command: StartOperation, around: Surroundings, asked_at: datetime | None) -> OperationId:
        """Tell of it, unless it was asked for with a key, which has found one that had been begun before."""
        found = None if asked_at is None else self.get(operation_id)
        if found is not None and asked_at is not None and found.started_at is not None and found.started_at < asked_at:
            return operation_id
        known = around.correlation or WhenShown(lambda: self.correlation_of(operation_id))
        note("operation.started", operation=command.name, operation_id=operation_id, correlation=known, tags=command.tags)
        return operation_id

    # Following.

    def progress(self, operation_id: str, percent: float | None = None, message: str = "") -> None:
        """Say how far it is, 0 to 100, or only that it goes on.

        Raises:
            InvalidOperation: that is no percentage.
            AlreadyEnded: it has ended.
        """
        self._ask(UpdateProgress(operation_id=operation_id, percent=checked_percent(percent), message=cut(message)))

    def progress_soon(self, operation_id: str, percent: float | None = None, message: str = "") -> Any:
        """As `progress`, without waiting; a future."""
        with self._within(operation_id):
            return self._host.submit(UpdateProgress(operation_id=operation_id, percent=checked_percent(percent), message=cut(message)))

    def heartbeat(self, operation_id: str) -> None:
        """Say that it is alive, though it has not got on. Raises `AlreadyEnded`."""
        self._ask(Beat(operation_id=operation_id))

    def heartbeat_soon(self, operation_id: str) -> Any:
        """As `heartbeat`, without waiting; a future."""
        with self._within(operation_id):
            return self._host.submit(Beat(operation_id=operation_id))

    def note(self, operation_id: str, kind: str, message: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Keep evidence: a checkpoint, a warning, an error. Also after the end."""
        self._ask(AddEvidence(operation_id=operation_id, kind=kind, message=cut(message), data=checked_evidence(data or {})))

    def audit(
        self,
        name: str,
        message: str = "",
        *,
        outcome: AuditOutcome = "Success",
        who: str = "",
        operation_id: str | None = None,
        anchors: tuple[Anchor, ...] = (),
    ) -> str:
        """Record who did what, and what came of it; of the operation that the calling code runs in, unless another is named. Its id."""
        here = surroundings()
        about = operation_id if operation_id is not None else here.operation_id if here.of is self else ""
        refuse_sensitive(
            "an audit record's name, person or anchor", name, who, *(each for anchor in anchors for each in (anchor.kind, anchor.id))
        )
        checked_audit_name(name)
        command = RecordAudit(name=name, message=cut(message), outcome=outcome, who=who, operation_id=about, anchors=anchors)
        with self._within(about):
            return self._host.ask(command)

    # Ending.

    def complete(self, operation_id: str, ending: Ending) -> None:
        """End it.

        Raises:
            AlreadyEnded: it has ended, or there is no such operation; a success is kept as evidence then.
            InvalidPayload: what a person says is no text, or a value of the result no plain one.
        """
        checked_text("by", ending.by)
        checked_text("why", ending.why)
        ending = structs.replace(ending, data=checked_evidence(ending.data))
        if not self.try_complete(operation_id, ending):
            msg = f"Operation {operation_id} is not open: its first end stands, if there ever was such an operation."
            raise AlreadyEnded(msg)
        operation = self.get(operation_id)
        if operation is not None:
            took = (operation.duration or timedelta()) // timedelta(milliseconds=1)
            tell_end(operation.name, operation_id, ending.status, code=ending.code, milliseconds=took)

    def try_complete(self, operation_id: str, ending: Ending) -> bool:
        """As `complete`; False where that raises `AlreadyEnded`. Nothing is told."""
        return self._host.complete_as(OWNER, Token(operation_id), ending)

    async def try_complete_in_loop(self, operation_id: str, ending: Ending) -> tuple[bool, Cancelled]:
        """As `try_complete`, without holding up the event loop that runs here, and whatever happens to the task: as `start_in_loop`."""
        ended: Awaited[bool] | InThread[bool]
        try:
            ended = self._host.complete_in_loop(OWNER, Token(operation_id), ending)
        except NOT_NOW:
            ended = InThread(lambda: self.try_complete(operation_id, ending))
        return await outlasting(ended)

    def succeed(self, operation_id: str, message: str = "", *, data: Mapping[str, Json] | None = None, by: str = "", why: str = "") -> None:
        """Complete it, with its result in `data`. `by` and `why` where a person settles what is stuck. Raises as `complete`."""
        self.complete(operation_id, Ending(status="Succeeded", message=cut(message), data=data or {}, by=by, why=why))

    def fail(self, operation_id: str, code: str, message: str = "", *, by: str = "", why: str = "") -> None:
        """Say that it was not done. As `succeed`."""
        refuse_sensitive("the code of a failure", code)
        self.complete(operation_id, Ending(status="Failed", code=code, message=cut(message), by=by, why=why))

    def cancel(self, operation_id: str, message: str = "", *, by: str = "", why: str = "") -> None:
        """Say that it is not to be done any more; code that runs it sees that by `cancelled()`. As `succeed`."""
        self.complete(operation_id, Ending(status="Canceled", message=cut(message), by=by, why=why))

    def abandon(self, operation_id: str, message: str = "", *, by: str, why: str) -> None:
        """Give it up, by hand. As `succeed`."""
        checked_person(by, why)
        self.complete(operation_id, Ending(status="Abandoned", message=cut(message), by=by, why=why))

    # What people decide besides.

    def resume(self, operation_id: str, *, by: str, why: str) -> None:
        """Say that a stalled one goes on.

        Raises:
            AlreadyEnded: it has ended.
            InvalidPayload: nobody or no reason is named.
            Rejected: it is not stalled (NOT_STALLED), or unknown.
        """
        checked_person(by, why)
        self._ask(Resume(operation_id=operation_id, by=by, why=why))

    def retry(self, operation_id: str, *, by: str, why: str) -> None:
        """Give it another attempt with a time of its own, recorded; a stalled one goes on. Whoever does the work follows `AttemptStarted`.

        Raises:
            AlreadyEnded: it has ended, or there is no such operation; the execution of another module is none.
            InvalidPayload: nobody or no reason is named.
        """
        checked_person(by, why)
        execution = self._host.open_execution(Token(operation_id))
        if execution is None or type(execution.execution.intent) is not Bracket:
            msg = f"Operation {operation_id} is not open: only an open one is tried again; start a new one instead."
            raise AlreadyEnded(msg)
        self._host.retry(execution, who=by, why=why)
        operation = self.get(operation_id)
        if operation is not None and operation.status is OperationStatus.STALLED:
            self.resume(operation_id, by=by, why=why)

    def when_overdue(self, name_prefix: str, handler: OverdueHandler) -> None:
        """Have this decide on overdue operations of these names that were begun with `on_overdue="handler"`; the longest prefix wins.

        It is called as any performer: on a thread of its own, retried when it raises, and called again after a crash that left its
        answer in doubt. Name it before the system is entered, so that a recovery finds it.
        """
        self._overdue_handlers[name_prefix] = handler

    def attend(self, action: AttendOperation, call: Call) -> Verdict:
        """Ask the handler: the performer of `AttendOperation`.

        Raises:
            Rejected: there is none for that name, or what it answers is no verdict.
        """
        del call
        fitting = [prefix for prefix in self._overdue_handlers if action.operation_name.startswith(prefix)]
        operation = self.get(action.operation_id)
        if not fitting or operation is None:
            code = "NO_HANDLER"
            raise Rejected(code, f"Nobody decides on overdue operations named {action.operation_name}: name a handler by when_overdue.")
        verdict = self._overdue_handlers[max(fitting, key=len)](operation, action.round)
        if verdict not in get_args(Verdict):
            code = "NO_VERDICT"
            raise Rejected(code, f"The handler of overdue operations named {action.operation_name} answered none of {get_args(Verdict)}.")
        return verdict

    # Stalled ones.

    def mark_stalled(self) -> list[OperationSnapshot]:
        """Mark those that `find_stalled` finds; the ones that were not marked yet. Each is warned about once."""
        return [operation for operation in self.find_stalled() if self.mark(operation)]

    def mark(self, operation: OperationSnapshot, silent_for: timedelta | None = None) -> bool:
        """Mark one as stalled, if it still is by the time that this is decided, and is not marked; whether it was."""
        if operation.status is OperationStatus.STALLED:
            return False
        command = MarkStalled(operation_id=operation.operation_id, silent_us=_micros(silent_for))
        with self._within(operation.operation_id):
            marked = self._host.ask(command)
        if marked:
            warn("operation.stalled", operation=operation.name, operation_id=operation.operation_id)
        return marked

    def give_up(self, operation: OperationSnapshot, why: str) -> bool:
        """Abandon an orphan, unless it has ended or begun anew by the time that this is decided; whether it was."""
        if operation.started_at is None:
            return False
        before = operation.started_at + MICROSECOND
        with self._within(operation.operation_id):
            given_up = self._host.ask(GiveUp(operation_id=operation.operation_id, started_before=before, why=why))
        if given_up:
            warn("operation.orphaned", operation=operation.name, operation_id=operation.operation_id)
        return given_up

    def _within(self, operation_id: str) -> Surrounded:
        """What is said of an operation from elsewhere has its correlation all the same, so that it is in its timeline, and its tags."""
        around = surroundings()
        if operation_id and around.operation_id != operation_id:
            correlation, tags = self.known_of(operation_id)
            around = Surroundings(correlation, operation_id=operation_id, tags=tags, of=self)
        return Surrounded(around)

    def _ask(self, command: OfOperationCommand) -> None:
        try:
            with self._within(command.operation_id):
                self._host.ask(command)
        except Rejected as refusal:
            if refusal.code == "ALREADY_ENDED":
                raise AlreadyEnded(refusal.message) from refusal
            raise


def _span_us(duration: timedelta | None) -> int | None:
    span_us = _micros(duration)
    if duration is not None and duration > LONGEST:
        msg = f"{duration} is longer than calendars go; give at most {LONGEST.days} days, or None for no limit."
        raise InvalidOperation(msg)
    return span_us


def _micros(duration: timedelta | None) -> int | None:
    given: object = duration
    if given is not None and not isinstance(given, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] - of untyped programs
        msg = f"{duration!r} is no time to wait; give a timedelta, as timedelta(seconds=5)."
        raise InvalidOperation(msg)
    if duration is not None and duration <= timedelta(0):
        msg = f"{duration} is no time to wait; give a positive one, or None."
        raise InvalidOperation(msg)
    return None if duration is None else duration // MICROSECOND
