"""What this store has beyond the event flows that it was drawn from: one table, which the catalogue and the diagrams read.

Those flows leave open how a captured payment comes back, what becomes of a parcel whose order was cancelled, where goods come from and
when they leave, and where a parcel is to go.
"""

from typing import Final

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    InventoryShipped,
    OrderCancelled,
    OrderPaid,
    OrderShipped,
    PaymentCancelled,
    PaymentRefunded,
    RefundFailed,
    ShipmentCancelled,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentFailed,
    ShipmentRecalled,
    ShipmentRecallFailed,
    SkuDelisted,
    StockReceived,
)

EVENTS: Final[frozenset[type[ts.Event]]] = frozenset(
    {
        InventoryShipped,
        PaymentCancelled,
        PaymentRefunded,
        RefundFailed,
        ShipmentCancelled,
        ShipmentFailed,
        ShipmentRecallFailed,
        ShipmentRecalled,
        SkuDelisted,
        StockReceived,
    }
)
"""Events that are ours as a whole."""

FIELDS: Final[dict[type[ts.Event], frozenset[str]]] = {
    OrderPaid: frozenset({"address"}),  # the parcel goes somewhere
    ShipmentDispatched: frozenset({"orderId"}),  # one id leads through all modules
    ShipmentDelivered: frozenset({"orderId"}),
}
"""Payload fields that are ours, in events that are not."""

SUBSCRIPTIONS: Final[dict[type[ts.Event], frozenset[str]]] = {
    OrderCancelled: frozenset({"payments", "shipments"}),  # call off what is out, call back what was done
    OrderShipped: frozenset({"inventory"}),  # the goods have left the house
}
"""Modules whose reactions are ours, to events that are not."""
