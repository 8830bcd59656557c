"""The tracker: operations started, followed and completed by whoever holds their id. All that it knows, it reads from the log."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from tallystick.actors.admission import WhenFull
from tallystick.actors.surroundings import surroundings
from tallystick.actors.telling import note, warn
from tallystick.domain.clock import Clock
from tallystick.domain.command import Command
from tallystick.domain.envelope import MICROSECOND, Recorded, from_micros
from tallystick.domain.errors import Rejected
from tallystick.domain.operation import (
    STATUS_OF,
    AlreadyEnded,
    Bracket,
    Ending,
    InvalidOperation,
    Json,
    OnOverdue,
    OperationId,
    OperationSnapshot,
    OperationStarted,
    OperationStatus,
    checked_name,
    checked_percent,
    cut,
    is_stalled,
)
from tallystick.domain.operations import AddEvidence, MarkStalled, StartOperation, UpdateProgress
from tallystick.domain.token import Token

R = TypeVar("R")
G = TypeVar("G", bound=OperationSnapshot)

PAGE = 100


class Host(Protocol):
    """What the tracker needs of a system."""

    def ask(self, command: Command[R], *, idempotency_key: str | None = None, timeout_s: float | None = None) -> R:
        """As `System.ask`."""
        ...

    def submit(self, command: Command[R], *, idempotency_key: str | None = None, when_full: WhenFull = "raise") -> Any:
        """As `System.submit`."""
        ...

    def complete(self, token: Token, result: object) -> bool:
        """As `System.complete`."""
        ...

    def get(self, kind: type[G], key: str) -> G | None:
        """As `System.get`."""
        ...

    def events(self, **filters: Any) -> Iterator[Recorded]:
        """As `System.events`."""
        ...

    def open_executions(self) -> tuple[Any, ...]:
        """As `System.open_executions`."""
        ...


class OperationStatistics(NamedTuple):
    """How many operations there are by status, of one name or of all; `total` is the sum of the parts."""

    by_status: Mapping[OperationStatus, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_status.values())


class OperationTracker:
    """Operations of one system. Thread-safe; what a method has said is durable when it returns, progress aside."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self.clock = clock

    # Starting.

    def start(
        self,
        name: str,
        *,
        timeout: timedelta | None = None,
        on_overdue: OnOverdue = "abandon",
        stalled_after: timedelta | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> OperationId:
        """Begin an operation that somebody completes by its id. With a key it is begun once, and its id returned again.

        It becomes a child of the operation that the calling code runs in, and has its correlation and tags. `timeout` is when it is
        overdue; `stalled_after` how long it may be silent.

        Raises:
            InvalidOperation: the name is none, or a time is not positive.
            IdempotencyConflict: the key was used with other content.
        """
        around = surroundings()
        command = StartOperation(
            name=checked_name(name),
            parent=around.operation_id,
            tags={**around.tags, **(tags or {})},
            timeout_us=_micros(timeout),
            on_overdue=on_overdue,
            stalled_after_us=_micros(stalled_after),
        )
        operation_id = OperationId(self._host.ask(command, idempotency_key=idempotency_key))
        note("operation.started", operation=name, operation_id=operation_id, correlation=around.correlation)
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
        return self._host.submit(UpdateProgress(operation_id=operation_id, percent=checked_percent(percent), message=cut(message)))

    def note(self, operation_id: str, kind: str, message: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Keep evidence: a checkpoint, a warning, an error. Also after the end."""
        self._ask(AddEvidence(operation_id=operation_id, kind=kind, message=cut(message), data=data or {}))

    # Ending.

    def complete(self, operation_id: str, ending: Ending) -> None:
        """End it.

        Raises:
            AlreadyEnded: it has ended, or there is no such operation; a success is kept as evidence then.
        """
        if not self.try_complete(operation_id, ending):
            msg = f"Operation {operation_id} is not open: its first end stands, if there ever was such an operation."
            raise AlreadyEnded(msg)

    def try_complete(self, operation_id: str, ending: Ending) -> bool:
        """As `complete`; False where that raises `AlreadyEnded`."""
        return self._host.complete(Token(operation_id), ending)

    def succeed(self, operation_id: str, message: str = "", *, by: str = "", why: str = "") -> None:
        """Complete it. `by` and `why` where a person settles what is stuck. Raises as `complete`."""
        self.complete(operation_id, Ending(status="Succeeded", message=cut(message), by=by, why=why))

    def fail(self, operation_id: str, code: str, message: str = "", *, by: str = "", why: str = "") -> None:
        """Say that it was not done. As `succeed`."""
        self.complete(operation_id, Ending(status="Failed", code=code, message=cut(message), by=by, why=why))

    def cancel(self, operation_id: str, message: str = "", *, by: str = "", why: str = "") -> None:
        """Say that it is not to be done any more; code that runs it sees that by `cancelled()`. As `succeed`."""
        self.complete(operation_id, Ending(status="Canceled", message=cut(message), by=by, why=why))

    def abandon(self, operation_id: str, message: str = "", *, by: str, why: str) -> None:
        """Give it up, by hand. As `succeed`."""
        self.complete(operation_id, Ending(status="Abandoned", message=cut(message), by=by, why=why))

    # Asking.

    def get(self, operation_id: str) -> OperationSnapshot | None:
        """Where it stands, as far as that is durable; None when there is no such operation."""
        return self._host.get(OperationSnapshot, operation_id)

    def open(self, *, name_prefix: str = "") -> Iterator[OperationSnapshot]:
        """Those that have not ended, oldest first."""
        for each in self._host.open_executions():
            intent = each.execution.intent
            if isinstance(intent, Bracket) and intent.operation_name.startswith(name_prefix):
                operation = self.get(intent.operation_id)
                if operation is not None and not operation.status.ended:
                    yield operation

    def find(  # noqa: PLR0913 - each has a default and is given by name
        self,
        *,
        status: OperationStatus | None = None,
        name_prefix: str = "",
        tag: tuple[str, str] | None = None,
        parent: str | None = None,
        correlation: str | None = None,
        before_us: int | None = None,
        limit: int = PAGE,
    ) -> list[OperationSnapshot]:
        """Operations that match, newest first; a page is continued with `before_us`, the last one's start in microseconds."""
        found: list[OperationSnapshot] = []
        filters: dict[str, Any] = {"event_types": (OperationStarted.__name__,), "newest_first": True}
        for recorded in self._host.events(**filters, before_us=before_us, correlation=correlation):
            if len(found) >= limit:
                break
            operation = self.get(recorded.aggregate_id)
            if operation is None or not operation.name.startswith(name_prefix) or status not in {None, operation.status}:
                continue
            if (tag is None or operation.tags.get(tag[0]) == tag[1]) and parent in {None, operation.parent}:
                found.append(operation)
        return found

    def statistics(self, *, name_prefix: str = "") -> OperationStatistics:
        """How many there are by status, read from the log in one pass."""
        status: dict[str, OperationStatus] = {}
        ends = {kind.__name__: ended for kind, ended in STATUS_OF.items()}
        moved = {"OperationProgressed": OperationStatus.RUNNING, "OperationStalled": OperationStatus.STALLED, **ends}
        for recorded in self._host.events(event_types=(OperationStarted.__name__, *moved)):
            operation_id = recorded.aggregate_id
            if recorded.event_type in moved:
                if operation_id in status:
                    status[operation_id] = moved[recorded.event_type]
            elif json.loads(recorded.payload)["name"].startswith(name_prefix):
                status[operation_id] = OperationStatus.PENDING
        return OperationStatistics(Counter(status.values()))

    # Watching.

    def find_stalled(self) -> list[OperationSnapshot]:
        """Open ones that were silent for longer than their `stalled_after`, oldest first."""
        now = from_micros(self.clock.now_us())
        return [operation for operation in self.open() if is_stalled(operation, now)]

    def mark_stalled(self) -> list[OperationSnapshot]:
        """Mark those that `find_stalled` finds; the ones that were not marked yet. Each is warned about once."""
        marked: list[OperationSnapshot] = []
        for operation in self.find_stalled():
            if operation.status is not OperationStatus.STALLED and self._host.ask(MarkStalled(operation_id=operation.operation_id)):
                warn("operation.stalled", operation=operation.name, operation_id=operation.operation_id)
                marked.append(operation)
        return marked

    def correlation_of(self, operation_id: str) -> str | None:
        """What it, and all that it leads to, have in common."""
        first = next(iter(self._host.events(aggregate_type=OperationStarted.aggregate_type, aggregate_id=operation_id, limit=1)), None)
        return None if first is None else first.correlation

    def _ask(self, command: Command[None]) -> None:
        try:
            self._host.ask(command)
        except Rejected as refusal:
            if refusal.code == "ALREADY_ENDED":
                raise AlreadyEnded(refusal.message) from refusal
            raise


def _micros(duration: timedelta | None) -> int | None:
    if duration is not None and duration <= timedelta(0):
        msg = f"{duration} is no time to wait; give a positive one, or None."
        raise InvalidOperation(msg)
    return None if duration is None else duration // MICROSECOND
