"""DBOS: an order is a workflow of three steps, on SQLite with a write-ahead log (it ships without one, which is slower)."""
# pyright: basic, reportMissingImports=false

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.steps import World


def carry_out(orders: int, in_flight: int, path: Path) -> tuple[Callable[[], Sequence[float]], World]:
    """Launch it on a database at `path`; what is returned first carries the orders out, and returns a latency in seconds for each."""
    from dbos import DBOS  # noqa: PLC0415 - installed only where peers are measured

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    DBOS(config={"name": "orders", "system_database_url": f"sqlite:///{path}", "run_admin_server": False, "log_level": "ERROR"})
    world = World()

    @DBOS.step()
    def reserve(order_id: str) -> str:
        return world.reserve(order_id)

    @DBOS.step()
    def charge(order_id: str) -> str:
        return world.charge(order_id)

    @DBOS.step()
    def ship(order_id: str) -> str:
        return world.ship(order_id)

    @DBOS.workflow()
    def order(order_id: str) -> str:
        reserve(order_id)
        charge(order_id)
        return str(ship(order_id))

    def run() -> Sequence[float]:
        latencies_s: list[float] = []
        under_way: deque[tuple[float, Any]] = deque()

        def end_one() -> None:
            began_s, handle = under_way.popleft()
            handle.get_result()
            latencies_s.append(time.perf_counter() - began_s)

        for number in range(orders):
            under_way.append((time.perf_counter(), DBOS.start_workflow(order, f"order-{number}")))
            if len(under_way) >= in_flight:
                end_one()
        while under_way:
            end_one()
        return latencies_s

    DBOS.launch()
    return run, world
