"""Actions: work for the outside world, as data, and the performers that a host plugs in for them."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast

import msgspec

from tallystick.domain.errors import DefinitionError
from tallystick.domain.record import Record
from tallystick.domain.token import Token

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
        """Whether nobody waits for this attempt any more; long performers look now and then. Safe in any thread."""
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


class Performer(msgspec.Struct, frozen=True, kw_only=True):
    """A callable for one type of action. Not called when state is rebuilt; called again, with the same key, when an answer was lost."""

    action: "type[Action[Any]]"
    run: Callable[[Any, Call], Any]
    probe: Callable[[Any, Call], Any] | None = None
    concurrency: int = 8

    @property
    def is_async(self) -> bool:
        """Whether it runs on the event loop for performers instead of a thread."""
        return inspect.iscoroutinefunction(self.run) or inspect.iscoroutinefunction(getattr(self.run, "__call__", None))  # noqa: B004


class Action(Record, Generic[R], tag=True):
    """A piece of work for the outside world; `R` is what its performer returns. Its class name is its type in the log."""

    reserved_names: ClassVar[frozenset[str]] = frozenset({"performed_by", "reserved_names", "type"})

    @classmethod
    def performed_by(
        cls,
        run: Callable[[Self, Call], R | Later | Awaitable[R | Later]],
        *,
        probe: Callable[[Self, Call], Done[R] | NotDone | Unknown | Later] | None = None,
        concurrency: int = 8,
    ) -> Performer:
        """Plug in a callable for this action; at most `concurrency` calls of it run at once.

        A plain function runs on a thread of its own pool, an `async def` on an event loop of its own; neither holds the engine up. It
        raises `Rejected` for the outside world's final no; any other exception is retried by the intent's policy. After a crash
        `probe` is asked whether the call had its effect; without one the call is made again with the same key (at least once).
        """
        if concurrency < 1:
            msg = f"{cls.__name__}.performed_by: concurrency is {concurrency}; at least one call must be able to run."
            raise DefinitionError(msg)
        return Performer(action=cast("type[Action[Any]]", cls), run=run, probe=probe, concurrency=concurrency)
