"""The dispatcher: all actors on one thread, each message run to completion. About a microsecond a hop, where a thread each costs ten.

Those that block (the writer) have a second thread. User code never runs here but for pure handlers; a turn that takes long is reported,
since it holds up everybody.

A caller that is alone would be handed from thread to thread three times for one commit, and waking a thread can take as long as all of its
work. So it may lead: where both threads are at rest, it takes the turn for its own message, and commits what came of it, in its own thread.
"""

import os
import sys
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from tallystick.actors.actor import ALARM, NOTHING, EngineActor, Inbox, hand_over
from tallystick.actors.interrupts import only_ctrl_c_can_come, undisturbed
from tallystick.actors.runtimes.threads import ThreadsRuntime
from tallystick.actors.runtimes.watch import Watch
from tallystick.domain.clock import Clock

BATCH_MESSAGES = 64
FRAMES_OF_A_LED_TURN = 300
"""So many further calls deep a caller's stack must have room for; a turn and its commit take a fifth of that."""


class DispatcherRuntime(ThreadsRuntime):
    """One daemon thread for all actors that do not block, one for those that do; real time. The default."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._ready: SimpleQueue[Inbox | None] = SimpleQueue()
        self._blocking: SimpleQueue[Inbox | None] = SimpleQueue()
        self._turns = threading.Lock()  # held by whoever runs turns: the dispatcher's thread, or a caller that leads
        self._commits = threading.Lock()  # the same for actors that block
        self._leader: int | None = None  # the thread of a caller that takes a turn, or commits
        self._gathered: list[Inbox] | None = None  # blocking actors that got a message in a turn of a caller; None while there is none
        self._alarms: dict[Inbox, int] = {}
        self._threads: tuple[threading.Thread, ...] = ()
        self._stopping = True
        self._watch = Watch(self.clock, self._who_takes_turns)

    @property
    def slow_turns(self) -> int:
        """How many turns held everybody up for longer than a tenth of a second."""
        return self._watch.slow_turns

    def _who_takes_turns(self) -> int | None:
        return self._leader if self._gathered is not None else next((thread.ident for thread in self._threads), None)

    @property
    def in_turn(self) -> bool:
        """Whether this is one of the two threads, or a caller's that leads."""
        return self._ours.yes or self._leader == threading.get_ident()

    def start(self) -> None:
        """Start the threads."""
        super().start()
        self._stopping = False
        self._threads = (self._started("dispatcher", self._dispatch), self._started("writer", self._block))
        self._watch.start()

    def adopt(self, actor: EngineActor) -> None:
        """Serve the actor; those that block, on the thread for them."""
        actor.actor_inbox.serve(self._line_up if actor.own_thread else self._ready.put)

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """The dispatcher wakes no later than that. Called on its thread, by the actor itself."""
        if due_us is None:
            self._alarms.pop(inbox, None)
        else:
            self._alarms[inbox] = due_us

    def _dispatch(self) -> None:
        ready = self._ready
        while True:
            if self._alarms:
                self._ring()
            try:
                inbox = ready.get_nowait()
            except Empty:
                if self._stopping:
                    return
                try:
                    inbox = ready.get(timeout=self._sleep_s())
                except Empty:
                    continue
            if inbox is not None:
                with self._turns:
                    self._run(inbox)

    def _run(self, inbox: Inbox) -> None:
        """Have an actor handle some of its messages: its handlers are called from here, for each call between costs every message."""
        actor: Any = inbox.actor
        name, handlers, watch, take = actor.name, actor.handlers, self._watch, inbox.items.get_nowait
        for _ in range(BATCH_MESSAGES):
            try:
                message = take()
            except Empty:
                message = inbox.rest()
                if message is NOTHING:
                    break
            if inbox.closed:
                continue
            watch.turn = (name, message)
            handler = handlers.get(type(message))
            if handler is None:
                actor._handle_receive(message)  # noqa: SLF001 - pykka's hook
                continue
            try:
                handler(message)
            except BaseException as error:  # noqa: BLE001 - whatever it was, it ends this engine and not the process's other actors
                actor.failed(error)
        else:
            inbox.reschedule()
        watch.turn = None

    def _line_up(self, inbox: Inbox) -> None:
        """Have a blocking actor's message handled: by the caller whose turn it came of, or by the thread for that."""
        if self._gathered is not None and self._leader == threading.get_ident():
            self._gathered.append(inbox)
        else:
            self._blocking.put(inbox)

    def _block(self) -> None:
        line = self._blocking
        while True:
            inbox = line.get()
            if inbox is not None:
                with self._commits:
                    self._run_blocking(inbox)
            elif line.empty():
                return
            else:
                line.put(None)  # behind what is left

    @staticmethod
    def _run_blocking(inbox: Inbox) -> None:
        """Have a blocking actor handle its message; if there are more by then, they are the thread's."""
        while (message := inbox.take()) is not NOTHING:
            if not inbox.closed:
                hand_over(inbox, message)
            if not inbox.empty():
                inbox.reschedule()
                return

    # Leading.

    def lead(self, actor: EngineActor, message: Any) -> bool:
        """Have the calling thread take the turn, and make the commit that comes of it; False if it cannot, and nothing was done.

        It cannot while others are at work, and where something could end it in the midst of that: a limit of recursion that is near, or
        an exception that is raised in it from outside. Ctrl-C waits, so this is for handlers that soon come to their end.
        """
        if self._leader is not None or self._turns.locked() or not self._ready.empty() or not actor.actor_inbox.empty():
            return False
        if os.getpid() != self._pid or not _stack_has_room() or not only_ctrl_c_can_come():
            return False
        return undisturbed(partial(self._lead, actor, message))

    def _lead(self, actor: EngineActor, message: Any) -> bool:
        if not self._turns.acquire(blocking=False):
            return False
        self._leader = threading.get_ident()
        try:
            gathered = self._take_led_turn(actor, message)
            for inbox in gathered or ():
                with self._commits:  # who may have it yet has found nothing more to do
                    self._run_blocking(inbox)
        finally:
            self._leader = None
        return gathered is not None

    def _take_led_turn(self, actor: EngineActor, message: Any) -> list[Inbox] | None:
        """Take the turn that is this thread's, and let go of it: the blocking actors that have work by it, or None if it was not taken."""
        try:
            if self._stopping or actor.actor_inbox.closed or not actor.actor_inbox.empty():
                return None
            self._gathered = []
            self._watch.turn = (actor.name, message)
            hand_over(actor.actor_inbox, message)
            return self._gathered
        finally:
            self._gathered = self._watch.turn = None
            self._turns.release()

    def _ring(self) -> None:
        now_us = self.clock.now_us()
        for inbox in [inbox for inbox, due_us in self._alarms.items() if due_us <= now_us]:
            del self._alarms[inbox]
            inbox.tell(ALARM)

    def _sleep_s(self) -> float | None:
        if not self._alarms:
            return None
        return max(self.clock.sleeping_us(min(self._alarms.values())), 1e-6)

    def stop(self) -> None:
        """Run until no actor has a message, then end the thread; the one for those that block after it."""
        self._watch.stop()
        self._stopping = True
        threads, self._threads = self._threads, ()
        for thread, line, held in zip(threads, (self._ready, self._blocking), (self._turns, self._commits), strict=False):
            line.put(None)
            if thread is not threading.current_thread():
                thread.join()
                if os.getpid() == self._pid and self._leader != threading.get_ident():  # else nobody would let go of it
                    with held:  # until a caller that leads has come to its end as well
                        pass
        self._alarms.clear()


def _stack_has_room() -> bool:
    """Whether the calling thread is far from the limit of recursion, which would end the engine in the midst of a turn."""
    try:
        sys._getframe(sys.getrecursionlimit() - FRAMES_OF_A_LED_TURN)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - documented
    except ValueError:  # it has fewer
        return True
    return False
