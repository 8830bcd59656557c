"""Orders: the customer's side. It moves an order on what the other modules report, and knows nothing of how they do their work."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    InventoryReservationFailed,
    InventoryReserved,
    OrderCancelled,
    OrderConfirmed,
    OrderItem,
    OrderPaid,
    OrderPaymentFailed,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
    PaymentFailed,
    PaymentProcessed,
    ShipmentCreated,
)
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.status import moved

_replace = msgspec.structs.replace

QUANTITY_LIMIT: Final = 1_000_000
"""The largest quantity of one line; more is a slip of the keyboard."""


class OrderStatus(StrEnum):
    """Where an order stands."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    PAID = "PAID"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    SHIPPED = "SHIPPED"
    CANCELLED = "CANCELLED"


_S = OrderStatus
ORDER_MOVES: Final = {
    None: frozenset({_S.PENDING}),
    _S.PENDING: frozenset({_S.CONFIRMED, _S.REJECTED, _S.CANCELLED}),
    _S.CONFIRMED: frozenset({_S.PAID, _S.PAYMENT_FAILED, _S.CANCELLED}),
    _S.PAID: frozenset({_S.SHIPPED, _S.CANCELLED}),
}
"""The legal moves. A status that is not a key is final."""


class Order(ts.Aggregate):
    """One order; `status` is None before it was placed."""

    status: OrderStatus | None = None
    customer_id: str = ""
    items: tuple[OrderItem, ...] = ()
    total_amount: Money | None = None
    address: str = ""
    payment_id: str = ""
    shipment_id: str = ""
    reason: str = ""

    @property
    def closed(self) -> bool:  # type: ignore[override]  # a setting of the class there, a property here
        """Whether nothing can happen to it any more."""
        return self.status is not None and self.status not in ORDER_MOVES


class PlaceOrder(ts.Command[str]):
    """Order goods; the reply is the order's id, at once, while the order is PENDING.

    `order_id` is for callers that have one already; `freight` is added to the items' prices.
    """

    customer_id: str
    items: tuple[OrderItem, ...]
    address: str
    freight: Money | None = None
    order_id: str | None = None


class CancelOrder(ts.Command[None]):
    """Call an order off that is PENDING, CONFIRMED or PAID."""

    order_id: str
    reason: str = "CUSTOMER_REQUEST"


class Orders(ts.Module):
    """The owner of orders."""

    name: ClassVar[str] = "orders"

    @ts.handles(PlaceOrder, emits=[OrderPlaced])
    def place(self, turn: ts.Turn, command: PlaceOrder) -> ts.Decision[str]:
        """Rejects with EMPTY_ORDER, BAD_QUANTITY, BAD_PRICE, MIXED_CURRENCIES, ORDER_EXISTS."""
        total_amount = _total_of(command)
        order_id = command.order_id or turn.new_id()
        if turn.get(Order, order_id) is not None:
            code = "ORDER_EXISTS"
            raise ts.Rejected(code, f"Order {order_id!r} has been placed already; leave out the id, or give a new one.")
        yield OrderPlaced(
            order_id=order_id, customer_id=command.customer_id, items=command.items, total_amount=total_amount, address=command.address
        )
        return order_id

    @ts.handles(CancelOrder, emits=[OrderCancelled])
    def cancel(self, turn: ts.Turn, command: CancelOrder) -> ts.Decision[None]:
        """Rejects with UNKNOWN_ORDER, or with ORDER_SHIPPED, ORDER_CANCELLED … where the status does not allow it."""
        order = turn.get(Order, command.order_id)
        if order is None:
            code = "UNKNOWN_ORDER"
            raise ts.Rejected(code, f"There is no order {command.order_id!r}.")
        if _S.CANCELLED not in ORDER_MOVES.get(order.status, ()):
            code = f"ORDER_{order.status}"
            raise ts.Rejected(code, f"Order {command.order_id!r} is {order.status} and cannot be cancelled any more.")
        yield OrderCancelled(order_id=command.order_id, reason=command.reason)

    # What the others report. An order that has gone elsewhere meanwhile, by a cancel that crossed the report, is left as it is: the
    # module that reported hears of the cancel itself, and undoes its part.

    @ts.reacts_to(InventoryReserved, emits=[OrderConfirmed])
    def confirm(self, turn: ts.Turn, event: InventoryReserved) -> ts.Effects:
        """The goods are there: ask for the money."""
        order = turn.get(Order, event.order_id)
        if order is not None and order.status is _S.PENDING and order.total_amount is not None:
            yield OrderConfirmed(order_id=event.order_id, amount=order.total_amount)

    @ts.reacts_to(InventoryReservationFailed, emits=[OrderRejected])
    def reject(self, turn: ts.Turn, event: InventoryReservationFailed) -> ts.Effects:
        """The goods cannot be had."""
        order = turn.get(Order, event.order_id)
        if order is not None and order.status is _S.PENDING:
            yield OrderRejected(order_id=event.order_id, reason=event.reason)

    @ts.reacts_to(PaymentProcessed, emits=[OrderPaid])
    def mark_paid(self, turn: ts.Turn, event: PaymentProcessed) -> ts.Effects:
        """The money is there: have it sent."""
        order = turn.get(Order, event.order_id)
        if order is not None and order.status is _S.CONFIRMED:
            yield OrderPaid(order_id=event.order_id, payment_id=event.payment_id, address=order.address)

    @ts.reacts_to(PaymentFailed, emits=[OrderPaymentFailed])
    def mark_payment_failed(self, turn: ts.Turn, event: PaymentFailed) -> ts.Effects:
        """The money does not come."""
        order = turn.get(Order, event.order_id)
        if order is not None and order.status is _S.CONFIRMED:
            yield OrderPaymentFailed(order_id=event.order_id)

    @ts.reacts_to(ShipmentCreated, emits=[OrderShipped])
    def mark_shipped(self, turn: ts.Turn, event: ShipmentCreated) -> ts.Effects:
        """The parcel goes out."""
        order = turn.get(Order, event.order_id)
        if order is not None and order.status is _S.PAID:
            yield OrderShipped(order_id=event.order_id, shipment_id=event.shipment_id)

    @ts.folds(OrderPlaced, Order)
    def placed(self, order: Order, event: OrderPlaced) -> Order:
        """A new order."""
        return Order(
            status=_moved(order, _S.PENDING),
            customer_id=event.customer_id,
            items=event.items,
            total_amount=event.total_amount,
            address=event.address,
        )

    @ts.folds(OrderConfirmed, Order)
    def confirmed(self, order: Order, event: OrderConfirmed) -> Order:
        """Its goods are set aside."""
        del event
        return _replace(order, status=_moved(order, _S.CONFIRMED))

    @ts.folds(OrderRejected, Order)
    def rejected(self, order: Order, event: OrderRejected) -> Order:
        """Final."""
        return _replace(order, status=_moved(order, _S.REJECTED), reason=event.reason)

    @ts.folds(OrderPaid, Order)
    def paid(self, order: Order, event: OrderPaid) -> Order:
        """Its money is there."""
        return _replace(order, status=_moved(order, _S.PAID), payment_id=event.payment_id)

    @ts.folds(OrderPaymentFailed, Order)
    def payment_failed(self, order: Order, event: OrderPaymentFailed) -> Order:
        """Final."""
        del event
        return _replace(order, status=_moved(order, _S.PAYMENT_FAILED))

    @ts.folds(OrderShipped, Order)
    def shipped(self, order: Order, event: OrderShipped) -> Order:
        """Final."""
        return _replace(order, status=_moved(order, _S.SHIPPED), shipment_id=event.shipment_id)

    @ts.folds(OrderCancelled, Order)
    def cancelled(self, order: Order, event: OrderCancelled) -> Order:
        """Final."""
        return _replace(order, status=_moved(order, _S.CANCELLED), reason=event.reason)


def _moved(order: Order, to: OrderStatus) -> OrderStatus:
    return moved("Order", ORDER_MOVES, order.status, to)


def _total_of(command: PlaceOrder) -> Money:
    """The amount to be paid; a refusal where the order makes no sense."""
    if not command.items:
        code = "EMPTY_ORDER"
        raise ts.Rejected(code, "An order has at least one item.")
    total = command.freight
    for item in command.items:
        if not 0 < item.quantity <= QUANTITY_LIMIT:
            code = "BAD_QUANTITY"
            raise ts.Rejected(code, f"{item.sku}: a quantity is from 1 to {QUANTITY_LIMIT}, not {item.quantity}.")
        if item.unit_price.cents < 0:
            code = "BAD_PRICE"
            raise ts.Rejected(code, f"{item.sku}: a price is not below zero, as {item.unit_price} is.")
        price = item.unit_price.times(item.quantity)
        total = price if total is None else total.plus(price)
    if total is None or (command.freight is not None and command.freight.cents < 0):
        code = "BAD_PRICE"
        raise ts.Rejected(code, f"Freight is not below zero, as {command.freight} is.")
    return total
