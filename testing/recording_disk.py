"""A SQLite VFS that says each change of a file as it is made, and that can fail at any call. The files are the default VFS's.

Not what a power cut makes of them: `storage` says that.
"""

import itertools
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from tallystick.testing.storage import Link, Operation, Sync, Truncate, Unlink, Write

Fault = Callable[[str, str], BaseException | None]
"""Asked before each call (its kind, its file's name); what it gives is raised in the call's place."""

# With these, SQLite's VFS for Unix syncs the folder too, with the first sync of a file that may have been created just now.
_WITH_FOLDER: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL

_numbers = itertools.count()


def nothing_fails(_call: str, _file: str) -> None:
    """A disk in good order."""


class RecordingDisk(apsw.VFS):
    """One folder's disk: `SqliteLog(path, vfs=disk.name)` writes through it, and `take` is told of each operation once it is done.

    Of the shared-memory file it sees nothing, and that file does not outlive a power cut. Leaving it as a context takes the VFS away;
    nothing may be open on it then.
    """

    def __init__(self, take: Callable[[Operation], None]) -> None:
        self.name = f"recording-disk-{next(_numbers)}"
        super().__init__(self.name, "")
        self.take = take
        self.fault: Fault = nothing_fails
        self.files: dict[str, int] = {}
        """The number of each file that there is, by its name."""
        self.created = itertools.count(1)
        """The numbers for new files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unregister()

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """A file of the default VFS, whose changes are told."""
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        self.called("open", path.name)
        new = not path.exists()
        file = _File(self, name, flags)
        if new:
            self.files[path.name] = next(self.created)
            self.take(Link(path.name, self.files[path.name]))
        file.number = self.files[path.name]
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name and signature
        """Remove a file."""
        name = Path(filename).name
        self.called("delete", name)
        super().xDelete(filename, syncdir)
        if self.files.pop(name, None) is not None:
            self.take(Unlink(name, syncdir))

    def called(self, call: str, file: str) -> None:
        """Raise what is planted for this call."""
        error = self.fault(call, file)
        if error is not None:
            raise error


class _File(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self.disk = disk
        self.number = 0
        self.name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        self._folder_too = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _WITH_FOLDER)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        try:
            self.disk.called("write", self.name)
        except apsw.Error:
            self._write(bytes(data)[: len(data) // 2], offset)  # a disk that is full takes a part
            raise
        self._write(bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        self.disk.called("truncate", self.name)
        super().xTruncate(newsize)
        self.disk.take(Truncate(self.number, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        try:
            self.disk.called("sync", self.name)
        except apsw.Error:
            self.disk.take(Sync(self.number, folder_too=False, failed=True))
            raise
        super().xSync(flags)
        self.disk.take(Sync(self.number, self._folder_too, failed=False))
        self._folder_too = False

    def _write(self, data: bytes, offset: int) -> None:
        if data:
            super().xWrite(data, offset)
            self.disk.take(Write(self.number, offset, data))
