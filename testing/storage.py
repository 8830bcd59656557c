"""What a disk may hold after a power cut: what was synced for certain, of the rest any part, torn at the bounds of sectors.

Not a disk that programs write to: `RecordingDisk` is, and says what it was asked to do.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from tallystick.testing.chance import Chance

SECTOR_BYTES: Final = 512

Image = Mapping[str, bytes]
"""Files by name."""

Lots = Callable[[], float]
"""Draws in [0, 1)."""


# What happens to a disk.


class Write(NamedTuple):
    """Bytes to a file; files are told apart by the number that each got when it was created."""

    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file cut to a size."""

    file: int
    size: int


class Sync(NamedTuple):
    """A file's content made durable; the folder's entries too, where SQLite syncs those with a file that it has created.

    One that failed loses what it should have written: the kernel takes those pages for clean, and no later sync writes them.
    """

    file: int
    folder_too: bool
    failed: bool


class Link(NamedTuple):
    """A name in the folder for a new file."""

    name: str
    file: int


class Unlink(NamedTuple):
    """A name removed from the folder."""

    name: str
    synced: bool


Operation = Write | Truncate | Sync | Link | Unlink


# What a disk makes of it.


class Luck(NamedTuple):
    """How much of what was not synced is there: each piece with this chance, a piece being a write or, `torn`, a sector of one.

    `grown`: where a piece beyond the file's end is not there, zeros may be, for the new size has reached the disk before the data.
    """

    kept: float
    torn: bool
    grown: bool


WORST: Final = Luck(0.0, torn=False, grown=False)
BEST: Final = Luck(1.0, torn=False, grown=False)
LUCKS: Final = (
    WORST,
    BEST,
    *(Luck(kept, torn, grown) for kept in (0.1, 0.5, 0.9) for torn in (False, True) for grown in (False, True)),
)


class _File:
    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Write | Truncate] = []

    def content(self, lots: Lots, luck: Luck, torn: Write | None = None) -> bytearray:
        """What may be found of it; of the write that is `torn` some sectors at most, but not all."""
        content = bytearray(self.synced)
        for change in self.pending:
            if isinstance(change, Truncate):
                if lots() < luck.kept:
                    _cut(content, change.size)
            elif change is torn:
                _put_torn(content, change, lots)
            else:
                for piece in _sectors(change) if luck.torn else (change,):
                    if lots() < luck.kept:
                        _put(content, piece)
                    elif luck.grown and piece.offset + len(piece.data) > len(content):
                        _cut(content, piece.offset + len(piece.data))
        return content

    def sync(self) -> None:
        """All that was written is there for certain."""
        for change in self.pending:
            if isinstance(change, Truncate):
                _cut(self.synced, change.size)
            else:
                _put(self.synced, change)
        self.pending.clear()


class Storage:
    """A disk that takes operations; `image` is what a power cut at this moment may leave."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int | None] = {}
        self._renamed: dict[str, list[int | None]] = {}
        self._failures = 0
        self._last: Write | None = None

    def take(self, operation: Operation) -> None:
        """One operation more."""
        match operation:
            case Link(name, file):
                self._files[file] = _File()
                self._renamed.setdefault(name, []).append(file)
            case Unlink(name, synced):
                self._renamed.setdefault(name, []).append(None)
                if synced:
                    self._sync_names()
            case Sync(file, folder_too, failed):
                self._sync(self._files[file], failed=failed)
                if folder_too:
                    self._sync_names()
            case Write(file):
                self._files[file].pending.append(operation)
                self._last = operation
            case Truncate(file):
                self._files[file].pending.append(operation)

    def image(self, lots: Lots, luck: Luck | None = None) -> Image:
        """One of the ways in which the files may be found; with the best luck it is what a program sees while it runs."""
        return self._found(lots, luck or LUCKS[int(lots() * len(LUCKS))], None)

    def torn(self, lots: Lots) -> Image | None:
        """All that was written is there, but the last write is torn; None when nothing is that a sync has not made whole."""
        last = self._last
        if last is None or not any(change is last for change in self._files[last.file].pending):
            return None
        return self._found(lots, BEST, last)

    def _found(self, lots: Lots, luck: Luck, torn: Write | None) -> Image:
        image: dict[str, bytes] = {}
        for name in sorted({*self._names, *self._renamed}):
            file = self._names.get(name)
            for later in self._renamed.get(name, ()):
                if lots() < luck.kept:
                    file = later
            if file is not None:
                image[name] = bytes(self._files[file].content(lots, luck, torn))
        return image

    def _sync(self, file: _File, *, failed: bool) -> None:
        if failed:
            # The first failure loses everything, the following ones each another part.
            lots = Chance(self._failures).stream("failed sync")
            file.synced = file.content(lots, LUCKS[self._failures % len(LUCKS)])
            file.pending.clear()
            self._failures += 1
        else:
            file.sync()

    def _sync_names(self) -> None:
        for name, files in self._renamed.items():
            self._names[name] = files[-1]
        self._renamed.clear()


def _sectors(write: Write) -> Iterator[Write]:
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        yield Write(write.file, start, write.data[start - write.offset : stop - write.offset])
        start = stop


def _put_torn(content: bytearray, write: Write, lots: Lots) -> None:
    """Some of its sectors, at least one of which is missing."""
    sectors = list(_sectors(write))
    missing = int(lots() * len(sectors))
    for number, sector in enumerate(sectors):
        if number != missing and lots() < 0.5:  # noqa: PLR2004 - a coin
            _put(content, sector)


def _put(content: bytearray, write: Write) -> None:
    end = write.offset + len(write.data)
    if end > len(content):
        _cut(content, end)
    content[write.offset : end] = write.data


def _cut(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
