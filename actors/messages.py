"""What actors tell each other. Plain immutable values; a report's context is owner and token and nothing else."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from tallystick.actors.surroundings import NOWHERE, Surroundings
from tallystick.domain.action import Action
from tallystick.domain.command import Command
from tallystick.domain.effect import IfItFails, Interruption
from tallystick.domain.envelope import Recorded
from tallystick.domain.execution import ExecutionMap
from tallystick.domain.outcome import Cancelled, Failed, Succeeded
from tallystick.domain.parking import Parking, Source
from tallystick.domain.step import Step
from tallystick.domain.token import Token
from tallystick.store.journal import Output

NO_TAGS: Mapping[str, str] = MappingProxyType({})


class Context(msgspec.Struct, frozen=True, gc=False):
    """Where a report belongs."""

    owner: str
    token: Token


class Mailbox(Protocol):
    """Where messages go: an actor's ref."""

    def tell(self, message: Any) -> None:
        """Put a message into the mailbox; never blocks."""
        ...


# To the router, and through it to an owner.


class QueueCompleted(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The last action's result; `attempt` is None when a host says so for whatever attempt is current."""

    context: Context
    attempt: int | None
    result: Any
    revealed: bool = False
    """Whether something sensitive was revealed to the performer, or probe, that says so."""


class QueueFailed(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An action failed; `final` when the outside world said no for good. `error` is what was raised, `retry_after` what it asks for."""

    context: Context
    attempt: int | None
    reason: Failed
    final: bool = False
    error: type[BaseException] | None = None
    retry_after: timedelta | None = None


class QueueRejected(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The queue does not serve it, or not any more; one that is superseded may have performed some of its actions."""

    context: Context
    cause: Literal["busy", "no_actions", "unknown_subject", "superseded"]


class QueueAdvanced(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The queue goes on with the action at `index`; those before are done."""

    context: Context
    attempt: int
    index: int


class QueueAnswered(msgspec.Struct, frozen=True, eq=False):
    """What the host says answers the action at `index`, from which nothing goes on before that is durable.

    Both are None where the queue has nothing of it: between two attempts, or while it waits for a person.
    """

    context: Context
    attempt: int | None
    index: int | None
    said: "SettleFromOutside"


class QueueBeat(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A call is alive, which holds until then; None: no call is out any more that could say so."""

    context: Context
    attempt: int
    until_us: int | None


class QueueProgress(msgspec.Struct, frozen=True, eq=False, gc=False):
    """How far the call for the action at `index` is. It is alive, which holds until then; None: that needs no showing."""

    context: Context
    attempt: int
    index: int
    percent: float | None
    message: str
    until_us: int | None


class TimeoutDecision(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A timeout is in the log and awaits its owner's decision."""

    context: Context
    fired: Recorded


class TimeoutDue(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An attempt's deadline has come; for the timer itself, which writes it down before the owner hears of it, with the tags."""

    context: Context
    attempt: int
    tags: Mapping[str, str] = NO_TAGS


class RetryDue(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A scheduled retry's time has come."""

    context: Context
    attempt: int


class ParkedDue(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A parked source may be tried again."""

    context: Context
    source: Source


REPORTS: tuple[type[Any], ...] = (
    *(QueueCompleted, QueueFailed, QueueRejected, QueueAdvanced, QueueAnswered, QueueBeat, QueueProgress),
    *(TimeoutDecision, RetryDue, ParkedDue),
)
"""What a router hands on."""


# To the queue.


class StartQueue(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Perform these actions in order, from `index` on; their intent event is durable.

    `line` is empty where the owner has a line of its own for the subject. `admitted`: they were let into it before a crash.
    """

    context: Context
    attempt: int
    subject: str
    actions: tuple[Action[Any], ...]
    deadline_us: int | None
    index: int = 0
    line: str = ""
    priority: int = 200
    origin: str = ""
    interruption: Interruption = "deferred"
    if_it_fails: IfItFails = "resume_parent"
    admitted: bool = False
    heartbeat_us: int | None = None
    edits: tuple[int, ...] = ()
    correlation: str | None = None
    """None at the first attempt of what has begun a new one: then its owner's map knows it."""
    tags: Mapping[str, str] = NO_TAGS


class FinishQueue(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Nobody waits for this token any more, or for this attempt of it; what still runs is told so. `failed`: for good, or timed out."""

    token: Token
    attempt: int | None = None
    failed: bool = False


class FinishTogether(NamedTuple):
    """Nobody waits for any of these any more: none of them is to be served because another one has left."""

    finishes: tuple[FinishQueue, ...]


class AnswerLater(NamedTuple):
    """One of several actions is answered from outside: say which, since the queue is ahead of what the owner has heard of it."""

    context: Context
    said: "SettleFromOutside"


class GoOnFrom(msgspec.Struct, frozen=True, eq=False, gc=False):
    """That the actions before `index` are done is durable, one of them by an answer from outside; `attempt` as the queue had said."""

    token: Token
    attempt: int | None
    index: int


class Tick(NamedTuple):
    """The host lets time pass: whatever takes ticks takes one."""

    step: Step


class Arbitrate(NamedTuple):
    """Decide, in the lines that do so once a step, who of those that have come is served."""


# To an owner.


class StepTaken(NamedTuple):
    """The host lets time pass: take the turn that the module takes in each step."""

    step: Step


class Wake(NamedTuple):
    """There is something new in the event lane."""


class Ask(msgspec.Struct, frozen=True, eq=False):
    """A command, where its reply goes, and what the code was a part of that asked it.

    The collector of cycles must see it: a refusal's traceback leads back to it, from its own reply.
    """

    command: Command[Any]
    key: str | None
    reply: "Reply"
    around: Surroundings = NOWHERE


class By(NamedTuple):
    """Who asks for something, and why, in their own words; empty where a program does so."""

    who: str = ""
    why: str = ""


class SettleByHand(NamedTuple):
    """A person ends an open execution, whatever is left of its actions; `dead`: only if it waits for a person."""

    token: Token
    outcome: Succeeded[Any] | Failed | Cancelled
    reply: "Reply"
    by: By = By()
    dead: bool = False


class SettleFromOutside(NamedTuple):
    """The host gives the outcome of a `Later`, or of an execution without actions; the reply says whether the token was open."""

    token: Token
    result: Any
    failure: Failed | None
    reply: "Reply"
    by: By = By()
    key: str = ""
    """The key of the very action that it answers; empty: whichever is out."""


class RedriveExecution(NamedTuple):
    """A person has an open execution tried again, with other actions if they are given; `dead`: only if it waits for a person."""

    token: Token
    actions: tuple[Action[Any], ...] | None
    dead: bool
    reply: "Reply"
    by: By = By()


class DiscardExecution(NamedTuple):
    """A person gives up an execution that waits for one: it ends with its last failure, or is cancelled where there was none."""

    token: Token
    reply: "Reply"
    by: By = By()


class Inspect(NamedTuple):
    """Say how you stand; the reply is an `Inspected`."""

    reply: "Reply"


class Inspected(NamedTuple):
    """An owner's immutable state at one moment; handed out when it is durable."""

    owner: str
    seen: int
    executions: ExecutionMap
    parking: Parking
    residents: Mapping[type[Any], Any]
    aggregates_in_memory: int


class Redrive(NamedTuple):
    """A person lets a dead letter be tried again."""

    source: Source
    who: str
    why: str
    reply: "Reply"


class Discard(NamedTuple):
    """A person gives a dead letter up."""

    source: Source
    who: str
    why: str
    reply: "Reply"


class TakeSnapshot(NamedTuple):
    """Offer a snapshot of the state as it is now."""


class Reply(Output, Protocol):
    """Where one answer goes, once, when it is durable."""

    @property
    def value(self) -> Any:
        """The answer, None until there is one."""
        ...

    @property
    def given(self) -> bool:
        """Whether it was given out, or withdrawn, already."""
        ...

    def answer(self, value: Any) -> None:
        """What `release` will hand out."""
        ...

    def refuse(self, error: BaseException) -> None:
        """What `release` will raise."""
        ...


WAKE = Wake()
