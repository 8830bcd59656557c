"""One owner without an engine: a module's handlers, carried out by the code that carries them out in production, on a log that forgets.

Turns, checks, folds, settlements, retries and late successes are the engine's own; there are no actors, threads, performers or disk.
What happened is read off the log, so it is what production would have written.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

from tallystick.actors.clock import ManualClock
from tallystick.actors.counters import Counters
from tallystick.actors.engine import ownership
from tallystick.actors.messages import Ask, Context, QueueCompleted, RetryDue, TimeoutDecision
from tallystick.actors.owner.acting import Acting, Cause, Ports
from tallystick.actors.owner.commands import Commands
from tallystick.actors.owner.parked import Letter, ParkedSources
from tallystick.actors.owner.settling import Settling
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import Setting, TurnInProgress
from tallystick.actors.timer import Deadlines
from tallystick.actors.vault import Vault
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.command import Command
from tallystick.domain.effect import Begin, NeedsPerson
from tallystick.domain.envelope import Recorded, tags_text
from tallystick.domain.errors import TallystickError, UnknownCommand
from tallystick.domain.event import Event
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.intent import Intent
from tallystick.domain.module import Module
from tallystick.domain.outcome import Outcome, Succeeded
from tallystick.domain.protocol import ENGINE_EVENTS, EXECUTION, IntentEnded, IntentStarted, PersonNeeded, TimeoutFired
from tallystick.domain.record import Record
from tallystick.domain.step import Step
from tallystick.domain.token import Token
from tallystick.store.codec import Codec, Encoded
from tallystick.store.journal import Draft, Fate, Journal, Origin, Output
from tallystick.store.memory import MemoryLog
from tallystick.testing.keys import SeededKeys, sealed

NO_CAUSE = Cause()


class NotOfThisModule(TallystickError):
    """What is given or tried does not concern the module: it neither writes it nor reacts to it."""


class Settled(Record):
    """That the execution of an intent ended, with this outcome. Made by `settled`."""

    intent: Intent[Any]
    outcome: Outcome[Any]


Effected = Event | Begin | Settled | NeedsPerson
"""What a turn leaves in the log, as far as it is the module's."""


class LearningCodec(Codec):
    """A codec that learns the module's actions as they are begun: only performers would name them beforehand."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._actions: frozenset[type[Any]] = frozenset()
        keys = SeededKeys()
        self.vault = Vault(keys, keys.new_key)
        super().__init__([behaviour], sealer=self.vault)

    def encode_started(self, started: IntentStarted[Any, Any]) -> Encoded:
        """As every codec."""
        actions = frozenset(type(action) for action in started.actions)
        if not actions <= self._actions:
            self._actions |= actions
            super().__init__([self._behaviour], sorted(self._actions, key=lambda action: action.__name__), sealer=self.vault)
        return super().encode_started(started)


class _Everything(frozenset[type[Any]]):
    """All actions: somebody performs whatever the module begins."""

    __slots__ = ()

    def __contains__(self, action: object) -> bool:
        return True


class CountedIdentity:
    """Ids that repeat and can be written down: `id-1`, `id-2` …; every draw is in the middle."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made = 0

    def new_id(self, now_us: int) -> str:
        """The next one."""
        del now_us
        self._made += 1
        return f"{self._prefix}-{self._made}"

    def draw(self) -> float:
        """Always the same."""
        return 0.5


class KeptReply:
    """Keeps the answer to a command."""

    given = False

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def answer(self, value: Any) -> None:
        """The reply."""
        self.value = value

    def refuse(self, error: BaseException) -> None:
        """What was raised instead."""
        self.error = error

    def release(self) -> None:
        """It was kept already."""

    def lost(self, fate: Fate) -> None:
        """This log does not fail."""


class _Nowhere:
    """The mailbox of a queue that performs nothing."""

    def tell(self, message: Any) -> None:
        """Drop it."""


class _Unforgiving(ParkedSources):
    """Whoever raises is heard at once, instead of being tried again."""

    def _fail(self, letter: Letter, error: Exception, outputs: Iterable[Output] = ()) -> None:
        """Raise it."""
        del letter, outputs
        raise error


class OneOwner:
    """A module, its folded state and its open executions, at a time that stands still unless a timeout passes."""

    def __init__(self, module: Module, clock: ManualClock) -> None:
        behaviour = self._behaviour = Behaviour(module)
        self._owned = ownership([behaviour])[behaviour.name]
        self._heard: list[Settled] = []
        for kind, handler in behaviour.settlements.items():
            behaviour.settlements[kind] = self._listening(handler)
        self._codec = LearningCodec(behaviour)
        self.vault = self._codec.vault
        self._clock = clock
        log = MemoryLog()
        log.open()
        self._journal = Journal(log, clock)
        self.setting = Setting(behaviour, self._codec, clock, CountedIdentity("given"), self._owned, _Everything())
        self.state = OwnerState(behaviour, self._codec, self._journal)
        ports = Ports(_Nowhere(), Deadlines())
        self._acting = Acting(self.setting, self.state, self._journal, clock, ports, Counters())
        self._commands = Commands(self._acting, self._codec)
        self._settling = Settling(self._acting, self._codec, _Unforgiving(self._acting, self._codec, {}))
        self._ending: Token | None = None

    @property
    def name(self) -> str:
        """The module's."""
        return self._behaviour.name

    @property
    def position(self) -> int:
        """Where its log ends."""
        return self._journal.tail

    def _listening(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The same handler; what it is told is kept, for a completion event does not say it."""

        def heard(turn: Any, intent: Intent[Any], outcome: Outcome[Any]) -> Any:
            self._heard.append(Settled(intent=intent, outcome=outcome))
            return handler(turn, intent, outcome)

        return heard

    # What can happen.

    def ask(self, command: Command[Any]) -> KeptReply:
        """A command with an idempotency key, so that content and reply must be fit for the log; what its handler raises is in the reply."""
        if type(command) not in self._behaviour.commands:
            known = sorted(kind.__name__ for kind in self._behaviour.commands)
            msg = f"{self.name} does not handle {type(command).__name__}; it handles {', '.join(known) or 'no command'}."
            raise UnknownCommand(msg)
        self._prepare()
        reply = KeptReply()
        self._commands.ask(Ask(command, f"key-{self.position}", reply))
        return reply

    def fold(self, event: Event) -> None:
        """An event of its own that was written."""
        self._prepare()
        self._acting.take(NO_CAUSE, TurnInProgress.carry_out, event)

    def writes(self, event: Event) -> bool:
        """Whether the event is of an aggregate of its own."""
        return event.aggregate_type in self._owned

    def reacts_to(self, event: Event) -> bool:
        """Whether it has a handler for that event."""
        return type(event) in self._behaviour.reactions

    def react(self, event: Event) -> None:
        """An event that it answers."""
        handler = self._behaviour.reactions.get(type(event))
        if handler is None:
            msg = f"{self.name} does not react to {type(event).__name__}."
            raise NotOfThisModule(msg)
        self._prepare()
        _, _, event = self._codec.encode(event)
        self._acting.take(NO_CAUSE, TurnInProgress.answer, handler, event)

    def step(self, step: Step) -> None:
        """A step in which it takes its turn, or turns; the clock moves to the step's time, if that is later."""
        if not self._behaviour.steps:
            msg = f"{self.name} has no method for each step."
            raise NotOfThisModule(msg)
        self._prepare()
        self._clock.advance_to_us(max(step.now_us, self._clock.now_us()))
        for handler in self._behaviour.steps:
            self._acting.take(NO_CAUSE, TurnInProgress.answer, handler, step)

    def begin(self, begin: Begin) -> None:
        """An execution that was begun."""
        self._prepare()
        self._acting.take(NO_CAUSE, TurnInProgress.carry_out, begin)

    def settle(self, intent: Intent[Any], outcome: Outcome[Any]) -> None:
        """An execution ends."""
        record = self._open(intent)
        if isinstance(outcome, Succeeded):
            outcome = Succeeded(result=self._codec.checked(outcome.result, self._codec.result_types[type(intent)]))
        cause = Cause(record.correlation, record.position, record.started.tags)
        self._acting.take(cause, TurnInProgress.settle, record, outcome)

    def time_out(self, intent: Intent[Any]) -> None:
        """Nothing is heard of an execution, nor of the retries that its policy grants, until all of its time has passed."""
        record: ExecutionRecord | None = self._open(intent)
        while record is not None and record.due_us is not None:
            self._clock.advance_to_us(max(record.due_us, self._clock.now_us()))
            context = Context(self.name, record.token)
            if record.status == "retrying":
                self._settling.retry_due(RetryDue(context, record.attempt))
            else:
                self._settling.timed_out(TimeoutDecision(context, self._fired(record)))
            record = self.state.open.get(record.token)
        if record is not None and record.status != "person":
            msg = f"{intent!r} has no timeout, so that it never times out; begin it with one."
            raise AssertionError(msg)

    def _fired(self, record: ExecutionRecord) -> Recorded:
        form, payload, event = self._codec.encode(TimeoutFired(attempt=record.attempt))
        draft = Draft(form, (EXECUTION, record.token), None, payload, event, record.token)
        origin = Origin(self.name, None, record.correlation, record.position, tags_text(record.started.tags))
        (fired,) = self._journal.append(origin, (draft,))
        return fired

    def succeed_late(self, intent: Intent[Any], result: Any) -> None:
        """A success is heard of after the end."""
        tokens = [token for token, begun in self._intents(0) if begun == intent and token not in self.state.open]
        if not tokens:
            state = "is still open" if any(each.intent == intent for each in self.state.open.values()) else "was never begun"
            msg = f"A success is late when its execution has ended, but {intent!r} {state}. Give its end too: settled(…) or timed_out(…)."
            raise AssertionError(msg)
        self._prepare()
        result = self._codec.checked(result, self._codec.result_types[type(intent)])
        self._settling.completed(QueueCompleted(Context(self.name, tokens[-1]), 1, result))

    def _open(self, intent: Intent[Any]) -> ExecutionRecord:
        intent = sealed(intent, self.vault)
        found = next((record for record in self.state.open.values() if record.intent == intent), None)
        if found is None:
            others = "".join(f"\n  {record.intent!r}" for record in self.state.open.values()) or " nothing"
            msg = f"{self.name} has no open execution of {intent!r}. Open:{others}"
            raise AssertionError(msg)
        self._prepare(found.token)
        return found

    def _prepare(self, ending: Token | None = None) -> None:
        """Before something happens: whose end it is, and nothing was heard so far."""
        self._ending = ending
        self._heard.clear()

    # What did happen.

    def story(self, after: int) -> list[Effected]:
        """What the module has written after a position; the library's own bookkeeping is left out."""
        intents = dict(self._intents(0))
        story: list[Effected] = []
        for recorded in self._records(after):
            event = recorded.event
            ended = None if recorded.settles is None else intents[Token(recorded.token or "")]
            match event:
                case IntentStarted():
                    story.append(_begin(event, recorded))
                case IntentEnded():
                    assert ended is not None  # noqa: S101 - what the protocol says of such a record
                    story.append(Settled(intent=ended, outcome=event.outcome))
                case PersonNeeded():
                    story.append(NeedsPerson(token=Token(recorded.token or ""), reason=event.reason))
                case _ if isinstance(event, ENGINE_EVENTS):
                    pass
                case _:
                    if ended is not None and recorded.token != self._ending:
                        story.append(next(each for each in self._heard if each.intent == ended))
                    story.append(event)
        return story

    def intent_of(self, token: Token) -> Intent[Any] | None:
        """What was begun with a token."""
        return dict(self._intents(0)).get(token)

    def _intents(self, after: int) -> Iterator[tuple[Token, Intent[Any]]]:
        for recorded in self._records(after):
            if isinstance(recorded.event, IntentStarted):
                yield Token(recorded.token or ""), recorded.event.intent

    def _records(self, after: int) -> Iterator[Recorded]:
        return iter(self._journal.after(after, self._journal.tail))

    def turn(self) -> TurnInProgress:
        """A turn that is not taken, to read the state."""
        return TurnInProgress(self.setting, self.state)


def _begin(started: IntentStarted[Any, Any], recorded: Recorded) -> Begin:
    """The effect that an intent event came of."""
    return Begin(
        intent=started.intent,
        actions=started.actions,
        token=recorded.token,
        timeout=None if started.timeout_us is None else timedelta(microseconds=started.timeout_us),
        retry=started.retry,
        priority=started.priority,
        origin=started.origin,
        interruption=started.interruption,
        if_it_fails=started.if_it_fails,
        reason=started.reason,
        tags=started.tags,
    )
