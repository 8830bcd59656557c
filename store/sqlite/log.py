"""A log in one SQLite file, written by one process and read by any: the `EventLog` for production on one machine.

Not the batching of commits (the journal does that), and not reading (`reader`), of which it only hands out its own.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import apsw

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveError, Fenced, LogError, LogPoisoned, SnapshotError
from tallystick.store.chain import check_follows, linked, start
from tallystick.store.log import Beginning, Head, Query, Sealed, Snapshot
from tallystick.store.sqlite import archiving as sqlite_archive
from tallystick.store.sqlite.archiving import Archiving, Told, to_nobody
from tallystick.store.sqlite.file import DAMAGE, check_header, check_regular, connect, make_durable, unreadable
from tallystick.store.sqlite.opening import Opened, begin, prepare
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.store.sqlite.refusals import refusal
from tallystick.store.sqlite.rows import CHUNK, insertions
from tallystick.store.sqlite.snapshots import keep
from tallystick.store.sqlite.upkeep import Upkeep
from tallystick.store.versions_since import check_not_saved
from tallystick.store.writer_lock import WriterLock

if TYPE_CHECKING:
    from tallystick.store.key_file import KeyFile

Durability = Literal["full", "survives_process_crash_only"]
"""What a commit outlives. "full": power loss. "survives_process_crash_only": the process being killed; a power cut may lose the last
commits, acknowledged ones too, but leaves a log that is whole up to there."""

_SYNCHRONOUS: Final = {"full": "FULL", "survives_process_crash_only": "NORMAL"}
_EVERYTHING: Final = Query()
_UNFIT: Final = (TypeError, ValueError, OverflowError)
"""What the driver and the hash raise for a value that no log can store."""


class SqliteLog:
    """An `EventLog` in the SQLite file at `path`, whose files are readable by its user alone.

    One thread at a time writes (others wait their turn), any number read. `vfs` names a SQLite VFS through which all access goes.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "full", vfs: str | None = None) -> None:
        # Resolved, or two names of one file would have two locks.
        self.path = os.path.realpath(path)
        self._durability: Durability = durability
        self._vfs = vfs
        self._lock = WriterLock(self.path)
        self._writing = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._reader: SqliteReader | None = None
        self._upkeep: Upkeep | None = None
        self._opened = Opened()
        self._head = Head()
        self._cause: BaseException | None = None
        self._superseded = False

    @property
    def identity(self) -> str:
        """The log's own id, made when it was created; empty before `open`."""
        return self._opened.identity

    @property
    def epoch(self) -> int:
        """How often the log was opened for writing, this time included; 0 before `open`."""
        return self._opened.epoch

    @property
    def beginning(self) -> Beginning | None:
        """What its first record stands upon, if it was loaded from a save; None for a log that has all its events."""
        return self._opened.beginning

    def personal_keys(self) -> "KeyFile":
        """Where the keys of its sensitive values are: in a file beside it."""
        from tallystick.store.key_file import KeyFile  # noqa: PLC0415 - for programs that have some

        return KeyFile(f"{self.path}.keys", vfs=self._vfs)

    def begin(self, identity: str, beginning: Beginning, records: Sequence[Recorded], *, epochs: int) -> None:
        """Make the file, in which there is no log yet: one that starts at a beginning, with the records that follow it; to be opened then.

        It is there whole, or not at all. `epochs`: how often the log was opened before, wherever it was then.

        Raises:
            LogError: there is a log in the file already, or it cannot be written.
            LogLocked: another process has it.
        """
        with self._writing:
            check_regular(self.path)
            self._lock.acquire()
            try:
                if check_header(self.path, self._vfs):
                    msg = f"{self.path} has a log already; give the one that goes on from the save a path of its own. Nothing was changed."
                    raise LogError(msg)
                with closing(connect(self.path, self._vfs, writing=True)) as connection:
                    begin(connection, identity, beginning, records, epochs=epochs)
            except (apsw.Error, OSError) as error:
                msg = f"{self.path} could not be written ({error}); there is no log in it. Mend the cause, then load the save again."
                raise LogError(msg) from error
            finally:
                self._lock.release()

    def hold(self) -> None:
        """Keep every other writer away already before `open`, so that what is read meanwhile still stands then; changes nothing in the log.

        Raises:
            LogLocked: another process writes it; at once, with its pid.
        """
        with self._writing:
            check_regular(self.path)
            self._lock.acquire()

    def open(self) -> Head:
        """Become the one writer, make durable what can be read (P19), take the next epoch (P22). Errors as `EventLog.open`."""
        with self._writing:
            if self._reader is not None or self._superseded:
                msg = f"{self.path} was opened before by this log; call reopened() for a fresh one."
                raise LogError(msg)
            check_regular(self.path)
            if not self._lock.held:
                self._lock.acquire()
            try:
                self._open_files()
            except BaseException:
                self._let_go(checkpoint=False)
                raise
            return self._head

    def write(self, records: Sequence[Recorded]) -> Head:
        """Write a batch in one transaction, durable when it returns. Errors as `EventLog.write`, and AlreadySettled (S1).

        A refused batch leaves the log as it was and open; so does a LogError for a value that cannot be stored.
        """
        with self._writing:
            connection, upkeep = self._writable()
            if not records:
                return self._head
            try:
                check_follows(self._head.position, records)
                if self.beginning is not None:
                    check_not_saved(self.beginning, records, self.version)
                values = linked(self._head.hash or start(self.identity), records)
                with self._all_or_nothing(connection):
                    upkeep.tidy(self._head.position)
                    self._insert(connection, values, whole=len(records) <= CHUNK)
            except apsw.ConstraintError as error:
                with self._all_or_nothing(connection):
                    raise refusal(connection, records, error, epoch=self.epoch) from error
            except _UNFIT as error:
                msg = f"A record of the batch from position {records[0].position} holds a value that cannot be stored: {error}"
                raise LogError(msg) from error
            last = records[-1]
            self._head = Head(position=last.position, hash=values[-1], occurred_at_us=last.occurred_at_us)
            return self._head

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, and of its owner's only the newest two. Errors as `EventLog.save_snapshot`, Fenced and LogPoisoned."""
        with self._writing:
            connection, _ = self._writable()
            try:
                with self._all_or_nothing(connection):
                    connection.execute("BEGIN IMMEDIATE")
                    self._assert_epoch(connection)
                    keep(connection, snapshot, self._reading().archived_hash, end=self._head.position)
                    connection.execute("COMMIT")
            except (apsw.ConstraintError, *_UNFIT) as error:
                msg = f"A snapshot of {snapshot.owner!r} holds a value that cannot be stored: {error}"
                raise SnapshotError(msg) from error

    @contextmanager
    def changing(self) -> Generator[apsw.Connection]:
        """A transaction beside the batches, for what must be one change with its own mark: moving records to an archive. Keep it short.

        Raises:
            Fenced, LogPoisoned: as `write`.
        """
        with self._writing:
            connection, upkeep = self._writable()
            with self._all_or_nothing(connection):
                upkeep.tidy(self._head.position)
                connection.execute("BEGIN IMMEDIATE")
                self._assert_epoch(connection)
                yield connection
                connection.execute("COMMIT")

    def shrink(self) -> None:
        """Copy what is in the write-ahead log to the database, whose file has then the length that it needs; as far as readers let it."""
        with self._writing:
            connection, upkeep = self._writable()
            with self._all_or_nothing(connection):
                upkeep.copy()

    def archive(self, until: int, moves: Callable[[Recorded], bool], told: Told = to_nobody) -> Iterator[Sealed]:
        """Move records to archives beside the log, whose paths are its own and `-archive…`. As `ArchivingLog.archive`.

        Raises:
            ArchiveError: also where the log was loaded from a save; none of its records are moved.
        """
        if self.beginning is not None:
            msg = f"{self.path} goes on from a save, and nothing of it is archived. To make it shorter, save the system and load it anew."
            raise ArchiveError(msg)
        return Archiving(self._reading(), self.changing, self.shrink, self.epoch, self._vfs).archive(until, moves, told)

    @property
    def kept_tail(self) -> int:
        """So many records at the end stay in the live log in any case."""
        return sqlite_archive.KEPT_TAIL

    def live(self, *, until: int, event_types: tuple[str, ...] = ()) -> Iterator[Recorded]:
        """The records up to a position that are in no archive; of these types, or of all."""
        return self._reading().live(until=until, event_types=event_types)

    def reopened(self) -> Self:
        """A fresh log on the same file, to be opened; this one is closed, and fenced."""
        self.close()
        self._superseded = True
        return type(self)(self.path, durability=self._durability, vfs=self._vfs)

    def close(self) -> None:
        """Fill the correlation index, copy the write-ahead log to the database, let go of files and the lock.

        Nothing that was acknowledged hangs on either, so an I/O error in them is kept as the cause of the log's being poisoned, not
        raised: what was not copied stays in the write-ahead log. Closing again does nothing.
        """
        with self._writing:
            try:
                if self._connection is not None and self._upkeep is not None and self._lock.held:
                    with self._all_or_nothing(self._connection):
                        self._upkeep.fill_correlations(self._head.position)
            except LogError as error:
                self._cause = self._cause or error
            finally:
                # In a forked child the lock is not held: the files are the parent's.
                self._let_go(checkpoint=self._cause is None and self._lock.held)

    def head(self) -> Head:
        """The last durable record, as of now."""
        return self._reading().head()

    def read(self, query: Query = _EVERYTHING) -> Iterator[Recorded]:
        """The records that match, by position; as `LogReader.read`."""
        return self._reading().read(query)

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        """The last version of that aggregate, 0 when there is none; a freshly begun read transaction (P17)."""
        return self._reading().version(aggregate_type, aggregate_id)

    def streams(self) -> Iterator[tuple[str, str, int]]:
        """Each aggregate's type, id and last version, but for executions."""
        return self._reading().streams()

    def snapshots(self, owner: str) -> Iterator[Snapshot]:
        """The owner's snapshots, newest first, whole and checked."""
        return self._reading().snapshots(owner)

    def verify(self) -> Iterator[Recorded]:
        """Every record in order, checked. Errors as `LogReader.verify`."""
        return self._reading().verify()

    def _open_files(self) -> None:
        new = not check_header(self.path, self._vfs)
        make_durable(self.path, self._vfs)
        try:
            self._connection = connect(self.path, self._vfs, writing=True)
            self._opened = prepare(self._connection, new=new, synchronous=_SYNCHRONOUS[self._durability])
        except DAMAGE as error:
            raise unreadable(self.path, error) from error
        except (apsw.Error, OSError) as error:
            msg = f"{self.path} could not be opened for writing ({error}); the log stays closed. Mend the cause, then open it again."
            raise LogPoisoned(msg) from error
        self._head = self._opened.head
        self._upkeep = Upkeep(self._connection, epoch=self._opened.epoch, correlated=self._opened.correlated)
        self._reader = SqliteReader(self.path, vfs=self._vfs)
        self._reader.beginning = self._opened.beginning

    def _writable(self) -> tuple[apsw.Connection, Upkeep]:
        if self._superseded:
            raise Fenced
        if self._cause is not None:
            raise LogPoisoned from self._cause
        if self._connection is None or self._upkeep is None or not self._lock.held:
            msg = f"{self.path} is not open for writing in this process."
            raise LogError(msg)
        return self._connection, self._upkeep

    def _reading(self) -> SqliteReader:
        if self._reader is None:
            msg = f"{self.path} is not open."
            raise LogError(msg)
        return self._reader

    def _insert(self, connection: apsw.Connection, values: list[Any], *, whole: bool) -> None:
        """As few steps as possible: a batch that is `whole` in one statement is its own transaction."""
        if not whole:
            connection.execute("BEGIN IMMEDIATE")
        for statement, bindings in insertions(values, self.epoch):
            connection.execute(statement, bindings)
        if not whole:
            connection.execute("COMMIT")

    def _assert_epoch(self, connection: apsw.Connection) -> None:
        if connection.execute("SELECT epoch FROM meta").fetchone() != (self.epoch,):
            raise Fenced

    @contextmanager
    def _all_or_nothing(self, connection: apsw.Connection) -> Generator[None, None, None]:
        """Undo what a refusal leaves half done; anything else than a refusal ends the log's generation (P18)."""
        try:
            yield
        except (LogError, apsw.ConstraintError, *_UNFIT):
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except apsw.Error as error:
                self._poison(error)
                raise LogPoisoned from error
            raise
        except Exception as error:
            self._poison(error)
            raise LogPoisoned from error
        except BaseException as error:
            self._poison(error)
            raise

    def _poison(self, cause: BaseException) -> None:
        """Refuse every write from now on, and leave the files as they are: a checkpoint now could copy what was never synced (P18).

        Reading goes on, and the lock is kept until the log is closed.
        """
        self._cause = cause
        if self._connection is not None:
            self._connection.close(True)
            self._connection = None

    def _let_go(self, *, checkpoint: bool) -> None:
        if self._reader is not None:
            self._reader.close()
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not checkpoint))
                connection.close(True)
        except apsw.Error as error:
            self._cause = self._cause or error
        finally:
            self._lock.release()
