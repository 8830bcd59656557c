"""Landing: how replies get into an event loop, and tasks wait for them. Those that come together wake it once; none needs a thread."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextvars import copy_context
from typing import Any, Generic, TypeVar, cast

from tallystick.actors.replies import HostReply

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Awaited(Generic[T_co]):
    """A reply on its way to a task. Whose waiting is cancelled may wait again: the reply comes all the same."""

    __slots__ = ("_landing", "_reply", "_wake")

    def __init__(self, landing: "Landing") -> None:
        self._landing = landing
        self._reply: HostReply | None = None
        self._wake: asyncio.Future[None] | None = None

    def __await__(self) -> Generator[Any, None, T_co]:
        """What the reply says, or raises."""
        if self._reply is None:
            self._wake = self._landing.loop.create_future()
            yield from self._wake
        reply: Any = self._reply
        return cast("T_co", reply.result())

    def deliver(self, reply: HostReply) -> None:
        """Have it land; any thread. Never raises, since it is called in the midst of a commit."""
        self._landing.arrived(self, reply)

    def land(self, reply: HostReply) -> None:
        """It is there. In the loop's thread."""
        self._reply = reply
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class Landing:
    """Where the replies for one event loop arrive."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[Awaited[Any], HostReply]] = deque()
        self._woken = False
        """Whether the loop is to look; set after an arrival, and taken back before it looks, so that none is overlooked."""

    def arrived(self, awaited: Awaited[Any], reply: HostReply) -> None:
        """Have the loop hand a reply over; any thread."""
        self._arrived.append((awaited, reply))
        if self._woken:
            return
        self._woken = True
        try:
            self.loop.call_soon_threadsafe(self._hand_over)
        except RuntimeError:  # it is closed: nobody waits in it any more
            self._arrived.clear()

    def _hand_over(self) -> None:
        self._woken = False
        while self._arrived:
            awaited, reply = self._arrived.popleft()
            awaited.land(reply)


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


class InThread(Generic[T]):
    """A call that a thread of the loop's makes in these surroundings; under way once it is made. It may be awaited again, as `Awaited`."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().run_in_executor(None, copy_context().run, call)

    def __await__(self) -> Generator[Any, None, T]:
        """What it returned, or raised."""
        return (yield from asyncio.shield(self._future))


async def outlasting(awaited: Awaited[T] | InThread[T]) -> tuple[T, asyncio.CancelledError | None]:
    """Wait for what cannot be taken back, also in a task that is cancelled meanwhile; with what it was cancelled by, for who began it.

    Raises:
        CancelledError: it was cancelled, and what it waited for failed.
        Exception: what it waited for failed.
    """
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            return await awaited, cancelled
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
        except Exception as error:
            if cancelled is not None:
                raise cancelled from error
            raise
