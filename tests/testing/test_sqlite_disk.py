"""The real SQLite log on a simulated disk: what is lost in a crash and in a power cut, and that nothing of it stays behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import tallystick as ts
from tallystick.domain.envelope import Recorded
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.testing import Chance, Simulation
from tallystick.testing.faults import Hit, Injector
from tallystick.testing.sqlite_disk import SimulatedSqliteLog, SqliteDisk
from tallystick.testing.world import ProcessDied, World


def record(position: int) -> Recorded:
    return Recorded(
        position=position,
        event_type="Happened",
        schema_version=1,
        aggregate_type="Thing",
        aggregate_id="thing",
        aggregate_version=position,
        occurred_at_us=position,
        owner="things",
        correlation="story",
        payload=b"{}",
    )


@pytest.fixture
def disks() -> Iterator[list[SqliteDisk]]:
    made: list[SqliteDisk] = []
    yield made
    for disk in made:
        disk.close()


def life(disks: list[SqliteDisk], *hits: Hit) -> tuple[SqliteDisk, SimulatedSqliteLog]:
    """A log with two records on a disk on which these faults will strike."""
    chance = Chance(1)
    world = World(chance, Injector({}, chance, hits))
    world.begin_process()
    disk = SqliteDisk(world)
    disks.append(disk)
    log = disk.log()
    log.open()
    world.recovering = False
    log.write([record(1), record(2)])
    return disk, log


def died(log: SimulatedSqliteLog, records: list[Recorded]) -> list[int]:
    """The process dies as it writes these; what the next one finds."""
    with pytest.raises(ProcessDied):
        log.write(records)
    log.disk.world.begin_process()
    fresh = log.reopened()
    fresh.open()
    found = [each.position for each in fresh.verify()]
    fresh.close()
    return found


@pytest.mark.parametrize("kind", ["crash.commit", "power_loss.commit", "torn_tail"])
def test_what_was_acknowledged_is_there_and_the_batch_is_there_as_a_whole_or_not_at_all(disks: list[SqliteDisk], kind: str) -> None:
    _, log = life(disks, Hit(kind, 2))
    assert died(log, [record(3), record(4), record(5)]) in ([1, 2], [1, 2, 3, 4, 5])


def test_a_torn_batch_is_lost(disks: list[SqliteDisk]) -> None:
    _, log = life(disks, Hit("torn_tail", 2))
    assert died(log, [record(3)]) == [1, 2]


def test_a_log_whose_disk_fails_cannot_be_opened_until_it_heals(disks: list[SqliteDisk]) -> None:
    chance = Chance(1)
    world = World(chance, Injector({"io_error.sync": 1.0}, chance))
    world.begin_process()
    disk = SqliteDisk(world)
    disks.append(disk)
    log = disk.log()
    with pytest.raises(ts.LogError):
        log.open()
    world.faults.stop()
    disk.heal()
    fresh = log.reopened()
    assert fresh.open().position == 0
    fresh.close()


def test_the_other_process_is_refused_and_its_successor_fences(disks: list[SqliteDisk]) -> None:
    disk, log = life(disks)
    before = disk.operations
    with pytest.raises(ts.LogLocked) as refused:
        disk.another().open()
    assert (refused.value.pid, disk.operations) == (os.getpid(), before)
    other = log.successor()
    other.open()
    with pytest.raises(ts.Fenced):
        log.write([record(3)])
    other.close()
    log.close()


@pytest.mark.parametrize("faults", ["none", "all"])
def test_nothing_of_a_run_stays_behind(faults: str) -> None:
    simulation = Simulation(SimulatedStore, 1, log="sqlite", faults=faults)
    disk = simulation._disk
    assert isinstance(disk, SqliteDisk)
    folder: Path = disk.path.parent
    assert folder.is_dir()
    assert simulation.run().violation is None
    assert not folder.exists()


@pytest.mark.parametrize("seed", range(1, 9))
def test_whoever_comes_when_the_log_was_taken_over_and_let_go_of_may_open_it(seed: int) -> None:
    """The paused writer holds no lock any more, and does not know it yet: that it cannot write is what fences it (P22)."""
    result = Simulation(SimulatedStore, seed, faults={"rival": 0.05, "paused_writer": 0.05}, log="sqlite").run()
    assert result.violation is None


@pytest.mark.parametrize("seed", range(1, 10))
def test_whoever_comes_when_this_process_has_given_the_log_up_finds_a_disk_that_fails_and_no_lock(seed: int) -> None:
    result = Simulation(SimulatedStore, seed, faults={"rival": 0.05, "io_error": 0.03}, log="sqlite").run()
    assert result.violation is None
