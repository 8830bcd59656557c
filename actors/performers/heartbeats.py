"""Heartbeats and progress: what calls say of themselves while they are out, on its way to their owners, which decide what follows.

An attempt's window opens with each call and closes with its answer: what waits for its turn, for a rate, or for an answer from outside, has
nobody who could beat for it. Progress is a sign of life too, in the one event; who has promised an answer may report it still.
"""

import threading
from typing import NamedTuple, Protocol

from tallystick.actors.messages import Mailbox, QueueBeat, QueueProgress, StartQueue
from tallystick.domain.clock import Clock
from tallystick.domain.operations.operation import checked_percent, cut
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import checked_text

A_WINDOW = 8
"""How many heartbeats are let through in the time that one holds, at most: a tight loop that beats costs little more than this."""
PROGRESS_EVERY_US = 250_000
"""Progress of one call is let through this often at most; what came between is in the next, and the last before the answer."""


class Said(NamedTuple):
    """What a call says of how far it is."""

    percent: float | None
    message: str

    def after(self, earlier: "Said | None") -> "Said":
        """The same, with what an earlier one said of what this one leaves out."""
        if earlier is None:
            return self
        return Said(earlier.percent if self.percent is None else self.percent, self.message or earlier.message)


def checked_progress(percent: float | None, message: str) -> Said:
    """What can be written down.

    Raises:
        InvalidOperation: that is no percentage.
        InvalidPayload: the message is no text; it is a sensitive value (PersonalDataRefused).
    """
    checked_percent(percent)
    refuse_sensitive("the message of a call's progress", message)
    checked_text("The message of a call's progress", message)
    return Said(None if percent is None else float(percent), cut(message))


class Speaking(Protocol):
    """A call that says something of itself."""

    start: StartQueue
    index: int
    in_window: bool
    """Whether it is out, where its intent wants heartbeats."""
    next_beat_us: int
    next_progress_us: int
    held_back: Said | None


class Heartbeats:
    """Where heartbeats and progress of one generation's calls go. Safe in any thread."""

    def __init__(self, clock: Clock, router: Mailbox) -> None:
        self._clock = clock
        self._router = router
        self._lock = threading.Lock()
        """Held while progress is let through or held back, so that no later one is overtaken."""

    def begin(self, call: Speaking) -> None:
        """A call is made, or taken up: its window opens."""
        call.next_beat_us = 0
        self.beat(call)

    def beat(self, call: Speaking) -> None:
        """It is alive; left out where another one has been let through just now."""
        if not call.in_window:
            return
        now_us = self._clock.now_us()
        if now_us >= call.next_beat_us:
            until_us = self._beats(call, now_us)
            self._router.tell(QueueBeat(call.start.context, call.start.attempt, until_us))

    def progress(self, call: Speaking, said: Said) -> None:
        """It is as far as it says; held back where it has said something just now, though it is alive all the same."""
        with self._lock:
            call.held_back = said.after(call.held_back)
            now_us = self._clock.now_us()
            written = now_us >= call.next_progress_us
            if written:
                self._write(call, now_us)
        if not written:
            self.beat(call)

    def answered(self, call: Speaking) -> None:
        """Its answer has come: what was held back goes before it."""
        if call.held_back is not None:
            with self._lock:
                self._write(call, self._clock.now_us())

    def end(self, call: Speaking) -> None:
        """Nothing is out now that could beat: what is left is the attempt's own time."""
        if call.start.heartbeat_us is not None:
            self._router.tell(QueueBeat(call.start.context, call.start.attempt, None))

    def _write(self, call: Speaking, now_us: int) -> None:
        said, call.held_back = call.held_back, None
        if said is not None:
            call.next_progress_us = now_us + PROGRESS_EVERY_US
            until_us = self._beats(call, now_us) if call.in_window else None
            self._router.tell(QueueProgress(call.start.context, call.start.attempt, call.index, *said, until_us))

    def _beats(self, call: Speaking, now_us: int) -> int | None:
        """Until when a sign of life that is given now holds."""
        window_us = call.start.heartbeat_us
        if window_us is None:
            return None
        call.next_beat_us = now_us + window_us // A_WINDOW
        return now_us + window_us
