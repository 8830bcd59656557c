"""Archiving interrupted by a power cut at any moment, a disk that fails at any call, SIGKILL: nothing is lost, and nothing doubled."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw
import pytest

from tallystick.domain.errors import ArchiveError, LogError
from tallystick.store.sqlite.log import Durability, SqliteLog
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.testing.recording_disk import nothing_fails
from tallystick.testing.storage import Link
from tests.powerloss.cutting import room, tallied
from tests.powerloss.disk import TracedDisk
from tests.powerloss.noted import NotedLog, record, records
from tests.powerloss.stories import LOG, recorded
from tests.powerloss.trace import Trace, content_of
from tests.store.archived import small_archives

TAIL: Final = 64
"""As an opening checks so many records at the end."""
IMAGES: Final = 400
SEED: Final = 1
CALLS: Final = {"open": 17, "write": 89, "sync": 23}
"""The calls that fail, and of how many of each kind one is tried."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with room() as folder:
        yield folder


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_archives(records=30, block=8, step=9, tail=TAIL):
        yield


def archiving(disk: TracedDisk, folder: Path, durability: Durability = "full") -> None:
    """A log that is written, and archived in between: what is closed at the time, and later what was left."""
    log = NotedLog.on(disk, folder / LOG, durability)
    lots = random.Random(1)  # noqa: S311 - repeatable on purpose
    end = log.open().position
    for number in range(1, 25):
        end = log.write(records(end + 1, lots.choice((3, 5, 12)))).position
        if number in {16, 22, 24}:
            list(log.archive(end, lambda each: each.position % 4 > 0 or lots.random() < 0.5))
        if number == 20:
            log = log.reopened()
            end = log.open().position
    log.close()


def test_a_power_cut_at_any_moment_of_archiving_loses_and_doubles_nothing(tmp_path: Path, folder: Path) -> None:
    trace = recorded(archiving, tmp_path / "recorded")
    assert sum(1 for name in files_of(trace) if "-archive" in name) >= 3
    tally = tallied({"archiving": trace}, IMAGES, SEED, folder)
    assert [(each.cut.name, each.judgement.reason) for each in tally.bad] == []
    assert tally.distinct > IMAGES / 2


def files_of(trace: Trace) -> set[str]:
    """The names of all files that there ever were."""
    return {step.name for step in trace.steps if isinstance(step, Link)}


def test_without_full_durability_a_power_cut_may_cost_the_last_commits_but_no_archived_record(tmp_path: Path, folder: Path) -> None:
    trace = recorded(lambda disk, where, _: archiving(disk, where, "survives_process_crash_only"), tmp_path / "recorded")
    tally = tallied({"archiving": trace}, 300, SEED, folder)
    assert [each.judgement for each in tally.bad if each.judgement.verdict.value == "corrupt"] == []


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("call", CALLS)
def test_whichever_call_of_the_disk_fails_the_records_are_there_and_the_next_run_ends_it(tmp_path: Path, call: str, sticky: bool) -> None:
    failed = 0
    for at in range(0, 1_000, CALLS[call]):
        with TracedDisk() as disk:
            log, seen = filled(disk, tmp_path / f"{at}"), 0

            def fault(called: str, _file: str, at: int = at) -> BaseException | None:
                nonlocal seen
                seen += called == call
                fails = called == call and (seen > at if sticky else seen == at + 1)
                return apsw.FullError("planted") if fails else None

            disk.fault = fault
            try:
                list(log.archive(300, lambda each: each.position % 4 > 0))
            except LogError:
                failed += 1
            else:
                if seen <= at:
                    disk.fault = nothing_fails
                    log.close()
                    break
            disk.fault = nothing_fails
            log.close()
            mended(log)
    assert failed > 2


def filled(disk: TracedDisk, folder: Path) -> NotedLog:
    """A log of 300 records on a disk."""
    folder.mkdir()
    log = NotedLog.on(disk, folder / LOG)
    log.open()
    log.write(records(1, 300))
    return log


def mended(log: NotedLog) -> None:
    """With the disk in order: it opens, has everything, and archiving comes to its end."""
    with closing(log.reopened()) as again:
        assert again.open().position == 300
        assert [content_of(each) for each in again.verify()] == [content_of(record(position)) for position in range(1, 301)]
        list(again.archive(300, lambda each: each.position % 4 > 0))
        assert [each.position for each in again.live(until=300 - TAIL)] == [*range(4, 301 - TAIL, 4)]
        assert [content_of(each) for each in again.verify()] == [content_of(record(position)) for position in range(1, 301)]


def test_a_failing_archive_file_leaves_the_log_open_and_writable(tmp_path: Path) -> None:
    with TracedDisk() as disk:
        log = filled(disk, tmp_path / "one")
        disk.fault = lambda call, file: apsw.FullError("planted") if call == "write" and "-archive" in file else None
        with pytest.raises(ArchiveError, match="could not be written"):
            list(log.archive(300, lambda _: True))
        assert not list((tmp_path / "one").glob("*-archive*"))
        assert log.write(records(301, 5)).position == 305
        disk.fault = nothing_fails
        log.close()


KILLED: Final = """
import os, signal, sys
from contextlib import closing
from tallystick.store.sqlite.log import SqliteLog
from tests.powerloss.noted import records
from tests.store.archived import small_archives
path, last = sys.argv[1], int(sys.argv[2])
told = 0
def tell(position):
    global told
    told += 1
    if told == last:
        os.kill(os.getpid(), signal.SIGKILL)
with small_archives(records=30, block=8, step=9, tail=64), closing(SqliteLog(path)) as log:
    end = log.open().position
    if not end:
        log.write(records(1, 300))
    list(log.archive(300, lambda each: each.position % 4 > 0, tell))
"""


def test_killed_again_and_again_it_comes_to_its_end_with_every_record_once(tmp_path: Path) -> None:
    path = tmp_path / LOG
    killed = 0
    while True:
        done = subprocess.run([sys.executable, "-c", KILLED, str(path), "4"], check=False, timeout=60)  # noqa: S603 - our own
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        with closing(SqliteReader(path)) as reader:
            assert [content_of(each) for each in reader.verify()] == [content_of(record(position)) for position in range(1, 301)]
    assert killed > 4
    with closing(SqliteLog(path)) as log:
        log.open()
        assert [each.position for each in log.live(until=300 - TAIL)] == [*range(4, 301 - TAIL, 4)]


def test_a_log_that_another_process_has_is_not_archived(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / LOG)) as log:
        log.open()
        other = SqliteLog(tmp_path / LOG)
        with pytest.raises(LogError):
            list(other.archive(1, lambda _: True))
