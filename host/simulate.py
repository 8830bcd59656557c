"""Simulations of many seeds on all cores: which scenarios there are, how seeds are dealt out, and what came of them."""

import multiprocessing
import os
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Final

import msgspec

from tallystick.scenarios.order_fulfilment.simulated import SimulatedFulfilment
from tallystick.scenarios.settlers.simulated import SimulatedColony
from tallystick.scenarios.subscription_renewal.simulated import SimulatedSubscriptions
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.scenarios.travel_booking.simulated import SimulatedTravel
from tallystick.testing import Script, SimulatedProgram, Simulation, SimulationResult, shrink
from tallystick.testing.shrinking import TRIES_LIMIT

SIMULATED: Final[Mapping[str, type[SimulatedProgram]]] = {
    program.name: program for program in (SimulatedStore, SimulatedColony, SimulatedTravel, SimulatedFulfilment, SimulatedSubscriptions)
}
"""The scenarios that can be simulated, by name."""

SEEDS_AT_ONCE: Final = 10
"""How many seeds a process is given at a time."""
PROVES_FROM: Final = 100
"""From so many seeds on, a fault that was enabled and never injected makes the whole worthless."""
PATHS_PROVED_FROM: Final = 300
"""And from so many on, with all faults, a path of recovery that was never taken."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be simulated. `seeds` or `minutes` (of real time) may be None: then the other one ends it."""

    scenario: str
    faults: str
    first: int
    seeds: int | None
    minutes: float | None


class Tally(msgspec.Struct, kw_only=True, rename={"faults": "faults_injected", "paths": "recovery_paths"}):
    """What so many runs came to; its fields are those of the last line of `--json`."""

    seeds: int = 0
    steps: int = 0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    paths: Counter[str] = msgspec.field(default_factory=Counter)
    violations: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        """And those of another."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.faults += other.faults
        self.paths += other.paths
        self.violations += other.violations
        self.virtual_seconds += other.virtual_seconds


Batch = tuple[Tally, int | None]
"""What some seeds came to, and the first that failed."""


def simulate_batch(scenario: str, faults: str, seeds: range) -> Batch:
    """Simulate some seeds, in this process; up to the first that fails."""
    tally = Tally()
    for seed in seeds:
        result = Simulation(SIMULATED[scenario], seed, faults=faults).run()
        failed = result.violation is not None
        part = Tally(seeds=1, steps=result.steps, faults=result.faults, paths=result.paths, violations=int(failed))
        part.virtual_seconds = result.virtual_seconds
        tally.add(part)
        if failed:
            return tally, seed
    return tally, None


def simulate(order: Order, progress: Callable[[int, int | None], None]) -> tuple[Tally, int | None]:
    """Simulate them all, or up to the first violation; the sum, and the seed that failed."""
    tally, failed = Tally(), None
    begun = time.monotonic()
    end = None if order.minutes is None else begun + 60 * order.minutes
    batches = _batches(order)
    with _workers() as submit:
        running: set[Future[Batch]] = set()
        while failed is None or running:
            while failed is None and len(running) < _cores() + 1 and (end is None or time.monotonic() < end):
                seeds = next(batches, None)
                if seeds is None:
                    break
                running.add(submit(order.scenario, order.faults, seeds))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                part, seed = future.result()
                tally.add(part)
                failed = seed if failed is None or (seed is not None and seed < failed) else failed
            progress(tally.seeds, order.seeds)
    tally.seconds = time.monotonic() - begun
    return tally, failed


def _batches(order: Order) -> Iterator[range]:
    seed = order.first
    end = None if order.seeds is None else order.first + order.seeds
    while end is None or seed < end:
        stop = seed + SEEDS_AT_ONCE if end is None else min(seed + SEEDS_AT_ONCE, end)
        yield range(seed, stop)
        seed = stop


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _workers() -> Generator[Callable[[str, str, range], "Future[Batch]"]]:
    # Spawned, not forked: nothing of this process, its threads least of all, reaches into a simulation.
    with ProcessPoolExecutor(_cores(), mp_context=multiprocessing.get_context("spawn"), initializer=_is_not_interrupted) as pool:
        try:
            yield lambda scenario, faults, seeds: pool.submit(simulate_batch, scenario, faults, seeds)
        except BaseException:
            for worker in multiprocessing.active_children():  # what they are at is wanted no more, and may take long
                worker.terminate()
            raise


def _is_not_interrupted() -> None:
    """Ctrl-C reaches all processes of a terminal; who is told is the one that started the others, and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def failing_run(order: Order, seed: int) -> SimulationResult:
    """The run of one seed, again."""
    return Simulation(SIMULATED[order.scenario], seed, faults=order.faults).run()


def shrunk(order: Order, failing: SimulationResult, progress: Callable[[int, int | None], None]) -> SimulationResult:
    """A failing run with as few wishes and faults as can be found, and its story; `progress` hears of each try."""
    program, tries = SIMULATED[order.scenario], 0

    def run(script: Script) -> SimulationResult:
        nonlocal tries
        tries += 1
        progress(tries, TRIES_LIMIT)
        return Simulation(program, failing.seed, faults=order.faults, script=script).run()

    smallest = shrink(run, failing)
    return Simulation(program, failing.seed, faults=order.faults, script=smallest.script, tells=True).run()


def repeating(order: Order, seed: int) -> str:
    """The command that simulates one seed again."""
    return shlex.join(["tallystick", "simulate", order.scenario, "--seed", str(seed), "--seeds", "1", "--faults", order.faults])
