"""The files of a SQLite log: is it one, how it is opened, and making durable what a crash left in doubt. Not what is in its tables.

Nothing here opens the database or its side files but through SQLite's own VFS (P22): closing any other descriptor of the database would
drop all locks that SQLite has on it in this process.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw

from tallystick.domain.errors import LogCorrupt, LogError, LogPoisoned, LogVersionError

FORMAT: Final = 3
"""The version of the schema of a log that has all its records itself; in the file it is `user_version`."""
WITH_ARCHIVES: Final = 4
"""That of a log some of whose records are in archives, so that no code reads it that does not know of those."""

APPLICATION_ID: Final = int.from_bytes(b"TALY")
_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
# Less than 128 KB: SQLite's VFS for Unix takes a call's length modulo that.
_COPY_BYTES: Final = 1 << 16
BUSY_TIMEOUT_MS: Final = 5_000

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, apsw.TooBigError)
"""What the database raises for what no log has written. Its statements are fixed: one is wrong only where a value or a table is."""


def check_regular(path: str) -> None:
    """Refuse what is there and no plain file: a device, a pipe, a folder. Nothing is opened, for that alone could change it.

    Raises:
        LogError: naming it.
    """
    place = Path(path)
    if place.exists() and not place.is_file():
        msg = f"{path} is not a plain file; give the log a path of its own. Nothing was changed."
        raise LogError(msg)


def check_header(path: str, vfs: str | None) -> bool:
    """Whether a log stands at `path`: false when there is no file, an empty one, or one whose creation was interrupted.

    Looks at the first 100 bytes only and changes nothing. They were synced, application id and format included, before the log had
    its first side file.

    Raises:
        LogCorrupt: the file is something else, or the main file is gone while its write-ahead log is still there.
        LogVersionError: it is a log of another format.
    """
    size = _size(path)
    if not size:
        if _size(f"{path}-wal"):
            msg = f"{path} is empty or gone, but {path}-wal has records; restore the main file, or move both away. Nothing was changed."
            raise LogCorrupt(msg)
        return False
    try:
        with _file(path, vfs, apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY) as file:
            header = file.xRead(min(size, _HEADER_BYTES), 0)
    except (apsw.Error, OSError) as error:
        msg = f"{path} cannot be read: {error}"
        raise LogError(msg) from error
    if not any(header) and _size(f"{path}-journal"):
        return False
    if not header.startswith(_MAGIC) or int.from_bytes(header[68:72]) != APPLICATION_ID:
        kind = "another program's SQLite database" if header.startswith(_MAGIC) else "something else than a SQLite database"
        msg = f"{path} is no log of Tallystick, but {kind}; give the log a path of its own. Nothing was changed."
        raise LogCorrupt(msg)
    found = int.from_bytes(header[60:64])
    if found not in {FORMAT, WITH_ARCHIVES}:
        reads = f"this version of Tallystick reads formats {FORMAT} and {WITH_ARCHIVES}"
        msg = f"{path} has format {found}; {reads}. Use the version that wrote it, or migrate it."
        raise LogVersionError(msg)
    return True


def make_durable(path: str, vfs: str | None) -> None:
    """Write the write-ahead log's own bytes over themselves and sync them (P19); no connection of this process may be open on it.

    After a failed fsync the kernel shows pages that the disk does not have, and counts them as clean: a later fsync succeeds without
    writing them. Recovery would read those pages, acknowledge their records, and lose them in a power cut. Written again they are dirty
    again. The database file needs none of this: SQLite counts a page as copied there only after a sync that succeeded.

    Raises:
        LogPoisoned: it could not be done; the log must stay closed.
    """
    wal = f"{path}-wal"
    size = _size(wal)
    if not size:
        return
    try:
        # With CREATE, SQLite's VFS syncs the folder's entry too.
        with _file(wal, vfs, apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE) as file:
            for start in range(0, size, _COPY_BYTES):
                file.xWrite(file.xRead(min(_COPY_BYTES, size - start), start), start)
            file.xSync(apsw.SQLITE_SYNC_FULL)
    except (apsw.Error, OSError) as error:
        msg = f"{wal} could not be made durable ({error}); the log stays closed. Mend the disk, then open it again."
        raise LogPoisoned(msg) from error


def connect(path: str, vfs: str | None, *, writing: bool) -> apsw.Connection:
    """A connection that checkpoints only when told to, so that each I/O error is seen by somebody.

    A file that it creates gets the mode of the lock file, 0600, and SQLite gives the side files the mode of the main one.
    """
    name = f"file:{quote(path)}?modeof={quote(path)}.lock"
    flags = apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE if writing else apsw.SQLITE_OPEN_READONLY)
    connection = apsw.Connection(name if writing else f"file:{quote(path)}", flags=flags, vfs=vfs)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    # Else a statement whose bindings might sway its plan is planned anew whenever they change: for up to ten times the cost of a look-up.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.wal_autocheckpoint(0)
    return connection


def unreadable(path: str, error: apsw.Error | UnicodeDecodeError) -> LogError:
    """The log's error for one that the database met in reading."""
    if isinstance(error, (*DAMAGE, UnicodeDecodeError)):
        return LogCorrupt(f"{path} is damaged ({error}); restore a copy of the log.")
    return LogError(f"{path} cannot be read: {error}")


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _file(path: str, vfs: str | None, flags: int) -> Generator[apsw.VFSFile, None, None]:
    # The empty name is the default VFS.
    file = apsw.VFSFile(vfs or "", path, [flags, 0])
    try:
        yield file
    finally:
        file.xClose()
