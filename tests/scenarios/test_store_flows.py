"""The store's flows as its modules write them, in order, without a system around them."""

from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store.events import InventoryReleased, OrderItem, OrderPaid, PaymentFailed, PaymentProcessed
from tallystick.scenarios.tiny_store.inventory import DelistSku, ReceiveStock, StockLevel
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import Order, PlaceOrder
from tallystick.scenarios.tiny_store.payments import Payment, PaymentStatus, RefundAgain
from tallystick.scenarios.tiny_store.shipments import Deliver, Dispatch, RecallAgain, Shipment, ShipmentStatus
from tallystick.scenarios.tiny_store.status import IllegalTransition


def money(cents: int, currency: str = "EUR") -> Money:
    return Money(cents=cents, currency=currency)


# The four flows


def test_a_happy_order_is_reserved_confirmed_paid_and_shipped(shop: Any) -> None:
    assert shop.place() == "o1"
    assert shop.status() == "PENDING"
    shop.ship()
    assert shop.story() == [
        "OrderPlaced",
        "InventoryReserved",
        "OrderConfirmed",
        "PaymentProcessed",
        "OrderPaid",
        "ShipmentCreated",
        "OrderShipped",
        "InventoryShipped",
    ]
    assert shop.stock() == StockLevel(on_hand=8, reserved=0, shipped=2)
    assert shop.of(PaymentProcessed)[0].amount == money(500)
    assert shop.of(OrderPaid)[0].address == "1 High Street"


def test_an_order_of_more_than_there_is_is_rejected_and_reserves_nothing(shop: Any) -> None:
    shop.place(tea=2, cup=4)
    shop.run()
    assert shop.story() == ["OrderPlaced", "InventoryReservationFailed", "OrderRejected"]
    assert shop.state(Order, "o1").reason == "INSUFFICIENT_STOCK: cup"
    assert shop.stock("tea") == StockLevel(on_hand=10)
    assert shop.stock("cup") == StockLevel(on_hand=3)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ts.Failed(code="CARD_DECLINED"), "CARD_DECLINED"),
        (ts.TimedOut(attempts=1), "NO_ANSWER"),
        (ts.Refused(cause="busy"), "BUSY"),
    ],
)
def test_an_order_that_is_not_paid_gives_its_goods_back(shop: Any, outcome: ts.Outcome[Any], reason: str) -> None:
    shop.place()
    shop.run()
    shop.answer("payments", shop.open("payments")[0].token, outcome)
    shop.run()
    assert shop.story()[2:] == ["OrderConfirmed", "PaymentFailed", "OrderPaymentFailed", "InventoryReleased"]
    assert shop.of(PaymentFailed)[0].reason == reason
    assert shop.status() == "PAYMENT_FAILED"
    assert shop.stock() == StockLevel(on_hand=10)


def test_each_article_is_released_by_an_event_of_its_own(shop: Any) -> None:
    shop.place(tea=2, cup=1)
    shop.run()
    shop.cancel()
    shop.run()
    assert [(each.sku, each.quantity) for each in shop.of(InventoryReleased)] == [("tea", 2), ("cup", 1)]
    assert shop.stock("tea") == StockLevel(on_hand=10)
    assert shop.stock("cup") == StockLevel(on_hand=3)


# Delivered twice


def test_an_event_that_is_delivered_twice_is_answered_once(shop: Any) -> None:
    shop.place()
    shop.ship()
    shop.place("o2")
    shop.run()
    shop.cancel("o2")
    shop.run()
    heard = [
        (name, published.event)
        for published in shop.log
        for name, owner in shop.owners.items()
        if type(published.event) in owner.behaviour.reactions
    ]
    assert {name for name, _ in heard} == {"orders", "inventory", "payments", "shipments"}
    assert [(name, event) for name, event in heard if shop.deliver_again(name, event) != []] == []


def test_a_charge_that_is_still_out_is_not_made_twice(shop: Any) -> None:
    shop.place()
    shop.run()
    confirmed = next(each.event for each in shop.log if type(each.event).__name__ == "OrderConfirmed")
    assert shop.deliver_again("payments", confirmed) == []


# Orders that make no sense


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"items": ()}, "EMPTY_ORDER"),
        ({"items": (OrderItem(sku="tea", quantity=0, unit_price=money(1)),)}, "BAD_QUANTITY"),
        ({"items": (OrderItem(sku="tea", quantity=1, unit_price=money(-1)),)}, "BAD_PRICE"),
        ({"freight": money(-1)}, "BAD_PRICE"),
        ({"freight": money(1, "USD")}, "MIXED_CURRENCIES"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(shop: Any, change: dict[str, Any], code: str) -> None:
    given: dict[str, Any] = {"items": (OrderItem(sku="tea", quantity=1, unit_price=money(100)),), **change}
    with pytest.raises(ts.Rejected) as refusal:
        shop.ask(PlaceOrder(customer_id="c", address="a", **given))
    assert refusal.value.code == code
    assert shop.story() == []


def test_an_order_id_is_used_once_and_made_where_none_is_given(shop: Any, order_of: Any) -> None:
    shop.place()
    with pytest.raises(ts.Rejected, match="ORDER_EXISTS"):
        shop.ask(order_of("o1", cup=1))
    assert shop.ask(order_of(None)) != "o1"


def test_freight_is_paid_with_the_goods(shop: Any) -> None:
    items = (OrderItem(sku="tea", quantity=2, unit_price=money(250)), OrderItem(sku="cup", quantity=1, unit_price=money(399)))
    shop.ask(PlaceOrder(customer_id="c", address="a", items=items, freight=money(150), order_id="o1"))
    assert str(shop.state(Order, "o1").total_amount) == "10.49 EUR"


# Stock


def test_lines_of_one_article_are_reserved_together(shop: Any) -> None:
    lines = tuple(OrderItem(sku="cup", quantity=2, unit_price=money(1)) for _ in range(2))
    shop.ask(PlaceOrder(customer_id="c", address="a", items=lines, order_id="o1"))
    shop.run()
    assert shop.status() == "REJECTED"
    assert shop.stock("cup") == StockLevel(on_hand=3)


@pytest.mark.parametrize("sku", ["unlisted", "cup"])
def test_what_is_not_for_sale_cannot_be_ordered(shop: Any, sku: str) -> None:
    shop.ask(DelistSku(sku="cup"))
    shop.place(**{sku: 1})
    shop.run()
    assert shop.state(Order, "o1").reason == f"UNKNOWN_SKU: {sku}"


def test_goods_that_come_in_again_are_for_sale_again(shop: Any) -> None:
    shop.ask(DelistSku(sku="cup"))
    shop.ask(ReceiveStock(sku="cup", quantity=1))
    assert shop.stock("cup") == StockLevel(on_hand=4)


def test_only_some_goods_can_come_in_and_only_known_ones_go_out_of_sale(shop: Any) -> None:
    with pytest.raises(ts.Rejected, match="BAD_QUANTITY"):
        shop.ask(ReceiveStock(sku="cup", quantity=0))
    with pytest.raises(ts.Rejected, match="UNKNOWN_SKU"):
        shop.ask(DelistSku(sku="unlisted"))


# On the road


def test_a_parcel_is_dispatched_and_then_delivered(shop: Any) -> None:
    shop.place()
    shop.ship()
    shop.ask(Dispatch(order_id="o1", at=shop.now))
    shop.ask(Deliver(order_id="o1", at=shop.now))
    assert shop.state(Shipment, "o1").status is ShipmentStatus.DELIVERED
    assert shop.story()[-2:] == ["ShipmentDispatched", "ShipmentDelivered"]


def test_a_parcel_moves_only_forward(shop: Any) -> None:
    with pytest.raises(ts.Rejected, match="UNKNOWN_SHIPMENT"):
        shop.ask(Dispatch(order_id="o1", at=shop.now))
    shop.place()
    shop.ship()
    with pytest.raises(ts.Rejected, match="SHIPMENT_CREATED"):
        shop.ask(Deliver(order_id="o1", at=shop.now))
    shop.ask(Dispatch(order_id="o1", at=shop.now))
    with pytest.raises(ts.Rejected, match="SHIPMENT_DISPATCHED"):
        shop.ask(Dispatch(order_id="o1", at=shop.now))


def test_a_parcel_that_is_called_back_goes_nowhere_else(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.taken(shop.open("shipments")[0].token)
    shop.cancel()
    shop.run()
    with pytest.raises(ts.Rejected, match="SHIPMENT_RECALLED"):
        shop.ask(Dispatch(order_id="o1", at=shop.now))


# What fails on its way back


def test_a_refund_that_failed_is_tried_again_when_a_person_says_so(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.cancel()
    shop.run()
    shop.answer("payments", shop.open("payments")[0].token, ts.TimedOut(attempts=19))
    assert shop.state(Payment, "o1").status is PaymentStatus.REFUND_FAILED
    shop.ask(RefundAgain(order_id="o1"))
    with pytest.raises(ts.Rejected, match="REFUND_RUNNING"):
        shop.ask(RefundAgain(order_id="o1"))
    shop.refunded(shop.open("payments")[0].token)
    assert shop.state(Payment, "o1").status is PaymentStatus.REFUNDED
    with pytest.raises(ts.Rejected, match="NOTHING_TO_REFUND"):
        shop.ask(RefundAgain(order_id="o1"))


def test_a_recall_that_failed_is_tried_again_when_a_person_says_so(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.taken(shop.open("shipments")[0].token)
    shop.cancel()
    shop.run()
    shop.answer("shipments", shop.open("shipments")[0].token, ts.Failed(code="ALREADY_THERE"))
    assert shop.state(Shipment, "o1").reason == "ALREADY_THERE"
    shop.ask(RecallAgain(order_id="o1"))
    with pytest.raises(ts.Rejected, match="RECALL_RUNNING"):
        shop.ask(RecallAgain(order_id="o1"))
    (recall,) = shop.open("shipments")
    shop.recalled(recall.token, recall.intent.shipment_id)
    assert shop.state(Shipment, "o1").status is ShipmentStatus.RECALLED
    with pytest.raises(ts.Rejected, match="NOTHING_TO_RECALL"):
        shop.ask(RecallAgain(order_id="o1"))


def test_a_refund_that_is_heard_of_late_is_not_tried_again(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.cancel()
    shop.run()
    (refund,) = shop.open("payments")
    shop.answer("payments", refund.token, ts.TimedOut(attempts=19))
    shop.refunded(refund.token)
    assert shop.state(Payment, "o1").status is PaymentStatus.REFUNDED


def test_an_illegal_transition_is_a_clear_error(shop: Any) -> None:
    shop.place()
    paid = OrderPaid(order_id="o1", payment_id="p", address="a")
    with pytest.raises(IllegalTransition, match=r"from PENDING to PAID .* legal from here: CANCELLED, CONFIRMED, REJECTED"):
        shop.owners["orders"].fold(paid)
