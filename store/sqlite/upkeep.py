"""What the writer of a SQLite log does between its batches: checkpoints, and filling the correlation index. Not the batches."""

from typing import Final

import apsw

from tallystick.domain.errors import Fenced
from tallystick.store.sqlite.file import BUSY_TIMEOUT_MS

CHECKPOINT_PAGES: Final = 1_000
"""After so many pages written to the write-ahead log, they are copied to the database: about 4 MB, a few milliseconds."""

LONG_PAGES: Final = 16_000
"""A write-ahead log so long was not begun anew in all that time, because readers overlap: then they are waited for, for a moment."""

_WAIT_FOR_READERS_MS: Final = 100

CORRELATION_LAG: Final = 20_000
"""The correlation index may lie so many records behind: a reader looks through them one by one, in a few milliseconds."""

CORRELATION_BATCH: Final = 4_000
"""It is filled in sorted batches of so many: each holds a commit up for a few milliseconds, and a record costs less than by itself."""

_FILL: Final = """
INSERT OR IGNORE INTO correlation (correlation, position)
SELECT correlation, position FROM event WHERE position > ? AND position <= ? ORDER BY correlation, position
"""
_MARK: Final = "UPDATE meta SET correlated = ? WHERE epoch = ?"


class Upkeep:
    """The upkeep of one writer's connection; the caller sees to it that one thread at a time uses it, and handles its errors."""

    def __init__(self, connection: apsw.Connection, *, epoch: int, correlated: int) -> None:
        self._connection = connection
        self._epoch = epoch
        self._correlated = correlated
        self._copied = self._written()
        self._wait_at = LONG_PAGES

    def tidy(self, head_position: int) -> None:
        """Do what is due before the next batch. Every error of the database is the caller's: none is hidden in a commit.

        Raises:
            Fenced: another writer has opened the log; the caller has to roll back.
        """
        if self._written() - self._copied >= CHECKPOINT_PAGES:
            self._checkpoint()
        if head_position - self._correlated >= CORRELATION_LAG:
            self._fill(self._correlated + CORRELATION_BATCH)

    def copy(self) -> None:
        """Copy the write-ahead log to the database now, as far as nobody is in the way."""
        self._copied = self._written()
        self._copy(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def fill_correlations(self, head_position: int) -> None:
        """Bring the correlation index up to that position. Raises as `tidy`."""
        while self._correlated < head_position:
            self._fill(min(head_position, self._correlated + CORRELATION_BATCH))

    def _fill(self, until: int) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(_FILL, (self._correlated, until))
        self._connection.execute(_MARK, (until, self._epoch))
        if not self._connection.changes():
            raise Fenced
        self._connection.execute("COMMIT")
        self._correlated = until

    def _checkpoint(self) -> None:
        self._copied = self._written()
        length = self._copy(apsw.SQLITE_CHECKPOINT_PASSIVE)
        if length < LONG_PAGES:
            self._wait_at = LONG_PAGES
        if length < self._wait_at:
            return
        self._connection.set_busy_timeout(_WAIT_FOR_READERS_MS)
        self._copy(apsw.SQLITE_CHECKPOINT_RESTART)
        self._connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        # Whether they were done in time or not: they are not waited for again before as much has been written again.
        self._wait_at = length + LONG_PAGES

    def _copy(self, mode: int) -> int:
        """The length of the write-ahead log in pages. A reader, or another process that copies, may be in the way; that is no error."""
        try:
            return self._connection.wal_checkpoint(mode=mode)[0]
        except apsw.BusyError:
            return 0

    def _written(self) -> int:
        """Pages that the connection has written so far; asking it takes no step of a statement."""
        return self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]
