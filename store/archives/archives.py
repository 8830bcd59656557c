"""All archives of one log: which there are, as its catalogue says, and reading them together. Not the live log; the reader merges both.

Archives overlap where work that was open at one time was closed by the next: then records of both come in turns.
"""

import heapq
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt
from tallystick.store.archives.reading import Archive, RecentBlocks
from tallystick.store.log import Query, Sealed

KEPT_BYTES: Final = 64 << 20
"""What the footers of archives may take in memory together; those of others are read again when they are asked."""

CATALOGUE: Final = """
SELECT json_group_array(json_array(id, name, first, last, records, size_bytes, hex(checksum), gone))
FROM (SELECT * FROM archive ORDER BY id)
"""
REVISION: Final = "(SELECT id || ':' || gone FROM archive ORDER BY id DESC LIMIT 1)"
"""Tells one state of the catalogue from another; null while there is no archive. Only of the newest can records be on their way."""

FirstRow = Callable[[str, Sequence[Any]], tuple[Any, ...] | None]
_position = attrgetter("position")


class Catalogued(msgspec.Struct, frozen=True, array_like=True):
    """One line of the catalogue. Records at positions up to `gone` are read from the archive, those after it still from the live log."""

    id: int
    name: str
    first: int
    last: int
    records: int
    size_bytes: int
    checksum: str
    gone: int

    @property
    def sealed(self) -> Sealed:
        """What the file must be."""
        own = bytes.fromhex(self.checksum)
        return Sealed(first=self.first, last=self.last, records=self.records, size_bytes=self.size_bytes, checksum=own)


_catalogue: Final = msgspec.json.Decoder(list[Catalogued], strict=True).decode


class Archives:
    """A log's archives, for any number of threads."""

    def __init__(self, log: str | os.PathLike[str], vfs: str | None, log_tag: Callable[[], int], first_row: FirstRow) -> None:
        self._log = os.fspath(log)
        self._vfs = vfs
        self._log_tag = log_tag
        self._first_row = first_row
        self._lock = threading.Lock()
        self._known: tuple[str, tuple[Catalogued, ...]] = ("", ())
        self._open: OrderedDict[int, Archive] = OrderedDict()
        self._open_bytes = 0
        self._recent = RecentBlocks()

    def as_of(self, revision: str) -> tuple[Catalogued, ...]:
        """The catalogue of that revision, or of a later one; whoever has read live rows as of a revision misses nothing by it.

        Raises:
            LogCorrupt: it cannot be read.
        """
        known, catalogue = self._known
        if known == revision:
            return catalogue
        row = self._first_row(CATALOGUE, ())
        try:
            catalogue = tuple(_catalogue(row[0] if row else "[]"))
        except (msgspec.MsgspecError, ValueError) as error:
            msg = f"{self._log}: the catalogue of its archives cannot be read ({error}); restore a copy of the log."
            raise LogCorrupt(msg) from error
        if catalogue:
            self._known = (f"{catalogue[-1].id}:{catalogue[-1].gone}", catalogue)
        return catalogue

    def opened(self, entry: Catalogued) -> Archive:
        """The archive of a line of the catalogue; its footer is read once, as long as there is room.

        Raises:
            ArchiveDamaged: it is missing, or not what was sealed.
        """
        with self._lock:
            archive = self._open.get(entry.id)
            if archive is not None:
                self._open.move_to_end(entry.id)
                return archive
        archive = Archive(self._log + entry.name, self._vfs, entry.sealed, self._log_tag(), self._recent)
        with self._lock:
            if self._open.setdefault(entry.id, archive) is archive:
                self._open_bytes += archive.size_in_memory
            while self._open_bytes > KEPT_BYTES and len(self._open) > 1:
                _, oldest = self._open.popitem(last=False)
                self._open_bytes -= oldest.size_in_memory
        return archive

    def forget(self, number: int) -> None:
        """An archive that was not catalogued after all."""
        with self._lock:
            archive = self._open.pop(number, None)
            self._open_bytes -= 0 if archive is None else archive.size_in_memory

    # Reading.

    def read(self, query: Query, catalogue: Iterable[Catalogued]) -> Iterator[Recorded]:
        """The records that match, by position, in the query's direction; `limit` is the caller's. Each is opened when it is its turn."""
        sign = -1 if query.newest_first else 1
        waiting = [entry for entry in catalogue if entry.first <= entry.gone and _overlaps(entry, query)]
        waiting.sort(key=(lambda entry: entry.gone) if query.newest_first else (lambda entry: -entry.first))
        # The last of those that wait is the next whose records can come.
        running: list[tuple[int, int, Recorded, Iterator[Recorded]]] = []
        while waiting or running:
            while waiting and (not running or sign * _nearest(waiting[-1], query) <= running[0][0]):
                entry = waiting.pop()
                _advance(running, sign, entry.id, self._matching(entry, query))
            if running:
                _, number, record, rest = heapq.heappop(running)
                yield record
                _advance(running, sign, number, rest)

    def _matching(self, entry: Catalogued, query: Query) -> Iterator[Recorded]:
        until = entry.gone if query.until is None else min(query.until, entry.gone)
        yield from self.opened(entry).records(msgspec.structs.replace(query, until=until))

    def merged(self, query: Query, page: Sequence[Recorded], revision: str, *, whole: bool) -> Iterator[Recorded]:
        """A page of the live log with what the archives have between its records.

        `whole`: the page is all that the live log has. A record that was on its way while the page was read is in both, and comes once.
        """
        if not whole:
            at = page[-1].position
            query = msgspec.structs.replace(query, **({"after": max(query.after, at - 1)} if query.newest_first else {"until": at}))
        last = 0
        archived = self.read(query, self.as_of(revision))
        for record in heapq.merge(page, archived, key=_position, reverse=query.newest_first):
            if record.position != last:
                last = record.position
                yield record

    def version(self, aggregate_type: str, aggregate_id: str, revision: str, *, after: int) -> int:
        """The last version of an aggregate among the archived records after a position; 0 when there is none."""
        query = Query(after=after, aggregate_type=aggregate_type, aggregate_id=aggregate_id, newest_first=True)
        return next((record.aggregate_version for record in self.read(query, self.as_of(revision))), 0)

    def hash_at(self, position: int, revision: str) -> bytes | None:
        """The hash of an archived record; None when none is archived there."""
        query = Query(after=position - 1, until=position)
        return next((record.hash for record in self.read(query, self.as_of(revision))), None)

    def streams(self, revision: str, left_out: Callable[[str, str], bool]) -> Iterator[tuple[str, str, int]]:
        """Each archived aggregate's type, id and last version, but for those `left_out`. In memory: the aggregates of one archive."""
        catalogue = self.as_of(revision)
        for number, entry in reversed([*enumerate(catalogue)]):
            ends: dict[tuple[str, str], tuple[int, int]] = {}
            for record in self._matching(entry, Query()):
                ends[record.aggregate_type, record.aggregate_id] = (record.aggregate_version, record.position)
            for stream, (version, position) in ends.items():
                query = Query(aggregate_type=stream[0], aggregate_id=stream[1])
                if left_out(*stream) or any(next(self._matching(newer, query), None) is not None for newer in catalogue[number + 1 :]):
                    continue
                later = msgspec.structs.replace(query, after=position, newest_first=True)  # one that was archived before this one
                yield *stream, next((record.aggregate_version for record in self.read(later, catalogue[:number])), version)


def _overlaps(entry: Catalogued, query: Query) -> bool:
    return entry.gone > query.after and (query.until is None or entry.first <= query.until)


def _nearest(entry: Catalogued, query: Query) -> int:
    """A position before which, in reading order, nothing of an archive can come."""
    return entry.gone if query.newest_first else entry.first


def _advance(running: list[Any], sign: int, number: int, rest: Iterator[Recorded]) -> None:
    record = next(rest, None)
    if record is not None:
        heapq.heappush(running, (sign * record.position, number, record, rest))
