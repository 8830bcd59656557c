"""The store as a program to simulate: what its customers wish, its providers, and what must hold of stock and money (S9, S10)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

import tallystick as ts
from tallystick.scenarios.tiny_store.audit import Heard, StockAudit
from tallystick.scenarios.tiny_store.events import (
    InventoryReleased,
    InventoryReserved,
    InventoryShipped,
    OrderItem,
    StockReceived,
)
from tallystick.scenarios.tiny_store.inventory import ReceiveStock, Stock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.newcomer import NOTED, Notes, OrderNoted
from tallystick.scenarios.tiny_store.orders import CancelOrder, PlaceOrder
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recall, Recalled, RequestShipment, Waybill
from tallystick.scenarios.tiny_store.system import modules
from tallystick.testing import Chance, FakeProvider, Invariant, InvariantViolation, SimulatedProgram, Wish

SKUS: Final = ("tea", "coffee", "cup")
ORDERS: Final = 10
REGRET: Final = 0.25
"""The share of orders that are cancelled."""


class SimulatedStore(SimulatedProgram):
    """A short day: goods come in, customers order, and some of them change their mind."""

    name: ClassVar[str] = "tiny-store"
    orders: ClassVar[int] = ORDERS

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.gateway = FakeProvider(chance, declines_percent=10, later_percent=10)
        self.carrier = FakeProvider(chance, declines_percent=5, later_percent=10)

    def modules(self) -> Sequence[ts.Module]:
        """The four owners."""
        return modules()

    def newcomers(self) -> Sequence[ts.Module]:
        """Who keeps notes of the orders, from the second process on."""
        return (Notes(),)

    def performers(self) -> Sequence[ts.Performer]:
        """Gateway and carrier. What is given back, or brought back, is known by what it undoes; no such wish is declined."""
        gateway, carrier = self.gateway, self.carrier
        return (
            gateway.performs(Charge, lambda _charge, key: Receipt(payment_id=f"pay-{key}")),
            gateway.performs(
                Refund,
                lambda refund, _key: RefundReceipt(refund_id=f"refund-{refund.payment_id}"),
                key=lambda r: r.payment_id,
                declines=False,
            ),
            carrier.performs(RequestShipment, lambda _request, key: Waybill(shipment_id=f"ship-{key}", tracking_number=f"TN-{key}")),
            carrier.performs(
                Recall, lambda recall, _key: Recalled(shipment_id=recall.shipment_id), key=lambda r: r.shipment_id, declines=False
            ),
        )

    def deliver(self, system: ts.System) -> None:
        """Answers that were promised."""
        self.gateway.deliver(system.complete)
        self.carrier.deliver(system.complete)

    def wishes(self) -> Iterator[Wish]:
        """Stock first, most of it; then orders within ten minutes, and cancels after some of them, soon or late."""
        chance = self.chance
        for sku in SKUS:
            yield Wish(timedelta(), ReceiveStock(sku=sku, quantity=chance.between(3, 12, "stock", sku)), f"stock:{sku}")
        for number in range(1, self.orders + 1):
            order_id, at = f"order-{number}", timedelta(seconds=600 * chance.at("order", number))
            yield Wish(at, self._order(number, order_id), f"place:{order_id}")
            if chance.at("regret", number) < REGRET:
                later = timedelta(seconds=chance.pick((0.0, 0.01, 1.0, 30.0, 400.0), "hesitates", number))
                yield Wish(at + later, CancelOrder(order_id=order_id), f"cancel:{order_id}" if number % 2 else None)
        yield Wish(timedelta(minutes=5), ReceiveStock(sku="tea", quantity=5), "stock:more")

    def _order(self, number: int, order_id: str) -> PlaceOrder:
        chance = self.chance
        lines = chance.between(1, 2, "lines", number)
        items = tuple(
            OrderItem(
                sku=chance.pick(SKUS, "sku", number, line),
                quantity=chance.between(1, 3, "quantity", number, line),
                unit_price=Money(cents=100, currency="EUR"),
            )
            for line in range(lines)
        )
        return PlaceOrder(customer_id="customer", items=items, address="1 High Street", order_id=order_id)

    def invariants(self) -> Sequence[Invariant]:
        """Goods, money and parcels."""
        return (StockIsConserved(), BooksAgree(self.gateway, self.carrier), NotesAreKept())


class BusyStore(SimulatedStore):
    """A day of many orders, none of which is refused for want of stock."""

    orders: ClassVar[int] = 400

    def wishes(self) -> Iterator[Wish]:
        """More of everything than can be ordered, then as any other day."""
        for sku in SKUS:
            yield Wish(timedelta(), ReceiveStock(sku=sku, quantity=250 * self.orders))
        yield from super().wishes()


class StockIsConserved:
    """S9: a unit is on hand, reserved or shipped, and none of these is ever below zero; counted from the events, not by Inventory."""

    def __init__(self) -> None:
        self._audit = StockAudit()
        self._on_hand: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more event."""
        self._audit.take(event)
        for sku, on_hand, reserved in _movements(event):
            self._on_hand[sku] += on_hand
            self._reserved[sku] += reserved
            if self._on_hand[sku] < 0 or self._reserved[sku] < 0:
                text = f"{sku}: {self._on_hand[sku]} on hand and {self._reserved[sku]} reserved after {recorded.event_type}"
                raise InvariantViolation("S9", text, position=recorded.position)

    def end(self, system: ts.System) -> None:
        """What Inventory has agrees with what was counted."""
        stock = system.resident(Stock)
        problems = [*self._audit.problems(stock)]
        problems += [f"{sku}: {count} on hand" for sku, count in self._on_hand.items() if stock.level(sku).on_hand != count]
        if problems:
            raise InvariantViolation("S9", "; ".join(problems))


def _movements(event: Any) -> Iterable[tuple[str, int, int]]:
    """Article, and how many more are on hand and reserved."""
    match event:
        case StockReceived():
            return ((event.sku, event.quantity, 0),)
        case InventoryReserved():
            return tuple((item.sku, -item.quantity, item.quantity) for item in event.reservations)
        case InventoryReleased():
            return ((event.sku, event.quantity, -event.quantity),)
        case InventoryShipped():
            return tuple((item.sku, 0, -item.quantity) for item in event.items)
        case _:
            return ()


class BooksAgree:
    """S10: one capture at most for each payment, no more given back than was captured; and what the log says was done was done.

    What was done stands in the log too, with one exception: a provider that fails after each of an execution's attempts had its effect has
    said no, as far as anybody can know.
    """

    def __init__(self, gateway: FakeProvider, carrier: FakeProvider) -> None:
        self._gateway = gateway
        self._carrier = carrier
        self._records: list[ts.Recorded] = []
        self._failed: set[str] = set()

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more record."""
        del event
        self._records.append(recorded)
        if recorded.settles == "failed" and recorded.token is not None:
            self._failed.add(recorded.token)

    def end(self, system: ts.System) -> None:
        """Hold the ledgers against the log."""
        del system
        heard = Heard.of(self._records).numbers
        captured = {entry.result.payment_id for entry in self._gateway.done(Charge)}
        refunded = {entry.asked.payment_id for entry in self._gateway.done(Refund)}
        shipped = {entry.result.shipment_id for entry in self._carrier.done(RequestShipment)}
        recalled = {entry.result.shipment_id for entry in self._carrier.done(Recall)}
        for what, done, known in (("capture", captured, heard["capture"]), ("shipment", shipped, heard["shipment"])):
            _same(what, {number for number in done if number.partition("-")[2] not in self._failed}, known, done)
        for what, undone, of in (("refund", refunded, captured), ("recall", recalled, shipped)):
            if undone - of:
                raise InvariantViolation("S10", f"{what} of what was never done: {sorted(undone - of)}")
        orders = Counter(entry.asked.order_id for entry in self._gateway.done(Charge))
        if orders and max(orders.values()) > 1:
            raise InvariantViolation("S10", f"captured twice: {orders.most_common(1)}")


class NotesAreKept:
    """P3, P12: of each order there is a note of each event since Notes joined the log, in that order, and of those before there is none."""

    def __init__(self) -> None:
        self._happened: defaultdict[str, list[str]] = defaultdict(list)
        self._noted: defaultdict[str, list[str]] = defaultdict(list)

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more event."""
        if recorded.event_type == "OwnerJoined" and recorded.owner == Notes.name:
            self._happened.clear()
        elif isinstance(event, NOTED):
            self._happened[event.order_id].append(type(event).__name__)
        elif isinstance(event, OrderNoted):
            self._noted[event.order_id].append(event.what)

    def end(self, system: ts.System) -> None:
        """Hold the notes against the orders."""
        del system
        for order_id in sorted({*self._happened, *self._noted}):
            happened, noted = self._happened[order_id], self._noted[order_id]
            if happened != noted:
                raise InvariantViolation("P3", f"{order_id}: {happened} have happened since notes are kept, and there are notes of {noted}")


def _same(what: str, must: set[str], known: set[str], done: set[str]) -> None:
    if known - done:
        raise InvariantViolation("S10", f"the log has {what}s that were never made: {sorted(known - done)}")
    if must - known:
        raise InvariantViolation("S10", f"{what}s were made, and the log knows nothing of them: {sorted(must - known)}")
