"""The lines that say how operations ended, with the standard tags: each end is told once, by whoever brought it about.

Brackets, and whoever completes one or gives it up, tell of that when they have returned. What ends by itself (its time is up, its handler
gave it up, it was an orphan) nobody waits for: the engine tells of that when it is durable.
"""

from collections.abc import Iterable
from typing import Any

from tallystick.actors.telling import note, warn
from tallystick.domain.clock import Clock
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.operations.operation import STATUS_OF, Bracket, OperationStatus
from tallystick.store.journal import Draft, Fate


def tell_end(name: str, operation_id: str, status: str, *, code: str = "", milliseconds: int, **more: Any) -> None:
    """Say that an operation has ended, with the standard tags."""
    said = {"operation": name, "operation_id": operation_id, "milliseconds": milliseconds, **more}
    match status:
        case OperationStatus.FAILED:
            warn("operation.failed", outcome="Failure", code=code, **said)
        case OperationStatus.ABANDONED:
            warn("operation.abandoned", outcome="Warning", **said)
        case _:
            note("operation.completed", outcome="Success" if status == OperationStatus.SUCCEEDED else "Warning", **said)


def tell_ended(record: ExecutionRecord, status: str, now_us: int, *, code: str = "") -> None:
    """As `tell_end`, of what was begun and has ended by now, if it is an operation."""
    if type(record.intent) is Bracket:
        milliseconds = (now_us - record.started_at_us) // 1000
        tell_end(record.intent.operation_name, record.token, status, code=code, milliseconds=milliseconds, correlation=record.correlation)


class EndedByItself:
    """An output that tells of an operation's end."""

    __slots__ = ("_clock", "_event", "_record")

    def __init__(self, record: ExecutionRecord, event: Any, clock: Clock) -> None:
        self._record = record
        self._event = event
        self._clock = clock

    def release(self) -> None:
        """Tell; it is durable."""
        record, event = self._record, self._event
        tell_ended(record, STATUS_OF[type(event)], self._clock.now_us(), code=getattr(event, "code", ""))

    def lost(self, fate: Fate) -> None:
        """It did not end; its time is up again when the log is opened anew."""


def ended_by_itself(record: ExecutionRecord, drafts: Iterable[Draft], clock: Clock) -> EndedByItself | None:
    """What tells of the end of an execution that failed or timed out without anybody's word; None where that is no operation."""
    if type(record.intent) is not Bracket:
        return None
    event = next((draft.event for draft in drafts if draft.token == record.token and draft.settles is not None), None)
    return None if type(event) not in STATUS_OF else EndedByItself(record, event, clock)
