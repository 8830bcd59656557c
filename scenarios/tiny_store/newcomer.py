"""A module that the store gets when it has been open for a while: it keeps a note of each order from then on (P3)."""

from typing import ClassVar

import tallystick as ts
from tallystick.scenarios.tiny_store.events import OrderPlaced


class OrderNoted(ts.Event):
    """An order was placed since the notes are kept."""

    aggregate_type: ClassVar[str] = "Note"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        """The order."""
        return self.order_id


class Notes(ts.Module):
    """The owner of the notes."""

    name: ClassVar[str] = "notes"

    @ts.reacts_to(OrderPlaced, emits=[OrderNoted])
    def note(self, turn: ts.Turn, event: OrderPlaced) -> ts.Effects:
        """Whatever it hears of."""
        del turn
        yield OrderNoted(order_id=event.order_id)
