"""Heartbeats: what calls say of being alive, on its way to their owners, which decide what follows.

An attempt's window opens with each call and closes with its answer: what waits for its turn, for a rate, or for an answer from outside, has
nobody who could beat for it.
"""

from typing import Protocol

from tallystick.actors.messages import Mailbox, QueueBeat, StartQueue
from tallystick.domain.clock import Clock

A_WINDOW = 8
"""How many heartbeats are let through in the time that one holds, at most: a tight loop that beats costs little more than this."""


class Beating(Protocol):
    """A call that beats."""

    start: StartQueue
    next_beat_us: int


class Heartbeats:
    """Where the heartbeats of one generation go. Safe in any thread."""

    def __init__(self, clock: Clock, router: Mailbox) -> None:
        self._clock = clock
        self._router = router

    def begin(self, call: Beating) -> None:
        """A call is made, or taken up: its window opens."""
        if call.start.heartbeat_us is not None:
            call.next_beat_us = 0
            self.beat(call)

    def beat(self, call: Beating) -> None:
        """It is alive; left out where another one has been let through just now."""
        window_us = call.start.heartbeat_us
        if window_us is None:
            return
        now_us = self._clock.now_us()
        if now_us >= call.next_beat_us:
            call.next_beat_us = now_us + window_us // A_WINDOW
            start = call.start
            self._router.tell(QueueBeat(start.context, start.attempt, now_us + window_us))

    def end(self, call: Beating) -> None:
        """Nothing is out now that could beat: what is left is the attempt's own time."""
        if call.start.heartbeat_us is not None:
            self._router.tell(QueueBeat(call.start.context, call.start.attempt, None))
