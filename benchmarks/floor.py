"""The floor: the least that a durable order can cost here, written by hand. Not a library, and not a fair way to live.

One process, one thread, SQLite, group commit. A happy order's eight events are a row each. Up to `in_flight` orders are on their way; each
turn of the loop takes every one of them a step further, writes all their events and commits once. What touches the outside world (charging,
shipping, dispatching, the customer's answer) is done only after the commit of what it depends on; steps without an outside wait ride in
one commit. So an order waits for four commits, whatever the number of orders that share them.

Run: python -m benchmarks.floor --orders 20000 --in-flight 512
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import apsw
import msgspec

from benchmarks.figures import Figures, Stopwatch, stored_bytes

SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL", "off": "OFF"}
"""Durability levels: full survives power loss, normal a crash of the process, off neither for certain."""

EVENTS_PER_ORDER = 8
ROWS_A_STATEMENT = 32  # the cheapest a row, measured: a statement of many rows is parsed and stepped once
ADDRESS = "1 Tally Court, Exchequer"

SCHEMA = """
CREATE TABLE event (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    occurred_at_us INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX stream ON event (stream, version);
"""
# By number of rows; made of question marks, of nothing from outside.
INSERTS = ("", *("INSERT INTO event VALUES " + ", ".join(["(?,?,?,?,?,?)"] * rows) for rows in range(1, ROWS_A_STATEMENT + 1)))  # noqa: S608

Row = tuple[str, int, str, dict[str, Any]]
"""Stream, version, event type, payload. By hand an order is one stream of eight versions, and an event's id is its position."""


class Log:
    """The table of events. `commit` returns when its rows are as durable as was asked for."""

    def __init__(self, path: Path, durability: str) -> None:
        if durability not in SYNCHRONOUS:
            msg = f"durability is one of {', '.join(SYNCHRONOUS)}, not {durability!r}"
            raise ValueError(msg)
        if path.exists():
            msg = f"{path} is there already; the floor starts with an empty log"
            raise FileExistsError(msg)
        self.position = 0
        self.commits = 0
        self._encode = msgspec.json.Encoder().encode
        self._connection = apsw.Connection(str(path))
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        self._connection.execute(SCHEMA)
        self._cursor = self._connection.cursor()

    def commit(self, rows: Sequence[Row]) -> None:
        """Number and write these rows in one transaction."""
        now_us = time.time_ns() // 1_000
        encode = self._encode
        numbered = [
            (position, stream, version, event_type, now_us, encode(payload))
            for position, (stream, version, event_type, payload) in enumerate(rows, self.position + 1)
        ]
        self._cursor.execute("BEGIN IMMEDIATE")
        for start in range(0, len(numbered), ROWS_A_STATEMENT):
            part = numbered[start : start + ROWS_A_STATEMENT]
            bindings: tuple[Any, ...] = tuple(chain.from_iterable(part))
            self._cursor.execute(INSERTS[len(part)], bindings)
        self._cursor.execute("COMMIT")
        self.position += len(rows)
        self.commits += 1

    def close(self) -> int:
        """Close the log, and say how many events it holds."""
        count = self._connection.execute("SELECT count(*) FROM event").get
        self._connection.close()
        return int(count)


class Order:
    """An order on its way: what the steps need to know of it, and the step that comes next."""

    __slots__ = ("amount", "id", "payment_id", "placed_at_s", "shipment_id", "step")

    def __init__(self, number: int) -> None:
        self.id = f"order-{number}"
        self.amount = 2 * 1_250
        self.payment_id = ""
        self.shipment_id = ""
        self.placed_at_s = time.perf_counter()
        self.step = 0


class World:
    """The stock, and everything outside: the customer, the payment gateway, the carrier. They answer at once."""

    def __init__(self, stock: int) -> None:
        self.available = {"WIDGET-001": stock}
        self.answered = 0
        self.calls = 0

    def call(self, kind: str) -> str:
        """A call to the outside world, which succeeds and answers with an id."""
        self.calls += 1
        return f"{kind}-{self.calls}"


def place(order: Order, world: World) -> tuple[Row, ...]:
    """The order is placed, its stock reserved and the order confirmed: nothing outside is waited for."""
    quantity = 2
    if world.available["WIDGET-001"] < quantity:
        msg = "the floor measures happy orders, and the stock is out"
        raise RuntimeError(msg)
    world.available["WIDGET-001"] -= quantity
    items = [{"sku": "WIDGET-001", "quantity": quantity, "unitPrice": order.amount // quantity}]
    placed = {"orderId": order.id, "customerId": "customer-789", "items": items, "totalAmount": order.amount, "address": ADDRESS}
    reservations = [{"sku": "WIDGET-001", "quantity": quantity}]
    return (
        (order.id, 1, "OrderPlaced", placed),
        (order.id, 2, "InventoryReserved", {"orderId": order.id, "reservations": reservations}),
        (order.id, 3, "OrderConfirmed", {"orderId": order.id, "amount": order.amount}),
    )


def pay(order: Order, world: World) -> tuple[Row, ...]:
    """The customer is answered and charged, now that the order is durable."""
    world.answered += 1
    order.payment_id = world.call("payment")
    return (
        (order.id, 4, "PaymentProcessed", {"orderId": order.id, "paymentId": order.payment_id, "amount": order.amount}),
        (order.id, 5, "OrderPaid", {"orderId": order.id, "paymentId": order.payment_id}),
    )


def ship(order: Order, world: World) -> tuple[Row, ...]:
    """The carrier is asked, now that the payment is durable."""
    order.shipment_id = world.call("shipment")
    created = {"orderId": order.id, "shipmentId": order.shipment_id, "trackingNumber": f"track-{order.shipment_id}"}
    return (
        (order.id, 6, "ShipmentCreated", created),
        (order.id, 7, "OrderShipped", {"orderId": order.id, "shipmentId": order.shipment_id}),
    )


def dispatch(order: Order, world: World) -> tuple[Row, ...]:
    """The carrier is told to go, now that the shipment is durable."""
    world.call("dispatch")
    dispatched = {"shipmentId": order.shipment_id, "dispatchedAt": "2025-11-22T10:30:00Z"}
    return ((order.id, 8, "ShipmentDispatched", dispatched),)


STEPS: tuple[Callable[[Order, World], tuple[Row, ...]], ...] = (place, pay, ship, dispatch)


def run(orders: int, in_flight: int, path: Path, durability: str = "full") -> Figures:
    """Carry out `orders` happy orders, at most `in_flight` at a time, in a new log at `path`.

    New orders come in equal shares, so that orders of every step meet in each commit.

    Raises:
        ValueError: a number is not positive, or the durability is unknown.
        FileExistsError: there is a file at `path`.
        RuntimeError: the log does not hold what was written.
    """
    if orders < 1 or in_flight < 1:
        msg = f"orders and in_flight are positive, not {orders} and {in_flight}"
        raise ValueError(msg)
    log = Log(path, durability)
    world = World(stock=2 * orders)
    watch = Stopwatch()
    latencies_s = carry_out(orders, in_flight, log, world)
    watch.stop()
    commits = log.commits
    held = log.close()
    if held != orders * EVENTS_PER_ORDER:
        msg = f"the log holds {held} events, not {orders * EVENTS_PER_ORDER}"
        raise RuntimeError(msg)
    return watch.figures(latencies_s, stored_bytes=stored_bytes(path), commits=commits)


def carry_out(orders: int, in_flight: int, log: Log, world: World) -> list[float]:
    """The loop: all orders on their way go one step further, then one commit. Returns each order's latency in seconds."""
    share = -(-in_flight // len(STEPS))
    latencies_s: list[float] = []
    under_way: list[Order] = []
    placed = 0
    while placed < orders or under_way:
        new = min(share, in_flight - len(under_way), orders - placed)
        under_way.extend(Order(number) for number in range(placed + 1, placed + new + 1))
        placed += new
        rows: list[Row] = []
        for order in under_way:
            rows.extend(STEPS[order.step](order, world))
            order.step += 1
        log.commit(rows)
        durable_at_s = time.perf_counter()
        latencies_s.extend(durable_at_s - order.placed_at_s for order in under_way if order.step == len(STEPS))
        under_way = [order for order in under_way if order.step < len(STEPS)]
    return latencies_s


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: measures once, and prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description="Measure the hand-written floor.")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--durability", choices=sorted(SYNCHRONOUS), default="full")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the log is made; on a disk, not in memory")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        figures = run(options.orders, options.in_flight, Path(directory) / "floor.db", options.durability)
    if options.json:
        print(figures.as_json())
    else:
        print(f"The floor, {options.orders:,} orders, {options.in_flight:,} in flight, durability {options.durability}")
        print(figures.as_text())


if __name__ == "__main__":
    main()
