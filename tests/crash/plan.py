"""What customers ask of the store, by number: the same for the same seed, in every process that asks."""

import random
from typing import Any, Final, NamedTuple

import tallystick as ts
from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder, PlaceOrder

SKUS: Final = ("tea", "cup", "pot")
STOCK_EVERY: Final = 12
POISONED: Final = frozenset({7, 31})
"""Orders on which a handler of the store always fails."""


class Wish(NamedTuple):
    """A command, and the key under which it is asked for once."""

    key: str
    command: ts.Command[Any]


def wish(seed: int, number: int) -> Wish:
    """Now and then goods come in, and some orders are called off soon after; the rest are orders."""
    lots = random.Random(f"{seed}/{number}")  # noqa: S311 - repeatable on purpose
    if number % STOCK_EVERY < len(SKUS):
        sku = SKUS[number % STOCK_EVERY]
        return Wish(f"stock-{number}", ReceiveStock(sku=sku, quantity=lots.randint(6, 14)))
    if number > STOCK_EVERY and number not in POISONED and lots.random() < 0.15:
        return Wish(f"cancel-{number}", CancelOrder(order_id=order_id(number - lots.randint(1, 4))))
    skus = lots.sample(SKUS, lots.randint(1, 2))
    items = tuple(
        OrderItem(sku=sku, quantity=lots.randint(1, 2), unit_price=Money(cents=lots.randint(100, 900), currency="EUR")) for sku in skus
    )
    return Wish(f"place-{number}", PlaceOrder(customer_id="c", items=items, address="1 High Street", order_id=order_id(number)))


def order_id(number: int) -> str:
    """The order that wish has placed, if it was one."""
    return f"order-{number}-poison" if number in POISONED else f"order-{number}"
