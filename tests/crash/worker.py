"""The process that is killed: the store on a SQLite log and the dispatcher, asking for one wish after the other.

Whatever it says goes line by line to a report that outlives it: that the system is open, what it asks, what was acknowledged.
"""

import argparse
import os
import threading
from collections import deque
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

import tallystick as ts
from tallystick.scenarios.tiny_store.events import InventoryReservationFailed, InventoryReserved, OrderPlaced
from tallystick.scenarios.tiny_store.inventory import Inventory, Stock
from tallystick.scenarios.tiny_store.orders import Order, PlaceOrder
from tallystick.scenarios.tiny_store.payments import Payments
from tallystick.scenarios.tiny_store.provider_process import RemoteProviders
from tallystick.scenarios.tiny_store.shipments import Shipments
from tallystick.scenarios.tiny_store.system import modules, performers
from tests.crash.plan import order_id, wish
from tests.crash.points import MortalLog, Points

ANSWER_WITHIN: Final = timedelta(milliseconds=300)
SOON: Final = ts.ExponentialBackoff(initial=timedelta(milliseconds=20), maximum=timedelta(milliseconds=100), max_retries=3)
COMMANDS_LIMIT: Final = 8
IN_FLIGHT: Final = 16
"""More than the limit lets in, so that it is felt."""
BETWEEN_WISHES_S: Final = 0.004
PATIENCE_S: Final = 60.0
LOOKS_EVERY_S: Final = 0.02


class PoisonedInventory(Inventory):
    """An inventory with a bug: some orders make its handler raise, always."""

    name: ClassVar[str] = "inventory"

    @ts.reacts_to(OrderPlaced, emits=[InventoryReserved, InventoryReservationFailed])
    def reserve(self, turn: ts.Turn, event: OrderPlaced) -> ts.Effects:
        """Raises for a poisoned order."""
        if event.order_id.endswith("poison"):
            msg = f"{event.order_id} is more than this handler can take"
            raise ValueError(msg)
        return super().reserve(turn, event)


def store() -> tuple[ts.Module, ...]:
    """The modules, with the bug, and with less patience than in real life."""
    payments, shipments = Payments(timeout=ANSWER_WITHIN, retry=SOON), Shipments(timeout=ANSWER_WITHIN, retry=SOON)
    orders, _, *others = modules(payments=payments, shipments=shipments)
    return (orders, PoisonedInventory(), *others)


class Worker:
    """One life."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self._points = Points()
        self._report = os.open(folder / "report.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pause = threading.Event()
        self._flying: deque[Future[Any]] = deque()
        self.overloads = 0

    def say(self, **what: Any) -> None:
        """A line that outlives this process."""
        os.write(self._report, msgspec.json.encode({"pid": os.getpid()} | what) + b"\n")

    def live(self, asked_before: int, until: int | None) -> None:
        """Ask again for what was asked for before, then for more, up to `until`, or until killed; then come to rest, and stop."""
        providers = RemoteProviders(self._folder / "outside")
        mortal = [
            msgspec.structs.replace(
                each, run=self._points.around_calls(each.run), probe=each.probe and self._points.before_probes(each.probe)
            )
            for each in performers(providers, providers)
        ]
        self._points.in_commits()
        log = MortalLog(str(self._folder / "log.db"), self._points)
        with ts.System(store(), performers=mortal, log=log, limits=ts.Limits(commands=COMMANDS_LIMIT)) as system:
            self._points.recovering = False
            health = system.health()
            self.say(open=True, tail=health.tail, found=sum(each.open_executions for each in health.owners.values()))
            number = 0
            while until is None or number < until:
                self._ask(system, number, known=number < asked_before)
                number += 1
            self._rest(system, number)
        self.say(stopped=True)

    def _ask(self, system: ts.System, number: int, *, known: bool) -> None:
        while len(self._flying) >= IN_FLIGHT:
            self._flying.popleft().exception(PATIENCE_S)
        if not known:
            self._pause.wait(BETWEEN_WISHES_S)
            self.say(asked=number)
        wanted = wish(self._seed, number)
        try:
            future = system.submit(wanted.command, idempotency_key=wanted.key)
        except ts.Overloaded:
            self.overloads += 1
            future = system.submit(wanted.command, idempotency_key=wanted.key, when_full="wait")
        assert system.health().commands_in_flight <= COMMANDS_LIMIT
        future.add_done_callback(lambda done: self._acknowledge(number, wanted.key, done))
        self._flying.append(future)

    def _acknowledge(self, number: int, key: str, done: "Future[Any]") -> None:
        error = done.exception()
        if error is None:
            self.say(acked=number, key=key, reply=done.result())
        elif isinstance(error, ts.Rejected):
            self.say(acked=number, key=key, refused=error.code)
        else:
            self.say(failed=number, key=key, error=repr(error))
        self._points.passes("acknowledged")

    def _rest(self, system: ts.System, wishes: int) -> None:
        for future in self._flying:
            future.exception(PATIENCE_S)
        for _ in range(int(PATIENCE_S / LOOKS_EVERY_S)):
            if _at_rest(system):
                break
            self._pause.wait(LOOKS_EVERY_S)
        placed = [order_id(number) for number in range(wishes) if isinstance(wish(self._seed, number).command, PlaceOrder)]
        orders = {each: system.get(Order, each) for each in placed}
        health = system.health()
        self.say(
            rest=True,
            orders={key: None if order is None else str(order.status) for key, order in orders.items()},
            stock={sku: [level.on_hand, level.reserved, level.shipped] for sku, level in system.resident(Stock).levels.items()},
            open=[each.execution.token for each in system.open_executions()],
            dead=[[each.owner, each.source.aggregate_id] for each in system.dead_letters()],
            timers=health.timers,
            restarts=health.restarts,
            overloads=self.overloads,
        )


def _at_rest(system: ts.System) -> bool:
    """Whether nothing is left to do: every owner has been asked, behind all that it had in its mailbox, and none has written meanwhile."""
    tail = system.health().tail
    opened = system.open_executions()
    health = system.health()
    waiting = any(each.parked != each.dead_letters for each in health.owners.values())
    return health.tail == tail and not opened and not waiting and health.calls_running == 0


def main() -> None:
    """Live once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--asked-before", type=int, default=0)
    parser.add_argument("--until", type=int)
    given = parser.parse_args()
    Worker(given.folder, given.seed).live(given.asked_before, given.until)


if __name__ == "__main__":
    main()
