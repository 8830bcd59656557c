"""Acting: how an owner runs a turn. Decide on copies, append, adopt, and tell queue and timer; or undo it all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tallystick.actors.counters import Counters
from tallystick.actors.interrupts import leave_to_the_host
from tallystick.actors.messages import NO_TAGS, Context, FinishQueue, FinishTogether, Mailbox, ParkedDue, RetryDue, StartQueue, TimeoutDue
from tallystick.actors.operation_ends import ended_by_itself
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import Setting, TurnInProgress
from tallystick.actors.timer import Deadlines
from tallystick.domain.clock import Clock
from tallystick.domain.envelope import MICROSECOND, Recorded, tags_text
from tallystick.domain.errors import EffectError, NotAccepted
from tallystick.domain.evidence import said_by, withhold
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION, IntentStarted
from tallystick.domain.token import Token
from tallystick.store.journal import Fate, Journal, Origin, Output


class Ports(NamedTuple):
    """What an owner reaches of the others: the queue's mailbox, and the timer's deadlines."""

    queue: Mailbox
    deadlines: Deadlines


class Cause(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Why a turn is taken: whose correlation and tags it continues, which record it answers."""

    correlation: str | None = None
    causation: int | None = None
    tags: Mapping[str, str] = NO_TAGS


class Tell:
    """An output that is a message to an actor."""

    __slots__ = ("dropped", "mailbox", "message", "sent")

    def __init__(self, mailbox: Mailbox, message: Any) -> None:
        self.mailbox = mailbox
        self.message = message
        self.dropped = False
        self.sent = False

    def release(self) -> None:
        """Send it, unless its attempt has ended meanwhile (P7)."""
        if not self.dropped:
            self.mailbox.tell(self.message)
            self.sent = True

    def lost(self, fate: Fate) -> None:
        """Nothing was performed, so nothing is to be undone."""


STARTS_KEPT = 1024
"""So many starts are kept, sent or not, before anybody looks which of them might still be dropped."""


def start_queue(
    context: Context,
    started: IntentStarted[Any, Any],
    attempt: int,
    deadline_us: int | None,
    record: ExecutionRecord | None = None,
    correlation: str | None = None,
) -> StartQueue:
    """What the queue is told of an execution: its actions, and how they stand in line, but nothing of the intent itself.

    `record`: what has become of it, where it is not begun only now; else `correlation` is the one that its turn goes on with.
    """
    intent = started.intent
    return StartQueue(
        context,
        attempt,
        intent.subject,
        started.actions,
        deadline_us,
        0 if record is None else record.index,
        intent.line,
        started.priority,
        started.origin,
        started.interruption,
        started.if_it_fails,
        False,
        None if intent.heartbeat is None else intent.heartbeat // MICROSECOND,
        () if record is None else record.edits,
        correlation if record is None else record.correlation,
        started.tags,
    )


class Acting:
    """Runs the turns of one owner; only its thread calls it."""

    def __init__(self, setting: Setting, state: OwnerState, journal: Journal, clock: Clock, ports: Ports, counters: Counters) -> None:
        self.setting = setting
        self.state = state
        self.journal = journal
        self.clock = clock
        self.ports = ports
        self.counters = counters
        self.name = setting.behaviour.name
        self.deciding = False
        """Whether a handler is being asked: its turn began with the state as it is, and is still to be adopted."""
        self._starts: dict[Token, Tell] = {}
        self._starts_limit = STARTS_KEPT

    def turn(self, cause: Cause) -> TurnInProgress:
        """A fresh turn on the present state."""
        turn = TurnInProgress(self.setting, self.state)
        if cause.tags:
            turn.tags = cause.tags
        return turn

    def take(self, cause: Cause, run: Callable[..., None], *arguments: Any, outputs: Sequence[Output] = ()) -> TurnInProgress:
        """Run a handler by `run(turn, *arguments)` and carry out its effects, all or nothing.

        Raises:
            Exception: whatever the handler, its effects or the journal raised; nothing was changed.
        """
        turn = self.turn(cause)
        self.deciding = True
        try:
            run(turn, *arguments)
        except BaseException as error:
            self._check_raised(turn, error)
            raise
        finally:
            self.deciding = False
        self.append(turn, cause, outputs)
        return turn

    def react(self, recorded: Recorded, handler: Callable[..., Iterable[Any]], event: Any) -> bool:
        """Have a handler answer a record; whether it had anything to say. Otherwise as `take`."""
        turn = TurnInProgress(self.setting, self.state)
        tags_json = recorded.tags_json
        if tags_json is not None:
            turn.tags = recorded.tags
        self.deciding = True
        try:
            for effect in handler(turn, event):
                turn.carry_out(effect)
        except BaseException as error:
            self._check_raised(turn, error)
            raise
        finally:
            self.deciding = False
        if not turn.drafts:
            return False
        self._append(turn, Origin(self.name, self.state.seen, recorded.correlation, recorded.position, tags_json))
        return True

    def _check_raised(self, turn: TurnInProgress, error: BaseException) -> None:
        """What ends a thread or this engine is not for handlers to raise; and what was revealed to one is not to be written down."""
        if turn.revealed:
            withhold(error)
        leave_to_the_host(error)
        if not isinstance(error, Exception) or isinstance(error, NotAccepted | StopIteration):
            msg = f"A handler of {self.name} raised {said_by(error)}, which is not for handlers to raise; it is taken as its failure."
            raise EffectError(msg) from error

    def append(self, turn: TurnInProgress, cause: Cause, outputs: Sequence[Output] = ()) -> None:
        """Append what the turn has gathered, and adopt it. Every append carries `seen` (P1); outputs hang on it (P16)."""
        if not turn.drafts:
            for output in outputs:
                self.journal.gate(output)
            return
        tags_json = tags_text(cause.tags) if cause.tags else None
        self._append(turn, Origin(self.name, self.state.seen, cause.correlation, cause.causation, tags_json), outputs)

    def _append(self, turn: TurnInProgress, origin: Origin, outputs: Sequence[Output] = ()) -> None:
        if turn.begun or turn.settled:
            outputs = self._gated(turn, origin.correlation, outputs)
        self.state.adopt(self.journal.append(origin, turn.drafts, outputs), turn.entries, turn.residents)
        deadlines = self.ports.deadlines
        for begun in turn.begun:
            if begun.deadline_us is not None:
                deadlines.arm(begun.context, begun.deadline_us, TimeoutDue(begun.context, 1, begun.started.tags))
        for settled in turn.settled:
            deadlines.disarm(Context(self.name, settled.token))

    def _gated(self, turn: TurnInProgress, correlation: str | None, outputs: Sequence[Output]) -> list[Output]:
        gated = list(outputs)
        for begun in turn.begun:
            started = begun.started
            if started.actions or started.intent.line:
                gated.append(self.start_output(start_queue(begun.context, started, 1, begun.deadline_us, correlation=correlation)))
        finished = [
            FinishQueue(record.token, None, record.token in turn.failed)
            for record in turn.settled
            if record.started.actions or record.started.intent.line
        ]
        for finish in finished:
            self._drop_start(finish.token)
        if turn.failed:
            failed = [record for record in turn.settled if record.token in turn.failed]
            gated += filter(None, (ended_by_itself(record, turn.drafts, self.clock) for record in failed))
        if len(finished) == 1:
            gated.append(Tell(self.ports.queue, finished[0]))
        elif finished:
            gated.append(Tell(self.ports.queue, FinishTogether(tuple(finished))))
        return gated

    def start_output(self, start: StartQueue) -> Output:
        """An output that starts an attempt once it is durable."""
        token = start.context.token
        self._drop_start(token)
        output = self._starts[token] = Tell(self.ports.queue, start)
        if len(self._starts) > self._starts_limit:  # those that have been sent cannot be dropped any more
            self._starts = {token: each for token, each in self._starts.items() if not each.sent}
            self._starts_limit = 2 * len(self._starts) + STARTS_KEPT
        return output

    def finish_output(self, token: Token, attempt: int) -> Output:
        """An output that cancels what still runs for an attempt; it passes the same queue as the starts (P7)."""
        self._drop_start(token)
        return Tell(self.ports.queue, FinishQueue(token, attempt))

    def _drop_start(self, token: Token) -> None:
        start = self._starts.pop(token, None)
        if start is not None:
            start.dropped = True

    def start_of(self, record: ExecutionRecord, attempt: int, deadline_us: int | None, *, admitted: bool = False) -> Output:
        """An output that starts an attempt of an open execution, from its first action that is not known to be done."""
        context = Context(self.name, record.token)
        start = start_queue(context, record.started, attempt, deadline_us, record)
        return self.start_output(msgspec.structs.replace(start, admitted=True) if admitted else start)

    def note(self, record: ExecutionRecord, event: Any, outputs: Sequence[Output] = (), causation: int | None = None) -> None:
        """Append an engine event of an open execution, as `TurnInProgress.note_report`, and set its timer anew."""
        cause = Cause(record.correlation, causation if causation is not None else record.position, record.started.tags)
        turn = self.turn(cause)
        turn.note_report(record.token, event)
        self.append(turn, cause, outputs)
        self.arm(record.token)

    def arm(self, token: Token) -> None:
        """Tell the timer what is due for a token by now; a token whose settlement is parked has its timer suspended (P13)."""
        record = self.state.open.get(token)
        due_us = None if record is None else record.due_us
        context = Context(self.name, token)
        if record is None or due_us is None or (self.state.parks and Source(EXECUTION, token) in self.state.parking):
            self.ports.deadlines.disarm(context)
        else:
            retrying, attempt = record.status == "retrying", record.attempt
            due = RetryDue(context, attempt) if retrying else TimeoutDue(context, attempt, record.started.tags)
            self.ports.deadlines.arm(context, due_us, due)

    def arm_parked(self, source: Source) -> None:
        """Tell the timer when a parked source may be tried again; a dead letter waits for a person.

        What was redriven or comes next is due at once: its record may be dated later than now, if the wall clock was set back (P23, P24).
        """
        parked = self.state.parking.get(source)
        if parked is not None and parked.retry_at_us is not None:
            due = ParkedDue(Context(self.name, Token("")), source)
            self.ports.deadlines.arm((self.name, source), parked.retry_at_us if parked.attempt else 0, due)
