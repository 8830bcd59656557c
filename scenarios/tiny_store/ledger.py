"""The books of a provider: what it has really done, kept apart from the store's log so that one can be held against the other.

Not the provider's manners: a ledger never fails, declines or dawdles. It is idempotent: one key, one entry.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Kind = Literal["capture", "refund", "shipment", "recall"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that a provider has done, once for each `key`; `number` is its name for it, `of` the number of what it undoes."""

    kind: Kind
    key: str
    number: str
    order_id: str
    cents: int = 0
    of: str = ""


class Ledger(Protocol):
    """Entries by key. Any thread may ask."""

    def find(self, key: str) -> Entry | None:
        """The entry with that key."""
        ...

    def enter(self, entry: Entry) -> Entry:
        """Enter it, unless its key is there already; what stands in the ledger now. Durable when it returns, as far as the ledger is."""
        ...

    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order of entry."""
        ...


class MemoryLedger:
    """A ledger for as long as the process lives."""

    def __init__(self) -> None:
        self._by_key: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def find(self, key: str) -> Entry | None:
        """The entry with that key."""
        with self._lock:
            return self._by_key.get(key)

    def enter(self, entry: Entry) -> Entry:
        """Enter it, unless its key is there already; what stands in the ledger now."""
        with self._lock:
            return self._by_key.setdefault(entry.key, entry)

    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order of entry."""
        with self._lock:
            return tuple(self._by_key.values())


class FileLedger:
    """A ledger that outlives its process: one JSON object a line, each synced before the provider answers.

    A last line without its end was never answered for; it is cut off when the ledger is opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._by_key: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._file = Path(path).open("a+b")  # noqa: SIM115 - open for as long as the ledger is
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        self._by_key = {entry.key: entry for entry in read_entries(whole)}

    def find(self, key: str) -> Entry | None:
        """The entry with that key."""
        with self._lock:
            return self._by_key.get(key)

    def enter(self, entry: Entry) -> Entry:
        """Enter it, unless its key is there already; what stands in the ledger now, synced."""
        with self._lock:
            there = self._by_key.get(entry.key)
            if there is not None:
                return there
            self._file.write(msgspec.json.encode(entry) + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._by_key[entry.key] = entry
            return entry

    def entries(self) -> tuple[Entry, ...]:
        """All of them, in the order of entry."""
        with self._lock:
            return tuple(self._by_key.values())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_entries(content: bytes) -> Iterator[Entry]:
    """The entries of a ledger's file, as anybody may read it; a last line without its end is left out."""
    decoder = msgspec.json.Decoder(Entry)
    return (decoder.decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines())
