"""Sagas as a host sees them: handles that start, watch, cancel and redrive them. What a saga does is its owner's business."""

import asyncio
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tallystick.actors.runtimes.runtime import Runtime, off_loop
from tallystick.actors.supervision import Health
from tallystick.actors.surroundings import NOWHERE, Surrounded, Surroundings
from tallystick.domain.command import Command
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import (
    LogError,
    SagaCompensated,
    SagaNeedsPerson,
    SagaVersionMissing,
    TimedOutWaiting,
    UnknownSaga,
)
from tallystick.domain.event import Aggregate
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.module import Module
from tallystick.domain.sagas.events import SagaEvent
from tallystick.domain.sagas.owner import SagaOwner
from tallystick.domain.sagas.saga import Saga
from tallystick.domain.sagas.state import Instance
from tallystick.domain.sagas.types_in_log import FormerIntent, SagaIntent, SagaTypes
from tallystick.domain.text import checked_id

In = TypeVar("In")
R = TypeVar("R")
T = TypeVar("T")
G = TypeVar("G", bound=Aggregate)

STOPPED = "The system has stopped; a saga that has not ended goes on when its log is opened again."


class Waiting(NamedTuple):
    """A step that waits for a person, and why."""

    step: str
    why: str
    code: str
    message: str


class SagaStatus(NamedTuple):
    """How an instance stands, as far as that is durable.

    `state`: "running", "compensating", "needs_person", "completed" or "compensated". `steps` has the state of each step, `waiting` those
    that wait for a person. `failed_step`, empty where it was cancelled, `code` and `message` say why it turned back.
    """

    saga: str
    id: str
    version: int
    state: str
    steps: dict[str, str]
    waiting: tuple[Waiting, ...]
    failed_step: str
    code: str
    message: str


class Desk(Protocol):
    """What a handle needs of its system."""

    def ask(self, command: Command[Any], *, idempotency_key: str | None = None, timeout_s: float | None = None) -> Any:
        """Have a command carried out."""
        ...

    async def ask_async(self, command: Command[Any], *, idempotency_key: str | None = None) -> Any:
        """As `ask`."""
        ...

    def get(self, kind: type[G], key: str) -> G | None:
        """A durable aggregate."""
        ...

    def events(self, **filters: Any) -> Iterator[Recorded]:
        """Durable records."""
        ...

    def subscribe(self, after: int = 0, *, event_types: Collection[str] = ()) -> Iterator[Recorded]:
        """Durable records after a position."""
        ...

    def health(self) -> Health:
        """How the system stands."""
        ...


class Sagas:
    """The sagas of one system, and who waits for them. Safe in any thread."""

    def __init__(self, desk: Desk, modules: Sequence[Module], runtime: Runtime) -> None:
        self.desk = desk
        self.runtime = runtime
        self._owners = {module.types.name: module for module in modules if isinstance(module, SagaOwner)}
        self._types = tuple(kind.__name__ for owner in self._owners.values() for kind in _telling(owner.types))
        self._futures: dict[tuple[str, str], list[Future[None]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def handle(self, saga: type[Saga[In, R]], saga_id: str) -> "SagaHandle[R]":
        """A handle; whether there is such an instance is not looked up.

        Raises:
            UnknownSaga: the system was not given that saga.
            InvalidPayload: the id is blank.
        """
        checked_id(f"the id of a {saga.name}", saga_id)
        owner = self._owners.get(saga.name)
        if owner is None or saga.version not in owner.plans:
            msg = f"This system was not given {saga.__name__}; it has {sorted(self._owners)}: System(sagas=[{saga.__name__}()])."
            raise UnknownSaga(msg)
        return SagaHandle(self, saga, owner, saga_id)

    def wait(self, owner: SagaOwner, saga_id: str, look: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait until `look` says that it is there; it is asked again whenever an instance has ended or needs a person.

        Raises:
            TimedOutWaiting: it was not in that time, or the system has stopped.
        """
        if self.runtime.inline:
            if not self.runtime.until(look, 0):
                rest = "and nothing is left to run: it goes on when time passes, or an answer comes; ask for its result again then."
                msg = f"{owner.types.name} {saga_id!r} has not ended, {rest}"
                raise TimedOutWaiting(msg)
            return
        clock = self.runtime.clock
        end_us = None if timeout_s is None else clock.now_us() + timeout_s * 1e6
        while not look():
            with self.hearing(owner, saga_id) as heard:
                if look():  # it ended before anybody listened
                    return
                left_s = None if end_us is None else min(max((end_us - clock.now_us()) / 1e6, 0), threading.TIMEOUT_MAX)
                try:
                    heard.result(left_s)
                except TimedOutWaiting:  # the system has stopped
                    raise
                except TimeoutError as error:
                    msg = f"{owner.types.name} {saga_id!r} has not ended by now; it goes on: ask for its result again."
                    raise TimedOutWaiting(msg) from error

    @contextmanager
    def hearing(self, owner: SagaOwner, saga_id: str) -> Generator["Future[None]"]:
        """A future of the next that is heard of an instance; when this is left, nobody waits for it any more."""
        future: Future[None] = Future()
        key = (owner.types.name, saga_id)
        with self._lock:
            self._futures.setdefault(key, []).append(future)
            if self._thread is None:
                after = self.desk.health().watermark
                self._thread = threading.Thread(target=self._listen, args=(after,), name="tallystick-sagas", daemon=True)
                self._thread.start()
        try:
            yield future
        finally:
            with self._lock:
                waiting = self._futures.get(key, [])
                if future in waiting:  # else it was told
                    waiting.remove(future)
                if not waiting:
                    self._futures.pop(key, None)

    def read(self, look: Callable[[], T]) -> T:
        """What somebody who waits finds in the log.

        Raises:
            TimedOutWaiting: the system has stopped meanwhile.
        """
        try:
            return look()
        except LogError as error:
            if self.desk.health().status in {"stopping", "stopped"}:
                raise TimedOutWaiting(STOPPED) from error
            raise

    def _listen(self, after: int) -> None:
        end: Exception = TimedOutWaiting(STOPPED)
        try:
            for recorded in self.desk.subscribe(after, event_types=self._types):
                self._tell((recorded.owner, recorded.aggregate_id))
        except LogError as error:  # those who wait are told, and who asks then has a thread that begins anew
            end = error
        with self._lock:
            self._thread = None
            left = list(self._futures)
        for key in left:
            self._tell(key, end)

    def _tell(self, key: tuple[str, str], error: Exception | None = None) -> None:
        with self._lock:
            futures = self._futures.pop(key, ())
        for future in futures:
            if future.set_running_or_notify_cancel():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)


def _telling(types: SagaTypes) -> Iterator[type[SagaEvent]]:
    """The events after which an instance may have ended, or wait for a person."""
    yield from (types.completed, types.compensated)
    for step in types.steps.values():
        yield from (step.failed, step.in_doubt, step.doubt_remains, step.undo_failed, step.done_late)


class SagaHandle(Generic[R]):
    """One instance of a saga. Safe in any thread; keeps nothing but its id, so that a new one is as good."""

    def __init__(self, sagas: Sagas, saga: type[Saga[Any, R]], owner: SagaOwner, saga_id: str) -> None:
        self.id = saga_id
        self._sagas = sagas
        self._saga = saga
        self._owner = owner

    def __repr__(self) -> str:
        return f"SagaHandle({self._owner.types.name}, {self.id!r})"

    # How it stands.

    def status(self) -> SagaStatus:
        """How it stands, as far as that is durable.

        Raises:
            UnknownSaga: there is none of that id.
        """
        instance = self._instance()
        plan = self._owner.plans.get(instance.version)
        named = list(zip(() if plan is None else plan.steps, instance.steps, strict=False))
        waiting = tuple(
            Waiting(step.name, "done_twice" if state.surplus else state.status, state.code, state.message)
            for step, state in named
            if state.needs_person
        )
        return SagaStatus(
            saga=self._owner.types.name,
            id=self.id,
            version=instance.version,
            state="needs_person" if waiting else instance.phase,
            steps={step.name: state.status for step, state in named},
            waiting=waiting,
            failed_step=instance.step,
            code=instance.code,
            message=instance.message,
        )

    async def status_async(self) -> SagaStatus:
        """As `status`, without holding up the event loop."""
        return await off_loop(self._sagas.runtime, self.status)

    def result(self, timeout_s: float | None = None) -> R:
        """Wait for its end.

        Raises:
            SagaCompensated: it was not carried out, and is undone; the error says which step failed, and why.
            SagaNeedsPerson: it goes on only when somebody has looked; ask again after a redrive.
            TimedOutWaiting: it did not end in `timeout_s`, or the system stopped, or, stepped, nothing is left to run before time passes.
            UnknownSaga: there is none of that id.
        """
        self._sagas.wait(self._owner, self.id, self._stands_still, timeout_s)
        return self._outcome()

    async def result_async(self) -> R:
        """As `result`, without holding up the event loop; in the stepped runtime it drives the system, as `result` does."""
        runtime = self._sagas.runtime
        if runtime.inline:
            return self.result()
        while not await off_loop(runtime, self._stands_still):
            with self._sagas.hearing(self._owner, self.id) as heard:
                if not await off_loop(runtime, self._stands_still):
                    await asyncio.wrap_future(heard)
        return await off_loop(runtime, self._outcome)

    def _instance(self) -> Instance:
        instance = self._sagas.desk.get(self._owner.types.instance, self.id)
        if instance is None:
            msg = f"There is no {self._owner.types.name} {self.id!r}."
            raise UnknownSaga(msg)
        return instance

    def _stands_still(self) -> bool:
        instance = self._sagas.read(self._instance)
        return instance.needs_person or instance.phase in {"completed", "compensated"}

    def _outcome(self) -> R:
        instance, name = self._sagas.read(self._instance), self._owner.types.name
        if instance.phase == "completed":
            result: R = instance.result
            return result
        if instance.needs_person:
            waiting = self.status().waiting
            reason = "; ".join(f"{each.why} {each.code} {each.message}".strip() for each in waiting)
            raise SagaNeedsPerson(name, self.id, steps=tuple(each.step for each in waiting), reason=reason)
        raise SagaCompensated(name, self.id, step=instance.step, code=instance.code, message=instance.message)

    # What can be done.

    def cancel(self, reason: str) -> None:
        """Turn back: what was done is undone. Durable when it returns; a saga that turns back already is left to do so.

        Raises:
            Rejected: COMPLETED, PAST_PIVOT, or NO_SUCH_SAGA.
        """
        with self._within():
            self._sagas.desk.ask(self._saga.cancel_command(self.id, reason))

    async def cancel_async(self, reason: str) -> None:
        """As `cancel`, without holding up the event loop."""
        with self._within():
            await self._sagas.desk.ask_async(self._saga.cancel_command(self.id, reason))

    def redrive(self, *, who: str = "", why: str = "", by_hand: bool = False) -> None:
        """Let it go on where it waits for a person: what failed is tried again. Recorded, with who and why.

        `by_hand`: it was put right, so that nothing is left to be undone of that step.

        Raises:
            Rejected: NOT_WAITING; ONLY_BY_HAND, where nobody can be asked whether a step was done; NOT_BY_HAND, where its result is needed.
        """
        with self._within():
            self._sagas.desk.ask(self._saga.redrive_command(self.id, who=who, why=why, by_hand=by_hand))

    async def redrive_async(self, *, who: str = "", why: str = "", by_hand: bool = False) -> None:
        """As `redrive`, without holding up the event loop."""
        with self._within():
            await self._sagas.desk.ask_async(self._saga.redrive_command(self.id, who=who, why=why, by_hand=by_hand))

    def _within(self) -> Surrounded:
        """What somebody decides about it has its correlation and tags, and not theirs, so that it is in its timeline."""
        of_saga = {"aggregate_type": self._owner.types.name, "aggregate_id": self.id}
        first = next(iter(self._sagas.desk.events(**of_saga, limit=1)), None)
        return Surrounded(NOWHERE if first is None else Surroundings(first.correlation, tags=first.tags))


class StartsSagas:
    """What a system has for its sagas."""

    _sagas: Sagas

    def start(self, saga: type[Saga[In, R]], given: In, *, id: str) -> SagaHandle[R]:  # noqa: A002 - a saga's id
        """Begin an instance of a saga; durable when it returns. Where there is one of that id already, it is that one.

        Raises:
            IdempotencyConflict: there is one of that id, with another input.
            UnknownSaga: the system was not given that saga.
            InvalidPayload: the input is not of the type that the saga declares, or the id is blank.
            Exception: whatever the first steps raised instead of saying what they ask for; nothing was begun.
        """
        handle = self._sagas.handle(saga, id)
        self._sagas.desk.ask(saga.start_command(given, id=id))
        return handle

    async def start_async(self, saga: type[Saga[In, R]], given: In, *, id: str) -> SagaHandle[R]:  # noqa: A002 - a saga's id
        """As `start`, for an event loop, which it never holds up; raises `Overloaded` at once when there is no room."""
        handle = self._sagas.handle(saga, id)
        await self._sagas.desk.ask_async(saga.start_command(given, id=id))
        return handle

    def saga(self, saga: type[Saga[In, R]], id: str) -> SagaHandle[R]:  # noqa: A002 - a saga's id
        """The handle of an instance that was begun before, perhaps by another process; it is not looked up yet.

        Raises:
            UnknownSaga: the system was not given that saga.
        """
        return self._sagas.handle(saga, id)


def check_versions(owner: Module, executions: Iterable[ExecutionRecord]) -> None:
    """Refuse a log with open instances of versions that the system lacks. Every open instance has an open execution (L3).

    Raises:
        SagaVersionMissing: with all of them.
    """
    if not isinstance(owner, SagaOwner):
        return
    missing: dict[tuple[str, int, str], None] = {}
    for record in executions:
        intent = record.intent
        if isinstance(intent, SagaIntent | FormerIntent):
            plan = owner.plans.get(intent.version)
            if plan is None or isinstance(intent, FormerIntent):
                missing[(owner.types.name, intent.version, intent.saga_id)] = None
    if missing:
        raise SagaVersionMissing(tuple(sorted(missing)))
