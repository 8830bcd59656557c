"""Where performers run: threads for plain functions, an event loop for coroutines, or the caller's thread in the stepped runtime."""

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

from tallystick.actors.interrupts import leave_to_the_host
from tallystick.actors.performers.calling import Called
from tallystick.actors.performers.performer import Answered, Report, RunningCall, answer_to
from tallystick.domain.action import Performer


class ThreadExecutor:
    """Up to `concurrency` daemon threads for one performer, started when calls wait. A hung call keeps its thread and nothing else."""

    def __init__(self, performer: Performer, report: Report) -> None:
        self._performer = performer
        self._report = report
        self._calls: SimpleQueue[RunningCall | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()

    def submit(self, call: RunningCall) -> None:
        """Queue it, and start a thread unless there is one for each call that has not ended."""
        self._calls.put(call)
        with self._lock:
            self._unfinished += 1
            if len(self._threads) < min(self._unfinished, self._performer.concurrency):
                name = f"tallystick-{self._performer.action.__name__}-{len(self._threads) + 1}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            answer = None if call.cancelled() else self._answer(call)
            with self._lock:
                self._unfinished -= 1
            if answer is not None:
                self._report(answer)

    def _answer(self, call: RunningCall) -> Answered:
        call.thread = threading.get_ident()
        try:
            with Called(call):
                return Answered(call, self._performer.run(call.action, call))
        except BaseException as error:  # noqa: BLE001 - user code; SystemExit too is an answer here, and ends no thread of ours
            return answer_to(call, error)

    def leave_out(self) -> Iterable[RunningCall]:
        """Forget the calls that wait for a thread."""
        left: list[RunningCall] = []
        try:
            while True:
                call = self._calls.get_nowait()
                if call is not None:
                    left.append(call)
        except Empty:
            with self._lock:
                self._unfinished -= len(left)
        return left

    def stop(self) -> None:
        """End idle threads; those whose calls run, when these have ended."""
        for _ in self._threads:
            self._calls.put(None)


class InlineExecutor:
    """Runs each call at once in the thread that makes it."""

    def __init__(self, performer: Performer, report: Report) -> None:
        self._performer = performer
        self._report = report
        self._is_async = performer.is_async

    def submit(self, call: RunningCall) -> None:
        """Run it now."""
        try:
            with Called(call):
                result = self._performer.run(call.action, call)
                if self._is_async:
                    result = _run(result)
            answer = Answered(call, result)
        except BaseException as error:  # noqa: BLE001 - user code
            leave_to_the_host(error)
            answer = answer_to(call, error)
        self._report(answer)

    def leave_out(self) -> Iterable[RunningCall]:
        """None waits."""
        return ()

    def stop(self) -> None:
        """Nothing to stop."""


async def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; where this thread's event loop is the one that drives the system, on a loop in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(coroutine))
    with ThreadPoolExecutor(1, "tallystick-inline") as elsewhere:
        return elsewhere.submit(copy_context().run, asyncio.run, _awaited(coroutine)).result()


class LoopExecutor:
    """Up to `concurrency` coroutines at once on an event loop in a thread of its own."""

    def __init__(self, performer: Performer, report: Report) -> None:
        self._performer = performer
        self._report = report
        self._waiting: deque[RunningCall] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def submit(self, call: RunningCall) -> None:
        """Queue it, and wake the loop if it may be asleep."""
        with self._lock:
            wake = not self._waiting
            self._waiting.append(call)
            loop = self._loop
            if loop is None:
                loop = self._loop = asyncio.new_event_loop()
                name = f"tallystick-{self._performer.action.__name__}-loop"
                threading.Thread(target=self._run, args=(loop,), name=name, daemon=True).start()
        if wake:
            loop.call_soon_threadsafe(self._start_waiting)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            self.leave_out()
            for task in self._running:
                task.cancel()
            if self._running:
                loop.run_until_complete(asyncio.wait(self._running))
        finally:
            loop.close()

    def _start_waiting(self) -> None:
        while len(self._running) < self._performer.concurrency:
            with self._lock:
                call = self._waiting.popleft() if self._waiting else None
            if call is None:
                return
            task = asyncio.get_running_loop().create_task(self._answer(call))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start_waiting()

    async def _answer(self, call: RunningCall) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if call.cancelled() or task is None:
            return
        call.thread = threading.get_ident()
        call.when_cancelled(lambda: self._cancel(loop, task))
        try:
            with Called(call):
                answer = Answered(call, await self._performer.run(call.action, call))
        except asyncio.CancelledError as error:
            if self._loop is None:
                raise  # the system has stopped: the call stays open in its log, as after a crash
            answer = answer_to(call, error)
            if call.cancelled():
                answer = Answered(call, failure=answer.failure, called_off=True)
        except BaseException as error:  # noqa: BLE001 - user code
            answer = answer_to(call, error)
        self._report(answer)

    def _cancel(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Have the loop cancel a task, from any thread; a loop that has been stopped has cancelled it already."""
        with self._lock:
            if self._loop is loop:
                loop.call_soon_threadsafe(task.cancel)

    def leave_out(self) -> Iterable[RunningCall]:
        """Forget the calls that wait until others have ended."""
        with self._lock:
            left = list(self._waiting)
            self._waiting.clear()
        return left

    def stop(self) -> None:
        """End the loop; what runs on it is cancelled with it."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)


def threaded(performer: Performer, report: Report) -> ThreadExecutor | LoopExecutor:
    """An executor for runtimes with threads."""
    return LoopExecutor(performer, report) if performer.is_async else ThreadExecutor(performer, report)


def inline(performer: Performer, report: Report) -> InlineExecutor:
    """An executor for the stepped runtime."""
    return InlineExecutor(performer, report)
