"""Inventory: what is on the shelves, and what is set aside for whom. An order has one reservation: all of its goods, or none."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec
from pyrsistent import PMap, pmap

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    InventoryReleased,
    InventoryReservationFailed,
    InventoryReserved,
    InventoryShipped,
    OrderCancelled,
    OrderItem,
    OrderPaymentFailed,
    OrderPlaced,
    OrderShipped,
    SkuDelisted,
    SkuQuantity,
    StockReceived,
)
from tallystick.scenarios.tiny_store.status import moved

_replace = msgspec.structs.replace


class ReservationStatus(StrEnum):
    """Where a reservation stands."""

    RESERVED = "RESERVED"
    FAILED = "FAILED"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"


_S = ReservationStatus
RESERVATION_MOVES: Final = {
    None: frozenset({_S.RESERVED, _S.FAILED}),
    _S.RESERVED: frozenset({_S.RESERVED, _S.RELEASED, _S.SHIPPED}),  # RESERVED again: an article went back, others are still held
}
"""The legal moves. A status that is not a key is final."""


class Reservation(ts.Aggregate):
    """What is set aside for an order; `status` is None before its goods were looked for."""

    status: ReservationStatus | None = None
    items: tuple[SkuQuantity, ...] = ()
    reason: str = ""

    @property
    def closed(self) -> bool:  # type: ignore[override]  # a setting of the class there, a property here
        """Whether nothing can happen to it any more."""
        return self.status is not None and self.status not in RESERVATION_MOVES


class StockLevel(ts.Record):
    """One article. A unit is in exactly one of `on_hand`, `reserved` and `shipped`, so the three add up to what was ever received.

    `on_hand` is what nobody has set aside: available without further arithmetic. `active`: whether it is for sale.
    """

    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0
    active: bool = True

    @property
    def received(self) -> int:
        """What was ever received; only a receipt changes it."""
        return self.on_hand + self.reserved + self.shipped


class Stock(ts.Resident):
    """All articles, by SKU."""

    levels: PMap[str, StockLevel] = pmap()

    def level(self, sku: str) -> StockLevel:
        """The article's, or that of one that was never listed."""
        return self.levels.get(sku, UNLISTED)


UNLISTED: Final = StockLevel(active=False)


class StockError(ts.TallystickError):
    """A movement of goods would leave less than none of them; nothing has changed."""


class ReceiveStock(ts.Command[None]):
    """Put goods on the shelf; the article is for sale from then on."""

    sku: str
    quantity: int


class DelistSku(ts.Command[None]):
    """Take an article out of the shop; new orders of it are refused."""

    sku: str


class Inventory(ts.Module):
    """The owner of stock and reservations."""

    name: ClassVar[str] = "inventory"

    @ts.handles(ReceiveStock, emits=[StockReceived])
    def receive(self, turn: ts.Turn, command: ReceiveStock) -> ts.Decision[None]:
        """Rejects with BAD_QUANTITY."""
        del turn
        if command.quantity <= 0:
            code = "BAD_QUANTITY"
            raise ts.Rejected(code, f"{command.sku}: at least one unit is received, not {command.quantity}.")
        yield StockReceived(sku=command.sku, quantity=command.quantity)

    @ts.handles(DelistSku, emits=[SkuDelisted])
    def delist(self, turn: ts.Turn, command: DelistSku) -> ts.Decision[None]:
        """Rejects with UNKNOWN_SKU."""
        if command.sku not in turn.resident(Stock).levels:
            code = "UNKNOWN_SKU"
            raise ts.Rejected(code, f"There is no article {command.sku!r}.")
        yield SkuDelisted(sku=command.sku)

    @ts.reacts_to(OrderPlaced, emits=[InventoryReserved, InventoryReservationFailed])
    def reserve(self, turn: ts.Turn, event: OrderPlaced) -> ts.Effects:
        """All goods or none; an order that has its reservation gets no second one."""
        if turn.get(Reservation, event.order_id) is not None:
            return
        wanted = _wanted(event.items)
        reason = _shortage(turn.resident(Stock), wanted)
        if reason:
            yield InventoryReservationFailed(order_id=event.order_id, reason=reason)
        else:
            yield InventoryReserved(order_id=event.order_id, reservations=wanted)

    @ts.reacts_to(OrderPaymentFailed, emits=[InventoryReleased])
    def release_unpaid(self, turn: ts.Turn, event: OrderPaymentFailed) -> ts.Effects:
        """What was set aside goes back."""
        return _released(turn, event.order_id)

    @ts.reacts_to(OrderCancelled, emits=[InventoryReleased])
    def release_cancelled(self, turn: ts.Turn, event: OrderCancelled) -> ts.Effects:
        """What was set aside goes back.

        A cancel that overtakes the reservation cannot be missed: this owner takes the order's events in their order, so it has looked
        for the goods by now, and releases what it found, whatever Orders knew when it wrote the cancel.
        """
        return _released(turn, event.order_id)

    @ts.reacts_to(OrderShipped, emits=[InventoryShipped])
    def hand_out(self, turn: ts.Turn, event: OrderShipped) -> ts.Effects:
        """What was set aside leaves the house."""
        reservation = turn.get(Reservation, event.order_id)
        if reservation is not None and reservation.status is _S.RESERVED:
            yield InventoryShipped(order_id=event.order_id, items=reservation.items)

    @ts.folds(InventoryReserved, Reservation)
    def held(self, reservation: Reservation, event: InventoryReserved) -> Reservation:
        """Held until released or shipped."""
        return Reservation(status=_moved(reservation, _S.RESERVED), items=event.reservations)

    @ts.folds(InventoryReservationFailed, Reservation)
    def not_held(self, reservation: Reservation, event: InventoryReservationFailed) -> Reservation:
        """Final."""
        return Reservation(status=_moved(reservation, _S.FAILED), reason=event.reason)

    @ts.folds(InventoryReleased, Reservation)
    def let_go(self, reservation: Reservation, event: InventoryReleased) -> Reservation:
        """Final with its last article."""
        items = tuple(item for item in reservation.items if item.sku != event.sku)
        return _replace(reservation, status=_moved(reservation, _S.RESERVED if items else _S.RELEASED), items=items)

    @ts.folds(InventoryShipped, Reservation)
    def gone(self, reservation: Reservation, event: InventoryShipped) -> Reservation:
        """Final."""
        del event
        return _replace(reservation, status=_moved(reservation, _S.SHIPPED))

    @ts.folds(StockReceived, Stock)
    def stock_received(self, stock: Stock, event: StockReceived) -> Stock:
        """More on the shelf, and for sale."""
        level = stock.level(event.sku)
        return _with(stock, event.sku, _replace(level, on_hand=level.on_hand + event.quantity, active=True))

    @ts.folds(SkuDelisted, Stock)
    def stock_delisted(self, stock: Stock, event: SkuDelisted) -> Stock:
        """Not for sale."""
        return _with(stock, event.sku, _replace(stock.level(event.sku), active=False))

    @ts.folds(InventoryReserved, Stock)
    def stock_reserved(self, stock: Stock, event: InventoryReserved) -> Stock:
        """From the shelf to the side."""
        for item in event.reservations:
            level = stock.level(item.sku)
            stock = _with(stock, item.sku, _replace(level, on_hand=level.on_hand - item.quantity, reserved=level.reserved + item.quantity))
        return stock

    @ts.folds(InventoryReleased, Stock)
    def stock_released(self, stock: Stock, event: InventoryReleased) -> Stock:
        """Back on the shelf."""
        level = stock.level(event.sku)
        return _with(stock, event.sku, _replace(level, on_hand=level.on_hand + event.quantity, reserved=level.reserved - event.quantity))

    @ts.folds(InventoryShipped, Stock)
    def stock_shipped(self, stock: Stock, event: InventoryShipped) -> Stock:
        """Out of the house."""
        for item in event.items:
            level = stock.level(item.sku)
            stock = _with(stock, item.sku, _replace(level, reserved=level.reserved - item.quantity, shipped=level.shipped + item.quantity))
        return stock


def _moved(reservation: Reservation, to: ReservationStatus) -> ReservationStatus:
    return moved("Reservation", RESERVATION_MOVES, reservation.status, to)


def _wanted(items: tuple[OrderItem, ...]) -> tuple[SkuQuantity, ...]:
    """Each article once, however many lines of the order name it."""
    quantities: dict[str, int] = {}
    for item in items:
        quantities[item.sku] = quantities.get(item.sku, 0) + item.quantity
    return tuple(SkuQuantity(sku=sku, quantity=quantity) for sku, quantity in quantities.items())


def _shortage(stock: Stock, wanted: tuple[SkuQuantity, ...]) -> str:
    """Why not all of it can be had; empty if it can."""
    for item in wanted:
        level = stock.level(item.sku)
        if not level.active:
            return f"UNKNOWN_SKU: {item.sku}"
        if level.on_hand < item.quantity:
            return f"INSUFFICIENT_STOCK: {item.sku}"
    return ""


def _released(turn: ts.Turn, order_id: str) -> ts.Effects:
    """One event for each article that is still held, so that a second cancel releases nothing."""
    reservation = turn.get(Reservation, order_id)
    if reservation is not None and reservation.status is _S.RESERVED:
        for item in reservation.items:
            yield InventoryReleased(order_id=order_id, sku=item.sku, quantity=item.quantity)


def _with(stock: Stock, sku: str, level: StockLevel) -> Stock:
    """The stock with one level changed; less than nothing of anything is refused (S9)."""
    if level.on_hand < 0 or level.reserved < 0 or level.shipped < 0:
        amounts = f"{level.on_hand} on hand, {level.reserved} reserved, {level.shipped} shipped"
        msg = f"Stock of {sku!r} would be {amounts}; none may be below zero."
        raise StockError(msg)
    return Stock(levels=stock.levels.set(sku, level))
