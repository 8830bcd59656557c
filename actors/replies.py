"""Replies: what a host's call waits for. Given out once: when its append is durable, or with what became of it when the log failed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from tallystick.domain.errors import CommitUnknown, NotAccepted, NotCommitted
from tallystick.store.journal import Fate


class HostReply:
    """One answer on its way to a host's future. Whichever of `release`, `lost` and `withdraw` comes first resolves it.

    `leave` says, once, that this one is the first; `resolve` is handed the reply then, in the same thread.
    """

    __slots__ = ("_error", "_leave", "_resolve", "future", "given", "value")

    def __init__(self, leave: Callable[["HostReply"], bool], resolve: Callable[["HostReply"], None]) -> None:
        self.future: Future[Any] = Future()
        self.value: Any = None
        self.given = False
        """Whether the host has its answer. A request that was withdrawn on its way to an actor must not be carried out any more (P18)."""
        self._error: BaseException | None = None
        self._leave = leave
        self._resolve = resolve

    def answer(self, value: Any) -> None:
        """What `release` will hand out."""
        self.value = value
        self._error = None

    def refuse(self, error: BaseException) -> None:
        """What `release` will raise."""
        self._error = error

    def release(self) -> None:
        """All that it rests on is durable."""
        self._once(self._error)

    def lost(self, fate: Fate) -> None:
        """The log failed while, or before, its events were written."""
        self._once(CommitUnknown() if fate == "unknown" else NotCommitted())

    def withdraw(self, cause: BaseException | None) -> None:
        """The command was not run."""
        error = NotAccepted()
        error.__cause__ = cause
        self._once(error)

    def _once(self, error: BaseException | None) -> None:
        if self._leave(self):
            self._error = error
            self.given = True
            self._resolve(self)

    def resolve(self) -> None:
        """Resolve the future; its callbacks run in this thread. A caller that has cancelled the future hears nothing."""
        if not self.future.set_running_or_notify_cancel():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self.value)


class Resolver:
    """A thread that resolves futures with callbacks of the host's, so that these hold up no actor and no commit (P25)."""

    def __init__(self) -> None:
        self._replies: SimpleQueue[HostReply | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def resolve(self, reply: HostReply) -> None:
        """Hand it over; never blocks."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="tallystick-replies", daemon=True)
                    self._thread.start()
        self._replies.put(reply)

    def _run(self) -> None:
        while (reply := self._replies.get()) is not None:
            reply.resolve()

    def stop(self) -> None:
        """Resolve what has been handed over, then end the thread."""
        if self._thread is not None:
            self._replies.put(None)
            if self._thread is not threading.current_thread():
                self._thread.join()
            self._thread = None
