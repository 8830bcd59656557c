"""The protocol's own events: what the library writes between a program's events. Their meaning over time is `execution` and `parking`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from tallystick.domain.effect import IfItFails, Interruption
from tallystick.domain.outcome import Failed, Outcome, TimedOut
from tallystick.domain.record import Record
from tallystick.domain.retry import AnyRetry

I = TypeVar("I")  # noqa: E741 - the intent's type
A = TypeVar("A")
R = TypeVar("R")

EXECUTION = "Execution"
"""The aggregate type of an execution's engine events; the aggregate id is the token."""
COMMAND = "Command"
"""The aggregate type of answered keyed commands; the aggregate id is the idempotency key."""
OWNER = "Owner"
"""The aggregate type of an owner's cursors, failures and redrives; the aggregate id is the owner's name."""
ENGINE_STREAMS = frozenset({EXECUTION, COMMAND, OWNER})
"""Aggregate types that a program's own events cannot have (P20)."""


class IntentStarted(Record, Generic[I, A], omit_defaults=True):
    """The opening bracket. Its event type is the intent's `started_name()`."""

    intent: I
    actions: tuple[A, ...] = ()
    deadline: datetime | None = None
    timeout_us: int | None = None
    retry: AnyRetry | None = None
    priority: int = 200
    origin: str = ""
    interruption: Interruption = "deferred"
    if_it_fails: IfItFails = "resume_parent"
    reason: str = ""
    tags: Mapping[str, str] = {}

    @property
    def performs(self) -> bool:
        """Whether the queue has to do with it; else it is settled from outside only. A line hears of those without actions, too."""
        return bool(self.actions or getattr(self.intent, "line", ""))


class IntentEnded(Record, Generic[R]):
    """The closing bracket where the program has none of its own: `{Operation}Succeeded`, `…Failed`, `…Abandoned`."""

    operation: str
    outcome: Outcome[R]


class RetryScheduled(Record):
    """The next attempt's number and earliest time (P6)."""

    attempt: int
    retry_at: datetime
    code: str
    message: str = ""


class AttemptStarted(Record):
    """A later attempt, or the same one performed again after a crash: `call` counts the calls of all attempts (P6)."""

    attempt: int
    call: int
    deadline: datetime | None = None


class ActionsAdvanced(Record):
    """The actions before `index` are done, so that they are not done again: not after a crash, and not by a later attempt."""

    attempt: int
    index: int


class HeartbeatRecorded(Record):
    """The attempt is alive: its deadline is this one now (P8)."""

    attempt: int
    deadline: datetime | None = None


class ProgressReported(Record, omit_defaults=True):
    """How far the attempt says that it is; so it is alive: where its intent has a `heartbeat`, its deadline is this one now (P8)."""

    attempt: int
    percent: float | None = None
    message: str = ""
    deadline: datetime | None = None


class TimeoutFired(Record):
    """An attempt's deadline has passed; the owner has still to decide what follows (P8)."""

    attempt: int


class PersonNeeded(Record, omit_defaults=True):
    """The execution goes on only when somebody redrives it, or ends it. With a `cause` it is a dead letter: its retries are used up."""

    reason: str
    cause: Failed | TimedOut | None = None


class ExecutionRedriven(Record, Generic[A], omit_defaults=True):
    """A person has an execution tried again as a new attempt, from which retries count anew; `actions` where they were edited."""

    attempt: int
    who: str = ""
    why: str = ""
    actions: tuple[A, ...] | None = None


class PersonActed(Record, omit_defaults=True):
    """A person gives an execution the outcome that follows."""

    did: Literal["completed", "failed", "abandoned", "discarded", "redriven"]
    who: str = ""
    why: str = ""


class LateSuccess(Record):
    """Evidence: a success came after the settlement (P10). `result` is the result's JSON."""

    operation: str
    result: msgspec.Raw


class CommandSettled(Record):
    """The answer to a keyed command, kept with a hash of its content (P15). `reply` is the reply's JSON, null when it was rejected."""

    command: str
    content_hash: str
    reply: msgspec.Raw = msgspec.Raw(b"null")
    rejected: bool = False
    code: str = ""
    message: str = ""


class IdempotencyConflicted(Record):
    """Somebody used a key again with other content, and was refused. `settled` is the position of the key's answer."""

    key: str
    command: str
    content_hash: str
    settled: int


class ReactionFailed(Record, omit_defaults=True):
    """A handler raised. Without `retry_at` it is a dead letter, until somebody redrives or discards it (P12, P13).

    `position` is the event that it failed on. For a settlement or late handler, `token` and the outcome's JSON stand in for it.
    """

    aggregate_type: str
    aggregate_id: str
    position: int
    attempt: int
    error: str
    retry_at: datetime | None = None
    token: str | None = None
    role: Literal["reaction", "settlement", "late"] = "reaction"
    outcome: msgspec.Raw = msgspec.Raw(b"null")


class ReactionResumed(Record, omit_defaults=True):
    """An event of a parked aggregate has been handled or discarded; `next_position` is the next that waits, None when none does (P12)."""

    aggregate_type: str
    aggregate_id: str
    position: int
    next_position: int | None = None
    discarded: bool = False
    who: str = ""
    why: str = ""


class ReactionRedriven(Record, omit_defaults=True):
    """A person let a dead letter be tried again, with its attempts reset."""

    aggregate_type: str
    aggregate_id: str
    position: int
    who: str = ""
    why: str = ""


class CursorAdvanced(Record):
    """The owner has taken its event lane up to the envelope's `seen`, and had nothing to say (P2)."""


class OwnerJoined(Record):
    """A module that is new to a log: it takes events after `start` (P3)."""

    start: int


ENGINE_EVENTS: tuple[type[Record], ...] = (
    RetryScheduled,
    AttemptStarted,
    ActionsAdvanced,
    HeartbeatRecorded,
    ProgressReported,
    TimeoutFired,
    PersonNeeded,
    ExecutionRedriven,
    PersonActed,
    LateSuccess,
    CommandSettled,
    IdempotencyConflicted,
    ReactionFailed,
    ReactionResumed,
    ReactionRedriven,
    CursorAdvanced,
    OwnerJoined,
)
"""Those that are the same in every program, but for the actions that `ExecutionRedriven` may carry."""

Payload = Any
"""An event of the program, or one of the above."""
