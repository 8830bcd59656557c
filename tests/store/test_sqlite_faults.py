"""A SQLite log on a disk that fails (P18, P19, S4, S5)."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt, LogError, LogPoisoned
from tallystick.store.log import Head, Snapshot
from tallystick.store.sqlite import log as sqlite
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.upkeep import CHECKPOINT_PAGES

Make = Callable[..., Recorded]
MakeMany = Callable[..., list[Recorded]]


def opened(path: Path, disk: Any) -> SqliteLog:
    log = SqliteLog(path, vfs=disk.name)
    log.open()
    return log


@pytest.mark.parametrize(
    "fault",
    [("write", apsw.IOError, 0), ("write", apsw.IOError, 3), ("write", apsw.FullError, 1), ("sync", apsw.IOError, 0)],
    ids=["the first write", "the fourth write", "disk full", "sync"],
)
@pytest.mark.parametrize("size", [1, 400])
def test_an_io_error_poisons_the_log_and_reopening_keeps_all_that_was_acknowledged(
    path: Path, disk: Any, records: MakeMany, fault: tuple[str, type[apsw.Error], int], size: int
) -> None:
    call, error, after = fault
    log = opened(path, disk)
    log.write(records(1, 10))
    log.save_snapshot(Snapshot(owner="things", position=10, hash=log.head().hash, format=1, body=b""))
    disk.fails(call, "-wal", error, after=after)
    with pytest.raises(LogPoisoned) as poisoned:
        log.write(records(11, 10 + size))
    assert isinstance(poisoned.value.__cause__, error)
    disk.works()
    with pytest.raises(LogPoisoned) as refused:
        log.write(records(11, 11))
    assert refused.value.__cause__ is poisoned.value.__cause__
    with pytest.raises(LogPoisoned):
        log.save_snapshot(Snapshot(owner="things", position=0, hash=b"", format=1, body=b""))
    assert log.head().position == 10
    again = log.reopened()
    end = again.open().position
    assert end in {10, 10 + size}
    again.write(records(end + 1, end + 3))
    assert len(list(again.verify())) == end + 3
    assert len(list(again.snapshots("things"))) == 1
    again.close()


def test_a_failed_snapshot_poisons_the_log_too(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    head = log.write(records(1, 1))
    disk.fails("sync", "-wal")
    with pytest.raises(LogPoisoned):
        log.save_snapshot(Snapshot(owner="things", position=1, hash=head.hash, format=1, body=b""))
    disk.works()
    with pytest.raises(LogPoisoned):
        log.write(records(2, 2))
    log.close()


def test_a_checkpoint_that_fails_poisons_the_log(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    disk.fails("write", "log.db", apsw.FullError)
    end, poisoned = 0, False
    while not poisoned:
        try:
            end = log.write(records(end + 1, end + 100, payload=bytes(1_000))).position
        except LogPoisoned:
            poisoned = True
        assert end < 100 * CHECKPOINT_PAGES, "no checkpoint was made, or its error was hidden"
    disk.works()
    again = log.reopened()
    assert again.open().position == end > 0
    assert len(list(again.verify())) == end
    again.close()


def test_a_poisoned_log_is_closed_without_a_checkpoint(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    disk.fails("sync", "-wal")
    with pytest.raises(LogPoisoned):
        log.write(records(11, 20))
    disk.works()
    disk.calls.clear()
    log.close()
    assert [call for call in disk.calls if call[0] == "write"] == []
    assert Path(f"{path}-wal").stat().st_size > 0


def test_an_orderly_close_copies_everything_to_the_main_file(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    log.close()
    assert not Path(f"{path}-wal").exists()
    assert not Path(f"{path}-shm").exists()


def test_a_fenced_log_closes_without_touching_what_is_another_writers_now(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    other = apsw.Connection(str(path))
    other.execute("UPDATE meta SET epoch = epoch + 1")
    disk.calls.clear()
    log.close()
    assert [call for call in disk.calls if call == ("write", "log.db")] == []
    assert other.execute("SELECT correlated, (SELECT count(*) FROM correlation) FROM meta").fetchone() == (0, 0)
    other.close()


def test_an_io_error_while_closing_loses_nothing(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    disk.fails("sync", "-wal")
    log.close()
    disk.works()
    again = log.reopened()
    assert again.open().position == 10
    again.close()


def failing_sync_then_power_loss(path: Path, disk: Any, records: MakeMany) -> Path:
    """Returns the log as a power cut leaves it, after a batch whose sync failed and one more that was acknowledged."""
    log = opened(path, disk)
    log.write(records(1, 10))
    disk.fails("sync", "-wal")
    with pytest.raises(LogPoisoned):
        log.write(records(11, 20))
    disk.works()
    again = log.reopened()
    end = again.open().position
    assert end == 20, "the page cache shows the batch that the disk does not have"
    again.write(records(21, 25))
    left: Path = disk.after_power_loss(path.parent / "after")
    again.close()
    return left


def test_what_is_acknowledged_after_a_failed_sync_outlives_a_power_cut_p19(path: Path, disk: Any, records: MakeMany) -> None:
    survivor = SqliteLog(failing_sync_then_power_loss(path, disk, records))
    assert survivor.open().position == 25
    assert len(list(survivor.verify())) == 25
    survivor.close()


def test_the_power_cut_above_would_lose_records_without_p19(
    path: Path, disk: Any, records: MakeMany, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do_nothing(path: str, vfs: str | None) -> None:
        pass

    monkeypatch.setattr(sqlite, "make_durable", do_nothing)
    survivor = SqliteLog(failing_sync_then_power_loss(path, disk, records))
    assert survivor.open().position == 10
    survivor.close()


def test_what_was_in_doubt_is_synced_before_it_is_read_p19(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10, payload=bytes(20_000)))
    disk.fails("sync", "-wal")
    with pytest.raises(LogPoisoned):
        log.write(records(11, 11))
    disk.works()
    again = log.reopened()
    size = Path(f"{path}-wal").stat().st_size
    disk.calls.clear()
    again.open()
    pieces = -(-size // 65_536)
    assert disk.calls[: pieces + 1] == [*(("write", "log.db-wal"),) * pieces, ("sync", "log.db-wal")]
    again.close()


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_log_that_cannot_be_made_durable_stays_closed_p19(path: Path, disk: Any, records: MakeMany, call: str) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    disk.fails("sync", "-wal")
    with pytest.raises(LogPoisoned):
        log.write(records(11, 11))
    again = log.reopened()
    disk.fails(call, "-wal")
    with pytest.raises(LogPoisoned, match="stays closed"):
        again.open()
    with pytest.raises(LogError, match="not open"):
        again.write(records(11, 11))
    disk.works()
    assert again.open().position in {10, 11}
    again.close()


@pytest.mark.parametrize("durability", ["full", "survives_process_crash_only"])
def test_full_durability_syncs_every_commit_and_the_other_says_that_it_does_not(
    path: Path, disk: Any, records: MakeMany, durability: sqlite.Durability
) -> None:
    log = SqliteLog(path, durability=durability, vfs=disk.name)
    log.open()
    log.write(records(1, 1))
    disk.calls.clear()
    log.write(records(2, 2))
    log.write(records(3, 3))
    assert [call for call, _ in disk.calls].count("sync") == (2 if durability == "full" else 0)
    log.close()


def test_whatever_was_acknowledged_outlives_a_power_cut_at_any_time_s4(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    for end in range(1, 40):
        log.write(records(end, end, payload=bytes(2_000 * end)))
        survivor = SqliteLog(disk.after_power_loss(path.parent / f"after-{end}"))
        assert survivor.open().position == end
        survivor.close()
    log.close()


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_creation_that_was_interrupted_is_begun_again(path: Path, disk: Any, records: MakeMany, call: str) -> None:
    after, failed = 0, True
    while failed:
        log = SqliteLog(path.with_name(f"{after}.db"), vfs=disk.name)
        disk.fails(call, "", after=after)
        try:
            log.open()
            failed = False
        except LogPoisoned:
            disk.works()
            assert log.open() == Head()
        disk.works()
        log.write(records(1, 1))
        log.close()
        after += 1
    assert after > 3


def test_a_log_whose_main_file_is_gone_is_not_begun_anew_over_its_records(path: Path, disk: Any, records: MakeMany) -> None:
    log = opened(path, disk)
    log.write(records(1, 10))
    disk.fails("sync", "-wal")
    log.close()
    disk.works()
    path.rename(path.with_suffix(".away"))
    before = Path(f"{path}-wal").read_bytes()
    with pytest.raises(LogCorrupt, match="restore the main file"):
        log.reopened().open()
    assert Path(f"{path}-wal").read_bytes() == before
    assert not path.exists()
    path.with_suffix(".away").rename(path)
    again = log.reopened()
    assert again.open().position == 10
    again.close()


FULL = """
import resource, signal, sys
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogPoisoned
from tallystick.store.sqlite.log import SqliteLog

def record(position):
    return Recorded(position=position, event_type="", schema_version=1, aggregate_type="", aggregate_id=str(position), aggregate_version=1,
                    occurred_at_us=0, owner="", correlation="", payload=bytes(50_000))

log = SqliteLog(sys.argv[1])
log.open()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
end = 0
try:
    while True:
        end = log.write([record(end + 1)]).position
except LogPoisoned as error:
    print(end, type(error.__cause__).__name__)
"""


def test_a_file_that_may_not_grow_poisons_the_log_and_loses_nothing(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    end, cause = done.stdout.split()
    assert cause in {"IOError", "FullError"}
    assert int(end) > 1
    log = SqliteLog(path)
    assert log.open().position in {int(end), int(end) + 1}
    assert len(list(log.verify())) >= int(end)
    log.close()
