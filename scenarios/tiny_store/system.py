"""The store put together: its modules, and what performs their actions. The one place that knows all four modules."""

from collections.abc import Sequence
from typing import Any, Final

import tallystick as ts
from tallystick.scenarios.tiny_store.inventory import Inventory
from tallystick.scenarios.tiny_store.orders import Orders
from tallystick.scenarios.tiny_store.payments import Charge, Payments, Refund
from tallystick.scenarios.tiny_store.providers import TakesParcels, TakesPayments
from tallystick.scenarios.tiny_store.shipments import Recall, RequestShipment, Shipments

ACTIONS: Final[tuple[type[ts.Action[Any]], ...]] = (Charge, Refund, RequestShipment, Recall)
"""What the store has done for it."""


def modules(*, payments: Payments | None = None, shipments: Shipments | None = None) -> tuple[ts.Module, ...]:
    """The four owners; payments and shipments may come with settings of their own."""
    return (Orders(), Inventory(), payments or Payments(), shipments or Shipments())


def performers(gateway: TakesPayments, carrier: TakesParcels, *, concurrency: int = 8) -> Sequence[ts.Performer]:
    """Who does the work for the outside world, and is asked after a crash whether it was done. `concurrency`: calls of a kind at once."""
    return (
        Charge.performed_by(gateway.charge, probe=gateway.find_charge, concurrency=concurrency),
        Refund.performed_by(gateway.refund, probe=gateway.find_refund, concurrency=concurrency),
        RequestShipment.performed_by(carrier.request, probe=carrier.find_request, concurrency=concurrency),
        Recall.performed_by(carrier.recall, probe=carrier.find_recall, concurrency=concurrency),
    )
