"""The order flow on other libraries, in turn with ours, each run in a process of its own. Prints medians and ratios.

Ours is the Tiny Store: four modules, ten events, retries and timeouts armed. Theirs has the same three steps.

Run: make peers, or, where the extra `peers` is installed: python -m benchmarks.peers --orders 300
"""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.peers.alone import PEERS

ROOT = Path(__file__).parent.parent.parent
IN_FLIGHT = {"tallystick": 512, "dbos": 16, "eventsourcing": 1}
"""What serves each best; more in flight make DBOS slower, and eventsourcing has nothing in flight."""
FIGURES = ("orders_per_s", "p50_ms", "cpu_ms_per_order", "peak_rss_mb", "bytes_per_order")


def measure(side: str, orders: int, in_flight: int, directory: Path) -> dict[str, float]:
    """One run of one side in a process of its own."""
    program = ["benchmarks.order_flow", "--alone", "--json"] if side == "tallystick" else ["benchmarks.peers.alone", side]
    command = [sys.executable, "-m", *program, "--orders", str(orders), "--in-flight", str(in_flight), "--directory", str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603 - this very program
    figures: dict[str, float] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return figures


def compared(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians by side, and with many in flight and with one by name."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(options.runs):
        for side in ("tallystick", *sorted(PEERS)):
            orders = options.orders * (20 if side == "tallystick" else 1)
            found.setdefault(side, []).append(measure(side, orders, IN_FLIGHT[side], options.directory))
            if IN_FLIGHT[side] > 1:
                found.setdefault(f"{side}, one in flight", []).append(measure(side, options.orders, 1, options.directory))
    return {side: {name: statistics.median(run[name] for run in runs) for name in FIGURES} for side, runs in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: measures all sides in turn and prints medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description="The order flow against other libraries.")
    parser.add_argument("--orders", type=int, default=300, help="of each peer; twenty times as many of ours, with many in flight")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side; medians are printed")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the databases are made; on a disk, not in memory")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.orders < 1 or options.runs < 1:
        parser.error("--orders and --runs are at least 1")
    sides = compared(options)
    ours = sides["tallystick"]["orders_per_s"]
    versions = {peer: version(peer) for peer in PEERS}
    ratios = {side: round(ours / figures["orders_per_s"], 1) for side, figures in sides.items()}
    if options.json:
        print(msgspec.json.encode({"sides": sides, "versions": versions, "ours_to_theirs": ratios}).decode())
        return
    print(f"{'':28}" + "".join(f"{name:>18}" for name in (*FIGURES, "ours to theirs")))
    for side, figures in sides.items():
        name = side.replace(side.partition(",")[0], f"{side.partition(',')[0]} {versions.get(side.partition(',')[0], '')}".rstrip())
        print(f"{name:28}" + "".join(f"{figures[figure]:18,.2f}" for figure in FIGURES) + f"{ratios[side]:18,.1f}")


if __name__ == "__main__":
    main()
