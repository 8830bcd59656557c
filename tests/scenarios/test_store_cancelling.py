"""The Tiny Store: cancelling, in every state and across every report that is on its way, handler by handler."""

from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store.events import OrderCancelled, PaymentRefunded
from tallystick.scenarios.tiny_store.inventory import StockLevel
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder
from tallystick.scenarios.tiny_store.payments import Payment, PaymentStatus
from tallystick.scenarios.tiny_store.shipments import Shipment, ShipmentStatus


def test_a_pending_order_is_cancelled_and_keeps_nothing(shop: Any) -> None:
    shop.place()
    shop.cancel()
    shop.run()
    assert shop.story() == ["OrderPlaced", "OrderCancelled", "InventoryReserved", "InventoryReleased"]
    assert shop.status() == "CANCELLED"
    assert shop.stock() == StockLevel(on_hand=10)


def test_a_cancel_between_the_reservation_and_its_news_leaks_no_stock(shop: Any) -> None:
    shop.place()
    shop.take("inventory")
    shop.cancel()
    shop.run()
    assert shop.story() == ["OrderPlaced", "InventoryReserved", "OrderCancelled", "InventoryReleased"]
    assert shop.stock() == StockLevel(on_hand=10)


def test_a_cancel_while_the_charge_is_out_calls_it_off(shop: Any) -> None:
    shop.place()
    shop.run()
    shop.cancel()
    shop.run()
    assert shop.story()[2:] == ["OrderConfirmed", "OrderCancelled", "InventoryReleased", "PaymentCancelled"]
    assert shop.open("payments") == []


def test_a_capture_that_comes_after_the_cancel_is_given_back_once(shop: Any) -> None:
    shop.place()
    shop.run()
    (charge,) = shop.open("payments")
    shop.cancel()
    shop.run()
    shop.paid(charge.token)
    shop.paid(charge.token)
    (refund,) = shop.open("payments")
    shop.refunded(refund.token)
    shop.run()
    assert [each.payment_id for each in shop.of(PaymentRefunded)] == [f"pay-{charge.token}"]
    assert shop.state(Payment, "o1").status is PaymentStatus.REFUNDED
    assert shop.status() == "CANCELLED"


def test_a_capture_that_comes_after_the_charge_was_abandoned_is_given_back(shop: Any) -> None:
    shop.place()
    shop.run()
    (charge,) = shop.open("payments")
    shop.answer("payments", charge.token, ts.TimedOut(attempts=1))
    shop.paid(charge.token)
    (refund,) = shop.open("payments")
    shop.refunded(refund.token)
    shop.run()
    assert shop.of(PaymentRefunded)[0].amount == Money(cents=500, currency="EUR")
    assert shop.status() == "PAYMENT_FAILED"


def test_cancelling_a_paid_order_gives_the_money_back_and_calls_the_parcel_off(shop: Any) -> None:
    shop.place()
    token = shop.pay()
    shop.cancel()
    shop.run()
    (refund,) = shop.open("payments")
    shop.refunded(refund.token)
    assert shop.open("shipments") == []
    assert shop.of(PaymentRefunded)[0].payment_id == f"pay-{token}"
    assert shop.state(Shipment, "o1").status is ShipmentStatus.CANCELLED
    assert shop.stock() == StockLevel(on_hand=10)


def test_a_cancel_that_crosses_the_payment_gives_the_money_back(shop: Any) -> None:
    shop.place()
    shop.run()
    shop.paid(shop.open("payments")[0].token)
    shop.cancel()
    shop.run()
    assert shop.status() == "CANCELLED"
    assert "OrderPaid" not in shop.story()
    assert [type(each.intent).__name__ for each in shop.open("payments")] == ["Refunding"]


def test_a_cancel_that_crosses_the_shipment_ends_with_both_sides_of_one_mind(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.taken(shop.open("shipments")[0].token)
    shop.cancel()
    shop.run()
    (recall,) = shop.open("shipments")
    shop.recalled(recall.token, recall.intent.shipment_id)
    shop.run()
    assert shop.status() == "CANCELLED"
    assert shop.state(Shipment, "o1").status is ShipmentStatus.RECALLED
    assert "OrderShipped" not in shop.story()
    assert shop.stock() == StockLevel(on_hand=10)


def test_a_parcel_that_is_taken_after_the_cancel_is_called_back(shop: Any) -> None:
    shop.place()
    shop.pay()
    (request,) = shop.open("shipments")
    shop.cancel()
    shop.run()
    shop.taken(request.token)
    (recall,) = shop.open("shipments")
    shop.recalled(recall.token, recall.intent.shipment_id)
    assert shop.state(Shipment, "o1").status is ShipmentStatus.RECALLED


def test_an_order_whose_parcel_is_not_taken_stays_paid_and_one_taken_later_is_called_back(shop: Any) -> None:
    shop.place()
    shop.pay()
    (request,) = shop.open("shipments")
    shop.answer("shipments", request.token, ts.TimedOut(attempts=1))
    shop.run()
    assert shop.status() == "PAID"
    shop.taken(request.token)
    shop.run()
    assert [type(each.intent).__name__ for each in shop.open("shipments")] == ["Recalling"]
    assert shop.status() == "PAID"


@pytest.mark.parametrize("final", ["SHIPPED", "CANCELLED", "REJECTED", "PAYMENT_FAILED"])
def test_what_is_final_cannot_be_cancelled(shop: Any, final: str) -> None:
    shop.place(tea=99 if final == "REJECTED" else 1)
    if final == "SHIPPED":
        shop.ship()
    elif final == "CANCELLED":
        shop.cancel()
    else:
        shop.run()
    if final == "PAYMENT_FAILED":
        shop.answer("payments", shop.open("payments")[0].token, ts.Failed(code="DECLINED"))
        shop.run()
    assert shop.status() == final
    before = shop.names()
    with pytest.raises(ts.Rejected) as refusal:
        shop.ask(CancelOrder(order_id="o1"))
    assert refusal.value.code == f"ORDER_{final}"
    assert shop.names() == before


def test_an_unknown_order_cannot_be_cancelled(shop: Any) -> None:
    with pytest.raises(ts.Rejected, match="UNKNOWN_ORDER"):
        shop.cancel("nobody's")


def test_a_cancel_that_is_delivered_again_while_things_are_on_their_way_back_begins_nothing(shop: Any) -> None:
    shop.place()
    shop.pay()
    shop.taken(shop.open("shipments")[0].token)
    shop.cancel()
    shop.run()
    again = OrderCancelled(order_id="o1", reason="AGAIN")
    assert [shop.deliver_again(name, again) for name in ("inventory", "payments", "shipments")] == [[], [], []]
    (refund,), (recall,) = shop.open("payments"), shop.open("shipments")
    shop.refunded(refund.token)
    shop.recalled(recall.token, recall.intent.shipment_id)
    assert [shop.deliver_again(name, again) for name in ("inventory", "payments", "shipments")] == [[], [], []]


def test_a_cancel_of_what_has_left_the_house_releases_nothing(shop: Any) -> None:
    shop.place()
    shop.ship()
    assert shop.deliver_again("inventory", OrderCancelled(order_id="o1", reason="A_DAY_TOO_LATE")) == []
