"""What a watcher finds in the index of open operations: which are stalled, silent, overdue, orphaned or in doubt. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from tallystick.domain.envelope import EPOCH
from tallystick.domain.operations.index import OpenOperations
from tallystick.domain.operations.operation import OperationSnapshot, missed_by

SWEPT_AT_ONCE: Final = 100
"""So many orphans are given up in one run; the others wait for the next, with a warning."""

Trouble = Literal["stalled", "silent", "overdue"]


class Alert(NamedTuple):
    """One operation that somebody should look at. "silent": it missed its heartbeat; "stalled": it did not get on; "overdue"."""

    trouble: Trouble
    operation: OperationSnapshot


class Orphans(NamedTuple):
    """What a sweep finds: the oldest, so many at once; how many of each type there are in all; and those that it leaves alone."""

    found: tuple[OperationSnapshot, ...]
    by_type: Mapping[str, int]
    in_doubt: tuple[OperationSnapshot, ...]

    @property
    def overflow(self) -> int:
        """How many wait for the next run."""
        return sum(self.by_type.values()) - len(self.found)


def threshold_of(name: str, thresholds: Mapping[str, timedelta]) -> timedelta | None:
    """How long operations of that name may go without progress: what the longest prefix says."""
    fitting = [prefix for prefix in thresholds if name.startswith(prefix)]
    return thresholds[max(fitting, key=len)] if fitting else None


def silent_in(index: OpenOperations, now: datetime, thresholds: Mapping[str, timedelta]) -> dict[str, Alert]:
    """All that are silent for too long, by their own settings or by the thresholds, by id; also those that are overdue besides."""
    silent = {each.operation_id: Alert("silent" if missed_by(each, now) == "heartbeat" else "stalled", each) for each in index.silent(now)}
    slow: dict[str, Alert] = {}
    if thresholds:
        for each in index:
            limit = threshold_of(each.name, thresholds)
            if limit is not None and each.updated_at is not None and now - each.updated_at > limit:
                slow[each.operation_id] = Alert("stalled", each)
    return {**slow, **silent}


def alerts_in(index: OpenOperations, now: datetime, silent: Mapping[str, Alert]) -> list[Alert]:
    """Those that are silent, and those that are overdue, oldest first; overdue ones are told of as such, whatever else they are."""
    overdue = {each.operation_id: Alert("overdue", each) for each in index.overdue(now)}
    return sorted({**silent, **overdue}.values(), key=lambda alert: (alert.operation.started_at or now, alert.operation.operation_id))


def orphans_in(index: Iterable[OperationSnapshot], now: datetime, older_than: timedelta, running: Collection[str]) -> Orphans:
    """Those that are strictly older than their time without an end; or, where they were given none, strictly older than `older_than`.

    Those that a handler or the watcher was to decide on are left to them. In doubt, and never given up: whatever code of a process that
    is gone was running; nobody knows how far it came.
    """
    old: list[OperationSnapshot] = []
    in_doubt: list[OperationSnapshot] = []
    for each in index:
        late = now - (each.started_at or now) > older_than if each.overdue_at is None else each.overdue_at < now
        if each.held and each.operation_id not in running:
            in_doubt.append(each)
        elif late and each.operation_id not in running and each.on_overdue not in {"alert", "handler"}:
            old.append(each)
    old.sort(key=_age)
    in_doubt.sort(key=_age)
    return Orphans(tuple(old[:SWEPT_AT_ONCE]), Counter(each.name for each in old), tuple(in_doubt))


def _age(operation: OperationSnapshot) -> tuple[datetime, str]:
    return operation.started_at or EPOCH, operation.operation_id
