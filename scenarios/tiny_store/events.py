"""What the store's modules say to each other: every event, by the module that publishes it. What each means is the modules' business.

Every event of an order carries the order's id, so that one correlation and one id lead through all four modules.
"""

from datetime import datetime
from typing import ClassVar

import tallystick as ts
from tallystick.scenarios.tiny_store.money import Money


class OrderItem(ts.Record):
    """A line of an order; the price is for one unit."""

    sku: str
    quantity: int
    unit_price: Money


class SkuQuantity(ts.Record):
    """So many units of one article."""

    sku: str
    quantity: int


# Orders


class OrderEvent(ts.Event):
    """Something that happened to an order."""

    aggregate_type: ClassVar[str] = "Order"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        """The order."""
        return self.order_id


class OrderPlaced(OrderEvent):
    """A customer has ordered; nothing is promised yet. `total_amount` is the items and their freight."""

    customer_id: str
    items: tuple[OrderItem, ...]
    total_amount: Money
    address: str


class OrderConfirmed(OrderEvent):
    """The goods are set aside; `amount` is to be paid."""

    amount: Money


class OrderRejected(OrderEvent):
    """The goods cannot be had."""

    reason: str


class OrderPaid(OrderEvent):
    """The order is paid and can be sent to `address`."""

    payment_id: str
    address: str


class OrderPaymentFailed(OrderEvent):
    """The order was not paid and is given up."""


class OrderShipped(OrderEvent):
    """The parcel is on its way; from here on the order cannot be cancelled."""

    shipment_id: str


class OrderCancelled(OrderEvent):
    """The customer no longer wants it: whatever was begun for it is to be undone."""

    reason: str


# Inventory


class ReservationEvent(ts.Event):
    """Something that happened to the goods that are set aside for an order."""

    aggregate_type: ClassVar[str] = "Reservation"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        """The order; it has one reservation."""
        return self.order_id


class InventoryReserved(ReservationEvent):
    """All goods of the order are set aside, each article once."""

    reservations: tuple[SkuQuantity, ...]


class InventoryReservationFailed(ReservationEvent):
    """Not all goods could be set aside, so none were."""

    reason: str


class InventoryReleased(ReservationEvent):
    """Goods that were set aside are back on the shelf; one event for each article."""

    sku: str
    quantity: int


class InventoryShipped(ReservationEvent):
    """The goods that were set aside have left the house."""

    items: tuple[SkuQuantity, ...]


class StockEvent(ts.Event):
    """Something that happened to an article, whoever ordered it."""

    aggregate_type: ClassVar[str] = "Stock"
    sku: str

    @property
    def aggregate_id(self) -> str:
        """The article."""
        return self.sku


class StockReceived(StockEvent):
    """So many units were put on the shelf; the article is for sale."""

    quantity: int


class SkuDelisted(StockEvent):
    """The article is no longer for sale; what is set aside stays so."""


# Payments


class PaymentEvent(ts.Event):
    """Something that happened to the payment of an order."""

    aggregate_type: ClassVar[str] = "Payment"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        """The order; it has one payment."""
        return self.order_id


class PaymentProcessed(PaymentEvent):
    """The gateway has captured the amount."""

    payment_id: str
    amount: Money


class PaymentFailed(PaymentEvent):
    """The gateway said no, or nothing in time."""

    reason: str


class PaymentCancelled(PaymentEvent):
    """The order was cancelled before the gateway answered."""

    reason: str


class PaymentRefunded(PaymentEvent):
    """What was captured for nothing, or for an order that was cancelled, is given back."""

    payment_id: str
    refund_id: str
    amount: Money


class RefundFailed(PaymentEvent):
    """The gateway did not give the money back: somebody has to look, and to refund again."""

    payment_id: str
    amount: Money
    reason: str


# Shipments


class ShipmentEvent(ts.Event):
    """Something that happened to the parcel of an order."""

    aggregate_type: ClassVar[str] = "Shipment"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        """The order; it has one parcel."""
        return self.order_id


class ShipmentCreated(ShipmentEvent):
    """The carrier has taken the request."""

    shipment_id: str
    tracking_number: str


class ShipmentDispatched(ShipmentEvent):
    """The carrier has taken the parcel."""

    shipment_id: str
    dispatched_at: datetime


class ShipmentDelivered(ShipmentEvent):
    """The customer has the parcel."""

    shipment_id: str
    delivered_at: datetime


class ShipmentFailed(ShipmentEvent):
    """The carrier said no, or nothing in time; the order stays paid until somebody decides."""

    reason: str


class ShipmentCancelled(ShipmentEvent):
    """The order was cancelled before the carrier answered."""

    reason: str


class ShipmentRecalled(ShipmentEvent):
    """The carrier brings the parcel back."""

    shipment_id: str


class ShipmentRecallFailed(ShipmentEvent):
    """The carrier does not bring the parcel back: somebody has to look, and to recall it again."""

    shipment_id: str
    reason: str
