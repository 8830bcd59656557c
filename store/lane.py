"""Lanes: how records reach those that listen for their types, in order of position, without a search."""

from collections import deque
from collections.abc import Callable

from tallystick.domain.envelope import Recorded

LANE_RECORDS = 10_000
"""How many records may wait in a lane; whoever lets more wait reads them from the log."""


class Lane:
    """The records of some types on their way to one listener.

    While it is `attached`, the journal puts each of them into `pending` as it is numbered, and nothing else is to be read. A lane that has
    grown too long is detached and emptied: then its listener reads the journal from where it stands, until `Journal.attach` says that it
    has caught up. `awake` is for whoever is woken to take back, once it has found nothing more.
    """

    __slots__ = ("_wake", "attached", "awake", "pending")

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.pending: deque[Recorded] = deque()
        self.attached = False
        self.awake = False

    def offer(self, record: Recorded) -> None:
        """There is a record for it; called by the appending thread, under the journal's lock."""
        if self.attached:
            self.pending.append(record)
        if not self.awake:
            self.awake = True
            self._wake()

    def wake(self) -> None:
        """Have the listener look; any thread."""
        if not self.awake:
            self.awake = True
            self._wake()

    def shorten(self) -> None:
        """Give up a lane that is too long; called under the journal's lock."""
        if len(self.pending) > LANE_RECORDS:
            self.attached = False  # first: a listener that finds the lane empty must not think that it has seen all
            self.pending.clear()
