"""Landing: how replies get into an event loop, and tasks wait for them. Those that come together wake it once; none needs a thread."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from tallystick.actors.replies import HostReply

T = TypeVar("T")


class Landing:
    """Where the replies for one event loop arrive. `awaited` is for its own thread; what it gives out, for any."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Any], HostReply]] = deque()
        self._woken = False
        """Whether the loop is to look; set after an arrival, and taken back before it looks, so that none is overlooked."""

    def awaited(self) -> tuple[asyncio.Future[Any], Callable[[HostReply], None]]:
        """A future, and what puts a reply into it; that never raises, since it is called in the midst of a commit."""
        future = self.loop.create_future()
        return future, partial(self._arrive, future)

    def _arrive(self, future: asyncio.Future[Any], reply: HostReply) -> None:
        self._arrived.append((future, reply))
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._give_out)
        except RuntimeError:  # it is closed: nobody waits in it any more
            self._arrived.clear()

    def _give_out(self) -> None:
        self._woken = False
        while self._arrived:
            future, reply = self._arrived.popleft()
            if not future.done():  # else its task was cancelled
                reply.put_into(future)


class Landings(threading.local):
    """The landing of the event loop that runs in the calling thread."""

    _last: Landing | None = None

    @property
    def here(self) -> Landing:
        """That landing, made where there is none yet.

        Raises:
            RuntimeError: no event loop runs here.
        """
        loop, last = asyncio.get_running_loop(), self._last
        if last is None or last.loop is not loop:
            last = self._last = Landing(loop)
        return last


def in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    """Have a thread call it, in these surroundings; under way when it returns."""
    return asyncio.get_running_loop().run_in_executor(None, copy_context().run, call)


async def outlasting(future: "asyncio.Future[T]") -> tuple[T, asyncio.CancelledError | None]:
    """Wait for what cannot be taken back, also in a task that is cancelled meanwhile; with what it was cancelled by, for who began it.

    Raises:
        CancelledError: it was cancelled, and what it waited for failed.
        Exception: what it waited for failed.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
        except Exception as error:
            if cancelled is not None:
                raise cancelled from error
            raise
    return future.result(), cancelled
