"""The stepped runtime: nothing runs but when the host says so, in one thread and in virtual time; the same steps give the same log."""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tallystick.actors.actor import ALARM, NOTHING, EngineActor, Inbox, hand_over
from tallystick.actors.clock import ManualClock, SeededIdentity
from tallystick.actors.interrupts import undisturbed
from tallystick.actors.performers.executors import inline
from tallystick.actors.performers.performer import Executor, Report
from tallystick.actors.runtimes.runtime import NO_REPLY_IN_A_TURN, Awaited
from tallystick.domain.action import Performer
from tallystick.domain.clock import Identity
from tallystick.domain.envelope import from_micros, to_micros
from tallystick.domain.errors import TallystickError, TimedOutWaiting

STEPS_LIMIT = 10_000_000
"""How many messages `run_until_idle` takes before it says that the actors never come to rest."""


class NeverIdle(TallystickError):
    """The actors keep sending each other messages without end; look for two reactions that answer each other."""


class SteppedRuntime:
    """Actors take turns in the order in which their messages came. Not thread-safe: one thread drives it."""

    inline = True
    forked = False

    def __init__(self, clock: ManualClock | None = None, *, seed: int = 0) -> None:
        self.clock = clock or ManualClock()
        self._seed = seed
        self._ready: deque[Inbox] = deque()
        self._alarms: dict[Inbox, int] = {}
        self._serving: EngineActor | None = None  # the innermost, where what one of them calls has others run

    @property
    def in_turn(self) -> bool:
        """Whether a handler is being asked; a performer that runs inline may let actors run, an owner in the midst of its turn may not."""
        return self._serving is not None and self._serving.deciding

    def _check_between_turns(self) -> None:
        if self.in_turn:
            msg = "Actors were to run in the midst of a turn, and can only do so after it: a handler yields effects, and drives nothing."
            raise TimedOutWaiting(msg)

    def identity(self, epoch: int) -> Identity:
        """Ids that repeat from seed and epoch (P25)."""
        return SeededIdentity(self._seed, epoch)

    def executor(self, performer: Performer, report: Report) -> Executor:
        """Performers run inline."""
        return inline(performer, report)

    def start(self) -> None:
        """Nothing to start."""

    def adopt(self, actor: EngineActor) -> None:
        """Serve the actor."""
        actor.actor_inbox.serve(self._ready.append)

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """Rung by `advance`, when the clock gets there."""
        if due_us is None:
            self._alarms.pop(inbox, None)
        else:
            self._alarms[inbox] = due_us

    # Driving.

    def step(self) -> bool:
        """Let one actor take one message; False when none has one.

        Raises:
            TimedOutWaiting: a handler asked for that, as whatever else lets actors run here.
        """
        self._check_between_turns()
        return self._step()

    def _step(self) -> bool:
        while self._ready:
            if self._serve_first():
                return True
        return self._ring()

    def _serve_first(self) -> bool:
        """Let the first inbox's actor take one message; False when it has none.

        Ctrl-C, or what another handler of a signal raises, between its being taken and its being handled would lose it, so it ends the
        engine, and the next one begins with the log. But a commit is not interrupted: who has heard of it by then has heard of it.
        """
        inbox = self._ready[0]
        if inbox.actor is not None and inbox.actor.own_thread and not inbox.empty():
            return undisturbed(self._take_turn)
        try:
            return self._take_turn()
        except BaseException as interrupt:
            if inbox.actor is not None:
                inbox.actor.failed(interrupt)
            raise

    def _take_turn(self) -> bool:
        inbox = self._ready.popleft()
        message = inbox.take()
        if message is NOTHING:
            return False
        inbox.reschedule()
        if not inbox.closed:
            outer, self._serving = self._serving, inbox.actor
            try:
                hand_over(inbox, message)
            finally:
                self._serving = outer
        return True

    def run_until_idle(self) -> int:
        """Let the actors run, and what is due by now, until nothing is left; how many messages that took.

        Raises:
            NeverIdle: there is no end to it.
        """
        for steps in range(STEPS_LIMIT):
            if not self.step():
                return steps
        raise NeverIdle

    def run_before_writing(self) -> None:
        """Let the actors run until only those are left that block on the disk: what has gathered waits, to be written with what follows."""
        self._check_between_turns()
        kept: list[Inbox] = []
        ready = self._ready
        try:
            for _ in range(STEPS_LIMIT):
                if not ready:
                    return
                actor = ready[0].actor
                if actor is not None and actor.own_thread:
                    kept.append(ready[0])
                    ready.popleft()
                else:
                    self._serve_first()
            raise NeverIdle
        finally:
            ready.extend(kept)

    def next_due(self) -> datetime | None:
        """When a timer is due next; None when none is."""
        return from_micros(min(self._alarms.values())) if self._alarms else None

    def advance(self, duration: timedelta) -> None:
        """Let that much virtual time pass, stopping at every timer on the way."""
        self.advance_to(self.clock.now + duration)

    def advance_to(self, moment: datetime) -> None:
        """Let virtual time pass up to a moment, stopping at every timer on the way."""
        end_us = to_micros(moment)
        self.run_until_idle()
        while self._alarms and (due_us := min(self._alarms.values())) <= end_us:
            self.clock.advance_to_us(max(due_us, self.clock.now_us()))
            self.run_until_idle()
        self.clock.advance_to_us(end_us)
        self.run_until_idle()

    def _ring(self) -> bool:
        now_us = self.clock.now_us()
        due = [inbox for inbox, due_us in self._alarms.items() if due_us <= now_us]
        for inbox in due:
            inbox.tell(ALARM)
            del self._alarms[inbox]
        return bool(due)

    # For the system.

    def lead(self, actor: EngineActor, message: Any) -> bool:
        """Never: who waits drives all actors."""
        del actor, message
        return False

    def wait(self, reply: Awaited, timeout_s: float | None) -> None:
        """Run until it is there; but not in the midst of a turn, after which alone it could come."""
        del timeout_s
        if self.in_turn:
            raise TimeoutError(NO_REPLY_IN_A_TURN)
        while not reply.given:
            if not self.step():
                msg = "Nothing is left to run, and the reply has not come: only time or an answer from outside can bring it."
                raise TimeoutError(msg)

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Run until it holds, or nothing is left to run."""
        del timeout_s
        while not condition():
            if not self.step():
                return condition()
        return True

    def background(self, name: str, task: Callable[[], Any]) -> None:
        """At once."""
        del name
        undisturbed(task)

    def stop(self) -> None:
        """Run what is in the mailboxes, but no timer."""
        self._alarms.clear()
        for _ in range(STEPS_LIMIT):
            if not self._step():
                break
        else:
            raise NeverIdle
        self._ready.clear()
