"""Moving records of a SQLite log to archives: written, checked, catalogued, and only then gone from the live log, in short steps.

Not which records: the caller says that, and nothing here depends on it but how quickly they are read. A crash leaves one of three things:
a file that no catalogue has, which the next run removes; a catalogued archive of whose records some are in the live log still, with which
the next run goes on; or all of it. At every moment the catalogue says from which of the two a record is to be read.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveDamaged, ArchiveError, LogCorrupt
from tallystick.store.archives.archives import Catalogued
from tallystick.store.archives.file import HEADER, UNSEALED, ArchiveWriter, content_at
from tallystick.store.archives.reading import Archive, RecentBlocks, sealed_at
from tallystick.store.chain import link
from tallystick.store.log import Query, Sealed
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.store.sqlite.rows import IDENTITY
from tallystick.store.sqlite.tables import ARCHIVE_SCHEMA

RECORDS_LIMIT: Final = 100_000
BYTES_LIMIT: Final = 256 << 20
"""An archive is sealed when it has so many records, or so many bytes of payloads."""
STEP_RECORDS: Final = 250
"""So many leave the live log in one transaction: a few milliseconds in which nothing else is written."""
STEP_PAGES: Final = 250
"""So many free pages are given back in one transaction."""
TELLS_EVERY: Final = 500
KEPT_TAIL: Final = 1_000
"""The last records stay in any case: an opening checks the end of the live log, which must be whole."""

Told = Callable[[int], None]
Changing = Callable[[], AbstractContextManager[apsw.Connection]]

_HAS_CATALOGUE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'archive'"
_NEXT_ID: Final = "SELECT coalesce(max(id), 0) + 1 FROM archive"
_CATALOGUE: Final = "INSERT INTO archive (id, name, first, last, records, size_bytes, checksum, gone) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UNFILE: Final = """
DELETE FROM correlation WHERE (correlation, position) IN (
    SELECT correlation, position FROM event WHERE position IN (SELECT value FROM json_each(?))
)
"""
_REMOVE: Final = "DELETE FROM event WHERE position IN (SELECT value FROM json_each(?))"
_MARK: Final = "UPDATE archive SET gone = ? WHERE id = ?"
_LIVE: Final = (
    "SELECT count(*) FROM event JOIN json_each(?) ON position = json_extract(value, '$[0]') AND hex(hash) = json_extract(value, '$[1]')"
)


def to_nobody(_position: int) -> None:
    """For whom nothing is told."""


class Archiving:
    """One run of archiving. For one thread."""

    def __init__(self, reader: SqliteReader, changing: Changing, shrink: Callable[[], None], epoch: int, vfs: str | None) -> None:
        self._reader = reader
        self._changing = changing
        self._shrink = shrink
        self._epoch = epoch
        self._vfs = vfs
        (self._identity,) = reader.first_row(IDENTITY) or ("",)

    def archive(self, until: int, moves: Callable[[Recorded], bool], told: Told) -> Iterator[Sealed]:
        """As `SqliteLog.archive`."""
        self._make_catalogue()
        self._remove_leftovers()
        self._finish(told)
        left = self._moving(until, moves, told)
        while first := next(left, None):
            entry = self._sealed(first, left)
            self._let_go(entry, told)
            self._give_back_space()
            yield entry.sealed

    def _moving(self, until: int, moves: Callable[[Recorded], bool], told: Told) -> Iterator[Recorded]:
        until = min(until, self._reader.head().position - KEPT_TAIL)
        previous: Recorded | None = None
        for number, record in enumerate(self._reader.live(until=until)):
            if number % TELLS_EVERY == 0:
                told(record.position)
            if previous is not None and record.position == previous.position + 1 and record.hash != link(previous.hash, record):
                msg = f"The record at position {record.position} is not the one that was written there; it is not archived. Restore a copy."
                raise LogCorrupt(msg, position=record.position)
            previous = record
            if moves(record):
                yield record

    # Sealing.

    def _sealed(self, first: Recorded, left: Iterator[Recorded]) -> Catalogued:
        """The next archive: durable, read back whole, and in the catalogue; its records are in the live log still."""
        row = self._reader.first_row(_NEXT_ID)
        number: int = row[0] if row else 1
        # No dash and no dot behind the first one: SQLite's VFS for Unix takes the file's mode from the path before it.
        name = f"-archive{number:06}e{self._epoch}"
        path = self._reader.path + name
        writer = ArchiveWriter(path, self._vfs, self._identity)
        try:
            writer.begin()
            writer.add(first)
            for record in left:
                writer.add(record)
                if writer.records >= RECORDS_LIMIT or writer.payload_bytes >= BYTES_LIMIT:
                    break
            sealed = writer.seal()
            places = (sealed.first, sealed.last, sealed.records, sealed.size_bytes)
            entry = Catalogued(number, name, *places, sealed.checksum.hex(), gone=sealed.first - 1)
            self._reader.archives.opened(entry).check()
        except BaseException:
            writer.close()
            self._reader.archives.forget(number)
            Path(path).unlink(missing_ok=True)
            raise
        with self._changing() as connection:
            connection.execute(_CATALOGUE, (number, name, *places, sealed.checksum, entry.gone))
        return entry

    # Letting go.

    def _finish(self, told: Told) -> None:
        """Go on with the archive in which an earlier run was interrupted."""
        revision = self._reader.revision()
        for entry in self._reader.archives.as_of(revision) if revision else ():
            if entry.gone < entry.last:
                self._let_go(entry, told)

    def _let_go(self, entry: Catalogued, told: Told) -> None:
        """Have the records leave the live log. A step whose records are not there as they are archived stops it before any of it leaves."""
        records = self._reader.archives.opened(entry).records(Query(after=entry.gone))
        for step in _steps(records):
            last = step[-1].position
            positions = msgspec.json.encode([record.position for record in step]).decode()
            with self._changing() as connection:
                if connection.execute(_LIVE, (_hashes(step),)).get != len(step):
                    msg = f"The live log does not have the records of positions {step[0].position} to {last} as they were archived."
                    raise LogCorrupt(msg, position=step[0].position)
                connection.execute(_UNFILE, (positions,))
                connection.execute(_REMOVE, (positions,))
                connection.execute(_MARK, (last, entry.id))
            told(last)

    def _give_back_space(self) -> None:
        """Cut the file, a step at a time; a log that was made without that keeps the space for records to come."""
        while True:
            with self._changing() as connection:
                if not connection.pragma("auto_vacuum") or not connection.pragma("freelist_count"):
                    break
                connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
        self._shrink()

    # Before it begins.

    def _make_catalogue(self) -> None:
        if self._reader.first_row(_HAS_CATALOGUE) is None:
            with self._changing() as connection:
                connection.execute(ARCHIVE_SCHEMA.read_text("utf-8"))

    def _remove_leftovers(self) -> None:
        """Remove what a crash left that no catalogue has: files never sealed, and sealed ones all of whose records are live.

        Raises:
            ArchiveError: there is another one: of a later state of this log, it may be, of which this is an older copy.
        """
        revision = self._reader.revision()
        known = {entry.name for entry in self._reader.archives.as_of(revision)} if revision else set()
        log = Path(self._reader.path)
        for path in sorted(log.parent.glob(f"{_escaped(log.name)}-archive*")):
            if path.name.removeprefix(log.name) not in known:
                self._remove_leftover(path)

    def _remove_leftover(self, path: Path) -> None:
        header = content_at(str(path), self._vfs, 0, HEADER.size)
        sealed = len(header) == HEADER.size and any(header) and not header.startswith(UNSEALED)
        if sealed and not self._all_live(path):
            msg = f"{path} is no archive of this log's catalogue: it may be of a later state of it. Move it away, or restore the log."
            raise ArchiveError(msg)
        path.unlink()

    def _all_live(self, path: Path) -> bool:
        """Whether a sealed archive that is in no catalogue has nothing in it that the live log does not have, too."""
        try:
            archive = Archive(str(path), self._vfs, sealed_at(str(path), self._vfs), 0, RecentBlocks())
            return all(self._live_as_archived(step) for step in _steps(archive.records(Query())))
        except ArchiveDamaged:
            return False

    def _live_as_archived(self, step: list[Recorded]) -> bool:
        return self._reader.first_row(_LIVE, (_hashes(step),)) == (len(step),)


def _hashes(step: list[Recorded]) -> str:
    return msgspec.json.encode([(record.position, record.hash.hex().upper()) for record in step]).decode()


def _steps(records: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    left = iter(records)
    while step := list(islice(left, STEP_RECORDS)):
        yield step


def _escaped(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
