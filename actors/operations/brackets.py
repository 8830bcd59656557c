"""Brackets: code between an operation's two events. Entering waits until the first is durable, leaving until the second is."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from tallystick.actors.operation_ends import tell_end
from tallystick.actors.operations.decorating import decorated
from tallystick.actors.operations.endings import ending_by, plainer, success, tell_or_raise
from tallystick.actors.operations.tracker import NOT_NOW, OperationTerms, OperationTracker, Runner
from tallystick.actors.surroundings import Begun, Surrounded, Surroundings, correlation_of, surroundings
from tallystick.actors.telling import WhenShown, bind, log_lines_are_bound, unbind, warn
from tallystick.domain.errors import Rejected
from tallystick.domain.evidence import Knower, said_by, withhold
from tallystick.domain.operations.events import Json, OperationNoted
from tallystick.domain.operations.operation import (
    Ending,
    InvalidOperation,
    OperationId,
    OperationSnapshot,
    checked_name,
    checked_percent,
    cut,
)
from tallystick.domain.sensitive import checked_evidence

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

PROGRESS_EVERY_US = 250_000
"""Progress is written this often at most; what came between is in the next."""


class Operation(Knower):
    """The operation that the code inside a bracket runs as. For one thread or task at a time."""

    def __init__(self, tracker: OperationTracker, operation_id: OperationId, name: str) -> None:
        super().__init__(surroundings().knower)
        self._tracker = tracker
        self.id = operation_id
        self.name = name
        self._message = ""
        self._data: Mapping[str, Json] = {}
        self.found: OperationSnapshot | None = None
        """Where it stood when it was entered, if it was begun with a key; else None."""
        self._written_us: int | None = None
        self._unwritten: tuple[float | None, str] | None = None
        self._beat_us: int | None = None
        self._last: Any = None
        self._over = False

    @property
    def ended(self) -> bool:
        """Whether it had ended already when it was entered by its key: there is nothing left to do, and `found.data` is its result."""
        return self.found is not None and self.found.status.ended

    @property
    def message(self) -> str:
        """What its success will say."""
        return self._message

    @message.setter
    def message(self, message: str) -> None:
        self._message = cut(message)

    @property
    def data(self) -> Mapping[str, Json]:
        """What its success will keep as its result; setting it raises InvalidPayload where that is no evidence, but a raw body."""
        return self._data

    @data.setter
    def data(self, data: Mapping[str, Json]) -> None:
        self._data = checked_evidence(data)

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """Say how far it is, 0 to 100, or only that it goes on. Does not wait; a tight loop may call it for each turn.

        Raises:
            InvalidOperation: that is no percentage.
        """
        percent = checked_percent(percent)
        message = cut(message)
        now_us = self._tracker.clock.now_us()
        if self._written_us is not None and now_us - self._written_us < PROGRESS_EVERY_US:
            self._unwritten = (percent, message)
            return
        self._written_us = now_us
        self._write(percent, message)

    def heartbeat(self) -> None:
        """Say that it is alive, though it has not got on. Does not wait; written four times a second at most, as progress."""
        now_us = self._tracker.clock.now_us()
        if self._beat_us is not None and now_us - self._beat_us < PROGRESS_EVERY_US:
            return
        self._beat_us = now_us
        self._look_at_last()
        try:
            self._last = self._tracker.heartbeat_soon(self.id)
        except NOT_NOW:  # so that the next one is not left out
            self._beat_us = None

    def _write(self, percent: float | None, message: str) -> None:
        self._look_at_last()
        self._unwritten = None
        try:
            self._last = self._tracker.progress_soon(self.id, percent, message)
        except NOT_NOW:  # progress can wait for less work to be in flight, and for the next engine
            self._unwritten = (percent, message)

    def _look_at_last(self) -> None:
        """Whether it was ended from outside shows in what became of the last progress."""
        last = self._last
        if last is not None and last.done() and isinstance(last.exception(), Rejected):
            self._over = True

    def track(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """The items, each counted as progress when the next is asked for. Without `total`, the length of `items` where it has one.

        A total of nothing, or less than that, as some say where they know of none, is none.
        """
        given = total if total is not None else len(items) if isinstance(items, Sized) else 0
        count = given if 0 < given < math.inf else None
        for number, item in enumerate(items):
            self.progress(None if not count else min(100.0, 100.0 * number / count), f"{number} of {count}" if count else f"{number}")
            yield item
        if count:
            self.progress(100.0, f"{count} of {count}")

    def note(self, kind: str, message: str = "", data: Mapping[str, Json] | None = None) -> None:
        """Keep evidence: a checkpoint, a warning, an error. Durable when it returns."""
        self._tracker.note(self.id, kind, message, data)

    def last_note(self, kind: str) -> OperationNoted | None:
        """The latest evidence of a kind, such as the checkpoint from which to go on when it is entered again after a crash."""
        return self._tracker.last_note(self.id, kind)

    def cancelled(self) -> bool:
        """Whether it was ended from outside, by a person or because it is overdue; long loops look now and then."""
        self._look_at_last()
        return self._over or self._ended_in_log()

    def _ended_in_log(self) -> bool:
        operation = self._tracker.get(self.id)
        self._over = operation is None or operation.status.ended
        return self._over

    def flush(self) -> None:
        """Write the progress that was held back. Never raises, since it stands before the end; what cannot be written is told of."""
        if self._unwritten is None:
            return
        try:
            self._write(*self._unwritten)
        except Exception as error:  # noqa: BLE001 - whatever it is, the end is of more matter
            warn("operation.progress_lost", operation=self.name, operation_id=self.id, error=said_by(error))


class OperationScope:
    """What `System.bracket` returns: a context manager for `with` and `async with`, and a decorator for functions of either kind.

    As a context manager it is used once. As a decorator each call is an operation of its own.
    """

    def __init__(self, tracker: OperationTracker, name: str, terms: OperationTerms, traceparent: str | None, *, inline: bool) -> None:
        self._tracker = tracker
        self._name = checked_name(name)
        self._terms = terms
        self._traceparent = traceparent
        self._inline = inline
        """Whether the system runs in the calling thread, so that waiting for it in another is wrong."""
        self._operation: Operation | None = None
        self._begun: Begun | None = None
        self._bound: Mapping[str, Any] | None = None
        self._began_us = 0

    # Entering.

    def _surroundings(self) -> Surroundings:
        """Those that the operation begins in: what is given here, else what is there."""
        here, given, trace = surroundings(), self._terms.get("correlation"), self._traceparent
        if given is None and trace is None:
            return here
        correlation = given or here.correlation or correlation_of(trace or "")
        return Surroundings(correlation, operation_id=here.operation_id, tags=here.tags, traceparent=trace or here.traceparent, of=here.of)

    def _beginning(self) -> Surrounded:
        if self._operation is not None:
            msg = f"This bracket of {self._name} was entered before; make a new one with system.bracket(…)."
            raise InvalidOperation(msg)
        return Surrounded(self._surroundings())

    def _start(self) -> OperationId:
        with self._beginning():
            return self._tracker.start(self._name, held=True, **self._terms)

    def _entered(self, operation_id: OperationId, task: "asyncio.Task[Any] | None" = None) -> Operation:
        before = self._surroundings()
        tracker, tags = self._tracker, {**before.tags, **(self._terms.get("tags") or {})}
        here = Surroundings(
            before.correlation,
            operation_id=operation_id,
            tags=tags,
            traceparent=before.traceparent,
            of=tracker,
            look_up=lambda: tracker.known_of(operation_id)[0],
        )
        operation = self._operation = here.operation = Operation(tracker, operation_id, self._name)
        self._begun = Begun(here)
        self._begun.__enter__()
        if log_lines_are_bound():
            correlation = before.correlation or WhenShown(lambda: here.correlation)
            self._bound = bind(operation=self._name, operation_id=operation_id, correlation=correlation, tags=tags)
        if self._terms.get("idempotency_key") is not None:
            operation.found = tracker.get(operation_id)
        self._began_us = tracker.clock.now_us()
        tracker.running[operation_id] = Runner(threading.get_ident(), task)
        return operation

    def __enter__(self) -> Operation:
        """Begin the operation; it is durable when the body begins.

        Raises:
            InvalidOperation: this bracket was entered before.
            Exception: as `System.ask`; the body does not run then.
        """
        return self._entered(self._start())

    async def __aenter__(self) -> Operation:
        """As `__enter__`, without holding up the event loop.

        A task that is cancelled meanwhile hears of it once the operation has begun, and is canceled: else nobody would end it.
        """
        task = asyncio.current_task()
        if self._inline:
            return self._entered(self._start(), task)
        with self._beginning():
            operation_id, cancelled = await self._tracker.start_in_loop(self._name, held=True, **self._terms)
        operation = self._entered(operation_id, task)
        if cancelled is not None:
            await self.__aexit__(type(cancelled), cancelled, None)
            raise cancelled
        return operation

    # Leaving.

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it, durably: succeeded, failed with evidence, or canceled. The body's exception goes on as it is."""
        try:
            self._end(error)
        finally:
            self._part()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """As `__exit__`, without holding up the event loop. A task that is cancelled meanwhile hears of it once the operation has ended."""
        try:
            if self._inline:
                self._end(error)
            else:
                await self._end_in_loop(error)
        finally:
            self._part()

    def _part(self) -> None:
        if self._begun is not None:
            self._begun.__exit__()
            if self._bound is not None:
                unbind(self._bound)

    def _end(self, error: BaseException | None) -> None:
        operation, ending = self._left(error)
        failure: BaseException | None = None
        while operation is not None and ending is not None:
            try:
                first = self._tracker.try_complete(operation.id, ending)
            except Exception as refusal:  # noqa: BLE001 - whatever it is, it does not mask what the body raised
                failure, ending = refusal, plainer(ending, error, refusal)
            else:
                self._tell(operation, ending, first=first)
                break
        if operation is not None and failure is not None:
            tell_or_raise(operation.id, error, failure, ended=ending is not None)

    async def _end_in_loop(self, error: BaseException | None) -> None:
        operation, ending = self._left(error)
        failure: BaseException | None = None
        cancelled: asyncio.CancelledError | None = None
        while operation is not None and ending is not None:
            try:
                first, cancelled_now = await self._tracker.try_complete_in_loop(operation.id, ending)
            except asyncio.CancelledError as both:  # this task was cancelled, and the log did not take it
                cancelled, failure, ending = both, both.__cause__, plainer(ending, error, both.__cause__)
            except Exception as refusal:  # noqa: BLE001 - as in `_end`
                failure, ending = refusal, plainer(ending, error, refusal)
            else:
                self._tell(operation, ending, first=first)
                cancelled = cancelled or cancelled_now
                break
        if cancelled is not None:
            raise cancelled
        if operation is not None and failure is not None:
            tell_or_raise(operation.id, error, failure, ended=ending is not None)

    def _left(self, error: BaseException | None) -> tuple[Operation | None, Ending | None]:
        """The operation that nobody runs any more, and how it is to be ended; None where nothing of it changes any more."""
        operation = self._operation
        if operation is None:
            return None, None
        self._tracker.running.pop(operation.id, None)
        if operation.ended:
            return operation, None
        operation.flush()
        if error is None:
            return operation, success(operation.message, operation.data)
        if operation.revealed:
            withhold(error)
        return operation, ending_by(error)

    def _tell(self, operation: Operation, ending: Ending, *, first: bool) -> None:
        milliseconds = (self._tracker.clock.now_us() - self._began_us) // 1000
        if first:
            tell_end(operation.name, operation.id, ending.status, code=ending.code, milliseconds=milliseconds)
        else:
            said = {"operation": operation.name, "operation_id": operation.id, "milliseconds": milliseconds}
            warn("operation.ended_before", status=ending.status, **said)

    # Decorating.

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Each call of the function is an operation.

        Raises:
            InvalidOperation: it is a generator, whose call runs nothing of it. In its calls: they returned what is still to be awaited.
        """
        return decorated(function, self._name, self._again)

    def _again(self) -> "OperationScope":
        return OperationScope(self._tracker, self._name, self._terms, self._traceparent, inline=self._inline)


def current_operation() -> Operation | None:
    """The operation that the calling code runs in, as in a function that is decorated by a bracket; None outside of all brackets."""
    found: Operation | None = surroundings().operation
    return found
