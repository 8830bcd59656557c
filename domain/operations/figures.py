"""Figures of many operations, folded from their events' records without a program: how many by name and status, and how long they took."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from tallystick.domain.envelope import EPOCH, MICROSECOND, Recorded, to_micros
from tallystick.domain.operations import events
from tallystick.domain.operations import operation as operations
from tallystick.domain.operations.operation import STATUS_OF, OperationSnapshot, OperationStatus
from tallystick.domain.operations.saved import NOTHING_SAVED, SavedOperations, beyond

_KINDS: Final[tuple[type[Any], ...]] = (
    events.OperationStarted,
    events.OperationProgressed,
    events.OperationBeat,
    events.OperationNoted,
    events.OperationStalled,
    events.OperationResumed,
    events.OperationOverdue,
    events.OperationExtended,
    *STATUS_OF,
    events.OperationSucceededLate,
)
EVENTS: Final[Mapping[str, type[Any]]] = {kind.__name__: kind for kind in _KINDS}
"""The events of operations, by name."""
MOVING: Final = (
    *("OperationStarted", "OperationProgressed", "OperationBeat", "OperationStalled", "OperationResumed"),
    *(kind.__name__ for kind in STATUS_OF),
)
"""Those that may change a status."""


def read(recorded: Recorded) -> Any:
    """An event of an operation, from its record."""
    return recorded.event if recorded.event is not None else msgspec.json.decode(recorded.payload, type=EVENTS[recorded.event_type])


def after(operation: OperationSnapshot | None, recorded: Recorded) -> OperationSnapshot | None:
    """A snapshot with one more record folded in; None before its beginning."""
    event = read(recorded)
    if type(event) is events.OperationStarted:
        return operations.started(event, recorded)
    fold = _FOLDS.get(type(event))
    return operation if operation is None or fold is None else fold(operation, event)


_FOLDS: Final[Mapping[type[Any], Callable[[OperationSnapshot, Any], OperationSnapshot]]] = {
    events.OperationProgressed: operations.progressed,
    events.OperationBeat: operations.beaten,
    events.OperationNoted: lambda operation, event: operations.noted(operation, event.at),
    events.OperationStalled: operations.stalled,
    events.OperationResumed: lambda operation, event: operations.resumed(operation, event.at),
    events.OperationExtended: operations.extended,
    **dict.fromkeys(STATUS_OF, operations.ended),
}


def snapshots_of(records: Iterable[Recorded], saved: SavedOperations = NOTHING_SAVED) -> dict[str, OperationSnapshot]:
    """All operations among the records, and those that were saved without theirs, by id, oldest first."""
    found = {operation_id: each.operation for operation_id, each in saved.items()}
    for recorded in beyond(saved, records):
        if recorded.event_type in EVENTS:
            operation = after(found.get(recorded.aggregate_id), recorded)
            if operation is not None:
                found[recorded.aggregate_id] = operation
    return found


class Durations(NamedTuple):
    """How long the operations of one name took that have ended; percentiles by nearest rank."""

    ended: int
    p50: timedelta
    p90: timedelta
    p99: timedelta
    longest: timedelta


class OperationStatistics(NamedTuple):
    """How many operations there are by name and status; every total is the sum of its parts."""

    by_name: Mapping[str, Mapping[OperationStatus, int]]
    durations: Mapping[str, Durations]
    """By name, of those that have ended."""

    @property
    def by_status(self) -> Mapping[OperationStatus, int]:
        """Of all names together."""
        whole: Counter[OperationStatus] = Counter()
        for part in self.by_name.values():
            whole.update(part)
        return whole

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_status.values())


def percentile(ordered_us: list[int], share: float) -> timedelta:
    """The smallest value that at least that share of all values does not exceed."""
    return ordered_us[max(0, math.ceil(share * len(ordered_us)) - 1)] * MICROSECOND


def _durations(times_us: list[int]) -> Durations:
    ordered = sorted(times_us)
    return Durations(len(ordered), *(percentile(ordered, share) for share in (0.5, 0.9, 0.99, 1)))


def statistics_of(records: Iterable[Recorded], *, name_prefix: str = "", saved: SavedOperations = NOTHING_SAVED) -> OperationStatistics:
    """One pass over the records of types `MOVING`, in order; what was saved counts as it was, and goes on by its further records."""
    open_: dict[str, _Open] = {}
    ended: dict[str, Counter[OperationStatus]] = {}
    times: dict[str, list[int]] = {}
    ends = {kind.__name__: status for kind, status in STATUS_OF.items()}
    for operation in (each.operation for each in saved.values() if each.operation.name.startswith(name_prefix)):
        if operation.status.ended:
            ended.setdefault(operation.name, Counter())[operation.status] += 1
            times.setdefault(operation.name, []).append((operation.duration or timedelta()) // MICROSECOND)
        else:
            began_us = to_micros(operation.started_at or EPOCH)
            open_[operation.operation_id] = _Open(operation.name, began_us, operation.status, operation.missed == "heartbeat")
    for recorded in beyond(saved, records):
        operation_id, kind = recorded.aggregate_id, recorded.event_type
        if kind == "OperationStarted":
            name: str = read(recorded).name
            if name.startswith(name_prefix):
                open_[operation_id] = _Open(name, recorded.occurred_at_us)
        elif operation_id in open_ and kind in ends:
            gone = open_.pop(operation_id)
            ended.setdefault(gone.name, Counter())[ends[kind]] += 1
            times.setdefault(gone.name, []).append(recorded.occurred_at_us - gone.began_us)
        elif operation_id in open_:
            open_[operation_id] = _moved(open_[operation_id], recorded)
    by_name = ended
    for each in open_.values():
        by_name.setdefault(each.name, Counter())[each.status] += 1
    return OperationStatistics(by_name, {name: _durations(each) for name, each in times.items()})


class _Open(NamedTuple):
    """What statistics need of an operation that has not ended; `silent`: it is stalled for want of a heartbeat, and the next ends that."""

    name: str
    began_us: int
    status: OperationStatus = OperationStatus.PENDING
    silent: bool = False


def _moved(operation: _Open, recorded: Recorded) -> _Open:
    match recorded.event_type:
        case "OperationProgressed" | "OperationResumed":
            return operation._replace(status=OperationStatus.RUNNING, silent=False)
        case "OperationStalled":
            return operation._replace(status=OperationStatus.STALLED, silent=read(recorded).missed == "heartbeat")
        case "OperationBeat" if operation.silent:
            return operation._replace(status=OperationStatus.RUNNING, silent=False)
        case _:
            return operation
