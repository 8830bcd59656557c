"""Effects: what a handler wants to happen, as values. Carrying them out, all or none, is the engine's."""

from collections.abc import Generator, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypeVar

from tallystick.domain.action import Action
from tallystick.domain.event import Event
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Cancelled, Failed, Succeeded
from tallystick.domain.record import Record
from tallystick.domain.retry import AnyRetry
from tallystick.domain.token import Token

R = TypeVar("R")

Interruption = Literal["replayable", "not_interruptible", "deferred"]
"""What an interruption by a higher priority means for a queue: it starts again from its first action; there is none; or it goes on later
where it was."""
IfItFails = Literal["resume_parent", "fail_parent", "drop_parent"]
"""What becomes of the queue that this one interrupted, when this one fails."""


class Begin(Record):
    """Begin an execution of `intent`: its intent event is written, its timeout armed, and once both are durable its actions are performed.

    The actions run in order; the result is the last one's, and the first failure ends them. Without actions it is settled from
    outside: `complete`, `fail` or its timeout. `timeout` and `retry` stand in for the intent's own; `token` is one from `turn.new_token()`.

    In the line of its subject the higher `priority` (`ts.Priority` has the usual ones) goes first, and interrupts what is being done, if
    that lets itself be interrupted; `interruption` says what that means for this one. `if_it_fails` says what becomes of whoever this one
    interrupted: it goes on, it fails too ("INTERRUPTED", so its policy may retry it), or it is refused as superseded. `origin` is the
    owner's name where it is empty; among equal priorities a `Line` may let some origins go first.
    """

    intent: Intent[Any]
    actions: tuple[Action[Any], ...] = ()
    token: Token | None = None
    timeout: timedelta | None = None
    retry: AnyRetry | None = None
    priority: int = 200
    origin: str = ""
    interruption: Interruption = "deferred"
    if_it_fails: IfItFails = "resume_parent"
    reason: str = ""
    tags: Mapping[str, str] = {}


class Settle(Record):
    """End an open execution of one's own: its settlement handler hears the outcome in this very turn, and its actions are cancelled.

    A result is checked as a performer's is: what the intent does not promise fails the turn.
    """

    token: Token
    outcome: Succeeded[Any] | Failed | Cancelled


class NeedsPerson(Record):
    """Put an open execution of one's own on the list of those that wait for a person."""

    token: Token
    reason: str


Effect = Event | Begin | Settle | NeedsPerson
Effects = Iterable[Effect]
Decision = Generator[Effect, None, R]
"""A command handler: it yields effects, and what it returns is the reply."""
