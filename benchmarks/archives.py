"""What archiving costs and gains: the live file's size, time for each record, reading what was archived. On a log of `order_flow --log`.

Run: python -m benchmarks.order_flow --alone --orders 20000 --log .bench/orders.db && python -m benchmarks.archives .bench/orders.db
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec

import tallystick as ts
from benchmarks.order_flow import AtOnce
from benchmarks.peak_memory import peak_rss_bytes
from tallystick.scenarios.tiny_store.system import modules

LOOKED_UP = 200
"""So many streams are read, each for the first time."""


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


def opened_s(path: Path) -> float:
    """How long an opening takes."""
    began_s = time.perf_counter()
    with store(path):
        return time.perf_counter() - began_s


def store(path: Path) -> ts.System:
    """The store on its log."""
    return ts.System(modules(), performers=AtOnce().performers(), log=ts.SqliteLog(path))


def streams(path: Path, count: int) -> list[str]:
    """Orders from all over the log, ready to be read."""
    with closing(ts.SqliteReader(path)) as reader:
        last = reader.head().position
        placed = ("OrderPlaced",)
        lots = random.Random(1)  # noqa: S311 - repeatable on purpose
        starts = [lots.randrange(last * 9 // 10) for _ in range(count)]
        found = [next(reader.read(ts.Query(after=start, event_types=placed, limit=1))) for start in starts]
        return [record.aggregate_id for record in found]


def read_us(path: Path, orders: Sequence[str]) -> float:
    """The median time of reading an order's stream."""
    with closing(ts.SqliteReader(path)) as reader:
        list(reader.read(ts.Query(limit=1)))
        times = [seconds(lambda: list(reader.read(ts.Query(aggregate_type="Order", aggregate_id=each)))) for each in orders]  # noqa: B023
    return statistics.median(times) * 1e6


def measure(path: Path) -> dict[str, float]:
    """Archive all that is closed, and look at both sides of it."""
    orders = streams(path, LOOKED_UP)
    before_s, before_us, rss = opened_s(path), read_us(path, orders), peak_rss_bytes()
    live = path.stat().st_size
    with store(path) as system:
        began_cpu_s, began_s = time.process_time(), time.perf_counter()
        archived = system.archive(ts.Retention(keep=timedelta()), who="the benchmark")
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    rss_after = peak_rss_bytes()
    sizes = sum(each.size_bytes for each in archived.archives)
    return {
        "records": archived.records,
        "archives": len(archived.archives),
        "live_bytes_before": live,
        "live_bytes_after": path.stat().st_size,
        "archive_bytes": sizes,
        "archive_share_percent": 100 * sizes / live,
        "archive_s": took_s,
        "cpu_us_per_record": cpu_s / max(1, archived.records) * 1e6,
        "peak_rss_mb": rss_after / 1e6,
        "peak_rss_grew_mb": (rss_after - rss) / 1e6,
        "open_before_s": before_s,
        "open_after_s": opened_s(path),
        "read_live_us": before_us,
        "read_archived_us": read_us(path, orders),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archives", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("log", type=Path)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if not options.log.exists():
        parser.error(f"{options.log} does not exist; make it with python -m benchmarks.order_flow --alone --log {options.log}")
    figures = measure(options.log)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>22} {value:16,.4f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
