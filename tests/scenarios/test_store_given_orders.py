"""Orders by specification: what moves an order on, what leaves it as it is, and what it refuses."""

from typing import Final

import pytest
from msgspec.structs import replace

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
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order, Orders, OrderStatus, PlaceOrder
from tallystick.scenarios.tiny_store.status import IllegalTransition
from tallystick.testing import given

FIVE: Final = Money(cents=500, currency="EUR")
TEN: Final = Money(cents=1000, currency="EUR")
TEA: Final = (OrderItem(sku="tea", quantity=2, unit_price=FIVE),)

PLACED: Final = OrderPlaced(order_id="o1", customer_id="c1", items=TEA, total_amount=TEN, address="1 High Street")
CONFIRMED: Final = OrderConfirmed(order_id="o1", amount=TEN)
REJECTED: Final = OrderRejected(order_id="o1", reason="UNKNOWN_SKU: tea")
PAID: Final = OrderPaid(order_id="o1", payment_id="p1", address="1 High Street")
PAYMENT_FAILED: Final = OrderPaymentFailed(order_id="o1")
SHIPPED: Final = OrderShipped(order_id="o1", shipment_id="s1")
CANCELLED: Final = OrderCancelled(order_id="o1", reason="CUSTOMER_REQUEST")

RESERVED: Final = InventoryReserved(order_id="o1", reservations=())
NOT_RESERVED: Final = InventoryReservationFailed(order_id="o1", reason="UNKNOWN_SKU: tea")
MONEY_IS_THERE: Final = PaymentProcessed(order_id="o1", payment_id="p1", amount=TEN)
MONEY_DOES_NOT_COME: Final = PaymentFailed(order_id="o1", reason="NO_ANSWER")
PARCEL_GOES_OUT: Final = ShipmentCreated(order_id="o1", shipment_id="s1", tracking_number="TN")
REPORTS: Final = (RESERVED, NOT_RESERVED, MONEY_IS_THERE, MONEY_DOES_NOT_COME, PARCEL_GOES_OUT)

ORDER: Final = Order(status=OrderStatus.PENDING, customer_id="c1", items=TEA, total_amount=TEN, address="1 High Street")

PASTS: Final[dict[str, tuple[ts.Event, ...]]] = {
    "nothing": (),
    "PENDING": (PLACED,),
    "CONFIRMED": (PLACED, CONFIRMED),
    "REJECTED": (PLACED, REJECTED),
    "PAID": (PLACED, CONFIRMED, PAID),
    "PAYMENT_FAILED": (PLACED, CONFIRMED, PAYMENT_FAILED),
    "SHIPPED": (PLACED, CONFIRMED, PAID, SHIPPED),
    "CANCELLED": (PLACED, CANCELLED),
}
MOVES: Final[dict[str, dict[ts.Event, ts.Event]]] = {
    "PENDING": {RESERVED: CONFIRMED, NOT_RESERVED: REJECTED},
    "CONFIRMED": {MONEY_IS_THERE: PAID, MONEY_DOES_NOT_COME: PAYMENT_FAILED},
    "PAID": {PARCEL_GOES_OUT: SHIPPED},
}


def placing(*items: OrderItem, freight: Money | None = None, order_id: str | None = None) -> PlaceOrder:
    return PlaceOrder(customer_id="c1", items=items, address="1 High Street", freight=freight, order_id=order_id)


def test_an_order_is_placed_under_an_id_of_its_own_and_is_pending() -> None:
    expected = OrderPlaced(order_id="id-1", customer_id="c1", items=TEA, total_amount=TEN, address="1 High Street")
    given(Orders()).when(placing(*TEA)).then(expected, reply="id-1").then_state(Order, "id-1", ORDER)


def test_an_order_is_placed_under_the_id_that_it_comes_with() -> None:
    given(Orders()).when(placing(*TEA, order_id="o1")).then(PLACED, reply="o1")
    given(Orders(), PLACED).when(placing(*TEA, order_id="o1")).then_rejected("ORDER_EXISTS")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (placing(), "EMPTY_ORDER"),
        (placing(OrderItem(sku="tea", quantity=0, unit_price=FIVE)), "BAD_QUANTITY"),
        (placing(OrderItem(sku="tea", quantity=1_000_001, unit_price=FIVE)), "BAD_QUANTITY"),
        (placing(OrderItem(sku="tea", quantity=1, unit_price=Money(cents=-1, currency="EUR"))), "BAD_PRICE"),
        (placing(*TEA, freight=Money(cents=-1, currency="EUR")), "BAD_PRICE"),
        (placing(*TEA, OrderItem(sku="cup", quantity=1, unit_price=Money(cents=1, currency="USD"))), "MIXED_CURRENCIES"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(command: PlaceOrder, code: str) -> None:
    given(Orders()).when(command).then_rejected(code)


@pytest.mark.parametrize("status", PASTS)
@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_moves_the_order_that_waits_for_it_and_leaves_any_other_as_it_is(status: str, report: ts.Event) -> None:
    moves = MOVES.get(status, {})
    given(Orders(), *PASTS[status]).when(report).then(*([moves[report]] if report in moves else []))


def test_an_order_keeps_what_was_reported() -> None:
    paid = given(Orders(), PLACED, CONFIRMED).when(MONEY_IS_THERE)
    paid.then_state(Order, "o1", replace(ORDER, status=OrderStatus.PAID, payment_id="p1"))
    rejected = given(Orders(), PLACED).when(NOT_RESERVED)
    rejected.then_state(Order, "o1", replace(ORDER, status=OrderStatus.REJECTED, reason="UNKNOWN_SKU: tea"))


@pytest.mark.parametrize("status", ["PENDING", "CONFIRMED", "PAID"])
def test_an_order_that_has_not_left_is_cancelled_when_the_customer_says_so(status: str) -> None:
    given(Orders(), *PASTS[status]).when(CancelOrder(order_id="o1")).then(CANCELLED, reply=None)


@pytest.mark.parametrize("status", ["REJECTED", "PAYMENT_FAILED", "SHIPPED", "CANCELLED"])
def test_an_order_that_is_at_its_end_is_not_cancelled(status: str) -> None:
    given(Orders(), *PASTS[status]).when(CancelOrder(order_id="o1")).then_rejected(f"ORDER_{status}")


def test_an_order_that_nobody_placed_is_not_cancelled() -> None:
    given(Orders()).when(CancelOrder(order_id="o1")).then_rejected("UNKNOWN_ORDER")


@pytest.mark.parametrize("events", [(CONFIRMED,), (PLACED, PAID), (PLACED, CONFIRMED, SHIPPED), (*PASTS["SHIPPED"], CANCELLED)])
def test_a_history_that_cannot_have_been_is_refused(events: tuple[ts.Event, ...]) -> None:
    with pytest.raises(IllegalTransition):
        given(Orders(), *events)
