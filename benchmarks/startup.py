"""Starting: what `import tallystick` costs beyond a bare interpreter, how soon a system runs, and the memory that either takes.

Each run is a process of its own, which ends at once, without tidying up; the sides take turns, and medians are compared. A first round is
thrown away: it compiles, and fills the disk's cache.

Run: python -m benchmarks.startup --runs 21
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

TOP: Final = Path(__file__).parent.parent
RUNS: Final = 21
BARE: Final = ""
IMPORTED: Final = "import tallystick as ts\n"
RUNNING: Final = IMPORTED + "ts.System().__enter__()\n"
"""Until a system of no modules, with its log in memory, takes commands."""
END: Final = "import os\nos._exit(0)\n"
PEAK: Final = "from benchmarks.peak_memory import peak_rss_bytes\nprint(peak_rss_bytes(), flush=True)\n"


def output_of(program: str) -> str:
    """What a Python program prints, run in a process of its own."""
    command = [sys.executable, "-c", program + END]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=TOP).stdout  # noqa: S603 - one of the programs above


def milliseconds(program: str) -> float:
    """How long a program takes from its start to its end, the interpreter's own start included."""
    began_s = time.perf_counter()
    output_of(program)
    return (time.perf_counter() - began_s) * 1_000


def peak_rss_mb(program: str) -> float:
    """The most memory that the program has held."""
    return round(int(output_of(program + PEAK)) / 1e6, 1)


def measure(runs: int) -> dict[str, float]:
    """Medians of so many runs of each side; import and system without what the bare interpreter takes."""
    rounds = [[milliseconds(program) for program in (BARE, IMPORTED, RUNNING)] for _ in range(runs + 1)]
    bare_ms, imported_ms, running_ms = (statistics.median(side) for side in zip(*rounds[1:], strict=True))
    return {
        "runs": runs,
        "interpreter_ms": round(bare_ms, 3),
        "import_ms": round(imported_ms - bare_ms, 3),
        "system_ms": round(running_ms - bare_ms, 3),
        "interpreter_rss_mb": peak_rss_mb(BARE),
        "import_rss_mb": peak_rss_mb(IMPORTED),
        "system_rss_mb": peak_rss_mb(RUNNING),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description="Importing tallystick, and starting a system.")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each side; medians are printed")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs is at least 1")
    figures = measure(options.runs)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>18} {value:12,.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
