"""A day of the store in a process of its own: generated orders, some of them cancelled, on a SQLite log, with providers behind a socket.

Started again after it was killed, it goes on: every command has an idempotency key, and the day is the same for the same seed.
"""

import argparse
import logging
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import tallystick as ts
from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder, PlaceOrder
from tallystick.scenarios.tiny_store.payments import Payments
from tallystick.scenarios.tiny_store.provider_process import RemoteProviders
from tallystick.scenarios.tiny_store.shipments import Shipments
from tallystick.scenarios.tiny_store.system import modules, performers

SKUS: Final = ("tea", "coffee", "cup", "pot", "spoon", "sugar")
REGRET: Final = 0.1
"""The share of orders that are cancelled; each order that follows is, with the share HESITATION, the moment at which one of them is."""
HESITATION: Final = 0.2
SOON: Final = ts.ExponentialBackoff(initial=timedelta(milliseconds=50), maximum=timedelta(milliseconds=200), max_retries=3)
ANSWER_WITHIN: Final = timedelta(seconds=3)
CALLS_AT_ONCE: Final = 32
"""More than the calls that are answered slowly, so that these hold up none of the others."""
LOOKS_EVERY_S: Final = 0.05
ENDS_WITHIN_S: Final = 60.0


class Wish(NamedTuple):
    """What somebody asks of the store, and the key under which they ask it once."""

    command: ts.Command[Any]
    key: str


def wishes(orders: int, seed: int) -> Iterator[Wish]:
    """Goods come in, customers order, and every tenth of them changes their mind a few orders later."""
    lots = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for sku in SKUS:
        yield Wish(ReceiveStock(sku=sku, quantity=orders * 5 // len(SKUS) // 2 + 1), f"stock:{sku}")
    regrets: list[str] = []
    for number in range(1, orders + 1):
        order_id = f"order-{number:05}"
        yield Wish(_order(order_id, lots), f"place:{order_id}")
        if lots.random() < REGRET:
            regrets.append(order_id)
        if regrets and lots.random() < HESITATION:
            regretted = regrets.pop(0)
            yield Wish(CancelOrder(order_id=regretted), f"cancel:{regretted}")


def _order(order_id: str, lots: random.Random) -> PlaceOrder:
    skus = lots.sample(SKUS, lots.randint(1, 3))
    items = tuple(
        OrderItem(sku=sku, quantity=lots.randint(1, 2), unit_price=Money(cents=lots.randint(100, 5000), currency="EUR")) for sku in skus
    )
    customer = f"customer-{lots.randint(1, 99)}"
    return PlaceOrder(customer_id=customer, items=items, address=f"{lots.randint(1, 40)} High Street", order_id=order_id)


def live(log_path: Path, socket_path: Path, *, orders: int, seed: int) -> int:
    """Live through the day, or through what is left of it; how many wishes were refused.

    Raises:
        TimeoutError: it does not come to its end.
    """
    providers = RemoteProviders(socket_path)
    store = modules(payments=Payments(timeout=ANSWER_WITHIN, retry=SOON), shipments=Shipments(timeout=ANSWER_WITHIN, retry=SOON))
    with ts.System(store, performers=performers(providers, providers, concurrency=CALLS_AT_ONCE), log=log_path) as system:
        refused = sum(not _granted(system, wish) for wish in wishes(orders, seed))
        pause = threading.Event()
        tail = -1
        for _ in range(int(ENDS_WITHIN_S / LOOKS_EVERY_S)):
            health = system.health()
            if health.tail == tail and nothing_open(health):
                return refused
            tail = health.tail
            pause.wait(LOOKS_EVERY_S)
        msg = f"Still open after {ENDS_WITHIN_S} s: {system.open_executions()[:3]}"
        raise TimeoutError(msg)


def _granted(system: ts.System, wish: Wish) -> bool:
    """Ask for it; a refusal is the customer's to bear, and stands in the log."""
    try:
        system.ask(wish.command, idempotency_key=wish.key)
    except ts.Rejected:
        return False
    return True


def nothing_open(health: ts.Health) -> bool:
    """Whether no operation is open, nothing runs outside, and all is durable."""
    return (
        health.calls_running == 0 and health.watermark == health.tail and not any(each.open_executions for each in health.owners.values())
    )


def main() -> None:
    """Live through a day of the store."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("tallystick").setLevel(logging.ERROR)  # stale reports are what this day is about, and stand in the log
    live(given.log, given.socket, orders=given.orders, seed=given.seed)


if __name__ == "__main__":
    main()
