"""The timer: appends `TimeoutFired` to the log when a deadline passes, and tells owners when a retry is due. What follows is theirs."""

import heapq
import threading
from collections.abc import Callable
from typing import Any

from tallystick.actors.actor import Alarm, Crash, EngineActor, Host
from tallystick.actors.messages import Context, Mailbox, TimeoutDecision, TimeoutDue
from tallystick.domain.clock import Clock
from tallystick.domain.envelope import tags_text
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION, TimeoutFired
from tallystick.store.codec import Codec
from tallystick.store.journal import Draft, Journal, Origin

FIRED_A_TURN = 1000

Key = Context | tuple[str, Source]
"""What has one thing due at a time: an execution, or a parked source of an owner."""


class Deadlines:
    """What is due when, one entry a key, in a heap. What was replaced stays in it until it comes up, or until there is too much of it.

    Thread-safe: owners arm and disarm it directly, without a message, since nearly all deadlines are taken back before they are due.
    `on_earlier` is called, by the arming thread, when what is due first has come closer.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Key, Any]] = []
        """When, which of all that were ever armed, for which key, and the message; with no key twice that is current."""
        self._armed: dict[Key, int] = {}
        """Which item of the heap is a key's current one."""
        self._made = 0
        self._lock = threading.Lock()
        self._earliest_us: int | None = None
        self.on_earlier: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: Key, due_us: int, message: Any) -> None:
        """Set or replace what is due for a key."""
        with self._lock:
            self._made = made = self._made + 1
            self._armed[key] = made
            heapq.heappush(self._heap, (due_us, made, key, message))
            earlier = self._earliest_us is None or due_us < self._earliest_us
            if earlier:
                self._earliest_us = due_us
        if earlier:
            self.on_earlier()

    def disarm(self, key: Key) -> None:
        """Forget a key; unknown ones do no harm."""
        with self._lock:
            if self._armed.pop(key, None) is not None and len(self._heap) > 2 * len(self._armed) + 1024:
                self._heap = [item for item in self._heap if self._current(item)]
                heapq.heapify(self._heap)

    def keys(self) -> list[Key]:
        """What is armed, in the order in which it was: of what is due at one time, the first goes first."""
        with self._lock:
            return sorted(self._armed, key=self._armed.__getitem__)

    def next_us(self) -> int | None:
        """When something is due next."""
        with self._lock:
            return self._first_us()

    def pop(self, now_us: int) -> Any:
        """What is due by now, earliest first, one at a time; None when nothing is."""
        with self._lock:
            due_us = self._first_us()
            if due_us is None or due_us > now_us:
                return None
            _, _, key, message = heapq.heappop(self._heap)
            del self._armed[key]
            return message

    def _first_us(self) -> int | None:
        heap = self._heap
        while heap and not self._current(heap[0]):
            heapq.heappop(heap)
        self._earliest_us = heap[0][0] if heap else None
        return self._earliest_us

    def _current(self, item: tuple[int, int, Key, Any]) -> bool:
        return self._armed.get(item[2]) == item[1]


class Earlier:
    """The message that the timer must wake sooner than it meant to."""


EARLIER = Earlier()


class TimerActor(EngineActor):
    """One timer for all owners."""

    def __init__(self, host: Host, crash: Crash, journal: Journal, codec: Codec, clock: Clock, router: Mailbox) -> None:
        super().__init__("timer", host, crash)
        self._journal = journal
        self._codec = codec
        self._clock = clock
        self._router = router
        self.deadlines = Deadlines()
        self.deadlines.on_earlier = lambda: self.post.tell(EARLIER)
        self.draining = False
        self.handlers = {Alarm: self._fire, Earlier: self._set_alarm}

    def _set_alarm(self, _message: Earlier) -> None:
        if not self.draining:
            self._host.set_alarm(self.actor_inbox, self.deadlines.next_us())

    def _fire(self, _alarm: Alarm) -> None:
        """Act on what is due. Whether it is early is judged here, where it is appended (P24, S12)."""
        for _ in range(FIRED_A_TURN):
            due = None if self.draining else self.deadlines.pop(self._clock.now_us())
            if due is None:
                break
            if isinstance(due, TimeoutDue):
                due = self._timeout(due)
            self._router.tell(due)
        self._set_alarm(EARLIER)

    def _timeout(self, due: TimeoutDue) -> TimeoutDecision:
        token = due.context.token
        form, payload, event = self._codec.encode(TimeoutFired(attempt=due.attempt))
        draft = Draft(form, (EXECUTION, token), None, payload, event, token)
        begun = self._journal.last(EXECUTION, token)
        correlation, causation = (begun.correlation, begun.position) if begun else (None, None)
        origin = Origin(due.context.owner, None, correlation, causation, tags_text(due.tags))
        (fired,) = self._journal.append(origin, (draft,))
        return TimeoutDecision(due.context, fired)
