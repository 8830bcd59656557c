"""The whole order flow of the Tiny Store on a durable log, against the hand-written floor; each side in a process of its own, in turn.

Ours has all intents, timers, the router and retries armed; the providers answer at once. What is printed is each side's median, and the
ratios that the documentation quotes.

Run: python -m benchmarks.order_flow --orders 20000 --in-flight 512
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uuid_utils

import tallystick as ts
from benchmarks.figures import Figures, Stopwatch, stored_bytes
from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import PlaceOrder
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recall, Recalled, RequestShipment, Waybill
from tallystick.scenarios.tiny_store.system import modules

LAST_EVENT = "InventoryShipped"
"""The event after which a happy order has nothing more to do."""


RUNS = 3
WARM_UP_ORDERS = 200


class AtOnce:
    """A gateway and a carrier that answer at once, as the floor's do; nothing of theirs is measured but the call."""

    def charge(self, charge: Charge, call: ts.Call) -> Receipt:
        """Always paid."""
        del charge
        return Receipt(payment_id=f"pay-{call.key}")

    def request(self, request: RequestShipment, call: ts.Call) -> Waybill:
        """Always taken."""
        del request
        return Waybill(shipment_id=f"ship-{call.key}", tracking_number=f"track-{call.key}")

    def refund(self, refund: Refund, call: ts.Call) -> RefundReceipt:
        """Not part of a happy order."""
        raise NotImplementedError(refund, call)

    def recall(self, recall: Recall, call: ts.Call) -> Recalled:
        """Not part of a happy order."""
        raise NotImplementedError(recall, call)

    def performers(self) -> tuple[ts.Performer, ...]:
        """All four, since the modules want them all."""
        return (
            Charge.performed_by(self.charge),
            Refund.performed_by(self.refund),
            RequestShipment.performed_by(self.request),
            Recall.performed_by(self.recall),
        )


def happy_order() -> PlaceOrder:
    """What every customer orders here."""
    items = (OrderItem(sku="WIDGET-001", quantity=2, unit_price=Money(cents=1250, currency="EUR")),)
    return PlaceOrder(customer_id="customer-789", items=items, address="1 Tally Court, Exchequer")


class Driver:
    """A host that keeps `in_flight` orders on their way, and hears of each when its last event is durable."""

    def __init__(self, system: ts.System) -> None:
        self._system = system
        self._command = happy_order()
        self._began_s: dict[str, float] = {}

    def carry_out(self, orders: int, in_flight: int) -> Sequence[float]:
        """Carry out that many orders; each one's latency in seconds."""
        latencies_s = array("d")  # eight bytes each, so that memory is ours and not the benchmark's
        through = self._system.subscribe(self._system.health().tail, event_types=(LAST_EVENT,))
        placed = min(in_flight, orders)
        for _ in range(placed):
            self._place()
        for recorded in through:
            latencies_s.append(time.perf_counter() - self._began_s.pop(recorded.aggregate_id))
            if placed < orders:
                placed += 1
                self._place()
            if len(latencies_s) == orders:
                break
        return latencies_s

    def _place(self) -> None:
        order_id = str(uuid_utils.uuid7())
        self._began_s[order_id] = time.perf_counter()
        self._system.submit(msgspec.structs.replace(self._command, order_id=order_id))


def run(orders: int, in_flight: int, path: Path, durability: str = "full") -> Figures:
    """Carry out `orders` happy orders on the Tiny Store, at most `in_flight` at a time, in the log at `path`, new or not."""
    log = ts.SqliteLog(path, durability="full" if durability == "full" else "survives_process_crash_only")
    before_bytes = stored_bytes(path)
    with ts.System(modules(), performers=AtOnce().performers(), log=log) as system:
        system.ask(ReceiveStock(sku="WIDGET-001", quantity=2 * (orders + WARM_UP_ORDERS)))
        driver = Driver(system)
        driver.carry_out(WARM_UP_ORDERS, in_flight)
        before_commits = system.health().commits
        watch = Stopwatch()
        latencies_s = driver.carry_out(orders, in_flight)
        watch.stop()
        commits = system.health().commits - before_commits
    grown_bytes = (stored_bytes(path) - before_bytes) * orders // (orders + WARM_UP_ORDERS)
    return watch.figures(latencies_s, stored_bytes=grown_bytes, commits=commits)


# Both sides, in turn.


def measure(side: str, options: argparse.Namespace) -> dict[str, float]:
    """One run of one side in a process of its own."""
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        command = [sys.executable, "-m", f"benchmarks.{side}", "--orders", str(options.orders), "--in-flight", str(options.in_flight)]
        command += ["--durability", options.durability, "--directory", directory, "--json"]
        if side == "order_flow":
            command.append("--alone")
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)  # noqa: S603 - this very program
    figures: dict[str, float] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return figures


def compared(options: argparse.Namespace) -> dict[str, float]:
    """Medians of both sides, and their ratios: throughput ours to the floor's, latency ours to the floor's."""
    ours: list[dict[str, float]] = []
    floor: list[dict[str, float]] = []
    for _ in range(options.runs):
        floor.append(measure("floor", options))
        ours.append(measure("order_flow", options))
    mine, theirs = ({name: statistics.median(run[name] for run in runs) for name in runs[0]} for runs in (ours, floor))
    return {
        **mine,
        **{f"floor_{name}": value for name, value in theirs.items()},
        "ratio": round(mine["orders_per_s"] / theirs["orders_per_s"], 3),
        "p50_ratio": round(mine["p50_ms"] / theirs["p50_ms"], 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: measures both sides in turn and prints medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_flow", description="The order flow against the hand-written floor.")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each side; medians are printed")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the logs are made; on a disk, not in memory")
    parser.add_argument("--log", type=Path, help="with --alone: a log to go on with, kept afterwards")
    parser.add_argument("--alone", action="store_true", help="measure our side only, in this process")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.orders < 1 or options.in_flight < 1 or options.runs < 1:
        parser.error("--orders, --in-flight and --runs are at least 1")
    options.directory.mkdir(parents=True, exist_ok=True)
    if options.alone:
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            figures = run(options.orders, options.in_flight, options.log or Path(directory) / "orders.db", options.durability)
        print(figures.as_json() if options.json else figures.as_text())
        return
    result = compared(options)
    if options.json:
        print(msgspec.json.encode(result).decode())
    else:
        print(f"Order flow, {options.orders:,} orders, {options.in_flight:,} in flight, durability {options.durability}: medians")
        print("\n".join(f"{name:>24} {value:12,.3f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
