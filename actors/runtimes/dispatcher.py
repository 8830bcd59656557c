"""The dispatcher: all actors on one thread, each message run to completion. About a microsecond a hop, where a thread each costs ten.

Actors that block (the writer) keep a thread of their own. User code never runs here but for pure handlers; a turn that takes long is
reported, since it holds up everybody.
"""

import threading
from queue import Empty, SimpleQueue
from typing import Any

from tallystick.actors.actor import ALARM, NOTHING, EngineActor, Inbox
from tallystick.actors.runtimes.threads import ThreadsRuntime
from tallystick.actors.runtimes.watch import Watch
from tallystick.domain.clock import Clock

BATCH_MESSAGES = 64


class DispatcherRuntime(ThreadsRuntime):
    """One daemon thread for all actors that do not block; real time. The default."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self._ready: SimpleQueue[Inbox | None] = SimpleQueue()
        self._alarms: dict[Inbox, int] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._watch = Watch(self.clock, lambda: None if self._thread is None else self._thread.ident)

    @property
    def slow_turns(self) -> int:
        """How many turns held everybody up for longer than a tenth of a second."""
        return self._watch.slow_turns

    def start(self) -> None:
        """Start the dispatcher's thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._dispatch, name="tallystick-dispatcher", daemon=True)
        self._thread.start()
        self._watch.start()

    def adopt(self, actor: EngineActor) -> None:
        """Serve the actor, or start a thread for one that blocks."""
        if actor.own_thread:
            super().adopt(actor)
        else:
            actor.actor_inbox.serve(self._ready.put)

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
        """Run until no actor has a message, then end the thread; the writer after it."""
        self._watch.stop()
        thread, self._thread = self._thread, None
        self._stopping = True
        self._ready.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._alarms.clear()
        super().stop()
