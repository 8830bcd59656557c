"""Bugs that are planted in the log and its disk are found by simulations that run on the disk's faults."""

from collections.abc import Callable
from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.store.chain import COVERED
from tallystick.store.sqlite import log as sqlite
from tallystick.store.sqlite import opening as sqlite_opening
from tallystick.store.sqlite import snapshots as sqlite_snapshots
from tallystick.store.sqlite.rows import insertions
from tallystick.store.writer_lock import WriterLock
from tallystick.testing import Simulation
from tests.testing.finding import found

Plant = Callable[[pytest.MonkeyPatch], None]


def wal_not_written_again(patched: pytest.MonkeyPatch) -> None:
    """After a failed sync the page cache is taken for the disk (P19)."""
    patched.setattr(sqlite, "make_durable", lambda _path, _vfs: None)


def synced_too_late(patched: pytest.MonkeyPatch) -> None:
    """Commits that a power cut loses are acknowledged."""
    patched.setitem(sqlite._SYNCHRONOUS, "full", "NORMAL")


def batch_in_parts(patched: pytest.MonkeyPatch) -> None:
    """Each record is a transaction of its own."""
    size = len(COVERED) + 1

    def insert(self: ts.SqliteLog, connection: Any, values: list[Any], *, whole: bool) -> None:
        del whole
        for first in range(0, len(values), size):
            for statement, bindings in insertions(values[first : first + size], self.epoch):
                connection.execute(statement, bindings)

    patched.setattr(ts.SqliteLog, "_insert", insert)


def damaged_snapshots_trusted(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(sqlite_snapshots, "_checksum", lambda _fields: b"any")


def lock_not_taken(patched: pytest.MonkeyPatch) -> None:
    def acquire(self: WriterLock) -> None:
        self._descriptor = self._open()

    patched.setattr(WriterLock, "acquire", acquire)


def epoch_not_raised(patched: pytest.MonkeyPatch) -> None:
    """Whoever opens the log later does not fence those before."""
    patched.setattr(sqlite_opening, "_NEXT_EPOCH", "UPDATE meta SET epoch = 1 RETURNING epoch, correlated")


def fence_forgotten(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(ts.MemoryLog, "_check_writer", lambda _self: None)


@pytest.mark.parametrize(
    ("plant", "faults", "invariants"),
    [
        (wal_not_written_again, "io_error, power_loss, torn_tail", "S4"),
        (synced_too_late, "power_loss", "S4"),
        (batch_in_parts, "torn_tail", "S5"),
        (batch_in_parts, "crash.commit, power_loss", "S5"),
        (damaged_snapshots_trusted, "damaged_snapshot, crash", "S7 P1 ERROR"),
        (lock_not_taken, "rival", "S15"),
        (epoch_not_raised, "rival, paused_writer", "S15"),
        (fence_forgotten, "paused_writer", "S15"),
    ],
)
def test_a_planted_bug_of_the_log_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant, faults: str, invariants: str) -> None:
    plant(monkeypatch)
    result = found(SimulatedStore, seeds=80, faults=faults)
    assert result is not None, "no seed has found it"
    assert result.violation is not None
    assert result.violation.invariant in invariants.split()
    assert str(Simulation(SimulatedStore, result.seed, faults=faults).run().violation) == str(result.violation), "the seed repeats it"
