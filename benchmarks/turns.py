"""Simulated turns a second: a store's whole day on one core, without faults, every invariant checked at every turn.

Run: python -m benchmarks.turns --orders 400 --runs 5
"""

import argparse
import time
from collections.abc import Sequence

import msgspec

from tallystick.scenarios.tiny_store.simulated import BusyStore
from tallystick.testing import Simulation


def store_with(orders: int) -> type[BusyStore]:
    """The program with so many orders."""
    return type("StoreWithOrders", (BusyStore,), {"orders": orders})


def measure(orders: int, runs: int) -> dict[str, float]:
    """The best and the middle of so many runs of the same seed, by the process's CPU time.

    Raises:
        InvariantViolation: something does not hold.
    """
    turns, rates = 0, list[float]()
    for _ in range(runs):
        simulation = Simulation(store_with(orders), 2, faults="none")
        began_s = time.process_time()
        turns = simulation.check().steps
        rates.append(turns / (time.process_time() - began_s))
    rates.sort()
    return {"orders": orders, "turns": turns, "best_turns_per_s": round(rates[-1]), "median_turns_per_s": round(rates[len(rates) // 2])}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description="Turns a second of the simulator, on one core.")
    parser.add_argument("--orders", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    figures = measure(options.orders, options.runs)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>18} {value:12,.0f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
