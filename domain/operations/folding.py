"""How the events of operations become states: each operation's snapshot, and the index of those that are open."""

from tallystick.domain.envelope import Recorded
from tallystick.domain.module import Module, folds, folds_recorded
from tallystick.domain.operations import operation as operations
from tallystick.domain.operations.events import (
    OperationAbandoned,
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
)
from tallystick.domain.operations.index import OpenOperations
from tallystick.domain.operations.operation import OperationSnapshot


class SnapshotsOfOperations(Module):
    """Folds each operation's events into its snapshot."""

    @folds_recorded(OperationStarted, OperationSnapshot)
    def on_started(self, operation: OperationSnapshot, event: OperationStarted, recorded: Recorded) -> OperationSnapshot:
        """Pending."""
        del operation
        return operations.started(event, recorded)

    @folds(OperationProgressed, OperationSnapshot)
    def on_progressed(self, operation: OperationSnapshot, event: OperationProgressed) -> OperationSnapshot:
        """Running."""
        return operations.progressed(operation, event)

    @folds(OperationBeat, OperationSnapshot)
    def on_beat(self, operation: OperationSnapshot, event: OperationBeat) -> OperationSnapshot:
        """Alive."""
        return operations.beaten(operation, event)

    @folds(OperationNoted, OperationSnapshot)
    def on_noted(self, operation: OperationSnapshot, event: OperationNoted) -> OperationSnapshot:
        """A sign of life, and no progress."""
        return operations.noted(operation, event.at)

    @folds(OperationStalled, OperationSnapshot)
    def on_stalled(self, operation: OperationSnapshot, event: OperationStalled) -> OperationSnapshot:
        """Stalled."""
        return operations.stalled(operation, event)

    @folds(OperationResumed, OperationSnapshot)
    def on_resumed(self, operation: OperationSnapshot, event: OperationResumed) -> OperationSnapshot:
        """Running."""
        return operations.resumed(operation, event.at)

    @folds(OperationOverdue, OperationSnapshot)
    def on_overdue(self, operation: OperationSnapshot, event: OperationOverdue) -> OperationSnapshot:
        """No sign of life: nobody but a timer has said anything."""
        del event
        return operation

    @folds(OperationExtended, OperationSnapshot)
    def on_extended(self, operation: OperationSnapshot, event: OperationExtended) -> OperationSnapshot:
        """Overdue later."""
        return operations.extended(operation, event)

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


class IndexOfOperations(Module):
    """Folds the same events into the index of open operations."""

    @folds_recorded(OperationStarted, OpenOperations)
    def index_started(self, index: OpenOperations, event: OperationStarted, recorded: Recorded) -> OpenOperations:
        """One more."""
        return index.with_new(operations.started(event, recorded))

    @folds(OperationProgressed, OpenOperations)
    def index_progressed(self, index: OpenOperations, event: OperationProgressed) -> OpenOperations:
        """It got on."""
        return index.with_changed(event.operation_id, lambda each: operations.progressed(each, event))

    @folds(OperationBeat, OpenOperations)
    def index_beat(self, index: OpenOperations, event: OperationBeat) -> OpenOperations:
        """It is alive."""
        return index.with_changed(event.operation_id, lambda each: operations.beaten(each, event))

    @folds(OperationNoted, OpenOperations)
    def index_noted(self, index: OpenOperations, event: OperationNoted) -> OpenOperations:
        """It is alive."""
        return index.with_changed(event.operation_id, lambda each: operations.noted(each, event.at))

    @folds(OperationStalled, OpenOperations)
    def index_stalled(self, index: OpenOperations, event: OperationStalled) -> OpenOperations:
        """It is stalled."""
        return index.with_changed(event.operation_id, lambda each: operations.stalled(each, event))

    @folds(OperationResumed, OpenOperations)
    def index_resumed(self, index: OpenOperations, event: OperationResumed) -> OpenOperations:
        """It goes on."""
        return index.with_changed(event.operation_id, lambda each: operations.resumed(each, event.at))

    @folds(OperationExtended, OpenOperations)
    def index_extended(self, index: OpenOperations, event: OperationExtended) -> OpenOperations:
        """It is overdue later."""
        return index.with_changed(event.operation_id, lambda each: operations.extended(each, event))

    @folds(OperationSucceeded, OpenOperations)
    def index_succeeded(self, index: OpenOperations, event: OperationSucceeded) -> OpenOperations:
        """One less."""
        return index.with_changed(event.operation_id, _gone)

    @folds(OperationFailed, OpenOperations)
    def index_failed(self, index: OpenOperations, event: OperationFailed) -> OpenOperations:
        """One less."""
        return index.with_changed(event.operation_id, _gone)

    @folds(OperationCanceled, OpenOperations)
    def index_canceled(self, index: OpenOperations, event: OperationCanceled) -> OpenOperations:
        """One less."""
        return index.with_changed(event.operation_id, _gone)

    @folds(OperationAbandoned, OpenOperations)
    def index_abandoned(self, index: OpenOperations, event: OperationAbandoned) -> OpenOperations:
        """One less."""
        return index.with_changed(event.operation_id, _gone)


def _gone(_operation: OperationSnapshot) -> None:
    """It is no more open."""
