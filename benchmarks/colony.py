"""A colony at twenty steps a virtual second on a durable log, against real time and against the same game by hand; each in its own process.

The two sides run in turn, medians are printed, and both have to come to the same final state. On a machine that others use too, the figures
of CPU time say more than those of the clock: `times_real_of_cpu` is how many times faster than real time one core is. Peak memory is noted
at each tenth of a run, so that a long one shows whether it grows: `--alone --minutes 60` is an hour of the colony.

Run: python -m benchmarks.colony --settlers 1000 --minutes 10
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import tallystick as ts
from benchmarks.figures import stored_bytes
from benchmarks.peak_memory import peak_rss_bytes
from tallystick.scenarios.settlers.colony import STEPS_A_SECOND, Colony

RUNS = 3
TENTHS = 10


def run(options: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Let a colony live on a new log; the figures, and the final hash."""
    log = ts.SqliteLog(path, durability="full" if options.durability == "full" else "survives_process_crash_only")
    steps = round(options.minutes * 60 * STEPS_A_SECOND)
    peaks_mb: list[float] = []
    longest_s = 0.0
    with Colony(options.seed, options.settlers, log) as colony:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for step in range(1, steps + 1):
            step_s = time.perf_counter()
            colony.step()
            longest_s = max(longest_s, time.perf_counter() - step_s)
            if step * TENTHS // steps > len(peaks_mb):
                peaks_mb.append(round(peak_rss_bytes() / 1e6, 1))
        spent_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        events = colony.system.health().tail
        final = colony.picture().hash
    return {
        "hash": final,
        "seconds": round(spent_s, 3),
        "cpu_seconds": round(cpu_s, 3),
        "times_real": round(options.minutes * 60 / spent_s, 1),
        "times_real_of_cpu": round(options.minutes * 60 / cpu_s, 1),
        "longest_step_ms": round(longest_s * 1e3, 1),
        "events": events,
        "log_mb": round(stored_bytes(path) / 1e6, 1),
        "peak_rss_mb": peaks_mb[-1],
        "peak_rss_mb_by_tenths": peaks_mb,
    }


def measure(side: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run of one side in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{side}", "--settlers", str(options.settlers), "--minutes", str(options.minutes)]
    command += ["--seed", str(options.seed)]
    if side == "colony":
        command += ["--alone", "--json", "--durability", options.durability, "--directory", str(options.directory.resolve())]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)  # noqa: S603 - this very program
    figures: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return figures


def compared(options: argparse.Namespace) -> dict[str, Any]:
    """Medians of both sides, and how many times as long ours takes.

    Raises:
        SystemExit: the two have not played the same game.
    """
    ours: list[dict[str, Any]] = []
    by_hand: list[dict[str, Any]] = []
    for _ in range(options.runs):
        by_hand.append(measure("colony_floor", options))
        ours.append(measure("colony", options))
    hashes = {each["hash"] for each in (*ours, *by_hand)}
    if len(hashes) != 1:
        msg = f"The colonies have come to different ends: {sorted(hashes)}"
        raise SystemExit(msg)
    numbers = ("seconds", "cpu_seconds", "times_real", "times_real_of_cpu", "peak_rss_mb")
    mine, theirs = ({name: round(statistics.median(run[name] for run in runs), 3) for name in numbers} for runs in (ours, by_hand))
    return {
        "hash": hashes.pop(),
        **mine,
        "events": ours[0]["events"],
        "longest_step_ms": max(each["longest_step_ms"] for each in ours),
        **{f"by_hand_{name}": value for name, value in theirs.items()},
        "ratio": round(mine["seconds"] / theirs["seconds"], 2),
        "cpu_ratio": round(mine["cpu_seconds"] / theirs["cpu_seconds"], 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.colony", description="A colony against real time, and against one by hand.")
    parser.add_argument("--settlers", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="of virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each side; medians are printed")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the logs are made; on a disk, not in memory")
    parser.add_argument("--alone", action="store_true", help="measure our side only, once, in this process")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.settlers < 1 or options.minutes <= 0 or options.runs < 1:
        parser.error("--settlers and --runs are at least 1, and --minutes more than 0")
    options.directory.mkdir(parents=True, exist_ok=True)
    if options.alone:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            figures = run(options, Path(directory) / "colony.db")
    else:
        figures = compared(options)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print(f"{options.settlers:,} settlers, {options.minutes:g} minutes, durability {options.durability}")
        print("\n".join(f"{name:>24} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
