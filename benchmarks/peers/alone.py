"""One peer measured in this process: what `python -m benchmarks.peers` starts for each of its runs.

Run: python -m benchmarks.peers.alone dbos --orders 200 --in-flight 16
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Stopwatch, stored_bytes
from benchmarks.peers import dbos_orders, eventsourcing_orders

PEERS = {"dbos": dbos_orders.carry_out, "eventsourcing": eventsourcing_orders.carry_out}
"""By the name under which they are installed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure once, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.alone", description="Measure one peer.")
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the database is made; on a disk, not in memory")
    options = parser.parse_args(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        path = Path(directory).resolve() / "orders.db"
        run, world = PEERS[options.peer](options.orders, options.in_flight, path)
        watch = Stopwatch()
        latencies_s = run()
        watch.stop()
        world.check(options.orders)
        print(watch.figures(latencies_s, stored_bytes=stored_bytes(path)).as_json(), flush=True)
    # A peer may leave threads behind that hold the process up; everything is measured and printed.
    raise SystemExit(0)


if __name__ == "__main__":
    main()
