"""The catalogue against the table of event flows that the store was drawn from, written down here by hand."""

import json
from typing import NamedTuple

from click.testing import CliRunner

from tallystick.host.catalogue import Entry, catalogue
from tallystick.host.cli import cli
from tallystick.host.programs import TINY_STORE


class Drawn(NamedTuple):
    publisher: str
    event: str
    payload: set[str]
    subscribers: set[str]


TABLE = (
    Drawn("orders", "OrderPlaced", {"orderId", "customerId", "items", "totalAmount", "address"}, {"inventory"}),
    Drawn("orders", "OrderConfirmed", {"orderId", "amount"}, {"payments"}),
    Drawn("orders", "OrderRejected", {"orderId", "reason"}, set()),
    Drawn("orders", "OrderPaid", {"orderId", "paymentId"}, {"shipments"}),
    Drawn("orders", "OrderPaymentFailed", {"orderId"}, {"inventory"}),
    Drawn("orders", "OrderShipped", {"orderId", "shipmentId"}, set()),
    Drawn("orders", "OrderCancelled", {"orderId", "reason"}, {"inventory"}),
    Drawn("inventory", "InventoryReserved", {"orderId", "reservations"}, {"orders"}),
    Drawn("inventory", "InventoryReservationFailed", {"orderId", "reason"}, {"orders"}),
    Drawn("inventory", "InventoryReleased", {"orderId", "sku", "quantity"}, set()),
    Drawn("payments", "PaymentProcessed", {"orderId", "paymentId", "amount"}, {"orders"}),
    Drawn("payments", "PaymentFailed", {"orderId", "reason"}, {"orders"}),
    Drawn("shipments", "ShipmentCreated", {"orderId", "shipmentId", "trackingNumber"}, {"orders"}),
    Drawn("shipments", "ShipmentDispatched", {"shipmentId", "dispatchedAt"}, set()),
    Drawn("shipments", "ShipmentDelivered", {"shipmentId", "deliveredAt"}, set()),
)


def entries() -> tuple[Entry, ...]:
    return catalogue(TINY_STORE.modules(), TINY_STORE.additions)


def test_without_what_is_ours_the_catalogue_is_the_table() -> None:
    found = [
        Drawn(
            entry.published_by,
            entry.event,
            {each.name for each in entry.payload if not each.ours},
            {each.name for each in entry.subscribers if not each.ours},
        )
        for entry in entries()
        if not entry.ours
    ]
    assert sorted(found, key=lambda drawn: drawn.event) == sorted(TABLE, key=lambda drawn: drawn.event)


def test_each_event_is_listed_once_with_its_publisher_and_what_is_ours_is_marked() -> None:
    listed = [entry.event for entry in entries()]
    assert len(listed) == len(set(listed))
    ours = {entry.event for entry in entries() if entry.ours}
    assert ours == {
        "InventoryShipped",
        "PaymentCancelled",
        "PaymentRefunded",
        "RefundFailed",
        "ShipmentCancelled",
        "ShipmentFailed",
        "ShipmentRecalled",
        "ShipmentRecallFailed",
        "SkuDelisted",
        "StockReceived",
    }


def test_fields_and_subscribers_that_are_ours_are_marked_on_events_that_are_not() -> None:
    marked = {
        (entry.event, each.name) for entry in entries() if not entry.ours for each in (*entry.payload, *entry.subscribers) if each.ours
    }
    assert marked == {
        ("OrderPaid", "address"),
        ("ShipmentDispatched", "orderId"),
        ("ShipmentDelivered", "orderId"),
        ("OrderCancelled", "payments"),
        ("OrderCancelled", "shipments"),
        ("OrderShipped", "inventory"),
    }


def test_the_command_prints_a_table() -> None:
    result = CliRunner().invoke(cli, ["catalogue"])
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if "OrderPaid " in line]
    cells = [cell.strip() for cell in line.strip("│┃ ").split("│")]
    assert cells == ["OrderPaid", "orderId, paymentId, address (ours)", "orders", "shipments"]


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(cli, ["catalogue", "--json"])
    listed = {entry["event"]: entry for entry in json.loads(result.stdout)}
    assert listed["OrderCancelled"] == {
        "event": "OrderCancelled",
        "publishedBy": "orders",
        "payload": ["orderId", "reason"],
        "subscribers": ["inventory", "payments", "shipments"],
        "ours": {"event": False, "payload": [], "subscribers": ["payments", "shipments"]},
    }
