"""The index of open operations: a resident state, so that whoever looks for stalled or overdue ones reads nothing from the log."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from tallystick.domain.event import Resident
from tallystick.domain.operations.operation import OperationSnapshot, missed_by
from tallystick.domain.record import Record

SHARDS = 128
"""A change copies one shard; 100,000 operations are 800 in each."""


class Shard(Record):
    """Some of the operations, and the earliest times among them: a search leaves out the shards in which nothing is due."""

    operations: Mapping[str, OperationSnapshot] = {}
    silent_by: datetime | None = None
    overdue_by: datetime | None = None

    def changed(self, operation_id: str, operation: OperationSnapshot | None) -> "Shard":
        """With one operation changed, new, or (None) gone. All are looked through only when the one that was earliest is not any more."""
        before = self.operations.get(operation_id)
        after = dict(self.operations)
        if operation is None:
            del after[operation_id]
        else:
            after[operation_id] = operation
        return Shard(
            operations=after,
            silent_by=_earliest(self.silent_by, before, operation, _silent_by, after),
            overdue_by=_earliest(self.overdue_by, before, operation, _overdue_by, after),
        )


When = Callable[[OperationSnapshot], datetime | None]


def _earliest(
    earliest: datetime | None,
    before: OperationSnapshot | None,
    after: OperationSnapshot | None,
    when: When,
    operations: Mapping[str, OperationSnapshot],
) -> datetime | None:
    """The earliest of all times, given that it was `earliest` before one operation changed."""
    now = None if after is None else when(after)
    if earliest is None or (now is not None and now <= earliest):
        return now
    if before is None or when(before) != earliest:
        return earliest
    return min((at for each in operations.values() if (at := when(each)) is not None), default=None)


def _silent_by(operation: OperationSnapshot) -> datetime | None:
    """When it will have been silent for too long, in one way or the other."""
    stalls_at, beat_by = operation.stalls_at, operation.beat_by
    if stalls_at is None or beat_by is None:
        return stalls_at or beat_by
    return min(stalls_at, beat_by)


def _overdue_by(operation: OperationSnapshot) -> datetime | None:
    return operation.overdue_at


class OpenOperations(Resident):
    """All operations that have not ended, by id.

    Shards of plain mappings, of which a change copies one, and not a persistent map: that is four times slower to search, and stops for
    a second when it grows past a size.
    """

    fold_version = 2
    shards: tuple[Shard, ...] = (Shard(),) * SHARDS

    def __iter__(self) -> Iterator[OperationSnapshot]:
        """Each, in no order."""
        for shard in self.shards:
            yield from shard.operations.values()

    def __len__(self) -> int:
        return sum(len(shard.operations) for shard in self.shards)

    def get(self, operation_id: str) -> OperationSnapshot | None:
        """An open one."""
        return self.shards[_shard_of(operation_id)].operations.get(operation_id)

    def silent(self, now: datetime) -> list[OperationSnapshot]:
        """Those that were silent for strictly longer than they may be; first the one whose time was up first."""
        due = [shard.operations for shard in self.shards if shard.silent_by is not None and shard.silent_by < now]
        return _due([each for operations in due for each in operations.values() if missed_by(each, now)], _silent_by, now)

    def overdue(self, now: datetime) -> list[OperationSnapshot]:
        """Those whose time was up before now, strictly; the earliest first."""
        due = [shard.operations for shard in self.shards if shard.overdue_by is not None and shard.overdue_by < now]
        found = [each for operations in due for each in operations.values() if each.overdue_at is not None and each.overdue_at < now]
        return _due(found, _overdue_by, now)

    def with_changed(self, operation_id: str, change: Callable[[OperationSnapshot], OperationSnapshot | None]) -> "OpenOperations":
        """The index with one operation changed or, where that is None, gone. What is not in it stays out."""
        number = _shard_of(operation_id)
        before = self.shards[number].operations.get(operation_id)
        return self if before is None else self._with(number, operation_id, change(before))

    def with_new(self, operation: OperationSnapshot) -> "OpenOperations":
        """The index with one more."""
        return self._with(_shard_of(operation.operation_id), operation.operation_id, operation)

    def _with(self, number: int, operation_id: str, operation: OperationSnapshot | None) -> "OpenOperations":
        shards = list(self.shards)
        shards[number] = shards[number].changed(operation_id, operation)
        return OpenOperations(shards=tuple(shards))


def _shard_of(operation_id: str) -> int:
    return zlib.crc32(operation_id.encode()) % SHARDS


def _due(found: list[OperationSnapshot], when: When, now: datetime) -> list[OperationSnapshot]:
    return sorted(found, key=lambda each: (when(each) or now, each.operation_id))
