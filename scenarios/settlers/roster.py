"""Navigation's state: who is there, where everybody stands, where the player sends them, and which tiles are blocked."""

from pyrsistent import PMap, pmap

import tallystick as ts
from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.land import Tile


class Order(ts.Record):
    """Where a settler is to go."""

    to: Tile
    tries: int = 0
    under_way: bool = False


class Roster(ts.Resident):
    """All settlers. Where one stands is known when its last queue of actions ended: on the way it counts as being where it set out."""

    at: PMap[str, Tile] = pmap()
    blocked: frozenset[Tile] = frozenset()
    orders: PMap[str, Order] = pmap()
    agenda: Agenda = Agenda()
    reached: int = 0
    dropped: int = 0

    def __contains__(self, settler: object) -> bool:
        """Whether there is such a settler: nobody else can be given anything to do."""
        return settler in self.at

    def is_under_orders(self, settler: str) -> bool:
        """Whether it is on its way to where the player sent it."""
        order = self.orders.get(settler)
        return order is not None and order.under_way
