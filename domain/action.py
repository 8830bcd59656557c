"""Actions: work for the outside world, as data, and what a host plugs in for them: performers, or tickers where it drives the time."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

import msgspec

from tallystick.domain.errors import DefinitionError
from tallystick.domain.outcome import Failed
from tallystick.domain.rate import Rate
from tallystick.domain.record import Record
from tallystick.domain.sensitive import Forgotten, Sensitive
from tallystick.domain.step import Step
from tallystick.domain.token import Token

A = TypeVar("A")
R = TypeVar("R")


class Call(Protocol):
    """What a performer may know of the call it answers."""

    @property
    def token(self) -> Token:
        """The execution's id, the same for all its attempts."""
        ...

    @property
    def key(self) -> str:
        """The idempotency key for the outside world: the token, and the action's index where a queue has several (P5)."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        ...

    @property
    def deadline(self) -> datetime | None:
        """When the attempt times out."""
        ...

    def cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more; long performers look now and then. Safe in any thread.

        A performer that is an `async def` need not look: its task is cancelled then.
        """
        ...

    def heartbeat(self) -> None:
        """Say that this attempt is alive, where its intent has a `heartbeat`; costs next to nothing in a loop. Safe in any thread."""
        ...

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """Say how far this attempt is, 0 to 100, or only in words; a sign of life, as `heartbeat`. Safe in any thread, and does not wait.

        At most four a second are written into the log, where the message stands as it is; the last of those that were held back is written
        before the answer. Nothing is written once nobody waits any more, nor from a probe, nor where the action takes ticks.

        Raises:
            InvalidOperation: that is no percentage.
            InvalidPayload: the message is no text; it is a sensitive value (PersonalDataRefused).
        """
        ...

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says. Messages of exceptions that are raised then are not written down. Safe in any thread."""
        ...


class Later(Record):
    """What a performer returns when the outcome will come by `system.complete` or `system.fail`: webhooks, people; a probe may too."""


class Done(Record, Generic[R]):
    """A probe's answer: the outside world did it, with this result."""

    result: R


class NotDone(Record):
    """A probe's answer: the outside world has not done it, and may be asked (again)."""


class Unknown(Record):
    """A probe's answer: nobody can tell; a person must decide."""


Probe = Done[R] | NotDone | Unknown | Later
"""`Later`: it is with the outside world, and the answer will come by `complete` or `fail`; nothing is asked for again."""


class Running(Record):
    """What a tick answers when there is more to do."""


class Ticker(msgspec.Struct, Generic[A, R], kw_only=True):
    """How an action goes on while a host lets time pass step by step. A subclass's fields are its progress; each needs a default.

    The progress is not in the log, only in saved games: after a crash, or in a retry, the action starts again, and when it fails or is
    called off nobody hears how far it was. A tick is called in the queue, so that it has to be short, and may look at residents but must
    not change anything but its own fields.
    """

    @classmethod
    def begin(cls, action: A, call: Call, /) -> Self:
        """The progress at the start."""
        del action, call
        return cls()

    def tick(self, action: A, step: Step, /) -> Running | Done[R] | Failed:
        """Go on by one step. What it raises fails the action, as `Failed` does; `Rejected` for good."""
        msg = f"{type(self).__name__} has no tick(action, step) for {type(action).__name__}; define it."
        raise NotImplementedError(msg)


class Performer(msgspec.Struct, frozen=True, kw_only=True):
    """A callable for one type of action. Not called when state is rebuilt; called again, with the same key, when an answer was lost.

    `ticker`: nothing is called; the action takes ticks of the host's steps.
    """

    action: "type[Action[Any]]"
    run: Callable[[Any, Call], Any]
    probe: Callable[[Any, Call], Any] | None = None
    concurrency: int = 8
    rate: Rate | None = None
    ticker: "type[Ticker[Any, Any]] | None" = None

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop for performers instead of a thread."""
        return inspect.iscoroutinefunction(self.run) or inspect.iscoroutinefunction(getattr(self.run, "__call__", None))  # noqa: B004


class Action(Record, Generic[R], tag=True):
    """A piece of work for the outside world; `R` is what its performer returns. Its class name is its type in the log."""

    reserved_names: ClassVar[frozenset[str]] = frozenset({"performed_by", "ticked_by", "reserved_names", "type"})

    @classmethod
    def performed_by(
        cls,
        run: Callable[[Self, Call], R | Later | Awaitable[R | Later]],
        *,
        probe: Callable[[Self, Call], Done[R] | NotDone | Unknown | Later] | None = None,
        concurrency: int = 8,
        rate: Rate | None = None,
    ) -> Performer:
        """Plug in a callable for this action; at most `concurrency` calls of it run at once, and no more are begun than `rate` allows.

        A plain function runs on a thread of its own pool, an `async def` on an event loop of its own; neither holds the engine up. It
        raises `Rejected` for the outside world's final no; any other exception is retried by the intent's policy. After a crash
        `probe` is asked whether the call had its effect; without one the call is made again with the same key (at least once).
        """
        if concurrency < 1:
            msg = f"{cls.__name__}.performed_by: concurrency is {concurrency}; at least one call must be able to run."
            raise DefinitionError(msg)
        return Performer(action=cast("type[Action[Any]]", cls), run=run, probe=probe, concurrency=concurrency, rate=rate)

    @classmethod
    def ticked_by(cls, ticker: "type[Ticker[Self, R]]") -> Performer:
        """Have this action take ticks: a `Ticker` for each, made when it begins and called once in each `system.step`.

        Raises:
            DefinitionError: the ticker cannot begin with nothing: a field of it has no default.
        """
        if any(field.required for field in msgspec.structs.fields(ticker)):
            msg = f"{ticker.__name__}: give each field a default; they are its progress, and it begins with none."
            raise DefinitionError(msg)
        return Performer(action=cast("type[Action[Any]]", cls), run=_not_called, ticker=ticker)


def _not_called(action: Any, call: Call) -> Any:
    msg = f"{type(action).__name__} takes ticks; {call.key} is not to be performed."
    raise NotImplementedError(msg)
