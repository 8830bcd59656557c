"""The process: what must happen to an order of the store, in order, by whom, and within what time. It does nothing of that itself."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import tallystick as ts
from tallystick.scenarios.tiny_store import system as store
from tallystick.scenarios.tiny_store.events import (
    InventoryReserved,
    OrderCancelled,
    OrderPaymentFailed,
    OrderPlaced,
    OrderRejected,
    PaymentProcessed,
    ShipmentDelivered,
    ShipmentDispatched,
)


class OrderFulfilment(ts.Process):
    """Paid, reserved, shipped, delivered. The store reserves before it is paid, so that the reservation is ahead of its step."""

    timeout = timedelta(days=5)
    retry = ts.FixedDelay(interval=timedelta(days=1), max_retries=2)

    placed = ts.begun_by(OrderPlaced, by="order_id")
    payment_confirmed = ts.awaits(PaymentProcessed, by="order_id")
    inventory_reserved = ts.awaits(InventoryReserved, by="order_id")
    shipped = ts.awaits(ShipmentDispatched, by="order_id")
    delivered = ts.awaits(ShipmentDelivered, by="order_id")
    rejected = ts.failed_by(OrderRejected, by="order_id", reason="reason")
    unpaid = ts.failed_by(OrderPaymentFailed, by="order_id")
    cancelled = ts.failed_by(OrderCancelled, by="order_id", reason="reason")


def modules() -> Sequence[ts.Module]:
    """The store's four, and the process."""
    return (*store.modules(), OrderFulfilment())


class FulfilmentAudit:
    """What a whole log must come to: counted from the process's events, each order apart, and not by the process."""

    def __init__(self) -> None:
        self._phase: dict[str, str] = {}
        self._steps: dict[str, list[str]] = {}
        self._problems: list[str] = []

    def take(self, event: Any) -> None:
        """One more event."""
        if not isinstance(event, _ALL):
            return
        order_id, before = event.process_id, self._phase.get(event.process_id, "idle")
        expected, after = _MOVES.get(type(event), (before, before))
        if before != expected or (isinstance(event, OrderFulfilment.StepCompleted) and before != "processing"):
            self._problems.append(f"{order_id}: {type(event).__name__} while it is {before}")
        self._phase[order_id] = after
        if isinstance(event, OrderFulfilment.StepCompleted):
            steps = self._steps.setdefault(order_id, [])
            steps.append(event.step)
            if tuple(steps) != OrderFulfilment.plan.steps[: len(steps)]:
                self._problems.append(f"{order_id}: its steps are {steps}")
        elif isinstance(event, OrderFulfilment.Completed) and len(self._steps.get(order_id, ())) != len(OrderFulfilment.plan.steps):
            self._problems.append(f"{order_id}: completed after {self._steps.get(order_id)}")
        elif isinstance(event, OrderFulfilment.Reset):
            self._steps.pop(order_id, None)

    def problems(self, residents: Mapping[Any, Any]) -> Iterator[str]:
        """What does not hold."""
        del residents
        yield from self._problems

    @property
    def processing(self) -> set[str]:
        """The orders that are under way."""
        return {order_id for order_id, phase in self._phase.items() if phase == "processing"}


_MOVES: Mapping[type[Any], tuple[str, str]] = {
    OrderFulfilment.Begun: ("idle", "processing"),
    OrderFulfilment.Completed: ("processing", "completed"),
    OrderFulfilment.Failed: ("processing", "failed"),
    OrderFulfilment.Retried: ("failed", "processing"),
}
_ALL = (*_MOVES, OrderFulfilment.Reset, OrderFulfilment.StepCompleted, OrderFulfilment.StepRemembered)
