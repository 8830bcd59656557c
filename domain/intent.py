"""Intents: what an owner wants done, and the names of the events that bracket it. How it stands at any moment is an execution."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from tallystick.domain.envelope import Settles
from tallystick.domain.event import Event
from tallystick.domain.marks import Mark, marked
from tallystick.domain.outcome import Outcome, settlement
from tallystick.domain.record import Record
from tallystick.domain.retry import AnyRetry

R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

OnTimeout = Literal["retry", "abandon"]
"""Whether an unanswered attempt is made again while retries are left, or ends the execution at once."""
OnRedrive = Literal["again", "settle"]
"""Whether a redrive of an execution that waits for a person is another attempt, or ends it: its handler hears `Cancelled`, and goes on."""
OnExhausted = Literal["settle", "dead_letter"]
"""Whether the last failure that no retry follows ends the execution, or leaves it open as a dead letter for a person to decide on."""


class Intent(Record, Generic[R]):
    """An operation to be begun; its fields are the record that only the owner sees, its class name is the operation's name.

    `timeout` bounds one attempt, `schedule_to_close` all of them with the delays between. `retry` repeats failed ones, and timed-out ones
    too unless `on_timeout` is "abandon"; `on_exhausted` says what follows when no retry is left (the outside world's final no always
    settles). With a `heartbeat` an attempt times out as well when its call has not said for so long that it is alive: by
    `call.heartbeat()`, which counts up to eight times in that time. `started` names the intent event where `{Operation}Started` will not
    do. A settling turn yields exactly one of `ends_with`, which the library marks; if it yields none, `{Operation}Succeeded`, `…Failed` or
    `…Abandoned` is written.
    """

    reserved_names: ClassVar[frozenset[str]] = frozenset(
        {
            *(
                "timeout",
                "schedule_to_close",
                "heartbeat",
                "retry",
                "on_timeout",
                "on_exhausted",
                "on_redrive",
                "started",
                "ends_with",
                "line",
            ),
            *("subject", "settled", "settles_as", "late", "reserved_names"),
        }
    )

    timeout: ClassVar[timedelta | None] = None
    schedule_to_close: ClassVar[timedelta | None] = None
    heartbeat: ClassVar[timedelta | None] = None
    retry: ClassVar[AnyRetry | None] = None
    on_timeout: ClassVar[OnTimeout] = "retry"
    on_exhausted: ClassVar[OnExhausted] = "settle"
    on_redrive: ClassVar[OnRedrive] = "again"
    started: ClassVar[str] = ""
    ends_with: ClassVar[tuple[type[Event], ...]] = ()
    line: ClassVar[str] = ""

    @property
    def subject(self) -> str:
        """Whom it is about: actions of one owner and subject run one after another. Empty: nobody, so it waits for nothing.

        With a `line`, those of all owners for one subject do, as that `Line` says; it must be somebody then.
        """
        return ""

    @classmethod
    def operation(cls) -> str:
        """The operation's name."""
        return cls.__name__

    @classmethod
    def started_name(cls) -> str:
        """The name of the intent event."""
        return cls.started or f"{cls.__name__}Started"

    @classmethod
    def ended_name(cls, settles: Settles) -> str:
        """The name of the completion event that is written when the settling turn yields none of `ends_with`.

        `{Operation}Failed` and the like; `{Operation}EndedFailed` where one of `ends_with` has that name for itself.
        """
        end = settles.capitalize()
        name = f"{cls.__name__}{end}"
        taken = any(event.__name__ == name for event in cls.ends_with)
        return f"{cls.__name__}Ended{end}" if taken else name

    @classmethod
    def settles_as(cls, outcome: Outcome[R]) -> Settles:
        """How its completion event is marked; an operation whose result may itself be a failure says so here."""
        return settlement(outcome)

    @classmethod
    def settled(cls, fn: F) -> F:
        """Mark the method `(self, turn, intent, outcome) -> effects` that ends this operation."""
        return marked(fn, Mark("settled", cast("type[Any]", cls)))

    @classmethod
    def late(cls, fn: F) -> F:
        """Mark the method `(self, turn, intent, result) -> effects` for a success that comes after the settlement (P10)."""
        return marked(fn, Mark("late", cast("type[Any]", cls)))
