"""The disk of a simulated world: what outlives processes, and what may go wrong with it. Here is a log in memory on it.

The log in files is `sqlite_disk`'s.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, Self

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import Fenced, LogError, LogPoisoned
from tallystick.store.log import EventLog, Head, Query, Snapshot
from tallystick.store.memory import MemoryLog
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import SECOND, World

_EVERYTHING = Query()
_FLIPPED: Final = 1 << 7


class Opening(NamedTuple):
    """What was found when the log was opened: where it ended, and up to where somebody had been told before that it was durable."""

    acknowledged: int
    position: int


class LogOnDisk(EventLog, Protocol):
    """A log on a simulated disk."""

    def successor(self) -> EventLog:
        """The log as another process opens it, although this one has it open; the lock that should prevent it is none any more."""
        ...


class Disk:
    """What outlives the logs that are opened on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.full_until_us = 0
        self.openings: list[Opening] = []
        """Each time that the log was opened, by whomever."""
        self.acknowledged = 0
        """Up to here somebody was told that everything is durable."""
        self.position = 0
        """Up to here everything is durable that the process which is being looked at has written."""
        self.hash = b""
        """The hash of the last record: it stands for every byte of the log."""
        self.fenced = False
        """Whether another process has taken the log over from the one that is being looked at."""
        self.take_over: Callable[[], None] = lambda: None
        """Has another process take the log over, in the middle of whatever this one is doing."""
        self.found: Callable[[InvariantViolation], None] = lambda _violation: None
        """Told of what does not hold."""

    def log(self) -> LogOnDisk:
        """The log on this disk."""
        return SimulatedLog(self)

    @property
    def position_opened(self) -> int:
        """Where the log ended when it was opened last."""
        return self.openings[-1].position if self.openings else 0

    def opened(self, head: Head) -> None:
        """The log was opened, and ends there."""
        self.openings.append(Opening(self.acknowledged, head.position))
        self.wrote(head)
        self.acknowledged = head.position
        self.fenced = False

    def taken_over(self, position: int) -> None:
        """Another process has opened the log, and has made it durable up to there; this one does not know."""
        self.openings.append(Opening(self.acknowledged, self.position))
        self.acknowledged = position
        self.fenced = True

    def wrote(self, head: Head) -> None:
        """The log ends here now."""
        self.position, self.hash = head.position, head.hash

    def heal(self) -> None:
        """There is room again."""
        self.full_until_us = 0

    def close(self) -> None:
        """Nothing is left of it."""

    def before_writing(self) -> None:
        """What may go wrong before anything is written."""
        world, faults = self.world, self.world.faults
        world.may_die("crash.recovery" if world.recovering else "crash.commit")
        self.may_fill()
        if world.now_us < self.full_until_us:
            raise LogPoisoned from OSError(errno.ENOSPC, "No space left on device")
        if faults.happens("failed_commit.unwritten"):
            world.tell("fault", "Fault", "Fault", "commit failed, nothing was written")
            raise LogPoisoned from OSError(errno.EIO, "Input/output error")

    def may_fill(self) -> None:
        """An opportunity for a disk that is full for a while."""
        world = self.world
        if world.faults.happens("disk_full"):
            self.full_until_us = world.now_us + int((1 + 90 * world.faults.detail("disk_full")) * SECOND)
            world.tell("fault", "Fault", "Fault", "disk full")

    def after_writing(self) -> None:
        """What may go wrong when all is written."""
        world = self.world
        if world.faults.happens("failed_commit.written"):
            world.tell("fault", "Fault", "Fault", "commit reported as failed, but it was written")
            raise LogPoisoned from OSError(errno.EIO, "Input/output error")
        world.may_die("crash.recovery" if world.recovering else "crash.durable")
        self.acknowledged = self.position

    def pauses(self) -> bool:
        """Whether the writer stands still now, while another process takes the log over; it has when this returns."""
        world = self.world
        if world.recovering or not world.faults.happens("paused_writer"):
            return False
        world.tell("fault", "Fault", "Fault", "the writer stands still; another process takes the log over")
        self.take_over()
        return True

    def write(self, write: Callable[[Sequence[Recorded]], Head], records: Sequence[Recorded]) -> Head:
        """Write a batch, unless another process has taken the log over meanwhile: then the log must refuse it (S15)."""
        if not self.pauses():
            return write(records)
        try:
            head = write(records)
        except Fenced:
            self.world.tell("note", "System", "System", "goes on, and may not write any more")
            raise
        except LogPoisoned:
            raise
        except LogError as error:
            text = f"a writer whose log another process had taken over was not fenced, but refused with {type(error).__name__}: {error}"
            self.found(InvariantViolation("S15", text))
            raise
        self.found(InvariantViolation("S15", "a writer whose log another process had taken over has written", position=head.position))
        return head


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
            disk.opened(head)
            disk.world.may_die("crash.recovery")
        return head

    def write(self, records: Sequence[Recorded]) -> Head:
        """As any log, unless a fault strikes."""
        disk = self._disk
        if disk is None:
            return super().write(records)
        disk.before_writing()
        head = disk.write(super().write, records)
        disk.wrote(head)
        disk.after_writing()
        return head

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """As any log; what is kept may be damaged, so that it is left out: of memory there is no checksum, so its format is."""
        super().save_snapshot(snapshot)
        faults = None if self._disk is None else self._disk.world.faults
        if faults is None:
            return
        kept = self._storage.snapshots
        newest, *older = kept[snapshot.owner]
        if faults.happens("damaged_snapshot.vanished"):
            kept[snapshot.owner] = (*older,)
        elif faults.happens("damaged_snapshot.flipped"):
            kept[snapshot.owner] = (msgspec.structs.replace(newest, format=newest.format ^ _FLIPPED), *older)

    def read(self, query: Query = _EVERYTHING) -> Iterator[Recorded]:
        """As any log; the process may die while it recovers."""
        if self._disk is not None and self._disk.world.recovering:
            self._disk.world.may_die("crash.recovery")
        return super().read(query)

    def successor(self) -> EventLog:
        """The log as another process opens it, although this one has it open."""
        other = SimulatedLog()
        other._storage = self._storage
        return other

    def reopened(self) -> Self:
        """A fresh log on the same disk."""
        fresh = super().reopened()
        fresh._disk = self._disk  # noqa: SLF001 - of the same class
        return fresh
