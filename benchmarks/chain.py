"""The hash chain: what hashing costs a record, and what share of an order's CPU time that is. The budget is five percent.

Orders are carried out as in `order_flow --alone`; the records that they have left in the log are then linked again, in batches as large as
the commits were, and once more without hashing, since a batch's values are gathered in the same loop. The difference is the chain.

Run: python -m benchmarks.chain --orders 20000 --in-flight 512
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

import tallystick as ts
from benchmarks.order_flow import RUNS, WARM_UP_ORDERS, run
from tallystick.store.chain import COVERED, HASH_BYTES, linked

BUDGET_PERCENT = 5.0

Batch = Sequence[ts.Recorded]


def hashed(batches: Sequence[Batch]) -> None:
    """As the log does it."""
    previous = b""
    for batch in batches:
        previous = linked(previous, batch)[-1]


def gathered(batches: Sequence[Batch]) -> None:
    """The same without the hashes."""
    fields_of, count, no_hash = msgspec.structs.astuple, len(COVERED), bytes(HASH_BYTES)
    for batch in batches:
        values: list[Any] = []
        for record in batch:
            values += fields_of(record)[:count]
            values.append(no_hash)


def cpu_us_each(work: Callable[[Sequence[Batch]], None], batches: Sequence[Batch], runs: int) -> float:
    """CPU time for each record; the median of the runs."""
    records = sum(len(batch) for batch in batches)
    taken_s: list[float] = []
    for _ in range(runs):
        began_s = time.process_time()
        work(batches)
        taken_s.append(time.process_time() - began_s)
    return statistics.median(taken_s) * 1e6 / records


def measure(options: argparse.Namespace, path: Path) -> dict[str, float]:
    """Carry out the orders in a log at `path`, then link its records again."""
    figures = run(options.orders, options.in_flight, path)
    with closing(ts.SqliteReader(path)) as reader:
        records = list(reader.read())
    records_per_order = len(records) / (options.orders + WARM_UP_ORDERS)
    size = max(1, round(records_per_order / figures.commits_per_order))
    batches = [records[start : start + size] for start in range(0, len(records), size)]
    hashed_us, gathered_us = (cpu_us_each(work, batches, options.runs) for work in (hashed, gathered))
    chain_us_per_order = (hashed_us - gathered_us) * records_per_order
    return {
        "chain_us_per_record": round(hashed_us - gathered_us, 3),
        "records_per_order": round(records_per_order, 2),
        "chain_us_per_order": round(chain_us_per_order, 2),
        "cpu_us_per_order": round(figures.cpu_ms_per_order * 1_000, 1),
        "share_percent": round(100 * chain_us_per_order / (figures.cpu_ms_per_order * 1_000), 2),
        "budget_percent": BUDGET_PERCENT,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chain", description="What the hash chain costs an order.")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--runs", type=int, default=RUNS, help="how often the records are linked; the median is printed")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the log is made; on a disk, not in memory")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.orders < 1 or options.in_flight < 1 or options.runs < 1:
        parser.error("--orders, --in-flight and --runs are at least 1")
    options.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        figures = measure(options, Path(directory) / "orders.db")
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>20} {value:12,.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
