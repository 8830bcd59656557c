"""What a runtime is: who runs the actors, what time it is, and how a caller waits for a reply."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from tallystick.actors.actor import EngineActor, Inbox
from tallystick.actors.performers.performer import Executor, Report
from tallystick.domain.action import Performer
from tallystick.domain.clock import Clock, Identity

T = TypeVar("T")

NO_REPLY_IN_A_TURN = "The reply was waited for in the midst of a turn or a commit, and can only come after it."


class Awaited(Protocol):
    """What a caller waits for."""

    @property
    def given(self) -> bool:
        """Whether it is there."""
        ...

    def wait(self, timeout_s: float | None) -> bool:
        """Block until it is there; False when it was not in that (real) time."""
        ...


class Runtime(Protocol):
    """One runtime serves one system at a time."""

    @property
    def clock(self) -> Clock:
        """What time it is."""
        ...

    @property
    def inline(self) -> bool:
        """Whether everything, performers included, runs in the one thread that drives it."""
        ...

    @property
    def in_turn(self) -> bool:
        """Whether the calling thread is in the midst of a turn or a commit: nothing that it waited for could come before that is over."""
        ...

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that has the threads by which actors run: nobody would answer here."""
        ...

    def identity(self, epoch: int) -> Identity:
        """The source of ids and randomness for one generation (P25)."""
        ...

    def executor(self, performer: Performer, report: Report) -> Executor:
        """Where that performer's calls run."""
        ...

    def start(self) -> None:
        """Begin to run actors."""
        ...

    def adopt(self, actor: EngineActor) -> None:
        """Run this actor from now on."""
        ...

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """Put an `Alarm` into the inbox at that time; None takes it back."""
        ...

    def lead(self, actor: EngineActor, message: Any) -> bool:
        """Have the calling thread, which would only wait, carry a message out itself; False if it cannot now, and nothing was done."""
        ...

    def wait(self, reply: Awaited, timeout_s: float | None) -> None:
        """Wait for a reply.

        Raises:
            TimeoutError: it did not come in that (real) time.
        """
        ...

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Let the actors run until the condition holds; False when the time ran out or, stepped, when nothing is left to run."""
        ...

    def background(self, name: str, task: Callable[[], Any]) -> None:
        """Run a task outside the actors: on a thread of its own, or at once in the stepped runtime."""
        ...

    def stop(self) -> None:
        """Let the actors take what is in their mailboxes, then run them no more; returns when they stand still."""
        ...


async def off_loop(runtime: Runtime, call: Callable[[], T]) -> T:
    """Have it done without holding up the event loop; where one thread drives everything, in that thread, for it may have actors run."""
    return call() if runtime.inline else await asyncio.to_thread(call)
