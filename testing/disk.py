"""The disk of a simulated world: a log in memory whose writes may fail, and whose process may die before or after them."""

import errno
from collections.abc import Iterator, Sequence
from typing import Self

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogPoisoned
from tallystick.store.log import Head, Query
from tallystick.store.memory import MemoryLog
from tallystick.testing.world import SECOND, World

_EVERYTHING = Query()


class Disk:
    """What outlives the logs that are opened on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.full_until_us = 0
        self.opened_at: list[int] = []
        """At which position the log ended, for each time it was opened."""
        self.position = 0
        """Up to here everything is durable."""
        self.hash = b""
        """The hash of the last record: it stands for every byte of the log."""

    def survived(self, openings: int) -> int:
        """Up to where the log was durable when it was opened for the next time after so many; up to now if it was not."""
        return self.opened_at[openings] if openings < len(self.opened_at) else self.position

    def wrote(self, head: Head) -> None:
        """The log ends here now."""
        self.position, self.hash = head.position, head.hash

    def heal(self) -> None:
        """There is room again."""
        self.full_until_us = 0

    def before_writing(self) -> None:
        """What may go wrong before anything is written."""
        world, faults = self.world, self.world.faults
        world.may_die("crash.recovery" if world.recovering else "crash.commit")
        if faults.happens("disk_full"):
            self.full_until_us = world.now_us + int((1 + 90 * faults.detail("disk_full")) * SECOND)
            world.tell("fault", "Fault", "Fault", "disk full")
        if world.now_us < self.full_until_us:
            raise LogPoisoned from OSError(errno.ENOSPC, "No space left on device")
        if faults.happens("failed_commit.unwritten"):
            world.tell("fault", "Fault", "Fault", "commit failed, nothing was written")
            raise LogPoisoned from OSError(errno.EIO, "Input/output error")

    def after_writing(self) -> None:
        """What may go wrong when all is written."""
        world = self.world
        if world.faults.happens("failed_commit.written"):
            world.tell("fault", "Fault", "Fault", "commit reported as failed, but it was written")
            raise LogPoisoned from OSError(errno.EIO, "Input/output error")
        world.may_die("crash.recovery" if world.recovering else "crash.durable")


class SimulatedLog(MemoryLog):
    """A log in memory on such a disk."""

    def __init__(self, disk: Disk | None = None, *, identity: str = "simulated") -> None:
        super().__init__(identity=identity)
        self._disk = disk

    def open(self) -> Head:
        """As any log; the process may die meanwhile."""
        disk = self._disk
        if disk is not None:
            disk.world.recovering = True
            disk.world.may_die("crash.recovery")
        head = super().open()
        if disk is not None:
            disk.opened_at.append(head.position)
            disk.wrote(head)
            disk.world.may_die("crash.recovery")
        return head

    def write(self, records: Sequence[Recorded]) -> Head:
        """As any log, unless a fault strikes."""
        disk = self._disk
        if disk is None:
            return super().write(records)
        disk.before_writing()
        head = super().write(records)
        disk.wrote(head)
        disk.after_writing()
        return head

    def read(self, query: Query = _EVERYTHING) -> Iterator[Recorded]:
        """As any log; the process may die while it recovers."""
        if self._disk is not None and self._disk.world.recovering:
            self._disk.world.may_die("crash.recovery")
        return super().read(query)

    def reopened(self) -> Self:
        """A fresh log on the same disk."""
        fresh = super().reopened()
        fresh._disk = self._disk  # noqa: SLF001 - of the same class
        return fresh
