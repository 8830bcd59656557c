"""What the tests of archives share: logs some of whose records are archived, with archives as small as their logs."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.store.archives import file as archive_file
from tallystick.store.log import Sealed
from tallystick.store.sqlite import archiving as sqlite_archive
from tallystick.store.sqlite import opening as sqlite_opening
from tallystick.store.sqlite.log import SqliteLog

Moves = Callable[[Recorded], bool]


@contextmanager
def small_archives(*, records: int = 60, block: int = 7, step: int = 10, tail: int = 1) -> Generator[None]:
    """Archives, blocks and steps of few records, and nothing but the log's last record that must stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_archive, "RECORDS_LIMIT", records)
        patch.setattr(sqlite_archive, "STEP_RECORDS", step)
        patch.setattr(sqlite_archive, "STEP_PAGES", 3)
        patch.setattr(sqlite_archive, "KEPT_TAIL", tail)
        patch.setattr(archive_file, "BLOCK_RECORDS", block)
        patch.setattr(archive_file, "PAGE_ENTRIES", 5)
        patch.setattr(sqlite_opening, "_CHECKED_AT_THE_END", max(tail, 1))
        yield


def everything(_record: Recorded) -> bool:
    """Moves all that may be moved."""
    return True


def archived(log: SqliteLog, moves: Moves = everything, until: int | None = None) -> list[Sealed]:
    """Archive now, to the end."""
    return list(log.archive(log.head().position if until is None else until, moves))


def contents(records: Iterable[Recorded]) -> list[tuple[Any, ...]]:
    """Records as what can be compared, hash and all."""
    return [msgspec.structs.astuple(record) for record in records]
