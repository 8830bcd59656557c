"""A module that the store gets when it has been open for a while: it keeps notes of each order from then on (P3)."""

from typing import ClassVar

import tallystick as ts
from tallystick.scenarios.tiny_store.events import OrderCancelled, OrderConfirmed, OrderPaid, OrderPlaced, OrderShipped


class OrderNoted(ts.Event):
    """Something has happened to an order since the notes are kept: `what` is the event's type."""

    aggregate_type: ClassVar[str] = "Note"
    order_id: str
    what: str

    @property
    def aggregate_id(self) -> str:
        """The order."""
        return self.order_id


class Notes(ts.Module):
    """The owner of the notes. It has something to say of each event, so that nothing it missed, or took too soon, goes unseen."""

    name: ClassVar[str] = "notes"

    @ts.reacts_to(OrderPlaced, emits=[OrderNoted])
    def note_placed(self, turn: ts.Turn, event: OrderPlaced) -> ts.Effects:
        """A new order."""
        del turn
        return _noted(event)

    @ts.reacts_to(OrderConfirmed, emits=[OrderNoted])
    def note_confirmed(self, turn: ts.Turn, event: OrderConfirmed) -> ts.Effects:
        """Its goods are there."""
        del turn
        return _noted(event)

    @ts.reacts_to(OrderPaid, emits=[OrderNoted])
    def note_paid(self, turn: ts.Turn, event: OrderPaid) -> ts.Effects:
        """Its money is there."""
        del turn
        return _noted(event)

    @ts.reacts_to(OrderShipped, emits=[OrderNoted])
    def note_shipped(self, turn: ts.Turn, event: OrderShipped) -> ts.Effects:
        """It is on its way."""
        del turn
        return _noted(event)

    @ts.reacts_to(OrderCancelled, emits=[OrderNoted])
    def note_cancelled(self, turn: ts.Turn, event: OrderCancelled) -> ts.Effects:
        """Its customer has called it off."""
        del turn
        return _noted(event)


NOTED = (OrderPlaced, OrderConfirmed, OrderPaid, OrderShipped, OrderCancelled)
"""What there are notes of."""


def _noted(event: OrderPlaced | OrderConfirmed | OrderPaid | OrderShipped | OrderCancelled) -> ts.Effects:
    yield OrderNoted(order_id=event.order_id, what=type(event).__name__)
