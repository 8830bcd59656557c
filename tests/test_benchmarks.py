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
        (
            ["brackets", "--brackets", "20", "--together", "64", "--open", "20", "--events", "50"],
            {"one_caller_p50_us", "two_bare_commits_p50_us", "one_caller_ratio", "callers", "brackets_per_s", "cpu_us_per_bracket"}
            | {"tasks", "tasks_brackets_per_s", "tasks_cpu_us_per_bracket", "tasks_commits_per_bracket"}
            | {"memory_p50_us", "memory_stepped_p50_us", "open_operations", "find_stalled_ms", "find_overdue_ms"}
            | {"log_events", "timeline_events", "timeline_ms"},
        ),
        (
            ["privacy", "--commands", "20", "--calls", "20", "--keys", "50", "--runs", "1"],
            {"command_us", "sensitive_command_us", "new_person_command_us", "ratio", "seal_us", "reveal_us"}
            | {"keys", "bytes_per_key", "put_us_per_key", "get_cpu_us", "forget_ms"},
        ),
        (["timers", "--timers", "100"], {"timers", "add_us", "cancel_us", "fire_us"}),
        (["turns", "--orders", "5", "--runs", "1"], {"orders", "turns", "best_turns_per_s", "median_turns_per_s"}),
        (["ticks", "--tickers", "10", "--steps", "20"], {"tickers", "by_hand_us_per_step", "us_per_step", "overhead_us_per_tick"}),
        (
            ["chain", "--orders", "30", "--in-flight", "4", "--runs", "1"],
            {"chain_us_per_record", "records_per_order", "chain_us_per_order", "cpu_us_per_order", "share_percent", "budget_percent"},
        ),
        (
            ["saves", "--settlers", "50", "--seconds", "2", "--runs", "1"],
            {"records", "open_executions", "megabytes", "save_s", "save_cpu_s", "load_s", "load_cpu_s"},
        ),
        (
            ["sagas", "--sagas", "30", "--in-flight", "4", "--runs", "1"],
            {name.replace("order", "saga") for name in SIDES} | {"orders_per_s", "ratio"},
        ),
        (
            ["sagas", "--waiting", "50"],
            {
                *("waiting", "begun_peak_rss_mb", "opened_s", "opened_cpu_s", "opened_peak_rss_mb", "bytes_per_saga"),
                *("taken_up_s", "taken_up_peak_rss_mb"),
            },
        ),
    ],
)
def test_a_benchmark_prints_its_figures_as_json(arguments: list[str], keys: set[str], tmp_path: Path) -> None:
    name, *options = arguments
    if name in {"order_flow", "chain", "sagas"}:
        options += ["--directory", str(tmp_path)]
    figures = json.loads(last_line(name, *options, "--json"))
    assert set(figures) == keys
    assert all(value > 0 for value in figures.values())


def test_the_colony_and_the_one_by_hand_come_to_the_same_end(tmp_path: Path) -> None:
    options = ("--settlers", "5", "--minutes", "0.5", "--runs", "1", "--directory", str(tmp_path), "--json")
    figures = json.loads(last_line("colony", *options))
    measured = {"seconds", "cpu_seconds", "times_real", "times_real_of_cpu", "peak_rss_mb"}
    assert set(figures) == measured | {f"by_hand_{name}" for name in measured} | {"hash", "events", "longest_step_ms", "ratio", "cpu_ratio"}
    alone = json.loads(last_line("colony", "--alone", *options))
    assert alone["hash"] == figures["hash"]
    assert len(alone["peak_rss_mb_by_tenths"]) == 10


def last_line(name: str, *options: str) -> str:
    """The last line that a benchmark prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True, timeout=120)  # noqa: S603 - our own program
    return done.stdout.splitlines()[-1]


def test_starting_is_measured_beyond_a_bare_interpreter() -> None:
    figures = json.loads(last_line("startup", "--runs", "1", "--json"))
    times = {"interpreter_ms", "import_ms", "system_ms"}
    sizes = {"interpreter_rss_mb", "import_rss_mb", "system_rss_mb"}
    assert set(figures) == {"runs"} | times | sizes
    assert all(figures[name] > 0 for name in sizes)


def test_the_growth_of_memory_is_that_from_the_few_orders_to_the_many(tmp_path: Path) -> None:
    figures = json.loads(last_line("memory", "--orders", "10", "--then", "30", "--directory", str(tmp_path), "--json"))
    assert (figures["orders"], figures["then_orders"]) == (10, 30)
    growth_mb = figures["then_peak_rss_mb"] - figures["peak_rss_mb"]
    assert figures["growth_mb"] == pytest.approx(growth_mb, abs=0.1)
    assert figures["growth_bytes_per_order"] == pytest.approx(growth_mb * 1e6 / 20, abs=0.1)


@pytest.mark.parametrize("command", [["startup", "--runs", "0"], ["memory", "--orders", "5", "--then", "5"]])
def test_a_measurement_of_nothing_is_refused(command: list[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        last_line(*command)
    assert refused.value.returncode == 2


def test_for_people_there_is_a_figure_a_line(tmp_path: Path) -> None:
    assert "system_rss_mb" in last_line("startup", "--runs", "1")
    assert "growth_bytes_per_order" in last_line("memory", "--orders", "10", "--then", "11", "--directory", str(tmp_path))


def test_what_archiving_gains_is_measured_on_a_log_of_orders(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    last_line("order_flow", "--alone", "--orders", "200", "--in-flight", "8", "--runs", "1", "--log", str(path), "--json")
    figures = json.loads(last_line("archives", str(path), "--json"))
    assert figures["records"] > 500
    assert figures["live_bytes_after"] < figures["live_bytes_before"]
    assert figures["archive_share_percent"] < 50
