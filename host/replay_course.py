"""The course of recorded orders: what a log shows to have come of each, held against the file. Not how it was placed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

import tallystick as ts
from tallystick.host.orders_file import RecordedOrder
from tallystick.host.replay_world import Known, known_of
from tallystick.scenarios.tiny_store.events import ShipmentDelivered, ShipmentDispatched

PAYMENT_TIMEOUT: Final = timedelta(days=30)
SHIPMENT_TIMEOUT: Final = timedelta(days=60)

PLACED: Final = "OrderPlaced"
EVENTS: Final = (
    "OrderConfirmed",
    "OrderRejected",
    "OrderCancelled",
    "OrderPaymentFailed",
    "PaymentProcessed",
    "ShipmentDispatched",
    "ShipmentDelivered",
)
"""From which a course is read."""
_LAST: Final = frozenset({"OrderRejected", "OrderCancelled", "OrderPaymentFailed", "ShipmentDelivered"})

_APPROVED: Final = "approved_at"
_HANDED: Final = "handed_to_carrier_at"
_DELIVERED: Final = "delivered_at"
_STATUS: Final = "final_status"


class _Stage(NamedTuple):
    known: Known
    event: str
    at: datetime


class Courses:
    """Follows orders through a log. In memory: those that have not come to their end."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}

    def placed(self, order: RecordedOrder) -> None:
        """An order whose course begins."""
        self._stages[order.order_id] = _Stage(known_of(order), PLACED, order.placed_at)

    def differing(self, recorded: ts.Recorded) -> str:
        """Which field of its order contradicts an event of the log; empty if none does."""
        stage = self._stages.pop(recorded.aggregate_id, None)
        if stage is None:
            return ""
        if recorded.event_type not in _LAST:
            self._stages[recorded.aggregate_id] = _Stage(stage.known, recorded.event_type, recorded.occurred_at)
        return _contradicted(stage.known, recorded)

    def lacking(self, stands_at: datetime) -> Iterator[tuple[str, str]]:
        """Orders, each with the field by which more should have come of it before the moment at which the log stands."""
        for order_id, stage in self._stages.items():
            field = _due(stage, stands_at)
            if field:
                yield order_id, field


def _contradicted(known: Known, recorded: ts.Recorded) -> str:
    match recorded.event_type:
        case "PaymentProcessed":
            return "" if known.approved_at is not None and recorded.occurred_at == _paid_at(known) else _APPROVED
        case "OrderPaymentFailed":
            return _APPROVED if known.approved_at is not None and _paid_at(known) <= known.placed_at + PAYMENT_TIMEOUT else ""
        case "ShipmentDispatched":
            return "" if msgspec.json.decode(recorded.payload, type=ShipmentDispatched).dispatched_at == known.handed_at else _HANDED
        case "ShipmentDelivered":
            return "" if msgspec.json.decode(recorded.payload, type=ShipmentDelivered).delivered_at == known.delivered_at else _DELIVERED
        case "OrderCancelled":
            return "" if recorded.occurred_at == known.cancelled_at else _STATUS
        case _:
            return ""


def _due(stage: _Stage, stands_at: datetime) -> str:
    """By which field there should be more, none if by none: what was due before that moment is in the log."""
    known = stage.known
    in_time = stage.at + (PAYMENT_TIMEOUT if stage.event == "OrderConfirmed" else SHIPMENT_TIMEOUT)
    waits_for = {
        "OrderConfirmed": (_APPROVED, known.approved_at),
        "PaymentProcessed": (_HANDED, known.handed_at),
        "ShipmentDispatched": (_DELIVERED, known.delivered_at),
    }
    field, moment = waits_for.get(stage.event, ("", None))
    if moment is not None and max(moment, stage.at) < stands_at and (field == _DELIVERED or moment <= in_time):
        return field
    cancellable = stage.event in {"OrderConfirmed", "PaymentProcessed"}
    return _STATUS if cancellable and known.cancelled_at is not None and known.cancelled_at < stands_at else ""


def _paid_at(known: Known) -> datetime:
    """When the gateway says that an order is paid that it has approved: it is asked when the order is placed."""
    return known.placed_at if known.approved_at is None else max(known.approved_at, known.placed_at)
