"""Memory over time: the peak of a process that carries out some orders, and of one that carries out many more.

Both are `order_flow --alone` on a new log. What the second one holds beyond the first is what orders leave behind in memory.

Run: python -m benchmarks.memory --orders 20000 --then 200000
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.order_flow import measure


def compare(options: argparse.Namespace) -> dict[str, float]:
    """Peak memory of both, and the growth from one to the other."""
    given = {**vars(options), "directory": options.directory.resolve()}
    few_mb, many_mb = (
        measure("order_flow", argparse.Namespace(**{**given, "orders": orders}))["peak_rss_mb"] for orders in (options.orders, options.then)
    )
    return {
        "orders": options.orders,
        "peak_rss_mb": few_mb,
        "then_orders": options.then,
        "then_peak_rss_mb": many_mb,
        "growth_mb": round(many_mb - few_mb, 1),
        "growth_bytes_per_order": round((many_mb - few_mb) * 1e6 / (options.then - options.orders), 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="What orders leave behind in memory.")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--then", type=int, default=200_000, help="orders of the second process; more than of the first")
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the logs are made")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if not 1 <= options.orders < options.then or options.in_flight < 1:
        parser.error("--orders and --in-flight are at least 1, and --then is more than --orders")
    options.directory.mkdir(parents=True, exist_ok=True)
    figures = compare(options)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>22} {value:12,.1f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
