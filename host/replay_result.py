"""What a replay came to, counted from its log alone, so that it does not matter how often it was interrupted."""

from collections import Counter
from contextlib import closing
from os import PathLike
from typing import Final

import msgspec

import tallystick as ts
from tallystick.domain.protocol import COMMAND, CommandSettled, LateSuccess

_STATUS_AFTER: Final = {
    "OrderPlaced": "PENDING",
    "OrderConfirmed": "CONFIRMED",
    "OrderRejected": "REJECTED",
    "OrderPaid": "PAID",
    "OrderPaymentFailed": "PAYMENT_FAILED",
    "OrderShipped": "SHIPPED",
    "OrderCancelled": "CANCELLED",
}
_FINAL: Final = frozenset({"REJECTED", "PAYMENT_FAILED", "SHIPPED", "CANCELLED"})
_LATE: Final = {"PaymentProcessing": "payment", "ShipmentCreation": "shipment"}


class LateSuccesses(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that came after their operations had been given up."""

    payment: int
    shipment: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a replay."""

    orders: int
    statuses: dict[str, int]
    delivered: int
    cancel_refused: int
    late_successes: LateSuccesses
    open_executions: int
    events: int
    seconds: float


def counted(log_path: str | PathLike[str], *, open_executions: int, seconds: float) -> Result:
    """Count a replay's log; holds no more in memory than the orders that have not come to their end, and the refused cancels."""
    under_way: dict[str, str] = {}
    ended: Counter[str] = Counter()
    late: Counter[str] = Counter()
    refused: set[str] = set()
    orders = delivered = events = 0
    with closing(ts.SqliteReader(log_path)) as reader:
        for recorded in reader.read():
            events = recorded.position
            name, key = recorded.event_type, recorded.aggregate_id
            status = _STATUS_AFTER.get(name)
            if status in _FINAL:
                ended[status or ""] += 1
                under_way.pop(key, None)
            elif status is not None:
                under_way[key] = status
                orders += name == "OrderPlaced"
            elif name == "ShipmentDelivered":
                delivered += 1
            elif name == LateSuccess.__name__:
                late[_LATE.get(msgspec.json.decode(recorded.payload, type=LateSuccess).operation, "")] += 1
            elif recorded.aggregate_type == COMMAND and key.startswith("cancel:") and _rejected(recorded):
                refused.add(key)
    statuses = ended + Counter(under_way.values())
    return Result(
        orders=orders,
        statuses=dict(sorted(statuses.items())),
        delivered=delivered,
        cancel_refused=len(refused),
        late_successes=LateSuccesses(payment=late["payment"], shipment=late["shipment"]),
        open_executions=open_executions,
        events=events,
        seconds=round(seconds, 3),
    )


def _rejected(answer: ts.Recorded) -> bool:
    return msgspec.json.decode(answer.payload, type=CommandSettled).rejected
