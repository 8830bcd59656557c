"""Opening a log: from `with System(...)` to the first order accepted, in a process of its own. The log is one that `order_flow --log` made.

Run: python -m benchmarks.order_flow --alone --orders 1000000 --log .bench/million.db && python -m benchmarks.opening .bench/million.db
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

import tallystick as ts
from benchmarks.order_flow import AtOnce, happy_order
from benchmarks.peak_memory import peak_rss_bytes
from tallystick.scenarios.tiny_store.system import modules


def measure(path: Path) -> dict[str, float]:
    """Open the log, recover, and have one order accepted; seconds and peak memory."""
    began_s = time.perf_counter()
    with ts.System(modules(), performers=AtOnce().performers(), log=ts.SqliteLog(path)) as system:
        opened_s = time.perf_counter() - began_s
        system.ask(happy_order())
        accepted_s = time.perf_counter() - began_s
        positions = system.health().tail
    rss_mb = round(peak_rss_bytes() / 1e6, 1)
    return {"positions": positions, "open_s": round(opened_s, 4), "first_order_s": round(accepted_s, 4), "peak_rss_mb": rss_mb}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opening", description="Open a log and have an order accepted.")
    parser.add_argument("log", type=Path)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if not options.log.exists():
        parser.error(f"{options.log} does not exist; make it with python -m benchmarks.order_flow --alone --log {options.log}")
    figures = measure(options.log)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>14} {value:16,.4f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
