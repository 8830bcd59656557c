"""Performers at work: user code on threads or an event loop of its own, so that it holds up no actor. Outlives the engine's generations.

A pool remembers each call, and its answer, until the owner's decision on it is durable: an engine that is rebuilt in the same process
takes up running calls instead of making them twice, and is given again the answers that it had not yet made durable (P18).
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from tallystick.actors.messages import Context, Mailbox, StartQueue
from tallystick.actors.performers.heartbeats import Heartbeats, Said, checked_progress
from tallystick.actors.performers.promises import Promises
from tallystick.actors.surroundings import reveal_here
from tallystick.domain.action import Later, Performer
from tallystick.domain.envelope import from_micros
from tallystick.domain.errors import DefinitionError, Rejected, RetryAfter
from tallystick.domain.evidence import NAME_LIMIT_CHARS, WITHHELD, Knower, fitted, is_withheld, message_of, name_of, withhold
from tallystick.domain.execution import key_of
from tallystick.domain.outcome import Failed
from tallystick.domain.rate import Bucket
from tallystick.domain.sensitive import Forgotten, Sealer, Sensitive, revealed
from tallystick.domain.token import Token

ERROR_LIMIT_CHARS = 500
REFUSAL_LIMIT_CHARS = 10_000
"""The longest message of the outside world's final no, which may be meant for people."""


CorrelationOf = Callable[[Context], str | None]


def _unknown(_context: Context) -> str | None:
    return None


class RunningCall(Knower):
    """One call of a performer, as it sees it (`Call`) and as the queue follows it."""

    __slots__ = (
        "__weakref__",
        *("_cancelled", "_when_cancelled", "action", "attempt", "identity", "index", "key", "start"),
        *("held_back", "hears", "in_window", "next_beat_us", "next_progress_us"),
        *("correlation_of", "sealer", "thread", "token"),
    )

    def __init__(self, start: StartQueue, index: int) -> None:
        super().__init__()
        self.start = start
        self.index = index
        self.token = token = start.context.token
        self.attempt = attempt = start.attempt
        self.action: Any = start.actions[index]
        self.key = key_of(token, index, len(start.actions), start.edits)
        self.identity = (token, attempt, index)
        self.hears: Hears | None = None
        """Who hears what it says of itself: nobody before it is made, nor of a question, nor where ticks are taken."""
        self.in_window = False
        self.next_beat_us = 0
        self.next_progress_us = 0
        self.held_back: Said | None = None
        self._cancelled = False
        self.sealer: Sealer | None = None
        self.correlation_of: CorrelationOf = _unknown
        self.thread: int | None = None
        """Which thread runs it, once one does; so that its stack can be looked at."""
        self._when_cancelled: Callable[[], None] | None = None

    @property
    def more_to_come(self) -> bool:
        """Whether there are more actions after its own."""
        return self.index + 1 < len(self.start.actions)

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out."""
        return None if self.start.deadline_us is None else from_micros(self.start.deadline_us)

    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._cancelled

    def heartbeat(self) -> None:
        """Say that it is alive; safe in any thread."""
        if self.in_window and self.hears is not None and not self._cancelled:
            self.hears(self, None)

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """Say how far it is; safe in any thread.

        Raises:
            InvalidPayload: as `checked_progress`.
        """
        said = checked_progress(percent, message)
        if self.hears is not None and not self._cancelled:
            self.hears(self, said)

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says; safe in any thread."""
        self.knows_secrets()
        reveal_here()
        return revealed(value, self.sealer)

    def cancel(self) -> None:
        """Say that nobody waits any more; running code may look, a coroutine is cancelled."""
        self._cancelled = True
        self._tell_cancelled()

    def when_cancelled(self, tell: Callable[[], None]) -> None:
        """Have this called when nobody waits any more, once, in whatever thread says so; at once where that is so by now."""
        self._when_cancelled = tell
        if self._cancelled:
            self._tell_cancelled()

    def _tell_cancelled(self) -> None:
        tell, self._when_cancelled = self._when_cancelled, None
        if tell is not None:
            tell()


Hears = Callable[[RunningCall, Said | None], None]
"""Told what a call says of itself: how far it is, or only that it is alive."""


class Answered(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a performer returned or raised; `final` when it raised `Rejected`, `retry_after` when it raised that."""

    call: RunningCall
    result: Any = None
    failure: Failed | None = None
    final: bool = False
    error: type[BaseException] | None = None
    retry_after: timedelta | None = None
    called_off: bool = False
    """Its coroutine was cancelled because nobody waits for it: whether it had its effect is in doubt, but that is no failure."""


def failure_of(error: BaseException) -> tuple[Failed, bool]:
    """What an exception of user code means, and whether it is final."""
    if not isinstance(error, Rejected | RetryAfter):
        return Failed(code=name_of(error), message=message_of(error, ERROR_LIMIT_CHARS)), False
    final = isinstance(error, Rejected)
    said = getattr(error, "message", "")  # of a type of the program's, which may not have called ours
    message = WITHHELD if is_withheld(error) else fitted(said, REFUSAL_LIMIT_CHARS if final else ERROR_LIMIT_CHARS)
    return Failed(code=fitted(getattr(error, "code", name_of(error)), NAME_LIMIT_CHARS), message=message), final


def answer_to(call: RunningCall, error: BaseException) -> Answered:
    """The answer that an exception makes, whatever its own code does when it is looked at: else the call would never have one."""
    if call.revealed:
        withhold(error)
    retry_after: timedelta | None = None
    try:
        failure, final = failure_of(error)
        delay = getattr(error, "delay", None) if isinstance(error, RetryAfter) else None
        retry_after = delay if isinstance(delay, timedelta) else None
    except Exception as unsaid:  # noqa: BLE001 - its own code
        failure, final = Failed(code=name_of(error), message=f"(looking at it raises {name_of(unsaid)})"), False
    return Answered(call, failure=failure, final=final, error=type(error), retry_after=retry_after)


def _is_promise(answered: Answered) -> bool:
    """Whether all of it that is left comes from outside."""
    return answered.failure is None and isinstance(answered.result, Later) and not answered.call.more_to_come


Report = Callable[[Answered], None]


class Executor(Protocol):
    """Where calls of one performer run."""

    def submit(self, call: RunningCall) -> None:
        """Run it, now or when there is room; never blocks. Its answer goes to the pool."""
        ...

    def leave_out(self) -> Iterable[RunningCall]:
        """Forget the calls that wait for room: they are not made; which these are. What runs is left alone."""
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
        self.promises = Promises()
        self._queue: Mailbox | None = None
        self._draining = False
        self._heartbeats: Heartbeats | None = None
        self._hears: Hears = self._heard
        self.sealer: Sealer | None = None
        """What calls may reveal by."""
        self.correlation_of: CorrelationOf = _unknown
        """How calls find out the correlation of the execution that they work for, where it was not known when it was begun."""

    def report_to(self, queue: Mailbox | None, heartbeats: Heartbeats | None = None) -> None:
        """Answers, heartbeats and progress go to this generation from now on; while there is none, beats are lost, and all else kept."""
        with self._lock:
            self._queue = queue
            self._heartbeats = heartbeats

    def call(self, call: RunningCall) -> RunningCall:
        """Make a call, unless it is running or answered already: then that one is taken up, and its answer given again."""
        try:
            return self._call(call)
        except KeyboardInterrupt:  # of the host, in whose thread it was performed: whether it had its effect is in doubt (P9)
            if self._calls.get(call.identity) is call:
                self.take_back(call)
            raise

    def _call(self, call: RunningCall) -> RunningCall:
        with self._lock:
            known = self._calls.get(call.identity)
            answer = self._answers.get(call.identity)
            if known is None and self._draining:
                return call
            if known is None:
                self._calls[call.identity] = call
            else:
                known.start = call.start  # the same, as the present engine has it; so that there is one of it
        self.equip(call)
        call.hears = self._hears
        if call.start.heartbeat_us is not None and answer is None:
            self._opens_window(known or call)
        if known is None:
            self._executors[type(call.action)].submit(call)
            if self._draining:  # by now: nobody else would find it where it waits
                self._leave_out()
            return call
        if answer is not None:
            self._tell(answer)
        return known

    def equip(self, call: RunningCall) -> None:
        """Give a call what its performer, or probe, may find out by it."""
        call.sealer = self.sealer
        call.correlation_of = self.correlation_of

    def _opens_window(self, call: RunningCall) -> None:
        call.in_window = True
        if self._heartbeats is not None:
            self._heartbeats.begin(call)

    def _heard(self, call: RunningCall, said: Said | None) -> None:
        heartbeats = self._heartbeats
        if said is None:
            if heartbeats is not None:
                heartbeats.beat(call)
        elif heartbeats is not None:
            heartbeats.progress(call, said)
        else:  # the engine is being rebuilt, and hears of it with what comes next
            call.held_back = said.after(call.held_back)

    def _closes_window(self, call: RunningCall) -> None:
        call.in_window = False
        heartbeats = self._heartbeats
        if heartbeats is not None:
            heartbeats.end(call)

    def holds(self, token: Token, attempt: int, index: int) -> bool:
        """Whether a call for that action was made in this process, and its attempt's end is not yet durable."""
        with self._lock:
            return (token, attempt, index) in self._calls or self.promises.has(token, attempt, index)

    def knows(self, call: RunningCall) -> bool:
        """Whether that call would be taken up, and not made."""
        with self._lock:
            return call.identity in self._calls

    def has_promised(self, start: StartQueue, index: int) -> bool:
        """Whether the answer to that call is promised: then it was made, or found, and is not to be made again."""
        with self._lock:
            return self.promises.has(start.context.token, start.attempt, index)

    def hold(self, answered: Answered) -> None:
        """Keep an answer that a probe found, for the queue to take up as if the call had been made in this process."""
        with self._lock:
            if _is_promise(answered):
                self.promises.add(answered.call, made=False)
            else:
                self._calls[answered.call.identity] = answered.call
                self._answers[answered.call.identity] = answered

    def forget(self, start: StartQueue) -> None:
        """The owner's decision on this attempt is durable; or all of it is to be performed anew."""
        with self._lock:
            for index in range(len(start.actions)):
                self._calls.pop((start.context.token, start.attempt, index), None)
                self._answers.pop((start.context.token, start.attempt, index), None)
            self.promises.drop(start.context.token, start.attempt)

    def call_off(self, token: Token) -> None:
        """Nobody waits any more for what a call has promised; whoever has kept the call may look."""
        with self._lock:
            call = self.promises.kept(token)
        if call is not None:
            call.cancel()

    def take_back(self, call: RunningCall) -> None:
        """Cancel a call that is to be made again later; what it still answers goes to the queue all the same (P11)."""
        call.cancel()
        with self._lock:
            self._calls.pop(call.identity, None)
            self._answers.pop(call.identity, None)
            self.promises.drop(call.token, call.attempt)
        self._closes_window(call)

    def _answered(self, answered: Answered) -> None:
        identity, heartbeats = answered.call.identity, self._heartbeats
        if heartbeats is not None and not answered.call.cancelled():
            heartbeats.answered(answered.call)
        with self._lock:
            made = self._calls.get(identity)
            if made is answered.call and _is_promise(answered):
                del self._calls[identity]
                self._answers.pop(identity, None)
                self.promises.add(answered.call, made=True)
            elif made is answered.call or (made is not None and answered.failure is None):  # a call that was taken back may succeed still
                self._answers[identity] = answered
            elif answered.failure is None and self.promises.has(*identity) and not isinstance(answered.result, Later):
                self.promises.drop(answered.call.token, answered.call.attempt)
                self._calls[identity], self._answers[identity] = answered.call, answered
        if answered.failure is None and (isinstance(answered.result, Later) or answered.call.more_to_come):
            self._closes_window(answered.call)
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

    def drain(self) -> None:
        """Make no call from now on, not even one that waits for a thread: it stays open, as after a crash (P26)."""
        self._draining = True
        self._leave_out()

    def _leave_out(self) -> None:
        left = [call for executor in self._executors.values() for call in executor.leave_out()]
        with self._lock:
            for call in left:
                if self._calls.get(call.identity) is call:
                    del self._calls[call.identity]

    def stop(self) -> None:
        """Start nothing more."""
        self.drain()
        for executor in self._executors.values():
            executor.stop()
