"""Holdings: what the queue holds of those whose actions are performed, in whatever line. What becomes of them, others decide."""

from tallystick.actors.queue.entry import Entries, Entry, LineKey
from tallystick.actors.queue.rates import Rates
from tallystick.actors.queue.ticking import Ticking
from tallystick.domain.line import Standing
from tallystick.domain.token import Token


class Holdings:
    """What the queue holds: its entries, and how their lines stand. Only the queue's thread changes it."""

    def __init__(self, ticking: Ticking, rates: Rates[Entry]) -> None:
        self.entries = Entries()
        self.standings: dict[LineKey, Standing] = {}
        self.alone: dict[LineKey, Token] = {}
        """Who is served in an owner's own line without anybody else in it: so most are, and nothing is to be decided about them."""
        self.arrivals = 0
        self.ticking = ticking
        self.rates = rates
