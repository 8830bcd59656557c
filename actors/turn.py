"""A turn: one message handled by one owner. It gathers effects, checks and folds them on copies, and is adopted as a whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from tallystick.actors.state import Entry, OwnerState, folded
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.clock import Identity
from tallystick.domain.effect import Begin, NeedsPerson, Settle
from tallystick.domain.envelope import Settles, from_micros, to_micros
from tallystick.domain.errors import EffectError
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.execution import Execution, ExecutionRecord
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Outcome, settlement
from tallystick.domain.protocol import EXECUTION, IntentStarted, PersonNeeded
from tallystick.domain.token import Token
from tallystick.store.codec import Codec, Encoded
from tallystick.store.journal import Draft, Stream

G = TypeVar("G", bound=Aggregate)
Re = TypeVar("Re", bound=Resident)
I = TypeVar("I", bound=Intent[Any])  # noqa: E741 - the intent's type

EFFECTS_LIMIT = 10_000
"""How many events one turn may append."""

NO_TAGS: Mapping[str, str] = {}


class Setting(NamedTuple):
    """What the turns of one owner share."""

    behaviour: Behaviour
    codec: Codec
    identity: Identity
    owned: frozenset[str]
    performed: frozenset[type[Any]]


class Begun(NamedTuple):
    """An execution that the turn opens."""

    token: Token
    started: IntentStarted[Any, Any]


class TurnInProgress:
    """The `Turn` that handlers see, and the effects that they have yielded so far.

    Raises, from whatever method:
        EffectError: an effect that cannot be carried out.
        InvalidPayload: an event or intent with values that its types do not allow.
    """

    def __init__(self, setting: Setting, state: OwnerState, now_us: int, tags: Mapping[str, str] = NO_TAGS) -> None:
        self._setting = setting
        self._state = state
        self._now_us = now_us
        self._tags = tags
        self.drafts: list[Draft] = []
        self.entries: dict[Stream, Entry] = {}
        self.residents = state.residents
        self.begun: list[Begun] = []
        self.settled: list[ExecutionRecord] = []

    # What handlers see.

    @property
    def now(self) -> datetime:
        """The turn's time."""
        return from_micros(self._now_us)

    @property
    def tags(self) -> Mapping[str, str]:
        """The execution's tags."""
        return self._tags

    def new_id(self) -> str:
        """A new id."""
        return self._setting.identity.new_id(self._now_us)

    def new_token(self) -> Token:
        """A new token."""
        return Token(self._setting.identity.new_id(self._now_us))

    def get(self, kind: type[G], key: str) -> G | None:
        """An aggregate before the turn."""
        return self._state.aggregate(kind, key)

    def resident(self, kind: type[Re]) -> Re:
        """A resident before the turn."""
        return self._state.resident(kind)

    def open(self, kind: type[I], subject: str) -> Sequence[Execution[I]]:
        """Own open executions before the turn."""
        return [record.view() for record in self._state.open_for(kind, subject)]

    # What they yield.

    def take(self, effects: Iterable[Any]) -> None:
        """Carry out the effects of a handler, in order."""
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: Any) -> None:
        """Carry out one effect, on copies."""
        if isinstance(effect, Event):
            self.publish(effect)
        elif isinstance(effect, Begin):
            self._begin(effect)
        elif isinstance(effect, Settle):
            self.settle(self._own(effect.token), effect.outcome)
        elif isinstance(effect, NeedsPerson):
            record = self._own(effect.token)
            self.note(record.token, PersonNeeded(reason=effect.reason))
        else:
            msg = f"{effect!r} is no effect; yield events, Begin, Settle or NeedsPerson."
            raise EffectError(msg)

    def publish(self, event: Event, token: Token | None = None, settles: Settles | None = None) -> None:
        """Write an event of the program and fold it."""
        if event.aggregate_type not in self._setting.owned:
            name = self._setting.behaviour.name
            msg = f"{name} yielded {type(event).__name__}, but {event.aggregate_type} belongs to another module (P20)."
            raise EffectError(msg)
        encoded = self._setting.codec.encode(event)
        event = encoded.event
        stream = (event.aggregate_type, event.aggregate_id)
        entry = self.entries.get(stream) or self._state.entry(stream)
        kind = type(event)
        folds = self._state.aggregate_folds.get(kind)
        self.entries[stream] = Entry(entry.version + 1, folded(entry.states, folds, event) if folds else entry.states)
        resident_folds = self._state.resident_folds.get(kind)
        if resident_folds:
            self.residents = folded(self.residents, resident_folds, event)
        self._draft(encoded, stream, entry.version, token, settles)

    def note(self, token: Token, event: Any) -> None:
        """Write an engine event of an execution."""
        self._draft(self._setting.codec.encode(event), (EXECUTION, token), None, token, None)

    def note_in(self, stream: Stream, event: Any) -> None:
        """Write an engine event that belongs to no execution."""
        self._draft(self._setting.codec.encode(event), stream, None, None, None)

    def settle(self, record: ExecutionRecord, outcome: Outcome[Any]) -> None:
        """End an execution: its settlement handler hears the outcome, and exactly one completion event is written."""
        if any(settled.token == record.token for settled in self.settled):
            msg = f"Token {record.token} is settled twice in one turn; settle it once."
            raise EffectError(msg)
        self.settled.append(record)
        intent = record.intent
        kind = type(intent)
        settles = settlement(outcome)
        handler = self._setting.behaviour.settlements.get(kind)
        ended = False
        for effect in handler(self, intent, outcome) if handler is not None else ():
            if not isinstance(effect, kind.ends_with):
                self.carry_out(effect)
            elif ended:
                msg = f"Settling {kind.__name__} yielded a second completion event, {type(effect).__name__}; yield exactly one of ends_with."
                raise EffectError(msg)
            else:
                self.publish(effect, record.token, settles)
                ended = True
        if not ended:
            self.settle_without_handler(record, outcome)

    def settle_without_handler(self, record: ExecutionRecord, outcome: Outcome[Any]) -> None:
        """Write the library's own completion event."""
        if all(settled.token != record.token for settled in self.settled):
            self.settled.append(record)
        settles = settlement(outcome)
        encoded = self._setting.codec.encode_ended(type(record.intent), settles, outcome)
        self._draft(encoded, (EXECUTION, record.token), None, record.token, settles)

    @staticmethod
    def deadline_us(started: IntentStarted[Any, Any]) -> int | None:
        """The first attempt's deadline, as recorded."""
        return None if started.deadline is None else to_micros(started.deadline)

    def _begin(self, begin: Begin) -> None:
        token = begin.token or self.new_token()
        if token in self._state.executions or any(token == begun.token for begun in self.begun):
            msg = f"Token {token} is open already; begin with a new one."
            raise EffectError(msg)
        for action in begin.actions:
            if type(action) not in self._setting.performed:
                name = type(action).__name__
                msg = f"Nobody performs {name}: pass {name}.performed_by(…) to the system."
                raise EffectError(msg)
        timeout = begin.timeout if begin.timeout is not None else type(begin.intent).timeout
        started = IntentStarted[Any, Any](
            intent=begin.intent,
            actions=begin.actions,
            deadline=None if timeout is None else self.now + timeout,
            timeout_us=None if begin.timeout is None else int(begin.timeout.total_seconds() * 1_000_000),
            retry=begin.retry,
            priority=begin.priority,
            origin=begin.origin,
            interruption=begin.interruption,
            reason=begin.reason,
            tags=begin.tags,
        )
        encoded = self._setting.codec.encode_started(started)
        self.begun.append(Begun(token, encoded.event))
        expected = 0 if begin.token is None else None
        self._draft(encoded, (EXECUTION, token), expected, token, None)

    def _own(self, token: Token) -> ExecutionRecord:
        record = self._state.executions.get(token)
        if record is None:
            msg = f"Token {token} is not an open execution of {self._setting.behaviour.name}; an owner ends only its own (S2)."
            raise EffectError(msg)
        return record

    def _draft(self, encoded: Encoded, stream: Stream, expected: int | None, token: Token | None, settles: Settles | None) -> None:
        if len(self.drafts) >= EFFECTS_LIMIT:
            msg = f"A turn appended more than {EFFECTS_LIMIT} events; split the work over several messages."
            raise EffectError(msg)
        name, version, payload, event = encoded
        self.drafts.append(Draft(name, version, stream[0], stream[1], expected, payload, event, token, settles))
