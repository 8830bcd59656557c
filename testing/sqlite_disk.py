"""The disk of a simulated world with the real SQLite log on it, whose files are what crashes, power cuts and I/O errors make of them.

The files lie in a folder of their own, in memory where there is such a place; what of them a power cut would leave is `storage`'s to say.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, Self

import apsw
import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogPoisoned
from tallystick.store.log import EventLog, Head, Query, Snapshot
from tallystick.store.sqlite.log import Durability, SqliteLog
from tallystick.testing.disk import Disk
from tallystick.testing.recording_disk import RecordingDisk
from tallystick.testing.storage import Image, Link, Lots, Operation, Storage, Sync, Write
from tallystick.testing.world import SECOND, World

OPERATIONS: Final = 10
"""A batch takes about so many: one of these moments is that of a crash in the middle."""
IDENTITY: Final = "51" * 16
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a disk that costs no time; only speed hangs on it
_EVERYTHING: Final = Query()
_IN_MEMORY_ONLY: Final = "-shm"

_FLIP: Final = "UPDATE snapshot SET body = ?3 WHERE owner = ?1 AND position = ?2"
_VANISH: Final = "DELETE FROM snapshot WHERE owner = ? AND position = ?"
_OLDER: Final = "SELECT max(position) FROM snapshot WHERE owner = ? AND position < ?"
_AGE: Final = """
UPDATE snapshot SET (format, body, checksum) = (SELECT format, body, checksum FROM snapshot WHERE owner = ?1 AND position = ?3)
WHERE owner = ?1 AND position = ?2
"""


class _Cut(msgspec.Struct):
    """A crash or power cut that has been decided on: after so many more operations, or when the log says that it is done."""

    kind: str
    left: int
    torn: Image | None = None
    """What would be found if it came just before the last sync."""


class _Frozen(NamedTuple):
    """What will be found of the files. `numbers` are their numbers where the machine went on, None after a power cut."""

    image: Image
    numbers: dict[str, int] | None


class SqliteDisk(Disk):
    """A folder with the log, and what is known of what of it is durable."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._room = TemporaryDirectory(prefix="tallystick-simulated-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
        self.path = Path(self._room.name) / "log.db"
        self.calm = False
        """Whether somebody is at work whose calls of the disk do not fail."""
        self.operations = 0
        """How many changes of files there were."""
        self._recording = RecordingDisk(self._took)
        self._recording.fault = self._fault
        self._storage = Storage()
        self._cut: _Cut | None = None
        self._frozen: _Frozen | None = None
        self._bad_until_us = {"write": 0, "sync": 0}

    @property
    def vfs(self) -> str:
        """The name by which SQLite knows it."""
        return self._recording.name

    def log(self) -> "SimulatedSqliteLog":
        """The log in its file."""
        return SimulatedSqliteLog(self.path, vfs=self.vfs, disk=self)

    def heal(self) -> None:
        """There is room again, and nothing fails."""
        super().heal()
        self._bad_until_us = dict.fromkeys(self._bad_until_us, 0)

    def close(self) -> None:
        """Take the files away; nothing may be open on them."""
        self._recording.unregister()
        self._room.cleanup()

    # Calls that fail.

    def _fault(self, call: str, _file: str) -> BaseException | None:
        world, faults = self.world, self.world.faults
        if self.calm or self._frozen is not None or call not in self._bad_until_us:
            return None
        if call == "write" and world.now_us < self.full_until_us:
            return apsw.FullError("fault: no space left on device")
        kind = f"io_error.{call}"
        if faults.happens(kind):
            draw = faults.detail(kind)
            if draw < 0.5:  # noqa: PLR2004 - half of them last
                self._bad_until_us[call] = world.now_us + int((1 + 180 * draw) * SECOND)
            world.tell("fault", "Fault", "Fault", f"the disk's {call} fails")
            return apsw.IOError(f"fault: {call}")
        return apsw.IOError(f"fault: {call}") if world.now_us < self._bad_until_us[call] else None

    # Crashes and power cuts.

    def may_cut(self, *kinds: str) -> None:
        """An opportunity for each of these to strike in the middle of what the log does next."""
        faults = self.world.faults
        for kind in kinds:
            if self._cut is None and faults.happens(kind):
                self._cut = _Cut(kind, int(faults.detail(kind) * OPERATIONS))

    def cut(self, kind: str) -> None:
        """Cut the power now.

        Raises:
            ProcessDied: always.
        """
        self._cut = _Cut(kind, 0)
        self.strike()

    @contextmanager
    def until_struck(self) -> Generator[None]:
        """What the log does in here is cut off, if that was decided; then the process is dead."""
        try:
            yield
        finally:
            self.strike()

    def strike(self) -> None:
        """Die now, if that was decided, however far the log has come."""
        cut = self._cut
        if cut is not None:
            if self._frozen is None:
                self._freeze(cut)
            self._cut = None
            self.world.die(cut.kind)

    def _took(self, operation: Operation) -> None:
        self.operations += 1
        cut = self._cut
        if self._frozen is not None:
            return  # it never was
        if cut is not None and cut.kind == "torn_tail" and isinstance(operation, Sync):
            cut.torn = self._storage.torn(self._lots(cut)) or cut.torn
        self._storage.take(operation)
        if cut is not None:
            cut.left -= 1
            if cut.left <= 0:
                self._freeze(cut)

    def _freeze(self, cut: _Cut) -> None:
        """What there is now is what will be found; what the log does until it dies is as if it had not been."""
        if cut.kind.startswith("crash"):
            self._frozen = _Frozen(self._files(), dict(self._recording.files))
            return
        lots = self._lots(cut)
        torn = (self._storage.torn(lots) or cut.torn) if cut.kind == "torn_tail" else None
        self._frozen = _Frozen(torn or self._storage.image(lots), None)

    def _lots(self, cut: _Cut) -> Lots:
        return self.world.chance.stream(cut.kind, len(self.openings), self.operations)

    def _files(self) -> Image:
        return {each.name: each.read_bytes() for each in self.path.parent.iterdir() if not each.name.endswith(_IN_MEMORY_ONLY)}

    def settle(self) -> None:
        """Let the next process find what the last one's death has left; nothing is open any more."""
        frozen, self._frozen = self._frozen, None
        if frozen is None:
            return
        for each in self.path.parent.iterdir():
            each.unlink()
        for name, content in frozen.image.items():
            self.path.with_name(name).write_bytes(content)
        if frozen.numbers is not None:
            self._recording.files = frozen.numbers
            return
        self._storage, self._recording.files = Storage(), {}
        for name, content in frozen.image.items():
            number = self._recording.files[name] = next(self._recording.created)
            for operation in (Link(name, number), Write(number, 0, content), Sync(number, folder_too=True, failed=False)):
                self._storage.take(operation)

    # Writing.

    def before_writing(self) -> None:
        """What may happen before or while anything is written."""
        recovering = self.world.recovering
        self.may_fill()
        if not self.world.alive:
            self.world.may_die("crash.commit")
        self.may_cut(*(("crash.recovery", "power_loss.recovery") if recovering else ("crash.commit", "power_loss.commit")), "torn_tail")

    def another(self) -> SqliteLog:
        """The log as another process would open it."""
        return SqliteLog(self.path, vfs=self.vfs)

    @contextmanager
    def calmly(self) -> Generator[None]:
        """Nothing goes wrong in here."""
        calm, self.calm = self.calm, True
        cut, self._cut = self._cut, None
        try:
            yield
        finally:
            self.calm, self._cut = calm, cut


class SimulatedSqliteLog(SqliteLog):
    """The real log on such a disk."""

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "full", vfs: str | None = None, disk: SqliteDisk | None = None
    ) -> None:
        super().__init__(path, durability=durability, vfs=vfs)
        self._disk = disk
        self._process = 0

    @property
    def disk(self) -> SqliteDisk:
        """What it is on."""
        if self._disk is None:
            msg = "make it by the disk's log()"
            raise AssertionError(msg)
        return self._disk

    def open(self) -> Head:
        """As any log; the process may die meanwhile, and the power may go."""
        disk, world = self.disk, self.disk.world
        self._process = world.process
        world.recovering = True
        world.may_die("crash.recovery")
        disk.may_cut("power_loss.recovery")
        with disk.until_struck():
            head = super().open()
        disk.opened(head)
        world.may_die("crash.recovery")
        return head

    def _open_files(self) -> None:
        super()._open_files()
        # A log that nothing was written to yet gets an identity that the seed can repeat; SQLite has drawn it another one.
        if self._connection is not None and not self._head.position and self.identity != IDENTITY:
            try:
                self._connection.execute("UPDATE meta SET identity = ?", (IDENTITY,))
            except apsw.Error as error:
                raise LogPoisoned from error
            self._opened = msgspec.structs.replace(self._opened, identity=IDENTITY)

    def write(self, records: Sequence[Recorded]) -> Head:
        """As any log; the process may die before it, meanwhile and after, and the power may go."""
        disk = self.disk
        disk.before_writing()
        with disk.until_struck():
            head = disk.write(super().write, records)
        disk.wrote(head)
        disk.after_writing()
        return head

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """As any log; what is kept may be damaged."""
        super().save_snapshot(snapshot)
        connection, disk = self._connection, self.disk
        if connection is None:
            return
        faults, at = disk.world.faults, (snapshot.owner, snapshot.position)
        change: tuple[str, tuple[Any, ...]] | None = None
        if faults.happens("damaged_snapshot.vanished"):
            change = _VANISH, at
        elif faults.happens("damaged_snapshot.flipped"):
            change = _FLIP, (*at, _flipped(snapshot.body, faults.detail("damaged_snapshot.flipped")))
        else:
            older = connection.execute(_OLDER, at).fetchone()
            if older is not None and older[0] is not None and faults.happens("damaged_snapshot.older"):
                change = _AGE, (*at, older[0])
        if change is not None:
            disk.world.tell("fault", "Fault", "Fault", f"the snapshot of {snapshot.owner} is damaged")
            with disk.calmly():
                connection.execute(*change)

    def read(self, query: Query = _EVERYTHING) -> Any:
        """As any log; the process may die while it recovers."""
        world = self.disk.world
        if world.recovering:
            world.may_die("crash.recovery")
        return super().read(query)

    def successor(self) -> EventLog:
        """The log as another process can open it: its lock file is gone, as after a restored backup, or by somebody's hand."""
        Path(f"{self.path}.lock").unlink()
        return self.disk.another()

    def reopened(self) -> Self:
        """A fresh log on the same disk."""
        fresh = super().reopened()
        fresh._disk = self._disk  # noqa: SLF001 - of the same class
        self.disk.settle()
        return fresh

    def close(self) -> None:
        """As any log; what belongs to a process that is dead writes nothing more."""
        world = self.disk.world
        if world.alive and world.process == self._process:
            super().close()
        else:
            self._let_go(checkpoint=False)


def _flipped(body: bytes, draw: float) -> bytes:
    bit = int(draw * len(body) * 8)
    changed = bytearray(body)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)
