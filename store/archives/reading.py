"""Reading one archive: found by its log's catalogue, checked against it, decompressed a block at a time. Changes nothing.

Not the merging of archives with each other and with the live log: `archives` does that.
"""

import struct
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import apsw
import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveDamaged
from tallystick.store.archives.file import (
    FORMAT,
    HEADER,
    SEALED,
    TRAILER,
    Block,
    Footer,
    checksum,
    content_at,
    decompressed,
    entries_in,
    key_of_correlation,
    key_of_id,
    key_of_settlement,
    may_hold,
    unpacked,
)
from tallystick.store.log import Query, Sealed

KEPT_BLOCKS: Final = 16
"""So many blocks stay decompressed: a few megabytes."""

_footer: Final = msgspec.msgpack.Decoder(Footer, strict=True).decode


def keys_for(query: Query) -> tuple[int, ...] | None:
    """The keys of the index under which all records are found that match; None where the index does not help."""
    if query.token is not None:
        return key_of_id(query.token), key_of_settlement(query.token)
    if query.aggregate_id is not None:
        return (key_of_id(query.aggregate_id),)
    if query.correlation is not None:
        return (key_of_correlation(query.correlation),)
    return None


def sealed_at(path: str, vfs: str | None) -> Sealed:
    """What a file says of itself: for one that no catalogue has.

    Raises:
        ArchiveDamaged: it says nothing.
    """
    size = Path(path).stat().st_size
    unknown = Sealed(first=0, last=0, records=0, size_bytes=size, checksum=b"")
    try:
        at, length, own, _ = TRAILER.unpack(content_at(path, vfs, max(0, size - TRAILER.size), TRAILER.size))
        footer = _footer(decompressed(content_at(path, vfs, at, min(length, size))))
    except (apsw.Error, OSError, ValueError, struct.error, OverflowError) as error:
        msg = f"{path} is no archive, or is damaged: {error}"
        raise ArchiveDamaged(msg, file=path) from error
    return msgspec.structs.replace(unknown, first=footer.first, last=footer.last, records=footer.records, checksum=own)


class RecentBlocks:
    """The blocks that were read last, of all archives of a log: look-ups come back to them, and the pages of the live log part them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int], list[Recorded]] = OrderedDict()

    def get(self, key: tuple[str, int], read: Callable[[], list[Recorded]]) -> list[Recorded]:
        """A block of a file, read if it is not here any more."""
        with self._lock:
            block = self._blocks.pop(key, None)
        if block is None:
            block = read()
        with self._lock:
            self._blocks[key] = block
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return block


class Archive:
    """One sealed archive, of which the footer is kept in memory. Any thread may read.

    Raises:
        ArchiveDamaged: it is missing, cut off, of another format, or not the file that was sealed.
    """

    def __init__(self, path: str, vfs: str | None, sealed: Sealed, log_tag: int, recent: RecentBlocks) -> None:
        self.path = path
        self._recent = recent
        self.sealed = sealed
        self._vfs = vfs
        self._log_tag = log_tag
        self.footer = self._read_footer()
        self._first_keys = [page.first_key for page in self.footer.pages]
        self._event_types = frozenset(self.footer.event_types)
        self._owners = frozenset(self.footer.owners)

    @property
    def size_in_memory(self) -> int:
        """About how many bytes it takes while it is kept."""
        return len(self.footer.filter) + 300 * len(self.footer.blocks) + 150 * len(self.footer.pages) + 2_000

    def _read_footer(self) -> Footer:
        header = self._piece(0, HEADER.size, self.sealed.first)
        magic, form = HEADER.unpack(header)
        if magic != SEALED or form != FORMAT:
            raise self.damaged(self.sealed.first, "its first bytes are not those of a sealed archive")
        trailer = self._piece(self.sealed.size_bytes - TRAILER.size, TRAILER.size, self.sealed.first)
        at, length, own, end = TRAILER.unpack(trailer)
        if own != self.sealed.checksum or end != SEALED or at + length + TRAILER.size != self.sealed.size_bytes:
            raise self.damaged(self.sealed.first, "it is not the file that was sealed here: another one, cut off, or changed")
        content = self._checked(at, length, own, self.sealed.first)
        try:
            return _footer(decompressed(content))
        except ValueError as error:
            raise self.damaged(self.sealed.first, f"its footer cannot be read: {error}") from error

    # Looking up.

    def records(self, query: Query) -> Iterator[Recorded]:
        """Its records that match, by position, in the query's direction; `limit` is the caller's."""
        if self._cannot_have(query):
            return
        for number in self._numbers(query):
            block = self.footer.blocks[number]
            if block.last <= query.after or (query.until is not None and block.first > query.until):
                continue
            if (query.since_us is not None and block.last_us < query.since_us) or (
                query.before_us is not None and block.first_us >= query.before_us
            ):
                continue
            records = self._recent.get((self.path, number), partial(self.block, number))
            for record in reversed(records) if query.newest_first else records:
                if query.matches(record):
                    yield record

    def _cannot_have(self, query: Query) -> bool:
        if query.owner is not None and query.owner not in self._owners:
            return True
        return bool(query.event_types) and self._event_types.isdisjoint(query.event_types)

    def _numbers(self, query: Query) -> Sequence[int]:
        """The blocks in which matches can be, in reading order."""
        keys = keys_for(query)
        if keys is None:
            numbers = range(
                bisect_right(self.footer.blocks, query.after, key=_last),
                len(self.footer.blocks) if query.until is None else bisect_right(self.footer.blocks, query.until, key=_first),
            )
            return numbers[::-1] if query.newest_first else numbers
        found = {number for key in keys if may_hold(self.footer.filter, key) for number in self._blocks_of(key)}
        return sorted(found, reverse=query.newest_first)

    def _blocks_of(self, key: int) -> Iterator[int]:
        """The numbers of the blocks that have records of a key; it may begin at the end of one page, and go on in others."""
        for page in self.footer.pages[max(0, bisect_left(self._first_keys, key) - 1) :]:
            if page.first_key > key:
                return
            content = self._checked(page.offset, page.length, page.checksum, self.sealed.first)
            yield from (number for each, number in entries_in(content) if each == key)

    def block(self, number: int) -> list[Recorded]:
        """A block's records, from the file."""
        block = self.footer.blocks[number]
        content = self._checked(block.offset, block.length, block.checksum, block.first)
        try:
            return unpacked(content, self._log_tag)
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(block.first, f"its block of positions {block.first} to {block.last} cannot be read: {error}") from error

    # Checking.

    def check(self) -> None:
        """Read all of it: every byte is covered by a checksum, every block can be read, and holds what the footer says."""
        at, records = HEADER.size, 0
        for number, block in enumerate(self.footer.blocks):
            found = self.block(number)
            if block.offset != at or len(found) != block.records or (found[0].position, found[-1].position) != (block.first, block.last):
                raise self.damaged(block.first, f"its block of positions {block.first} to {block.last} is not where its footer says")
            at, records = at + block.length, records + len(found)
        for page in self.footer.pages:
            if page.offset != at:
                raise self.damaged(self.sealed.first, "its index is not where its footer says")
            self._checked(page.offset, page.length, page.checksum, self.sealed.first)
            at += page.length
        if records != self.footer.records or self._piece(self.sealed.size_bytes, 1, self.sealed.first, short=True):
            raise self.damaged(self.sealed.first, "it has more or less in it than its footer says")

    def damaged(self, position: int, how: str) -> ArchiveDamaged:
        """The error for this file."""
        msg = f"{self.path}, the archive of positions {self.sealed.first} to {self.sealed.last}: {how} (position {position})."
        return ArchiveDamaged(f"{msg} Restore a copy of that file; nothing was deleted.", file=self.path, position=position)

    def _checked(self, offset: int, length: int, own: bytes, position: int) -> bytes:
        content = self._piece(offset, length, position)
        if checksum(content) != own:
            raise self.damaged(position, f"its bytes {offset} to {offset + length} are not as written")
        return content

    def _piece(self, offset: int, length: int, position: int, *, short: bool = False) -> bytes:
        try:
            content = content_at(self.path, self._vfs, offset, length)
        except apsw.CantOpenError as error:
            raise self.damaged(position, "it is missing, or cannot be opened") from error
        except (apsw.Error, OSError) as error:
            raise self.damaged(position, f"it cannot be read ({error})") from error
        if len(content) < length and not short:
            raise self.damaged(position, "it is cut off")
        return content


def _first(block: Block) -> int:
    return block.first


def _last(block: Block) -> int:
    return block.last
