"""What the queue reaches of the others, as it is given it when an engine is composed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tallystick.actors.messages import Mailbox, StartQueue
from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.queue.saved import Find
from tallystick.domain.clock import Clock
from tallystick.domain.line import Line
from tallystick.domain.step import Look


class QueuePorts(NamedTuple):
    """What the queue reaches of the others."""

    pool: PerformerPool
    router: Mailbox
    clock: Clock
    lines: Mapping[str, Line]
    look: Look
    """Finds a resident state, by its kind, for lines that know their subjects."""
    ask: Callable[[StartQueue], None]
    """Finds out whether what ended in doubt was done after all."""
    find: Find
    """Finds what is to be performed for a token whose queue was saved."""
