"""A key file: the keys of sensitive values in a SQLite file beside the log, which deletes so that nothing is left. Not the log's format.

SQLite overwrites what it deletes (`secure_delete`), but its rollback journal has the page as it was before. So the journal is kept, and
overwritten when a key was deleted; there is no write-ahead log. What the file system and the disk below keep of overwritten blocks is
theirs: a master key, which is not on that disk, makes it worthless.
"""

import os
import threading
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from tallystick.domain.errors import DefinitionError, KeyStoreError
from tallystick.store.keys import FORGOTTEN, check_own
from tallystick.store.sealing import Cipher, WrongKey
from tallystick.store.sqlite.file import check_regular, connect
from tallystick.store.writer_lock import WriterLock

APPLICATION_ID: Final = int.from_bytes(b"TALK")
FORMAT: Final = 1
MASTER_KEY_BYTES: Final = (32, 48, 64)
_SCHEMA: Final = Path(__file__).with_name("key_file.sql")
_GET: Final = "SELECT key.content FROM subject LEFT JOIN key USING (slot) WHERE subject = ?"
_ADD_KEY: Final = "INSERT INTO key (content) VALUES (?) RETURNING slot"
_ADD_SUBJECT: Final = "INSERT INTO subject (subject, slot) VALUES (?, ?)"
_SLOT: Final = "SELECT slot FROM subject WHERE subject = ?"
_OVERWRITE: Final = "UPDATE key SET content = zeroblob(length(content)) WHERE slot = ?"
_MARK: Final = "INSERT INTO subject (subject, slot) VALUES (?, NULL) ON CONFLICT (subject) DO UPDATE SET slot = NULL"
_FORGOTTEN: Final = "SELECT subject FROM subject WHERE slot IS NULL"
_CHECKED: Final = b"the keys of this file are wrapped with this one."
_PIECE_BYTES: Final = 1 << 16


class KeyFile:
    """A `KeyStore` in the file at `path`, readable by its user alone, and by one process at a time.

    With a `master_key` of 32, 48 or 64 random bytes, which the host has from elsewhere, each key is wrapped with it: then the file alone
    opens nothing. Several systems of one process may share one store: who is forgotten in one is forgotten in all. Thread-safe.

    Raises:
        DefinitionError: the master key has another length.
    """

    def __init__(self, path: str | os.PathLike[str], *, master_key: bytes | None = None, vfs: str | None = None) -> None:
        self.path = os.path.realpath(path)
        if master_key is not None and len(master_key) not in MASTER_KEY_BYTES:
            msg = f"A master key has 32, 48 or 64 bytes, not {len(master_key)}; make one with secrets.token_bytes(64), and keep it well."
            raise DefinitionError(msg)
        self._master = None if master_key is None else Cipher(master_key)
        self._vfs = vfs
        self._lock = WriterLock(self.path)
        self._mutex = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._users = 0
        self.forgettings = 0

    def open(self) -> None:
        """Take the file, and make it if there is none.

        Raises:
            LogLocked: another process has it.
            KeyStoreError: it is no key file, damaged, or made with another master key.
        """
        with self._mutex:
            if self._connection is None:
                check_regular(self.path)
                self._lock.acquire()
                try:
                    self._connection = self._opened()
                except BaseException:
                    self._lock.release()
                    raise
            self._users += 1

    def close(self) -> None:
        """Let go of the file when nobody else in this process has it open."""
        with self._mutex:
            self._users = max(self._users - 1, 0)
            if self._connection is not None and not self._users:
                self._connection.close()
                self._connection = None
                self._lock.release()

    def _opened(self) -> apsw.Connection:
        with _failing(f"{self.path} cannot be opened"):
            connection = connect(self.path, self._vfs, writing=True)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(self, connection: apsw.Connection) -> None:
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("secure_delete", "on")
        connection.pragma("journal_mode", "persist")
        connection.pragma("synchronous", "extra")
        if not connection.pragma("page_count"):
            with connection:
                connection.execute(_SCHEMA.read_text("utf-8"))
                connection.execute("INSERT INTO meta (id, master) VALUES (1, ?)", (self._check_value(),))
        if connection.pragma("application_id") != APPLICATION_ID or connection.pragma("user_version") != FORMAT:
            msg = f"{self.path} is no key file that this version reads; give the keys a path of their own. Nothing was changed."
            raise KeyStoreError(msg)
        self._check_master(connection)
        self._wipe_journal()  # a process may have been killed between deleting a key and this

    def _check_value(self) -> bytes | None:
        return None if self._master is None else self._master.wrap("", _CHECKED)

    def _check_master(self, connection: apsw.Connection) -> None:
        ((found,),) = connection.execute("SELECT master FROM meta").fetchall()
        if found != self._check_value():
            was = "without a master key" if found is None else "with a master key" if self._master is None else "with another master key"
            msg = f"{self.path} was made {was}; open it as it was made. Nothing was changed."
            raise KeyStoreError(msg)

    # Keys.

    def get(self, subject: str) -> bytes | None:
        """As `KeyStore.get`."""
        with self._mutex, _failing(f"the key of {subject!r} cannot be read from {self.path}"):
            return self._get(self._ready(), subject)

    def _get(self, connection: apsw.Connection, subject: str) -> bytes | None:
        row = connection.execute(_GET, (subject,)).fetchone()
        if row is None:
            return None
        content: bytes | None = row[0]
        if content is None:
            return FORGOTTEN
        try:
            return content if self._master is None else self._master.unwrap(subject, content)
        except WrongKey as error:
            msg = f"{self.path} is damaged: the key of {subject!r} cannot be unwrapped; restore a copy, and forget again who was since."
            raise KeyStoreError(msg) from error

    def put(self, keys: Mapping[str, bytes]) -> None:
        """As `KeyStore.put`, in one transaction."""
        with self._mutex, _failing(f"keys cannot be written to {self.path}"):
            connection = self._ready()
            with connection:
                for subject, key in keys.items():
                    kept = self._get(connection, subject)
                    if kept is not None:
                        check_own(subject, key, kept)
                        continue
                    content = key if self._master is None else self._master.wrap(subject, key)
                    ((slot,),) = connection.execute(_ADD_KEY, (content,)).fetchall()
                    connection.execute(_ADD_SUBJECT, (subject, slot))

    def forget(self, subjects: Collection[str]) -> None:
        """As `KeyStore.forget`, in one transaction; then nothing of the keys is left in the journal either."""
        with self._mutex, _failing(f"keys cannot be deleted from {self.path}"):
            connection = self._ready()
            with connection:
                for subject in subjects:
                    row = connection.execute(_SLOT, (subject,)).fetchone()
                    if row is not None and row[0] is not None:
                        connection.execute(_OVERWRITE, (row[0],))
                    connection.execute(_MARK, (subject,))
            self.forgettings += 1
            self._wipe_journal()

    def forgotten(self) -> frozenset[str]:
        """As `KeyStore.forgotten`."""
        with self._mutex, _failing(f"{self.path} cannot be read"):
            return frozenset(row[0] for row in self._ready().execute(_FORGOTTEN))

    def _ready(self) -> apsw.Connection:
        if self._connection is None:
            msg = f"{self.path} is not open; use it while a system that has it runs."
            raise KeyStoreError(msg)
        return self._connection

    def _wipe_journal(self) -> None:
        """Overwrite the pages that the journal has kept; SQLite takes it for empty by its first bytes, which a commit has overwritten."""
        journal = f"{self.path}-journal"
        if not Path(journal).exists():
            return
        file = apsw.VFSFile(self._vfs or "", journal, [apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_READWRITE, 0])
        try:
            size = file.xFileSize()
            for start in range(0, size, _PIECE_BYTES):
                file.xWrite(bytes(min(_PIECE_BYTES, size - start)), start)
            file.xSync(apsw.SQLITE_SYNC_FULL)
        finally:
            file.xClose()


@contextmanager
def _failing(what: str) -> Generator[None]:
    try:
        yield
    except (apsw.Error, OSError) as error:
        msg = f"{what}: {error}"
        raise KeyStoreError(msg) from error
