"""The timer: appends `TimeoutFired` to the log when a deadline passes, and tells owners when a retry is due. What follows is theirs."""

import heapq
from typing import Any

from tallystick.actors.actor import Alarm, Crash, EngineActor, Host
from tallystick.actors.messages import Arm, ArmParked, Context, Disarm, Mailbox, ParkedDue, RetryDue, TimeoutDecision
from tallystick.domain.clock import Clock
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION, TimeoutFired
from tallystick.store.codec import Codec
from tallystick.store.journal import Draft, Journal, Origin

FIRED_A_TURN = 1000

Key = tuple[str, str] | tuple[str, Source]


class Deadlines:
    """A heap of what is due when, one entry a key; what was replaced is left in the heap until it comes up or there is too much of it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Key]] = []
        self._armed: dict[Key, tuple[int, Arm | ArmParked]] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: Key, due_us: int, message: Arm | ArmParked) -> None:
        """Set or replace what is due for a key."""
        self._made += 1
        self._armed[key] = (self._made, message)
        heapq.heappush(self._heap, (due_us, self._made, key))

    def disarm(self, key: Key) -> None:
        """Forget a key; unknown ones do no harm."""
        self._armed.pop(key, None)
        if len(self._heap) > 2 * len(self._armed) + 1024:
            self._heap = [item for item in self._heap if self._current(item)]
            heapq.heapify(self._heap)

    def next_us(self) -> int | None:
        """When something is due next."""
        while self._heap and not self._current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now_us: int) -> Arm | ArmParked | None:
        """What is due by now, earliest first, one at a time."""
        due_us = self.next_us()
        if due_us is None or due_us > now_us:
            return None
        key = heapq.heappop(self._heap)[2]
        return self._armed.pop(key)[1]

    def _current(self, item: tuple[int, int, Key]) -> bool:
        armed = self._armed.get(item[2])
        return armed is not None and armed[0] == item[1]


class TimerActor(EngineActor):
    """One timer for all owners."""

    def __init__(self, host: Host, crash: Crash, journal: Journal, codec: Codec, clock: Clock, router: Mailbox) -> None:
        super().__init__("timer", host, crash)
        self._journal = journal
        self._codec = codec
        self._clock = clock
        self._router = router
        self._alarm_us: int | None = None
        self.deadlines = Deadlines()
        self.draining = False

    def handle(self, message: Any) -> None:
        """Arm, disarm, or act on what is due."""
        if isinstance(message, Arm):
            self.deadlines.arm(message.context, message.due_us, message)
        elif isinstance(message, Disarm):
            self.deadlines.disarm(message.context)
        elif isinstance(message, ArmParked):
            self.deadlines.arm((message.context.owner, message.source), message.due_us, message)
        elif isinstance(message, Alarm):
            self._alarm_us = None
            self._fire()
        due_us = self.deadlines.next_us()
        if due_us != self._alarm_us and not self.draining:
            self._alarm_us = due_us
            self._host.set_alarm(self.actor_inbox, due_us)

    def _fire(self) -> None:
        """Whether it is early is judged here, where it is appended (P24, S12)."""
        for _ in range(FIRED_A_TURN):
            due = self.deadlines.pop(self._clock.now_us())
            if due is None:
                return
            if isinstance(due, ArmParked):
                self._router.tell(ParkedDue(due.context, due.source))
            elif due.kind == "retry":
                self._router.tell(RetryDue(due.context, due.attempt))
            else:
                self._timeout(due.context, due.attempt)

    def _timeout(self, context: Context, attempt: int) -> None:
        encoded = self._codec.encode(TimeoutFired(attempt=attempt))
        draft = Draft(encoded.name, encoded.version, EXECUTION, context.token, None, encoded.payload, encoded.event, context.token)
        begun = self._journal.last(EXECUTION, context.token)
        origin = Origin(context.owner, None, begun.correlation if begun else None, begun.position if begun else None)
        (fired,) = self._journal.append(origin, (draft,))
        self._router.tell(TimeoutDecision(context, fired))
