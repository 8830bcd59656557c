"""Replies: what a host's call waits for. Given out once: when its append is durable, or with what became of it when the log failed."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

from tallystick.actors.interrupts import leave_to_the_host
from tallystick.actors.telling import warn
from tallystick.domain.errors import CommitUnknown, NotAccepted, NotCommitted
from tallystick.domain.evidence import said_by
from tallystick.store.journal import Fate


class HostReply:
    """One answer on its way to whoever asked. Whichever of `release`, `lost` and `withdraw` comes first gives it out.

    `leave` says, once, that this one is the first; `deliver` is handed the reply then, in the same thread, and has it resolved. A thread
    waits for it by `wait`; a future is made for those only who ask for one, since it costs as much as a turn of a small module.
    """

    __slots__ = ("_deliver", "_error", "_future", "_gate", "_leave", "_making", "_resolved", "given", "value")

    def __init__(self, leave: Callable[["HostReply"], bool], deliver: Callable[["HostReply"], None]) -> None:
        self.value: Any = None
        self.given = False
        """Whether the host has its answer. A request that was withdrawn on its way to an actor must not be carried out any more (P18)."""
        self._error: BaseException | None = None
        self._leave = leave
        self._deliver = deliver
        self._resolved = False
        self._future: Future[Any] | None = None
        self._making = threading.Lock()  # held while its future is made, or looked at; each its own, for a fork copies one that is held
        self._gate = threading.Lock()
        self._gate.acquire()

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
            self._deliver(self)

    # The host's side.

    def resolve(self) -> None:
        """Let those go on who wait for it; the callbacks of its future run in this thread."""
        with self._making:
            self._resolved = True
            future = self._future
        if future is not None:
            self._fill(future)
        self._gate.release()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until it is resolved; False when it was not in that time."""
        opened = self._gate.acquire(timeout=-1 if timeout_s is None else min(max(timeout_s, 0), threading.TIMEOUT_MAX))
        if opened:
            self._gate.release()  # for the next who waits
        return opened

    def result(self) -> Any:
        """What it says, once it is given.

        Raises:
            BaseException: what it was refused with.
        """
        try:
            if self._error is not None:
                raise self._error
            return self.value
        finally:
            del self  # the traceback would lead back to it

    @property
    def future(self) -> "Future[Any]":
        """A future of it, the same for all who ask."""
        with self._making:
            future = self._future
            if future is None:
                future = self._future = Future()
                if self._resolved:
                    self._fill(future)
        return future

    def _fill(self, future: "Future[Any]") -> None:
        """Resolve its future. A caller that has cancelled it hears nothing; what ends a thread is not for callbacks to raise."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            if self._error is not None:
                future.set_exception(self._error)
            else:
                future.set_result(self.value)
        except BaseException as error:  # noqa: BLE001 - a callback's; errors of others than these it is told of by its future
            warn("reply.callback_failed", error=said_by(error))
            leave_to_the_host(error)


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
