"""eventsourcing: an order is an aggregate of eight events; every step is saved before the next one calls the outside world.

It has no queue, timers or recovery of calls: an application saves an aggregate, one at a time, so nothing is ever in flight beside it.
"""
# pyright: basic, reportMissingImports=false

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.steps import World


def carry_out(orders: int, in_flight: int, path: Path) -> tuple[Callable[[], Sequence[float]], World]:
    """Make the application on a database at `path`; what is returned first carries the orders out, one after another."""
    del in_flight
    os.environ.update(PERSISTENCE_MODULE="eventsourcing.sqlite", SQLITE_DBNAME=str(path))
    from eventsourcing.application import Application  # noqa: PLC0415 - installed only where peers are measured
    from eventsourcing.domain import Aggregate, event  # noqa: PLC0415

    class Order(Aggregate):
        @event("Placed")
        def __init__(self, order_id: str) -> None:
            self.order_id = order_id
            self.status = "placed"

        @event("Happened")
        def happened(self, status: str, reference: str) -> None:
            self.status = status
            self.reference = reference

    app: Application = Application()
    world = World()

    def run() -> Sequence[float]:
        latencies_s: list[float] = []
        for number in range(orders):
            began_s = time.perf_counter()
            order_id = f"order-{number}"
            order = Order(order_id)
            order.happened("reserved", world.reserve(order_id))
            order.happened("confirmed", "")
            app.save(order)
            order.happened("payment processed", world.charge(order_id))
            order.happened("paid", "")
            app.save(order)
            order.happened("shipment created", world.ship(order_id))
            order.happened("shipped", "")
            app.save(order)
            order.happened("dispatched", "")
            app.save(order)
            latencies_s.append(time.perf_counter() - began_s)
        return latencies_s

    return run, world
