"""What the tests of the logs share: records, logs of every kind, and a disk that fails when told to."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.store.log import EventLog
from tallystick.store.memory import MemoryLog
from tallystick.store.sqlite.log import SqliteLog

Make = Callable[..., Recorded]


def _record(position: int, **fields: Any) -> Recorded:
    given: dict[str, Any] = {
        "event_type": "Happened",
        "schema_version": 1,
        "aggregate_type": "Thing",
        "aggregate_id": f"thing-{position}",
        "aggregate_version": 1,
        "occurred_at_us": 1_000 + position,
        "owner": "things",
        "correlation": "c",
        "payload": b'{"n":1}',
    }
    return Recorded(position=position, **(given | fields))


@pytest.fixture
def record() -> Make:
    return _record


@pytest.fixture
def records() -> Callable[..., list[Recorded]]:
    """Records at the positions from `first` to `last`, each of an aggregate of its own."""

    def make(first: int, last: int, **fields: Any) -> list[Recorded]:
        return [_record(position, **fields) for position in range(first, last + 1)]

    return make


@pytest.fixture(params=["memory", "sqlite", "sqlite, process crash only"])
def closed_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    log: EventLog
    if request.param == "memory":
        log = MemoryLog()
    else:
        log = SqliteLog(tmp_path / "log.db", durability="full" if request.param == "sqlite" else "survives_process_crash_only")
    yield log
    log.close()


@pytest.fixture
def log(closed_log: EventLog) -> EventLog:
    closed_log.open()
    return closed_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def sqlite_log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path)
    log.open()
    yield log
    log.close()


class Disk(apsw.VFS):
    """A disk that fails at a chosen call, and that can lose its power: then it has only what was synced.

    A sync that fails loses what it should have written, while reading goes on showing it: so does a kernel's page cache.
    """

    def __init__(self) -> None:
        self.name = f"disk-{next(_numbers)}"
        super().__init__(self.name, "")
        self.calls: list[tuple[str, str]] = []
        self.failing: Callable[[str, str], BaseException | None] = lambda _call, _file: None
        self.synced: dict[str, bytearray] = {}
        self.unsynced: dict[str, list[tuple[int, bytes]]] = {}

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name and signature
        super().xDelete(filename, syncdir)
        self.synced.pop(Path(filename).name, None)
        self.unsynced.pop(Path(filename).name, None)

    def called(self, call: str, file: str) -> None:
        self.calls.append((call, file))
        error = self.failing(call, file)
        if error is not None:
            if call == "sync":
                self.unsynced[file] = []
            raise error

    def fails(self, call: str, file_ending: str, error: type[BaseException] = apsw.IOError, *, after: int = 0) -> None:
        """From the call after `after` more of its kind on, each fails, until `works`."""
        left = itertools.count(after, -1)

        def failing(called: str, file: str) -> BaseException | None:
            if called != call or not file.endswith(file_ending) or next(left) > 0:
                return None
            return error("planted")

        self.failing = failing

    def works(self) -> None:
        self.failing = lambda _call, _file: None

    def after_power_loss(self, folder: Path) -> Path:
        """The files as they would be found, in another folder; the path of the log there."""
        folder.mkdir()
        for name, content in self.synced.items():
            (folder / name).write_bytes(content)
        return folder / "log.db"


_numbers = itertools.count()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        filename = name.filename() if isinstance(name, apsw.URIFilename) else name or ""
        self.file = Path(filename).name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self.disk.called("write", self.file)
        super().xWrite(data, offset)
        self.disk.unsynced.setdefault(self.file, []).append((offset, bytes(data)))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self.disk.called("sync", self.file)
        super().xSync(flags)
        content = self.disk.synced.setdefault(self.file, bytearray())
        for offset, data in self.disk.unsynced.pop(self.file, []):
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        del self.disk.synced.setdefault(self.file, bytearray())[newsize:]


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.works()
    disk.unregister()
