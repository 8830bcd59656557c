"""A SQLite log on a recording disk that writes into its trace what it was asked for and what it has answered."""

import os
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Self

import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.token import Token
from tallystick.store.log import Head, Snapshot
from tallystick.store.sqlite import upkeep as sqlite_upkeep
from tallystick.store.sqlite.log import Durability, SqliteLog
from tests.powerloss.disk import TracedDisk
from tests.powerloss.trace import Acknowledged, Attempted, Opened, Snapshotted, Trace

STREAMS = 7


class NotedLog(SqliteLog):
    """The log of the program, with notes. It finds its disk by the name of the VFS, as `reopened` keeps it."""

    disks: ClassVar[dict[str, TracedDisk]] = {}

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "full", vfs: str | None = None) -> None:
        super().__init__(path, durability=durability, vfs=vfs)
        self._trace: Trace = self.disks[vfs or ""].trace

    @classmethod
    def on(cls, disk: TracedDisk, path: str | os.PathLike[str], durability: Durability = "full") -> Self:
        """A log on that disk."""
        cls.disks[disk.name] = disk
        return cls(path, durability=durability, vfs=disk.name)

    def open(self) -> Head:
        head = super().open()
        self._trace.add(Opened(self.identity, self.epoch))
        self._trace.add(Acknowledged(head.position))  # whoever opens it reads up to here, and acts on it (P19)
        return head

    def write(self, records: Sequence[Recorded]) -> Head:
        if records:
            self._trace.add(Attempted(tuple(records)))
        head = super().write(records)
        self._trace.add(Acknowledged(head.position))
        return head

    def save_snapshot(self, snapshot: Snapshot) -> None:
        super().save_snapshot(snapshot)
        self._trace.add(Snapshotted(snapshot.owner, snapshot.position))


def record(position: int) -> Recorded:
    """The record that is written at a position, always the same one: most are small, some take several pages."""
    lots = random.Random(position)  # noqa: S311 - repeatable on purpose
    size = lots.choice((20, 100, 300, 1_000, 9_000))
    settles = position % 5 == 0
    return Recorded(
        position=position,
        event_type=f"Happened{position % 3}",
        schema_version=1,
        aggregate_type="Thing",
        aggregate_id=f"thing-{position % STREAMS}",
        aggregate_version=(position - 1) // STREAMS + 1,
        occurred_at_us=1_000_000 * position,
        owner="things",
        correlation=f"story-{position // 10}",
        payload=b'{"filler":"%s"}' % lots.randbytes(size // 2).hex().encode(),
        token=Token(f"token-{position}") if settles else None,
        settles="succeeded" if settles else None,
        causation=position - 1 or None,
        seen=position - 1,
        tags_json=f'{{"tenant":"tenant-{position % 7}"}}' if position % 3 == 0 else None,
    )


def records(first: int, count: int) -> list[Recorded]:
    """That many, from a position on."""
    return [record(position) for position in range(first, first + count)]


@contextmanager
def frequent_upkeep(*, pages: int = 60, lag: int = 40) -> Generator[None]:
    """Checkpoints, waiting for readers and filling of the index as in a long life, within a few batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_upkeep, "CHECKPOINT_PAGES", pages)
        patch.setattr(sqlite_upkeep, "LONG_PAGES", pages * 2)
        patch.setattr(sqlite_upkeep, "CORRELATION_LAG", lag)
        patch.setattr(sqlite_upkeep, "CORRELATION_BATCH", lag // 2)
        yield
