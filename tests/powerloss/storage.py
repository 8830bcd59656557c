"""What a disk may hold after a power cut: what was synced for certain, of the rest any part, torn at the bounds of sectors."""

import random
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tests.powerloss.trace import Link, Operation, Sync, Truncate, Unlink, Write

SECTOR_BYTES: Final = 512

Image = Mapping[str, bytes]
"""Files by name."""


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

    def content(self, lots: random.Random, luck: Luck) -> bytearray:
        """What may be found of it."""
        content = bytearray(self.synced)
        for change in self.pending:
            if isinstance(change, Truncate):
                if lots.random() < luck.kept:
                    _cut(content, change.size)
            else:
                for piece in _sectors(change) if luck.torn else (change,):
                    if lots.random() < luck.kept:
                        _put(content, piece)
                    elif luck.grown and piece.offset + len(piece.data) > len(content):
                        _cut(content, piece.offset + len(piece.data))
        return content


class Storage:
    """A disk that takes operations; `image` is what a power cut at this moment may leave."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int | None] = {}
        self._renamed: dict[str, list[int | None]] = {}
        self._failures = 0

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
            case Write(file) | Truncate(file):
                self._files[file].pending.append(operation)

    def image(self, lots: random.Random, luck: Luck | None = None) -> Image:
        """One of the ways in which the files may be found; with the best luck it is what a program sees while it runs."""
        luck = luck or lots.choice(LUCKS)
        image: dict[str, bytes] = {}
        for name in sorted({*self._names, *self._renamed}):
            file = self._names.get(name)
            for later in self._renamed.get(name, ()):
                if lots.random() < luck.kept:
                    file = later
            if file is not None:
                image[name] = bytes(self._files[file].content(lots, luck))
        return image

    def _sync(self, file: _File, *, failed: bool) -> None:
        if failed:
            # The first failure loses everything, the following ones each another part.
            file.synced = file.content(random.Random(self._failures), LUCKS[self._failures % len(LUCKS)])  # noqa: S311 - repeatable on purpose
            self._failures += 1
        else:
            file.synced = file.content(random.Random(), BEST)  # noqa: S311 - nothing is left to chance here
        file.pending.clear()

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
