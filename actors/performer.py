"""Performers at work: user code on threads or an event loop of its own, so that it holds up no actor. Outlives the engine's generations.

A pool remembers each call, and its answer, until the owner's decision on it is durable: an engine that is rebuilt in the same process
takes up running calls instead of making them twice, and is given again the answers that it had not yet made durable (P18).
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from tallystick.actors.messages import Mailbox, StartQueue
from tallystick.domain.action import Performer
from tallystick.domain.envelope import from_micros
from tallystick.domain.errors import DefinitionError, Rejected
from tallystick.domain.outcome import Failed
from tallystick.domain.rate import Bucket
from tallystick.domain.token import Token

ERROR_LIMIT_CHARS = 500


class RunningCall:
    """One call of a performer, as it sees it (`Call`) and as the queue follows it."""

    __slots__ = ("_cancelled", "action", "attempt", "identity", "index", "key", "start", "thread", "token")

    def __init__(self, start: StartQueue, index: int, *, several: bool) -> None:
        self.start = start
        self.index = index
        self.token = token = start.context.token
        self.attempt = attempt = start.attempt
        self.action: Any = start.actions[index]
        self.key: str = f"{token}/{index}" if several else token
        self.identity = (token, attempt, index)
        self._cancelled = False
        self.thread: int | None = None
        """Which thread runs it, once one does; so that its stack can be looked at."""

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out."""
        return None if self.start.deadline_us is None else from_micros(self.start.deadline_us)

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Say so; running code may look."""
        self._cancelled = True


class Answered(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a performer returned or raised; `final` when it raised `Rejected`."""

    call: RunningCall
    result: Any = None
    failure: Failed | None = None
    final: bool = False


def failure_of(error: BaseException) -> tuple[Failed, bool]:
    """What an exception of user code means, and whether it is final."""
    if isinstance(error, Rejected):
        return Failed(code=error.code, message=error.message), True
    return Failed(code=type(error).__name__, message=str(error)[:ERROR_LIMIT_CHARS]), False


def answer_to(call: RunningCall, error: BaseException) -> Answered:
    """The answer that an exception makes."""
    failure, final = failure_of(error)
    return Answered(call, failure=failure, final=final)


Report = Callable[[Answered], None]


class Executor(Protocol):
    """Where calls of one performer run."""

    def submit(self, call: RunningCall) -> None:
        """Run it, now or when there is room; never blocks. Its answer goes to the pool."""
        ...

    def stop(self) -> None:
        """Take no more; what runs is left alone."""
        ...


class PerformerPool:
    """All performers of a system. Thread-safe."""

    def __init__(self, performers: Iterable[Performer], executor: Callable[[Performer, Report], Executor]) -> None:
        self.performers: dict[type[Any], Performer] = {}
        for performer in performers:
            if performer.action in self.performers:
                msg = f"Two performers for {performer.action.__name__}; give the system one."
                raise DefinitionError(msg)
            self.performers[performer.action] = performer
        self._executors: Mapping[type[Any], Executor] = {
            action: executor(performer, self._answered) for action, performer in self.performers.items() if performer.ticker is None
        }
        self.tickers = {action: performer.ticker for action, performer in self.performers.items() if performer.ticker is not None}
        """Which actions take ticks, and by what."""
        self.buckets = {action: Bucket(performer.rate) for action, performer in self.performers.items() if performer.rate is not None}
        """What is left of the rates; for the queue, as long as this process lives."""
        self._lock = threading.Lock()
        self._calls: dict[tuple[Token, int, int], RunningCall] = {}
        self._answers: dict[tuple[Token, int, int], Answered] = {}
        self._queue: Mailbox | None = None

    def report_to(self, queue: Mailbox | None) -> None:
        """Answers go to this generation's queue from now on; to nobody, and are kept, while there is none."""
        with self._lock:
            self._queue = queue

    def call(self, call: RunningCall) -> RunningCall:
        """Make a call, unless it is running or answered already: then that one is taken up, and its answer given again."""
        with self._lock:
            known = self._calls.get(call.identity)
            answer = self._answers.get(call.identity)
            if known is None:
                self._calls[call.identity] = call
        if known is None:
            self._executors[type(call.action)].submit(call)
            return call
        if answer is not None:
            self._tell(answer)
        return known

    def holds(self, token: Token, attempt: int, index: int) -> bool:
        """Whether a call for that action was made in this process, and its attempt's end is not yet durable."""
        with self._lock:
            return (token, attempt, index) in self._calls

    def knows(self, call: RunningCall) -> bool:
        """Whether that call would be taken up, and not made."""
        with self._lock:
            return call.identity in self._calls

    def hold(self, answered: Answered) -> None:
        """Keep an answer that a probe found, for the queue to take up as if the call had been made in this process."""
        with self._lock:
            self._calls[answered.call.identity] = answered.call
            self._answers[answered.call.identity] = answered

    def forget(self, start: StartQueue) -> None:
        """The owner's decision on this attempt is durable; or all of it is to be performed anew."""
        with self._lock:
            for index in range(len(start.actions)):
                self._calls.pop((start.context.token, start.attempt, index), None)
                self._answers.pop((start.context.token, start.attempt, index), None)

    def take_back(self, call: RunningCall) -> None:
        """Cancel a call that is to be made again later; what it still answers goes to the queue all the same (P11)."""
        call.cancel()
        with self._lock:
            self._calls.pop(call.identity, None)
            self._answers.pop(call.identity, None)

    def _answered(self, answered: Answered) -> None:
        identity = answered.call.identity
        with self._lock:
            made = self._calls.get(identity)
            if made is answered.call or (made is not None and answered.failure is None):  # a call that was taken back may succeed still
                self._answers[identity] = answered
        self._tell(answered)

    def _tell(self, answered: Answered) -> None:
        queue = self._queue
        if queue is not None:
            queue.tell(answered)

    @property
    def running(self) -> int:
        """How many calls have not answered yet."""
        with self._lock:
            return len(self._calls) - len(self._answers)

    def stop(self) -> None:
        """Start nothing more."""
        for executor in self._executors.values():
            executor.stop()
