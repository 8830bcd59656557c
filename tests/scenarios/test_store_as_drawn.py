"""The store on a log: what its events look like there, when its customers are answered, and how its handlers are tried again."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.scenarios.telling import Audience
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.orders import Order, OrderStatus
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway
from tallystick.scenarios.tiny_store.scripts import SCRIPTS
from tallystick.scenarios.tiny_store.stage import Stage
from tallystick.scenarios.tiny_store.system import modules, performers

EUR = "EUR"
WIRE: dict[str, dict[str, Any]] = {
    "OrderPlaced": {
        "orderId": "o1",
        "customerId": "customer-1",
        "items": [
            {"sku": "tea", "quantity": 2, "unitPrice": {"cents": 450, "currency": EUR}},
            {"sku": "cup", "quantity": 1, "unitPrice": {"cents": 450, "currency": EUR}},
        ],
        "totalAmount": {"cents": 1350, "currency": EUR},
        "address": "1 High Street",
    },
    "InventoryReserved": {"orderId": "o1", "reservations": [{"sku": "tea", "quantity": 2}, {"sku": "cup", "quantity": 1}]},
    "OrderConfirmed": {"orderId": "o1", "amount": {"cents": 1350, "currency": EUR}},
}


class Kept(Audience):
    def __init__(self) -> None:
        self.records: list[ts.Recorded] = []

    def sees(self, recorded: ts.Recorded) -> None:
        self.records.append(recorded)


def test_payloads_are_those_that_were_drawn_with_money_in_whole_cents_and_its_currency() -> None:
    kept = Kept()
    with Stage(ts.MemoryLog(), kept) as stage:
        stage.open()
        stage.stock(tea=5, cup=5)
        stage.place("o1", tea=2, cup=1)
        stage.run()
    written = {each.event_type: msgspec.json.decode(each.payload) for each in kept.records}
    assert {name: written[name] for name in WIRE} == WIRE
    paid, created = written["PaymentProcessed"], written["ShipmentCreated"]
    assert paid == {"orderId": "o1", "paymentId": paid["paymentId"], "amount": WIRE["OrderConfirmed"]["amount"]}
    assert set(created) == {"orderId", "shipmentId", "trackingNumber"}
    assert all([paid["paymentId"], created["shipmentId"], created["trackingNumber"]])


def test_who_orders_is_answered_while_the_order_is_pending_and_can_read_how_it_stands() -> None:
    with Stage(ts.MemoryLog()) as stage:
        stage.open()
        stage.stock(tea=5)
        stage.place("o1")
        assert stage.status("o1") is OrderStatus.PENDING
        stage.run()
        assert stage.status("o1") is OrderStatus.SHIPPED


def test_a_handler_that_fails_is_tried_three_times_more_with_growing_delays_and_then_lies_as_a_dead_letter() -> None:
    kept = Kept()
    SCRIPTS["poison-message"].play(ts.MemoryLog(), kept)
    failed = [(each.occurred_at, msgspec.json.decode(each.payload)) for each in kept.records if each.event_type == "ReactionFailed"]
    first_four = failed[:4]
    assert [content["attempt"] for _, content in first_four] == [1, 2, 3, 4]
    assert ["retryAt" in content for _, content in first_four] == [True, True, True, False]
    waited = [(after - before).total_seconds() for (before, _), (after, _) in pairwise(first_four)]
    assert [each / waited[0] for each in waited] == pytest.approx([1, 2, 4], rel=0.01)


def test_a_happy_order_waits_for_no_timer_but_for_its_providers_alone() -> None:
    """How long that takes in real time is a figure, and no test: `python -m benchmarks.order_flow --in-flight 1`."""
    runtime = ts.SteppedRuntime()
    with ts.System(modules(), performers=performers(Gateway(), Carrier()), runtime=runtime) as system:
        system.ask(ReceiveStock(sku="tea", quantity=10))
        before = runtime.clock.now
        order_id = system.ask(Stage(ts.MemoryLog()).order("order-1"))
        runtime.run_until_idle()
        order = system.get(Order, order_id)
        assert order is not None
        assert order.status is OrderStatus.SHIPPED
        assert runtime.clock.now == before
