"""What a replay asks of the store for a recorded order, and whether a log holds just that already. When it is asked is the replay's."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

import tallystick as ts
from tallystick.host.orders_file import RecordedOrder
from tallystick.host.replay_course import EVENTS, PLACED, Courses
from tallystick.scenarios.tiny_store.events import OrderItem, OrderPlaced
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import PlaceOrder

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""When the log of a replay begins whose file had no orders yet."""
CURRENCY: Final = "BRL"
ADDRESS: Final = "not recorded"


def _money(cents: int) -> Money:
    return Money(cents=cents, currency=CURRENCY)


UNLISTED: Final = OrderItem(sku="UNLISTED", quantity=1, unit_price=_money(0))
"""What stands in for the items of an order whose goods could not be had."""


def placing(order: RecordedOrder) -> PlaceOrder:
    """The command that places a recorded order."""
    items = tuple(OrderItem(sku=each.sku, quantity=each.quantity, unit_price=_money(each.unit_price_cents)) for each in order.items)
    return PlaceOrder(
        customer_id=order.customer_id,
        items=items or (UNLISTED,),
        address=ADDRESS,
        freight=_money(sum(each.freight_cents for each in order.items)),
        order_id=order.order_id,
    )


class WrongLog(ts.TallystickError):
    """The log was made from another file of orders or by something else, or the file has changed since."""

    def __init__(self, difference: str) -> None:
        super().__init__(
            f"{difference}. The log was made from another file or is no replay's, or this file has changed since: give the file that it "
            "was made from, or another log."
        )


class HeldOrders:
    """The orders that a log holds already, in turn, to be held against those of a file.

    Orders are placed in the file's order, one after another; so those of a log are the first ones of its file, whenever it ended.
    """

    def __init__(self, log: ts.SqliteReader, file_name: str) -> None:
        self._log = log
        self._file_name = file_name
        self._events: Iterator[ts.Recorded] = log.read(ts.Query(event_types=(PLACED, *EVENTS)))
        self._courses = Courses()
        self._matched = 0

    def match(self, order: RecordedOrder) -> bool:
        """Whether the log's next order is the file's next one; False where the log has no more.

        Raises:
            WrongLog: it is another one, or not as the file has it.
        """
        placed = self._next_placed()
        if placed is None:
            return False
        number = self._matched + 1
        if placed.aggregate_id != order.order_id:
            msg = f"Order number {number} is {placed.aggregate_id} in {self._log.path}, but {order.order_id} in {self._file_name}"
            raise WrongLog(msg)
        differing = ", ".join(_differing(placed, order))
        if differing:
            raise self._differs(order.order_id, differing)
        self._matched = number
        self._courses.placed(order)
        return True

    def end(self, first: RecordedOrder | None, stands_at: datetime) -> None:
        """The file, with that first order, has no more that the log could hold, which stands at that moment.

        Raises:
            WrongLog: the log holds more, or less of its orders than was due before then; or it is not the log of a replay.
        """
        more = self._next_placed()
        if more is not None:
            lacking = 1 + sum(1 for each in self._events if each.event_type == PLACED)
            orders = self._matched + lacking
            msg = f"{self._log.path} holds {orders} orders, and {self._file_name} lacks {lacking} of them, from {more.aggregate_id} on"
            raise WrongLog(msg)
        for order_id, field in self._courses.lacking(stands_at):
            raise self._differs(order_id, field)
        begun = next(self._log.read(ts.Query(limit=1))).occurred_at
        if begun != EPOCH and (first is None or begun != first.placed_at):
            placed = "holds no order" if first is None else f"begins at {first.placed_at.isoformat()}"
            msg = f"{self._log.path} begins at {begun.isoformat()}, but {self._file_name} {placed}"
            raise WrongLog(msg)

    def _next_placed(self) -> ts.Recorded | None:
        """The log's next placing; what came of earlier orders before it is held against the file on the way."""
        for recorded in self._events:
            if recorded.event_type == PLACED:
                return recorded
            differing = self._courses.differing(recorded)
            if differing:
                raise self._differs(recorded.aggregate_id, differing)
        return None

    def _differs(self, order_id: str, fields: str) -> WrongLog:
        return WrongLog(f"Order {order_id} in {self._log.path} differs from that in {self._file_name}: {fields}")

    def passed_over(self, order: RecordedOrder) -> WrongLog:
        """The error where the log has no such order, though it goes on beyond the moment when it should have been placed.

        So it is with the log of a replay that came to its end, when the file has grown by orders of before that end.
        """
        number, moment = self._matched + 1, order.placed_at.isoformat()
        return WrongLog(f"{self._log.path} lacks order {order.order_id}, number {number}, but goes beyond {moment}, when it was placed")


def _differing(placed: ts.Recorded, order: RecordedOrder) -> Iterator[str]:
    """What of an order's placing is not as the file has it, in the file's words."""
    try:
        was = msgspec.json.decode(placed.payload, type=OrderPlaced)
    except msgspec.MsgspecError:
        yield "what was placed cannot be read"
        return
    wanted = placing(order)
    cents = sum(each.quantity * each.unit_price_cents + each.freight_cents for each in order.items)
    if placed.occurred_at != order.placed_at:
        yield "placed_at"
    if was.customer_id != wanted.customer_id:
        yield "customer_id"
    if was.items != wanted.items:
        yield "items"
    elif was.total_amount.cents != cents:
        yield "freight_cents"
