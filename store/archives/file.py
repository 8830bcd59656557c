"""The file of an archive: records that have left the live log, compressed in blocks, each with a checksum; written once, then sealed.

Not which records are in it, or where it is in a log's catalogue: `sqlite.archiving` decides the one and keeps the other.

The frame never changes: eight bytes that say what it is and whether it is sealed, the format's version; the blocks; the pages of an index;
a footer, which says where each of them stands and what its checksum is; a trailer of fixed length, which does so for the footer. A log
keeps the footer's checksum in its own file, so that no archive can be put in another's place.
"""

import hashlib
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any, Final

import apsw
import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import ArchiveError
from tallystick.store.chain import COVERED, stored_values
from tallystick.store.log import Sealed

FORMAT: Final = 1
"""The version of the format that this code writes and reads."""
SEALED: Final = b"TALLYARC"
UNSEALED: Final = b"TALLYPRT"
"""The first bytes until all else is durable: such a file was never part of a log, whatever is in it."""
HEADER: Final = struct.Struct(">8sH")
TRAILER: Final = struct.Struct(">QI16s8s")
CHECKSUM_BYTES: Final = 16

BLOCK_RECORDS: Final = 256
BLOCK_BYTES: Final = 128 << 10
"""A block is closed when its payloads have so many bytes: what a look-up has to decompress."""
RAW_LIMIT_BYTES: Final = 64 << 20
"""More than a block can have, whatever a damaged file says."""
PAGE_ENTRIES: Final = 256
ENTRY: Final = struct.Struct(">QI")
"""Of the index: a key's hash, and the number of a block that has records of it."""
_PART_BITS: Final = 6
"""The index is sorted in parts, by so many first bits of its keys: sorting all at once would keep the interpreter from everybody else."""
FILTER_BITS: Final = 12
"""For each key of the index: "no" is certain, "maybe" is wrong for less than one in a hundred."""
_PROBES: Final = 4
_LEVEL: Final = 6
# Less than 128 KB: SQLite's VFS for Unix takes a call's length modulo that.
_CALL_BYTES: Final = 1 << 16
_KIND: Final = apsw.SQLITE_OPEN_WAL  # with this one SQLite's VFS gives a file the mode of its log, and syncs the folder too


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Where a block stands, and what is in it: positions and times are those of its first and last record."""

    offset: int
    length: int
    checksum: bytes
    records: int
    first: int
    last: int
    first_us: int
    last_us: int


class Page(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of the index stands, and the first key's hash in it."""

    offset: int
    length: int
    checksum: bytes
    first_key: int


class Footer(msgspec.Struct, frozen=True, array_like=True):
    """What is in an archive. `identity` is that of the log whose records they are."""

    identity: str
    records: int
    first: int
    last: int
    event_types: tuple[str, ...]
    owners: tuple[str, ...]
    blocks: tuple[Block, ...]
    pages: tuple[Page, ...]
    filter: bytes


def checksum(content: bytes) -> bytes:
    """Of a block, a page or a footer."""
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).digest()


# The index: by which keys records are found.


def key_of_id(aggregate_id: str) -> int:
    """The hash under which an aggregate's records are found; an execution's id is its token."""
    return _key("i", aggregate_id)


def key_of_settlement(token: str) -> int:
    """The hash under which the record is found that settles an execution."""
    return _key("t", token)


def key_of_correlation(correlation: str) -> int:
    """The hash under which a correlation's records are found."""
    return _key("c", correlation)


def _key(kind: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{kind}{name}".encode(), digest_size=8).digest())


def _keys_of(record: Recorded) -> Iterable[int]:
    yield key_of_id(record.aggregate_id)
    yield key_of_correlation(record.correlation)
    if record.settles is not None and record.token is not None:
        yield key_of_settlement(record.token)


def may_hold(bits: bytes, key: int) -> bool:
    """Whether a filter has that key; a false alarm now and then."""
    size, low, high = len(bits) << 3, key & 0xFFFFFFFF, key >> 32 | 1
    for probe in range(_PROBES):
        bit = (low + probe * high) % size
        if not bits[bit >> 3] >> (bit & 7) & 1:
            return False
    return True


def _filter_of(keys: Sequence[int]) -> bytes:
    bits = bytearray(max(8, (len(keys) * FILTER_BITS + 7) >> 3))
    size = len(bits) << 3
    for key in keys:
        low, high = key & 0xFFFFFFFF, key >> 32 | 1
        for probe in range(_PROBES):
            bit = (low + probe * high) % size
            bits[bit >> 3] |= 1 << (bit & 7)
    return bytes(bits)


# Blocks: columns instead of rows, for like stands beside like then, and compresses better.

_encode: Final = msgspec.msgpack.encode
_columns: Final = msgspec.msgpack.Decoder(list[list[Any]]).decode
_COLUMNS: Final = len(COVERED) + 1


def packed(records: Sequence[Recorded]) -> bytes:
    """Records as a block."""
    return zlib.compress(_encode(list(zip(*map(stored_values, records), strict=True))), _LEVEL)


def unpacked(block: bytes, log_tag: int) -> list[Recorded]:
    """The records of a block.

    Raises:
        ValueError: it holds something else.
    """
    columns = _columns(decompressed(block))
    if len(columns) != _COLUMNS:
        msg = f"it has {len(columns)} columns, not {_COLUMNS}"
        raise ValueError(msg)
    same: list[list[Any]] = [[log_tag] * len(columns[0]), [None] * len(columns[0])]
    return list(starmap(Recorded, zip(*columns[:-1], *same, columns[-1], strict=True)))


def decompressed(content: bytes) -> bytes:
    """What was compressed, up to a limit.

    Raises:
        ValueError: it was not, or is larger than anything that is written here.
    """
    decompressor = zlib.decompressobj()
    try:
        raw = decompressor.decompress(content, RAW_LIMIT_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not decompressor.eof:
        msg = "it is longer than it can be, or ends too early"
        raise ValueError(msg)
    return raw


def entries_in(page: bytes) -> list[tuple[int, int]]:
    """The entries of a page of the index, by key."""
    return list(ENTRY.iter_unpack(page))


class ArchiveWriter:
    """Writes one archive, record by record in the order of positions; nothing of it counts before `seal`.

    In memory are a block, and twelve bytes for each entry of the index.

    Raises:
        ArchiveError: it cannot be written; the log is as it was.
    """

    def __init__(self, path: str, vfs: str | None, identity: str) -> None:
        self.path = path
        self._vfs = vfs
        self._identity = identity
        self._offset = 0
        self._open: list[Recorded] = []
        self._open_bytes = 0
        self._blocks: list[Block] = []
        self._entries = [(array("Q"), array("I")) for _ in range(1 << _PART_BITS)]
        self._event_types: dict[str, None] = {}
        self._owners: dict[str, None] = {}
        self.records = 0
        self.payload_bytes = 0
        flags = _KIND | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_EXCLUSIVE
        try:
            self._file = apsw.VFSFile(vfs or "", path, [flags, 0])
        except (apsw.Error, OSError) as error:
            msg = f"{path} cannot be made, or is there already ({error}); move it away if no log needs it. Nothing was moved."
            raise ArchiveError(msg) from error

    def begin(self) -> None:
        """Write the first bytes, before any record."""
        self._append(HEADER.pack(UNSEALED, FORMAT))

    def add(self, record: Recorded) -> None:
        """One more record."""
        self._open.append(record)
        self._open_bytes += len(record.payload)
        self.records += 1
        self.payload_bytes += len(record.payload)
        self._event_types[record.event_type] = self._owners[record.owner] = None
        if len(self._open) >= BLOCK_RECORDS or self._open_bytes >= BLOCK_BYTES:
            self._close_block()

    def seal(self) -> Sealed:
        """Write what is left, make all of it durable, and then say so in its first bytes, durably too."""
        if self._open:
            self._close_block()
        footer = Footer(
            self._identity,
            self.records,
            self._blocks[0].first,
            self._blocks[-1].last,
            tuple(self._event_types),
            tuple(self._owners),
            tuple(self._blocks),
            tuple(self._written_index()),
            _filter_of([key for keys, _ in self._entries for key in set(keys)]),
        )
        body = zlib.compress(_encode(footer), _LEVEL)
        at, own = self._offset, checksum(body)
        self._append(body)
        self._append(TRAILER.pack(at, len(body), own, SEALED))
        self._sync()
        self._write(HEADER.pack(SEALED, FORMAT), 0)
        self._sync()
        self._file.xClose()
        return Sealed(first=footer.first, last=footer.last, records=self.records, size_bytes=self._offset, checksum=own)

    def close(self) -> None:
        """Give up; what is there stays unsealed. After `seal`, nothing."""
        self._file.xClose()

    def _close_block(self) -> None:
        records, self._open, self._open_bytes = self._open, [], 0
        block = packed(records)
        first, last = records[0], records[-1]
        keys = {key for record in records for key in _keys_of(record)}
        for key in keys:
            of_keys, of_numbers = self._entries[key >> 64 - _PART_BITS]
            of_keys.append(key)
            of_numbers.append(len(self._blocks))
        place = (self._offset, len(block), checksum(block))
        self._blocks.append(Block(*place, len(records), first.position, last.position, first.occurred_at_us, last.occurred_at_us))
        self._append(block)

    def _written_index(self) -> Iterable[Page]:
        for keys, numbers in self._entries:
            entries = sorted(zip(keys, numbers, strict=True))
            for start in range(0, len(entries), PAGE_ENTRIES):
                some = entries[start : start + PAGE_ENTRIES]
                page = b"".join(starmap(ENTRY.pack, some))
                yield Page(self._offset, len(page), checksum(page), some[0][0])
                self._append(page)

    def _append(self, content: bytes) -> None:
        self._write(content, self._offset)
        self._offset += len(content)

    def _write(self, content: bytes, offset: int) -> None:
        try:
            for start in range(0, len(content), _CALL_BYTES):
                self._file.xWrite(content[start : start + _CALL_BYTES], offset + start)
        except (apsw.Error, OSError) as error:
            raise self._failed(error) from error

    def _sync(self) -> None:
        try:
            self._file.xSync(apsw.SQLITE_SYNC_FULL)
        except (apsw.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ArchiveError:
        return ArchiveError(f"{self.path} could not be written ({error}). No record was moved into it; mend the cause, then archive again.")


def content_at(path: str, vfs: str | None, offset: int, length: int) -> bytes:
    """A piece of a file; less than `length`, where it ends before.

    Raises:
        apsw.Error, OSError: it is not there, or cannot be read.
    """
    file = apsw.VFSFile(vfs or "", path, [_KIND | apsw.SQLITE_OPEN_READONLY, 0])
    try:
        pieces = (file.xRead(min(_CALL_BYTES, length - start), offset + start) for start in range(0, length, _CALL_BYTES))
        return b"".join(pieces)
    finally:
        file.xClose()
