"""`tallystick simulate`: many seeds on all cores; a failure is named, shrunk, drawn and repeatable."""

import contextlib
import json
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tallystick as ts
from tallystick.host import simulate, simulate_command
from tallystick.host.cli import cli
from tallystick.host.simulate import Order, Tally, repeating, simulate_batch
from tallystick.scenarios.tiny_store.events import InventoryReleased, OrderCancelled
from tallystick.scenarios.tiny_store.inventory import Inventory
from tallystick.scenarios.tiny_store.simulated import SimulatedStore

FIELDS = {"seeds", "steps", "faults_injected", "violations", "virtual_seconds", "seconds"}


class GenerousInventory(Inventory):
    """Releases what a cancelled order holds, and as much again."""

    name = Inventory.name

    @ts.reacts_to(OrderCancelled, emits=[InventoryReleased])
    def release_cancelled(self, turn: ts.Turn, event: OrderCancelled) -> ts.Effects:
        yield from (*super().release_cancelled(turn, event),) * 2


class GenerousStore(SimulatedStore):
    def modules(self) -> tuple[ts.Module, ...]:
        return tuple(GenerousInventory() if isinstance(module, Inventory) else module for module in super().modules())


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["simulate", "tiny-store", *arguments])


def test_the_last_line_of_json_sums_up() -> None:
    result = run("--seeds", "4", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert set(summary) == FIELDS
    assert (summary["seeds"], summary["violations"]) == (4, 0)
    assert summary["steps"] > 100
    assert summary["faults_injected"]
    assert summary["virtual_seconds"] > summary["seconds"] > 0


def test_people_are_told_how_many_seeds_and_faults_there_were() -> None:
    result = run("--seeds", "2", "--faults", "late,crash")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 seeds, ")
    assert "no violations" in result.stdout


def test_of_one_it_is_said_that_it_is_one() -> None:
    assert run("--seeds", "1", "--faults", "none").stdout.startswith("1 seed, ")


def test_minutes_end_it_too() -> None:
    result = run("--minutes", "0.02", "--json", "--faults", "none")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["seeds"] >= 10
    assert summary["faults_injected"] == {}


@pytest.mark.parametrize("arguments", [["--faults", "crush"], ["--seeds", "0"], ["--minutes", "0"], ["--seed", "x"]])
def test_a_wrong_call_is_refused_in_one_line(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> int:
    """The store has a bug; its seeds are simulated in this process, so that the bug is there too. The first seed that fails."""
    monkeypatch.setattr(simulate, "SIMULATED", {SimulatedStore.name: GenerousStore})

    def here(order: Order, _progress: Any) -> tuple[Tally, int | None]:
        return simulate_batch(order.scenario, order.faults, range(order.first, order.first + (order.seeds or 1)))

    monkeypatch.setattr(simulate_command, "simulate", here)
    _, seed = simulate_batch(SimulatedStore.name, "all", range(1, 30))
    assert seed is not None
    return seed


def test_a_failure_is_named_drawn_and_repeatable(failing: int) -> None:
    result = run("--seeds", "30")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Seed {failing}: "), "before it is shrunk, which takes a while"
    assert "VIOLATION  " in result.stdout
    assert f"seed {failing}" in result.stdout
    assert "sequenceDiagram" in result.stdout
    assert "OrderCancelled" in result.stdout
    assert f"tallystick simulate tiny-store --seed {failing} --seeds 1 --faults all" in result.stdout
    again = run("--seed", str(failing), "--seeds", "1")
    assert again.exit_code == 1


def test_the_command_that_repeats_it_can_be_typed_as_it_stands() -> None:
    order = Order(scenario="tiny-store", faults="late, crash", first=1, seeds=5, minutes=None)
    assert shlex.split(repeating(order, 7))[-2:] == ["--faults", "late, crash"]


def test_a_failure_is_an_object_of_its_own_in_json(failing: int) -> None:
    result = run("--seeds", "30", "--json")
    assert result.exit_code == 1
    failure, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert failure["seed"] == failing
    assert failure["story"].startswith("sequenceDiagram\n")
    assert failure["invariant"]
    assert summary["violations"] == 1


ENDLESS = """
from tallystick.host import simulate
from tallystick.host.simulate import Order
simulate._batches = lambda order: iter([range(1), range(10**9), range(10**9), range(10**9)])
if __name__ == "__main__":
    order = Order(scenario="tiny-store", faults="none", first=0, seeds=None, minutes=None)
    simulate.simulate(order, lambda *done: print(*done, flush=True))
"""


def test_it_runs_in_a_process_for_each_core() -> None:
    workers: set[int | None] = set()
    cores = simulate._cores()
    order = Order(scenario="tiny-store", faults="none", first=1, seeds=cores * simulate.SEEDS_AT_ONCE, minutes=None)
    tally, _ = simulate.simulate(order, lambda *_done: workers.update(each.pid for each in multiprocessing.active_children()))
    assert tally.seeds == order.seeds
    assert len(workers) == cores == len(os.sched_getaffinity(0))


def test_who_interrupts_it_waits_for_nobody_and_leaves_nobody_behind(tmp_path: Path) -> None:
    program = tmp_path / "endless.py"
    program.write_text(ENDLESS, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, start_new_session=True) as process:  # noqa: S603 - our own program
        assert process.stdout is not None
        assert process.stdout.readline() == b"1 None\n", "one process has done its part, all are at others"
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=60)  # until the last of them has closed its output
            assert process.returncode != 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_seeds_that_never_met_a_fault_prove_nothing_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally(seeds=200, faults=Counter({"late": 3}))
    monkeypatch.setattr(simulate_command, "simulate", lambda _order, _progress: (tally, None))
    result = run("--seeds", "200", "--faults", "late,hung")
    assert result.exit_code == 1
    assert "hung" in result.stderr
    assert run("--seeds", "200", "--faults", "late").exit_code == 0


def test_seeds_prove_something_without_what_their_scenario_cannot_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally(seeds=200, faults=Counter({"disk_full": 3}))
    monkeypatch.setattr(simulate_command, "simulate", lambda _order, _progress: (tally, None))
    assert run("--seeds", "200", "--faults", "disk_full,hung").exit_code == 1
    settlers = CliRunner().invoke(cli, ["simulate", "settlers", "--seeds", "200", "--faults", "disk_full,hung"])
    assert settlers.exit_code == 0, settlers.output
