"""The writer lock: one process at a time writes a log (P22). Not a lock between threads, and not SQLite's own locks."""

import fcntl
import os
import threading
from pathlib import Path

from tallystick.domain.errors import LogError, LogLocked

_ATTEMPTS = 16
"""How often a lock file that is replaced under our hands is opened again."""


class WriterLock:
    """A lock on a file of its own beside the log, whose content is the holder's process id.

    The kernel lets go of it when the holder dies, however it dies. The file itself stays: a lock on a file that others may unlink is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._log = os.fspath(path)
        self.path = f"{self._log}.lock"
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds the lock; false in a child that was forked from the holder."""
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock at once or not at all (P22).

        Raises:
            LogLocked: another opening, here or in another process, holds it.
            LogError: the lock file cannot be made.
        """
        if self._descriptor is not None:
            raise LogLocked(self._log, os.getpid())
        with _forking:
            for _ in range(_ATTEMPTS):
                descriptor = self._open()
                if self._locked(descriptor):
                    self._descriptor = descriptor
                    _held.add(self)
                    return
        msg = f"{self.path} is replaced again and again; something removes lock files beside the log and must be stopped."
        raise LogError(msg)

    def release(self) -> None:
        """Let go of the lock; doing so again does nothing."""
        with _forking:
            if self._descriptor is None:
                return
            _held.discard(self)
            descriptor, self._descriptor = self._descriptor, None
            # Blank first: whoever is refused between now and the next holder's entry must not be told a process that let go.
            os.ftruncate(descriptor, 0)
            # Closing alone would not do while a child forked a moment ago still has its copy.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            msg = f"The lock file {self.path} cannot be opened ({error.strerror}); check that its folder exists and may be written."
            raise LogError(msg) from error

    def _locked(self, descriptor: int) -> bool:
        """Whether `descriptor` is locked and is still the file that stands at the path; it is closed if not."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._stands(descriptor):
                os.close(descriptor)
                return False
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError:
            holder = _pid_in(descriptor)
            os.close(descriptor)
            raise LogLocked(self._log, holder) from None
        except OSError:
            os.close(descriptor)
            raise
        return True

    def _stands(self, descriptor: int) -> bool:
        # A holder's file may have been removed or replaced between our open and our lock: then others would lock another file.
        try:
            there = Path(self.path).stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _forget(self) -> None:
        """In a forked child: close the copy. The lock belongs to the open file, which the parent still has, so it stays locked."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def pid_of_holder(path: str | os.PathLike[str]) -> int | None:
    """Which process of this machine has the lock of the log at `path`; None if none does. It takes no lock, so that it holds nobody up.

    What a process that was killed has left there is told from a holder by its being gone; a process that has got its number since is not.
    """
    lock = Path(f"{os.fspath(path)}.lock")
    written = lock.read_text(encoding="ascii") if lock.exists() else ""
    if not written.isdigit():
        return None
    return int(written) if _lives(int(written)) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # there is one, and it is somebody else's
    except ProcessLookupError:
        return False
    return True


def _pid_in(descriptor: int) -> int | None:
    try:
        return int(os.pread(descriptor, 32, 0))
    except ValueError:
        return None


_held: set[WriterLock] = set()
_forking = threading.RLock()
"""Taken around a fork, so that no child starts with a descriptor that stands in no lock yet."""


def _in_child() -> None:
    for lock in _held:
        lock._forget()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - this module's own
    _held.clear()
    _forking.release()


os.register_at_fork(before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_in_child)
