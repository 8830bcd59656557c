"""A thread for each actor: pykka's own way to run them. What does not hang on who runs the actors, the dispatcher has from here."""

import os
import threading
from collections.abc import Callable
from typing import Any

from tallystick.actors.actor import EngineActor, Inbox
from tallystick.actors.clock import SystemClock, SystemIdentity
from tallystick.actors.performers.executors import threaded
from tallystick.actors.performers.performer import Executor, Report
from tallystick.actors.runtimes.runtime import NO_REPLY_IN_A_TURN, Awaited
from tallystick.domain.action import Performer
from tallystick.domain.clock import Clock, Identity

POLL_S = 0.01


class Ours(threading.local):
    """Whether the calling thread is one of those that run a runtime's actors."""

    yes = False


class ThreadsRuntime:
    """Every actor on a daemon thread of its own, in real time."""

    inline = False

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self._actors: list[tuple[EngineActor, threading.Thread]] = []
        self._ours = Ours()
        self._pid: int | None = None

    @property
    def in_turn(self) -> bool:
        """Whether an actor runs in this thread."""
        return self._ours.yes

    @property
    def forked(self) -> bool:
        """Whether its threads are in the process that this one was forked from."""
        return self._pid is not None and os.getpid() != self._pid

    def identity(self, epoch: int) -> Identity:
        """Real randomness."""
        del epoch
        return SystemIdentity()

    def executor(self, performer: Performer, report: Report) -> Executor:
        """Threads, or a loop for coroutines."""
        return threaded(performer, report)

    def start(self) -> None:
        """Threads come with their actors."""
        self._pid = os.getpid()

    def adopt(self, actor: EngineActor) -> None:
        """Start the actor's thread."""
        actor.actor_inbox.wait_by(self.clock)
        loop = actor._actor_loop  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - pykka's hook
        self._actors.append((actor, self._started(actor.name, loop)))

    def _started(self, name: str, run: Callable[[], Any]) -> threading.Thread:
        """A thread for actors, under way."""

        def run_ours() -> None:
            self._ours.yes = True
            run()

        thread = threading.Thread(target=run_ours, name=f"tallystick-{name}", daemon=True)
        thread.start()
        return thread

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """The actor's thread waits no longer than that."""
        inbox.alarm_us = due_us

    def lead(self, actor: EngineActor, message: Any) -> bool:
        """Never: each actor has its thread."""
        del actor, message
        return False

    def wait(self, reply: Awaited, timeout_s: float | None) -> None:
        """Block for it; but none of the threads by which it would have to come can."""
        if self.in_turn:
            raise TimeoutError(NO_REPLY_IN_A_TURN)
        if not reply.wait(timeout_s):
            raise TimeoutError

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Poll: only a stop waits like this, and what it waits for has no one place to signal."""
        return _polled(self.clock, condition, 0 if self.forked else timeout_s)

    def background(self, name: str, task: Callable[[], Any]) -> None:
        """A daemon thread."""
        threading.Thread(target=task, name=f"tallystick-{name}", daemon=True).start()

    def stop(self) -> None:
        """A stop message behind what is in each mailbox, and the ends of the threads; the writer last, for all others append."""
        actors, self._actors = self._actors, []
        for blocking in (False, True):
            stopping = [(actor, thread) for actor, thread in actors if actor.own_thread == blocking]
            for actor, _ in stopping:
                if actor.actor_ref.is_alive():
                    actor.actor_ref.stop(block=False)
            for _, thread in stopping:
                if thread is not threading.current_thread():
                    thread.join()


def _polled(clock: Clock, condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline_us = clock.now_us() + int(timeout_s * 1e6)
    pause = threading.Event()
    while not condition():
        if clock.now_us() >= deadline_us:
            return False
        pause.wait(POLL_S)
    return True
