"""What a save of a colony costs: its size, the time to write it, and the time until what was loaded runs. In one process, in turn.

The colony lives for a while first, so that settlers are under way, and queues, needs and orders are in every state.

Run: python -m benchmarks.saves --settlers 10000
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

import tallystick as ts
from tallystick.scenarios.settlers.colony import Colony
from tallystick.scenarios.settlers.fate import arrivals
from tallystick.scenarios.settlers.migration import SAVES
from tallystick.scenarios.settlers.system import LINES, modules, performers

ARRIVALS_A_STEP = 500
"""Settlers come in groups: a turn appends ten thousand events at most, and everybody wants work at once."""


def measured(settlers: int, seconds: float, runs: int, folder: Path) -> dict[str, float]:
    """The figures; the medians of the runs."""
    path = folder / "colony.save"
    saving_s, saving_cpu_s = list[float](), list[float]()
    loading_s, loading_cpu_s = list[float](), list[float]()
    colony = Colony(1, settlers)
    with colony.system:
        for number, arrival in enumerate(arrivals(colony.land, settlers), start=1):
            colony.system.ask(arrival)
            if number % ARRIVALS_A_STEP == 0:
                colony.step()
        colony.live(timedelta(seconds=seconds))
        for _ in range(runs):
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            colony.system.save(path)
            saving_s.append(time.perf_counter() - began_s)
            saving_cpu_s.append(time.process_time() - began_cpu_s)
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            runtime = ts.SteppedRuntime(seed=1)
            owners = modules(colony.land)
            with ts.System.load(path, owners, performers=performers(), lines=LINES, runtime=runtime, saves=SAVES) as loaded:
                loading_s.append(time.perf_counter() - began_s)
                loading_cpu_s.append(time.process_time() - began_cpu_s)
                if loaded.health().tail != colony.system.health().tail:
                    msg = "The loaded colony does not stand where the saved one stands."
                    raise SystemExit(msg)
        return {
            "records": colony.system.health().tail,
            "open_executions": sum(owner.open_executions for owner in colony.system.health().owners.values()),
            "megabytes": round(path.stat().st_size / 1e6, 2),
            "save_s": round(statistics.median(saving_s), 3),
            "save_cpu_s": round(statistics.median(saving_cpu_s), 3),
            "load_s": round(statistics.median(loading_s), 3),
            "load_cpu_s": round(statistics.median(loading_cpu_s), 3),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saves", description="What saving and loading a colony costs.")
    parser.add_argument("--settlers", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the colony lives first, in virtual time")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.settlers < 1 or options.seconds <= 0 or options.runs < 1:
        parser.error("--settlers, --seconds and --runs are positive")
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(options.settlers, options.seconds, options.runs, Path(folder))
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print(f"{options.settlers:,} settlers after {options.seconds:g} seconds")
        print("\n".join(f"{name:>16} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
