"""The benchmarks run and print what they promise; what the figures are is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
SIDES = {"orders_per_s", "p50_ms", "p99_ms", "cpu_ms_per_order", "peak_rss_mb", "bytes_per_order", "commits_per_order"}
FLOOR = {f"floor_{name}" for name in SIDES}


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (
            ["order_flow", "--orders", "30", "--in-flight", "4", "--runs", "1"],
            SIDES | FLOOR | {"ratio", "p50_ratio"},
        ),
        (["timers", "--timers", "100"], {"timers", "add_us", "cancel_us", "fire_us"}),
    ],
)
def test_a_benchmark_prints_its_figures_as_json(arguments: list[str], keys: set[str], tmp_path: Path) -> None:
    name, *options = arguments
    if name == "order_flow":
        options += ["--directory", str(tmp_path)]
    command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--json"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True, timeout=120)  # noqa: S603 - our own program
    figures = json.loads(done.stdout.splitlines()[-1])
    assert set(figures) == keys
    assert all(value > 0 for value in figures.values())
