"""What must hold of a store's log as a whole, and of the providers' ledgers beside it. Reads; changes nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    PaymentProcessed,
    PaymentRefunded,
    ShipmentCreated,
    ShipmentRecalled,
    StockReceived,
)
from tallystick.scenarios.tiny_store.inventory import Stock
from tallystick.scenarios.tiny_store.ledger import Entry, Kind
from tallystick.scenarios.tiny_store.payments import PaymentProcessing, Receipt, Refunding, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recalled, Recalling, ShipmentCreation, Waybill


class StockAudit:
    """Goods are neither made nor lost (S9): what was received is on hand, reserved or shipped. Takes all events, in order."""

    def __init__(self) -> None:
        self._received: Counter[str] = Counter()

    def take(self, event: Any) -> None:
        """One more event."""
        if type(event) is StockReceived:
            self._received[event.sku] += event.quantity

    def problems(self, stock: Stock) -> Iterator[str]:
        """What does not add up."""
        for sku in sorted({*self._received, *stock.levels}):
            level = stock.level(sku)
            if level.received != self._received[sku] or min(level.on_hand, level.reserved, level.shipped) < 0:
                parts = f"{level.on_hand} on hand, {level.reserved} reserved, {level.shipped} shipped"
                yield f"{sku}: {self._received[sku]} received, but {parts}"


class Disagreement(NamedTuple):
    """Numbers that stand in the ledgers but not in the log, or the other way round."""

    kind: Kind
    only_in_ledger: frozenset[str]
    only_in_log: frozenset[str]


class Heard(NamedTuple):
    """What the log says that the providers have done, by kind."""

    numbers: dict[Kind, set[str]]

    @classmethod
    def of(cls, records: Iterable[ts.Recorded]) -> "Heard":
        """Read a log."""
        heard = cls({"capture": set(), "refund": set(), "shipment": set(), "recall": set()})
        for recorded in records:
            for kind, number in _done(recorded):
                heard.numbers[kind].add(number)
        return heard

    def compared(self, ledger: Iterable[Entry]) -> Iterator[Disagreement]:
        """Hold it against the ledgers; every capture, refund, shipment and recall must stand in both."""
        entered: dict[Kind, set[str]] = {kind: set() for kind in self.numbers}
        for entry in ledger:
            # A recall is known to the log by the parcel that it brings back.
            entered[entry.kind].add(entry.of if entry.kind == "recall" else entry.number)
        for kind, numbers in self.numbers.items():
            if entered[kind] != numbers:
                yield Disagreement(kind, frozenset(entered[kind] - numbers), frozenset(numbers - entered[kind]))


_LATE: dict[str, tuple[Kind, type[Any], str]] = {
    PaymentProcessing.operation(): ("capture", Receipt, "payment_id"),
    Refunding.operation(): ("refund", RefundReceipt, "refund_id"),
    ShipmentCreation.operation(): ("shipment", Waybill, "shipment_id"),
    Recalling.operation(): ("recall", Recalled, "shipment_id"),
}


class _Late(msgspec.Struct):
    """What the payload of the library's `LateSuccess` says: whose result came late, and the result, as JSON."""

    operation: str
    result: msgspec.Raw


def _done(recorded: ts.Recorded) -> Iterator[tuple[Kind, str]]:
    match recorded.event_type:
        case PaymentProcessed.__name__:
            yield "capture", msgspec.json.decode(recorded.payload, type=PaymentProcessed).payment_id
        case PaymentRefunded.__name__:
            yield "refund", msgspec.json.decode(recorded.payload, type=PaymentRefunded).refund_id
        case ShipmentCreated.__name__:
            yield "shipment", msgspec.json.decode(recorded.payload, type=ShipmentCreated).shipment_id
        case ShipmentRecalled.__name__:
            yield "recall", msgspec.json.decode(recorded.payload, type=ShipmentRecalled).shipment_id
        case "LateSuccess":
            late = msgspec.json.decode(recorded.payload, type=_Late)
            if late.operation in _LATE:
                kind, result, field = _LATE[late.operation]
                yield kind, getattr(msgspec.json.decode(late.result, type=result), field)
        case _:
            pass
