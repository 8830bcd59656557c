"""The stage: a Tiny Store in virtual time, for scripts that play a story on it and tell what happens as it happens."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import tallystick as ts
from tallystick.scenarios.telling import Audience, PlayedWrong, Teller, must_be
from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order, OrderStatus, PlaceOrder
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway
from tallystick.scenarios.tiny_store.system import modules, performers

MORNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
A_MOMENT: Final = timedelta(milliseconds=20)
"""What passes between two things that a script does, so that the times in the log tell them apart."""


class Stage(Teller):
    """One store, its gateway and its carrier. A script opens the shop, plays, and may let the process "die" in between.

    The clock, the providers and the log outlive a crash, as they do in the world; everything else is made anew. As a context manager it
    closes the shop at the end.
    """

    def __init__(self, log: ts.EventLog, audience: Audience | None = None) -> None:
        super().__init__(audience or Audience())
        self._log = log
        self.clock = ts.ManualClock(MORNING)
        self.gateway = Gateway()
        self.carrier = Carrier()
        self.store: tuple[ts.Module, ...] = modules()
        self._system: ts.System | None = None
        self._runtime: ts.SteppedRuntime | None = None
        self._opened = False

    # Opening and closing.

    def __enter__(self) -> Self:
        """The stage, on which nothing is open yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the shop, unless its log failed: that would only complain of it in other words."""
        if error is None or isinstance(error, PlayedWrong):
            self.close()

    def open(self) -> None:
        """Open the shop on its log; also again, after it was closed or has crashed."""
        if self._opened:
            self._log = self._log.reopened()
        self._opened = True
        self._runtime = ts.SteppedRuntime(self.clock)
        self._system = ts.System(self.store, performers=performers(self.gateway, self.carrier), log=self._log, runtime=self._runtime)
        self._system.__enter__()
        self.run()

    def crash(self) -> None:
        """Let the process die here: what is not in the log is gone."""
        self.show(self.system)
        self._log.close()
        self._system = self._runtime = None

    def close(self) -> None:
        """Close the shop in good order; closing again does nothing."""
        if self._system is not None:
            self.show(self.system)
            self._system.stop()
            self._system = None

    @property
    def system(self) -> ts.System:
        """The running system."""
        if self._system is None:
            msg = "The shop is closed."
            raise PlayedWrong(msg)
        return self._system

    @property
    def runtime(self) -> ts.SteppedRuntime:
        """What it runs on."""
        if self._runtime is None:
            msg = "The shop is closed."
            raise PlayedWrong(msg)
        return self._runtime

    # Playing.

    def stock(self, **quantities: int) -> None:
        """Goods come in."""
        for sku, quantity in quantities.items():
            self.system.ask(ReceiveStock(sku=sku, quantity=quantity))
        self.run()

    def order(self, order_id: str, **quantities: int) -> PlaceOrder:
        """An order of one packet of tea, unless it is said otherwise."""
        price = Money(cents=450, currency="EUR")
        items = tuple(OrderItem(sku=sku, quantity=count, unit_price=price) for sku, count in (quantities or {"tea": 1}).items())
        return PlaceOrder(customer_id="customer-1", items=items, address="1 High Street", order_id=order_id)

    def place(self, order_id: str, **quantities: int) -> None:
        """A customer orders, and is answered; nothing else has happened yet."""
        self.clock.advance(A_MOMENT)
        self.system.ask(self.order(order_id, **quantities), idempotency_key=f"place:{order_id}")

    def at_once(self, *commands: ts.Command[Any]) -> None:
        """Commands that come before anything else can happen; none of them may be refused."""
        self.clock.advance(A_MOMENT)
        answers = [self.system.submit(command) for command in commands]
        self.run()
        for answer in answers:
            answer.result()

    def cancel(self, order_id: str) -> None:
        """The customer does not want it any more."""
        self.clock.advance(A_MOMENT)
        self.system.ask(CancelOrder(order_id=order_id), idempotency_key=f"cancel:{order_id}")
        self.run()

    def run(self) -> None:
        """Let happen what happens without time passing."""
        self.runtime.run_until_idle()
        self.show(self.system)

    def run_until(self, condition: Callable[[], bool]) -> None:
        """Let happen what happens until the condition holds, and not a step more.

        Raises:
            PlayedWrong: it never does.
        """
        while not condition():
            if not self.runtime.step():
                msg = "The store has come to rest before the script's next cue."
                raise PlayedWrong(msg)
        self.show(self.system)

    def wait(self, duration: timedelta) -> None:
        """Let time pass."""
        end = self.clock.now + duration
        while (due := self.runtime.next_due()) is not None and due <= end:
            self.runtime.advance_to(due)
            self.show(self.system)
        self.runtime.advance_to(end)
        self.show(self.system)

    # Looking.

    def status(self, order_id: str) -> OrderStatus | None:
        """Where an order stands; None if it was never placed."""
        order = self.system.get(Order, order_id)
        return None if order is None else order.status

    def happened(self, event: type[ts.Event], order_id: str) -> bool:
        """Whether the log has such an event of an order."""
        return any(self.system.events(event_types=(event.__name__,), aggregate_id=order_id, limit=1))

    def expect(self, order_id: str, status: OrderStatus) -> None:
        """Check the end of a story.

        Raises:
            PlayedWrong: the order stands elsewhere.
        """
        stands = self.status(order_id)
        must_be(stands, status, f"Order {order_id} is {stands}, where {status} was expected.")
        self.say(f"Order {order_id} is {status}.")

    def expect_ledger(self, **counts: int) -> None:
        """Check what gateway and carrier have really done.

        Raises:
            PlayedWrong: a ledger says otherwise.
        """
        entries = (*self.gateway.ledger.entries(), *self.carrier.ledger.entries())
        found = {kind: sum(entry.kind == kind for entry in entries) for kind in counts}
        must_be(found, counts, f"The ledgers have {found}, where {counts} was expected.")
        self.say("The ledgers have " + ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items()) + ".")
