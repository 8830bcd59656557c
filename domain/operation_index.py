"""The index of open operations: a resident state, so that whoever looks for stalled or overdue ones reads nothing from the log."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from tallystick.domain.event import Resident
from tallystick.domain.operation import OperationSnapshot, missed_by

SHARDS = 128
"""A change copies one shard; 100,000 operations are 800 in each."""


class OpenOperations(Resident):
    """All operations that have not ended, by id.

    Shards of plain mappings, of which a change copies one, and not a persistent map: that is four times slower to search, and stops for
    a second when it grows past a size.
    """

    shards: tuple[Mapping[str, OperationSnapshot], ...] = ({},) * SHARDS

    def __iter__(self) -> Iterator[OperationSnapshot]:
        """Each, in no order."""
        for shard in self.shards:
            yield from shard.values()

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def get(self, operation_id: str) -> OperationSnapshot | None:
        """An open one."""
        return self.shards[_shard_of(operation_id)].get(operation_id)

    def silent(self, now: datetime) -> list[OperationSnapshot]:
        """Those that were silent for longer than they may be, the longest silent first."""
        found = [
            each
            for shard in self.shards
            for each in shard.values()
            if ((by := each.stalls_at) is not None and by < now) or ((by := each.beat_by) is not None and by < now)
        ]
        return sorted((each for each in found if missed_by(each, now)), key=_last_sign)

    def overdue(self, now: datetime) -> list[OperationSnapshot]:
        """Those whose time was up before now, strictly; the earliest first."""
        found = [each for shard in self.shards for each in shard.values() if (by := each.overdue_at) is not None and by < now]
        return sorted(found, key=lambda each: (each.overdue_at or now, each.operation_id))

    def with_changed(self, operation_id: str, change: Callable[[OperationSnapshot], OperationSnapshot | None]) -> "OpenOperations":
        """The index with one operation changed, or begun or ended: None takes it out. What is not in it stays out."""
        number = _shard_of(operation_id)
        before = self.shards[number].get(operation_id)
        return self if before is None else self._with(number, operation_id, change(before))

    def with_new(self, operation: OperationSnapshot) -> "OpenOperations":
        """The index with one more."""
        return self._with(_shard_of(operation.operation_id), operation.operation_id, operation)

    def _with(self, number: int, operation_id: str, operation: OperationSnapshot | None) -> "OpenOperations":
        shard = dict(self.shards[number])
        if operation is None:
            del shard[operation_id]
        else:
            shard[operation_id] = operation
        shards = list(self.shards)
        shards[number] = shard
        return OpenOperations(shards=tuple(shards))


def _shard_of(operation_id: str) -> int:
    return zlib.crc32(operation_id.encode()) % SHARDS


def _last_sign(operation: OperationSnapshot) -> tuple[datetime, str]:
    by = [moment for moment in (operation.beat_by, operation.stalls_at) if moment is not None]
    return min(by), operation.operation_id
