"""The store's stories, each played on a stage of its own and checked at its end."""

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, Final, NamedTuple

import tallystick as ts
from tallystick.scenarios.telling import Audience, must_be
from tallystick.scenarios.tiny_store.events import OrderPlaced, PaymentRefunded
from tallystick.scenarios.tiny_store.inventory import Inventory
from tallystick.scenarios.tiny_store.orders import CancelOrder, Orders, OrderStatus
from tallystick.scenarios.tiny_store.payments import Payments
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway, Manner, always
from tallystick.scenarios.tiny_store.shipments import ShipmentCreation, Shipments, Waybill
from tallystick.scenarios.tiny_store.stage import Stage


class Script(NamedTuple):
    """A story by its name."""

    name: str
    summary: str
    tell: Callable[[Stage], None]

    def play(self, log: ts.EventLog, audience: Audience) -> None:
        """Tell it to its end.

        Raises:
            PlayedWrong: it goes another way.
        """
        with Stage(log, audience) as stage:
            self.tell(stage)


def happy_path(stage: Stage) -> None:
    """Ordered, reserved, confirmed, paid, shipped."""
    stage.open()
    stage.stock(tea=10)
    stage.say("A customer orders tea; the answer comes at once, while the order is pending.")
    stage.place("order-1")
    stage.run()
    stage.expect("order-1", OrderStatus.SHIPPED)
    stage.expect_ledger(capture=1, shipment=1)


def insufficient_stock(stage: Stage) -> None:
    """More than there is: all or nothing."""
    stage.open()
    stage.stock(tea=10, cup=1)
    stage.say("A customer orders tea and two cups; there is one.")
    stage.place("order-1", tea=1, cup=2)
    stage.run()
    stage.expect("order-1", OrderStatus.REJECTED)
    stage.expect_ledger(capture=0, shipment=0)


def payment_failure(stage: Stage) -> None:
    """The gateway declines; the goods go back."""
    stage.gateway = Gateway(charges=always(Manner.DECLINED))
    stage.open()
    stage.stock(tea=10)
    stage.say("The customer's card will be declined.")
    stage.place("order-1")
    stage.run()
    stage.expect("order-1", OrderStatus.PAYMENT_FAILED)
    stage.expect_ledger(capture=0)


def cancellation_pending(stage: Stage, order_id: str = "order-1") -> None:
    """Cancelled before the goods were looked for."""
    stage.open()
    stage.stock(tea=10)
    stage.say("The customer orders, and thinks better of it before anybody has looked for the goods.")
    stage.at_once(stage.order(order_id), CancelOrder(order_id=order_id))
    stage.expect(order_id, OrderStatus.CANCELLED)
    stage.expect_ledger(capture=0, shipment=0)


def cancellation_confirmed(stage: Stage, order_id: str = "order-1") -> None:
    """Cancelled while the charge is out."""
    stage.gateway = Gateway(charges=always(Manner.NEVER))
    stage.open()
    stage.stock(tea=10)
    stage.say("The goods are set aside, and the gateway takes its time; the customer cancels.")
    stage.place(order_id)
    stage.run()
    stage.cancel(order_id)
    stage.expect(order_id, OrderStatus.CANCELLED)
    stage.expect_ledger(capture=0, shipment=0)


def cancellation_paid(stage: Stage, order_id: str = "order-1") -> None:
    """Cancelled after it was paid: the money goes back."""
    stage.gateway, stage.carrier = Gateway(), Carrier(requests=always(Manner.NEVER))
    stage.open()
    stage.stock(tea=10)
    stage.say("The order is paid, and the carrier takes its time; the customer cancels.")
    stage.place(order_id)
    stage.run()
    stage.cancel(order_id)
    stage.expect(order_id, OrderStatus.CANCELLED)
    stage.expect_ledger(capture=1, refund=1, shipment=0)


class CrossedShipments(Shipments):
    """Shipments in whose turn something else arrives: between the carrier's answer and the event that tells of it."""

    name: ClassVar[str] = Shipments.name

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    @ShipmentCreation.settled
    def settle(self, turn: ts.Turn, creation: ShipmentCreation, outcome: ts.Outcome[Waybill]) -> ts.Effects:
        """As the base, but not alone: this is the script's cue, not an example of a pure handler."""
        self._meanwhile()
        return super().settle(turn, creation, outcome)


def cancellation_crossing_shipment(stage: Stage, order_id: str = "order-1") -> None:
    """Cancelled while the news that the parcel was created is on its way."""
    answers: list[Callable[[], None]] = []
    crossed = CrossedShipments(lambda: answers.append(stage.system.submit(CancelOrder(order_id=order_id)).result))
    stage.store = (Orders(), Inventory(), Payments(), crossed)
    stage.gateway, stage.carrier = Gateway(), Carrier()
    stage.open()
    stage.stock(tea=10)
    stage.say("The customer cancels at the very moment at which the carrier takes the parcel.")
    stage.place(order_id)
    stage.run()
    for answer in answers:
        answer()
    stage.expect(order_id, OrderStatus.CANCELLED)
    stage.expect_ledger(capture=1, refund=1, shipment=1, recall=1)


def cancellation(stage: Stage) -> None:
    """Cancelled at four moments, one order after another on one log."""
    parts = (cancellation_pending, cancellation_confirmed, cancellation_paid, cancellation_crossing_shipment)
    for number, part in enumerate(parts, start=1):
        part(stage, f"order-{number}")
        stage.close()


def crash_and_recovery(stage: Stage) -> None:
    """The process dies after the gateway has captured and before anybody has written that down."""
    stage.open()
    stage.stock(tea=10)
    stage.place("order-1")
    stage.run_until(lambda: bool(stage.gateway.ledger.entries()))
    stage.say("The gateway has captured the money; the process dies before it has heard so.")
    stage.crash()
    stage.say("A new process opens the log, and asks the gateway about the charge that is in doubt.")
    stage.open()
    stage.expect("order-1", OrderStatus.SHIPPED)
    stage.expect_ledger(capture=1, shipment=1)


class PoisonedInventory(Inventory):
    """Inventory with a bug that one order brings out, until it is mended."""

    name: ClassVar[str] = Inventory.name

    def __init__(self, poison: str) -> None:
        self.poison = poison

    @ts.reacts_to(OrderPlaced)
    def reserve(self, turn: ts.Turn, event: OrderPlaced) -> ts.Effects:
        """As the base, but for one order."""
        if event.order_id == self.poison:
            msg = f"division by zero in the discount of {event.order_id}"
            raise ArithmeticError(msg)
        return super().reserve(turn, event)


def poison_message(stage: Stage) -> None:
    """One order's event cannot be handled: tried four times, then put aside; the others go on."""
    inventory = PoisonedInventory("order-1")
    stage.store = (Orders(), inventory, Payments(), Shipments())
    stage.open()
    stage.stock(tea=10)
    stage.say("Inventory has a bug that order-1 brings out; order-2 is as any other.")
    stage.place("order-1")
    stage.place("order-2")
    stage.run()
    stage.expect("order-2", OrderStatus.SHIPPED)
    stage.wait(timedelta(minutes=5))
    (letter,) = stage.system.dead_letters()
    stage.say(f"After {letter.attempts} attempts it is a dead letter: {letter.error}.")
    stage.expect("order-1", OrderStatus.PENDING)
    stage.say("The bug is mended, and a person lets the letter be tried again.")
    inventory.poison = ""
    stage.system.redrive(letter, who="operator", why="mended")
    stage.run()
    stage.wait(timedelta(seconds=1))
    stage.expect("order-1", OrderStatus.SHIPPED)


def late_capture(stage: Stage) -> None:
    """The gateway captures after the order was given up: the money goes back."""
    stage.gateway = Gateway(charges=always(Manner.LATE))
    stage.open()
    stage.stock(tea=10)
    stage.say("The gateway has promised an answer, and does not keep to its time.")
    stage.place("order-1")
    stage.wait(timedelta(minutes=5))
    stage.expect("order-1", OrderStatus.PAYMENT_FAILED)
    stage.say("Now it captures.")
    stage.gateway.deliver(stage.system.complete)
    stage.run()
    stage.expect("order-1", OrderStatus.PAYMENT_FAILED)
    stage.expect_ledger(capture=1, refund=1)
    must_be(stage.happened(PaymentRefunded, "order-1"), True, "The late capture was not given back.")


SCRIPTS: Final = {
    name: Script(name, (tell.__doc__ or "").strip(), tell)
    for name, tell in {
        "happy-path": happy_path,
        "insufficient-stock": insufficient_stock,
        "payment-failure": payment_failure,
        "cancellation": cancellation,
        "cancellation-pending": cancellation_pending,
        "cancellation-confirmed": cancellation_confirmed,
        "cancellation-paid": cancellation_paid,
        "cancellation-crossing-shipment": cancellation_crossing_shipment,
        "crash-and-recovery": crash_and_recovery,
        "poison-message": poison_message,
        "late-capture": late_capture,
    }.items()
}
"""All of them, by name."""
