"""The replay: a file of recorded orders run through the Tiny Store in virtual time, and gone on with after a crash.

Everything is done strictly in order of time, and what is due at one moment is done before the clock goes on. So when a log ends at a
moment H, all that was due before H is in it; what was due at H may be there in part. Going on means: start the clock at H, do again what
is due at H (each step can be repeated without harm), and leave out what was due before.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import Final

import tallystick as ts
from tallystick.host.agenda import Agenda, Item
from tallystick.host.orders_file import MalformedLine, OrdersFile, RecordedOrder
from tallystick.host.replay_course import PAYMENT_TIMEOUT, SHIPMENT_TIMEOUT
from tallystick.host.replay_orders import UNLISTED, HeldOrders, WrongLog, placing
from tallystick.host.replay_world import Answer, Known, World, known_of
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order, OrderStatus
from tallystick.scenarios.tiny_store.payments import Payments
from tallystick.scenarios.tiny_store.shipments import Deliver, Dispatch, Shipment, Shipments, ShipmentStatus
from tallystick.scenarios.tiny_store.system import modules, performers

LOT_UNITS: Final = 1_000_000
"""How many units of a listed article come in at a time, so that it never runs out."""

Progress = Callable[[int], None]
"""Told how many bytes of the file have been read."""


def replay(orders_path: str | PathLike[str], log_path: str | PathLike[str], progress: Progress) -> int:
    """Replay a file into a log, from where the log stands; how many executions are open at the end (none, if all is well).

    Raises:
        MalformedLine: a line is no order; what stands before it is done and in the log.
        WrongLog: the log was made from another file, or by something else; nothing was done.
        LogLocked: another process writes it, perhaps a replay of this very file; so nobody compares the two while one of them grows.
        TallystickError: the log cannot be used.
    """
    # A power cut may take the last moments away: they are made again from the file, as after any other crash.
    log = ts.SqliteLog(log_path, durability="survives_process_crash_only")
    with closing(log), OrdersFile(orders_path) as file:
        log.hold()
        orders = iter(file)
        first = next(orders, None)
        stands_at = _stands_at(log_path)
        start = max((moment for moment in (stands_at, first.placed_at if first else None) if moment is not None), default=None)
        clock = ts.ManualClock(start)
        world = World(clock)
        given = chain(() if first is None else (first,), orders)
        reader = Reader(given, lambda: progress(file.position))
        if stands_at is not None:
            with closing(ts.SqliteReader(log_path)) as log_so_far:
                _skip_done(reader, HeldOrders(log_so_far, file.name), world, stands_at)
        runtime = ts.SteppedRuntime(clock)
        store = modules(payments=Payments(timeout=PAYMENT_TIMEOUT), shipments=Shipments(timeout=SHIPMENT_TIMEOUT))
        with ts.System(store, performers=performers(world, world), log=log, runtime=runtime) as system:
            driver = Driver(system, runtime, world, reader)
            if stands_at is not None:
                driver.go_on(stands_at)
            driver.run()
            return len(system.open_executions())


class Reader:
    """Reads ahead, and keeps count of the lots that have come in for the orders that were taken."""

    def __init__(self, orders: Iterator[RecordedOrder], progress: Callable[[], None]) -> None:
        self._orders = orders
        self._progress = progress
        self._ahead: deque[RecordedOrder] = deque()
        self._lots: dict[str, tuple[int, int]] = {}
        self.unreadable: MalformedLine | None = None
        """The next line, where it cannot be read and its turn has not come."""

    def peek(self) -> RecordedOrder | None:
        """The next order, None at the end of the file."""
        if not self._ahead:
            self._ahead.extend(islice(self._orders, 1))
            self._progress()
        return self._ahead[0] if self._ahead else None

    def placed_at(self, moment: datetime) -> Iterator[RecordedOrder]:
        """The next orders, as long as they were placed at that moment; they stay the next ones.

        A line that cannot be read is left for when its turn comes.
        """
        while not self._ahead or self._ahead[-1].placed_at == moment:
            try:
                order = next(self._orders, None)
            except MalformedLine as error:
                self.unreadable = error
                self._orders = _raising(error)
                break
            if order is None:
                break
            self._ahead.append(order)
        return (order for order in self._ahead if order.placed_at == moment)

    def take(self) -> tuple[RecordedOrder, list[tuple[ReceiveStock, str]]]:
        """The next order, and the goods that have to come in before it, each with its idempotency key."""
        order = self._ahead.popleft()
        return order, list(self._lots_for(order))

    def _lots_for(self, order: RecordedOrder) -> Iterator[tuple[ReceiveStock, str]]:
        """What a file's orders need is the same at each reading, so that a lot has the same key and size at each."""
        for item in order.items:
            if item.sku == UNLISTED.sku:
                continue
            lots, left = self._lots.get(item.sku, (0, 0))
            if left < item.quantity:
                lots, left = lots + 1, left + LOT_UNITS
                yield ReceiveStock(sku=item.sku, quantity=LOT_UNITS), f"stock:{item.sku}:{lots}"
            self._lots[item.sku] = (lots, left - item.quantity)


def _raising(error: Exception) -> Iterator[RecordedOrder]:
    yield from ()
    raise error


def _stands_at(log_path: str | PathLike[str]) -> datetime | None:
    """The moment of the log's last event; None when there is none."""
    if not Path(log_path).exists() or Path(log_path).stat().st_size == 0:
        return None
    with closing(ts.SqliteReader(log_path)) as reader:
        last = next(reader.read(ts.Query(limit=1, newest_first=True)), None)
        return None if last is None else last.occurred_at


def _skip_done(reader: Reader, held: HeldOrders, world: World, stands_at: datetime) -> None:
    """Read past the orders that are in the log, and tell the world of those that something is still to happen to.

    Also of those that were placed at that very moment: they may be in the log, and the system asks for them as soon as it is opened.
    """
    first = reader.peek()
    while (order := reader.peek()) is not None and order.placed_at < stands_at:
        if not held.match(order):
            raise held.passed_over(order)
        known = known_of(order)
        if known.ended_at >= stands_at:
            world.orders[order.order_id] = known
        reader.take()
    for order in reader.placed_at(stands_at):
        held.match(order)
        world.orders[order.order_id] = known_of(order)
    try:
        held.end(first, stands_at)
    except WrongLog as error:
        raise reader.unreadable or error from error


class Driver:
    """Drives one system through what a reader gives."""

    def __init__(self, system: ts.System, runtime: ts.SteppedRuntime, world: World, reader: Reader) -> None:
        self._system = system
        self._runtime = runtime
        self._world = world
        self._reader = reader
        self._agenda = Agenda()
        self._placing = ""
        self._stood_at: datetime | None = None
        self._touched: list[str] = []

    @property
    def now(self) -> datetime:
        """Virtual time."""
        return self._runtime.clock.now

    def go_on(self, stands_at: datetime) -> None:
        """Enter what was due from then on for the orders that were placed before."""
        self._stood_at = stands_at
        for order_id, known in self._world.orders.items():
            if known.placed_at == stands_at:
                continue  # it is still to be placed, or again
            self._enter(order_id, known, since=stands_at)
            self._world.taken.append(order_id)
            self._touched.append(order_id)

    def run(self) -> None:
        """Until the file is at its end, and nothing to be done and no timer is left."""
        self._settle_moment()
        while True:
            self._read_ahead()
            at, timer_at = self._agenda.next_at(), self._runtime.next_due()
            if timer_at is not None and (at is None or timer_at < at):
                self._runtime.advance_to(timer_at)
            elif at is not None:
                # Not by the runtime, which would let timers fire that are due at that very moment, before the answers that are.
                self._runtime.clock.advance(at - self.now)
            else:
                return
            self._settle_moment()

    def _read_ahead(self) -> None:
        order = self._reader.peek()
        if order is not None and order.order_id != self._placing:
            self._placing = order.order_id
            self._agenda.add(order.placed_at, "place", order.order_id)

    def _settle_moment(self) -> None:
        """Do what is due by now, and all that follows from it at once."""
        at = self.now
        while True:
            for item in self._agenda.due(at):
                self._do(item)
            self._runtime.run_until_idle()
            if not self._world.taken:
                break
            self._send_out()
        for order_id in self._touched:
            known = self._world.orders.get(order_id)
            if known is not None and known.answered_at <= at:
                self._world.forget(order_id)
        self._touched.clear()

    def _do(self, item: Item) -> None:
        self._touched.append(item.order_id)
        match item.what:
            case "pay":
                self._answer("payment", item.order_id)
            case "ship":
                self._answer("shipment", item.order_id)
            case "place":
                self._place()
            case "cancel":
                self._cancel(item.order_id)
            case "deliver":
                self._deliver(item.order_id, item.at)

    def _enter(self, order_id: str, known: Known, *, since: datetime) -> None:
        """Enter an order's answers and its cancel. An answer that has passed is given when it is asked for."""
        self._agenda.add(known.approved_at, "pay", order_id, since=since)
        self._agenda.add(known.handed_at, "ship", order_id, since=since)
        self._agenda.add(known.cancelled_at, "cancel", order_id, since=since)

    def _place(self) -> None:
        order, lots = self._reader.take()
        known = self._world.orders[order.order_id] = known_of(order)
        for lot, key in lots:
            self._system.ask(lot, idempotency_key=key)
        self._system.ask(placing(order), idempotency_key=f"place:{order.order_id}")
        self._enter(order.order_id, known, since=self.now)
        if self.now == self._stood_at:  # it may have been placed, and its parcel taken, before the crash
            self._world.taken.append(order.order_id)

    def _cancel(self, order_id: str) -> None:
        """That it is too late is the customer's to bear; it stands in the log as the answer to the command."""
        try:
            self._system.ask(CancelOrder(order_id=order_id), idempotency_key=f"cancel:{order_id}")
        except ts.Rejected as refusal:
            if refusal.code == "UNKNOWN_ORDER":  # it was placed, so something is wrong with the replay
                raise

    def _answer(self, answer: Answer, order_id: str) -> None:
        """Give the answer that was promised, or one that nobody waits for any more; none if it was never asked for."""
        token = self._token(answer, order_id)
        if token is not None:
            result = self._world.receipt(order_id) if answer == "payment" else self._world.waybill(order_id)
            self._system.complete(token, result)

    def _token(self, answer: Answer, order_id: str) -> ts.Token | None:
        """From the call, or after a crash from the event that settled it without an answer."""
        token = self._world.tokens.get((answer, order_id))
        if token is not None:
            return token
        of = {"aggregate_type": answer.capitalize(), "aggregate_id": order_id, "limit": 1}
        return next((ts.Token(each.token) for each in self._system.events(**of) if each.token and each.settles != "succeeded"), None)

    def _send_out(self) -> None:
        """Parcels that the carrier has taken leave at once; if the order has been cancelled or given up meanwhile, none does."""
        taken, self._world.taken = self._world.taken, []
        for order_id in taken:
            order, shipment = self._system.get(Order, order_id), self._system.get(Shipment, order_id)
            known = self._world.orders[order_id]
            if order is None or shipment is None or order.status is not OrderStatus.SHIPPED or known.handed_at is None:
                continue
            if shipment.status is ShipmentStatus.CREATED:
                self._system.ask(Dispatch(order_id=order_id, at=known.handed_at), idempotency_key=f"dispatch:{order_id}")
            if known.delivered_at is None or shipment.status is ShipmentStatus.DELIVERED:
                continue
            if known.delivered_at <= self.now:
                self._deliver(order_id, known.delivered_at)
            else:
                self._agenda.add(known.delivered_at, "deliver", order_id)

    def _deliver(self, order_id: str, at: datetime) -> None:
        self._system.ask(Deliver(order_id=order_id, at=at), idempotency_key=f"deliver:{order_id}")
