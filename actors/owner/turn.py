"""A turn: one message handled by one owner. It gathers effects, checks and folds them on copies, and is adopted whole or not at all."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

from tallystick.actors.messages import NO_TAGS, Context
from tallystick.actors.owner.state import Entry, OwnerState, folded
from tallystick.domain.behaviour import Behaviour, Fold
from tallystick.domain.clock import Clock, Identity
from tallystick.domain.effect import Begin, NeedsPerson, Settle
from tallystick.domain.envelope import MICROSECOND, Settles, from_micros
from tallystick.domain.errors import EffectError, InvalidPayload
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.execution import Execution, ExecutionRecord, deadline_of, timeout_us_of
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Succeeded, TimedOut
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION, IntentStarted, LateSuccess, PersonNeeded
from tallystick.domain.sensitive import Forgotten, Sensitive
from tallystick.domain.text import checked_text, plain_text
from tallystick.domain.token import Token
from tallystick.store.codec import Codec, Form
from tallystick.store.journal import Draft, Stream

G = TypeVar("G", bound=Aggregate)
Re = TypeVar("Re", bound=Resident)
I = TypeVar("I", bound=Intent[Any])  # noqa: E741 - the intent's type

EFFECTS_LIMIT = 10_000
"""How many events one turn may append."""
TOO_MANY = f"A turn appended more than {EFFECTS_LIMIT} events; split the work over several messages."


class Publication(msgspec.Struct, frozen=True, eq=False, gc=False):
    """How one owner writes events of one type: their form, and what they are folded into."""

    form: Form
    aggregate_type: str
    folds: Sequence[Fold]
    resident_folds: Sequence[Fold]


class Setting:
    """What the turns of one owner share."""

    def __init__(
        self,
        behaviour: Behaviour,
        codec: Codec,
        clock: Clock,
        identity: Identity,
        owned: frozenset[str],
        performed: frozenset[type[Any]],
    ) -> None:
        self.behaviour = behaviour
        self.codec = codec
        self.clock = clock
        self.identity = identity
        self.performed = performed
        self.publications: dict[type[Any], Publication] = {}
        """By event type, as far as events of the type have been written."""
        self._owned = owned

    def publication(self, kind: type[Event]) -> Publication:
        """How events of that type are written.

        Raises:
            EffectError: they belong to another owner (P20).
            InvalidPayload: nobody has declared the type.
        """
        form = self.codec.form_of(kind)
        if kind.aggregate_type not in self._owned:
            msg = f"{self.behaviour.name} yielded {kind.__name__}, but {kind.aggregate_type} belongs to another module (P20)."
            raise EffectError(msg)
        behaviour = self.behaviour
        found = self.publications[kind] = Publication(
            form,
            kind.aggregate_type,
            tuple(fold for fold in behaviour.aggregate_folds.get(kind, ()) if not fold.recorded),
            tuple(fold for fold in behaviour.resident_folds.get(kind, ()) if not fold.recorded),
        )
        return found


class Begun(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An execution that the turn opens."""

    context: Context
    started: IntentStarted[Any, Any]
    deadline_us: int | None


_PLAIN_ENDS = frozenset({Failed, Cancelled})


class TurnInProgress:
    """The `Turn` that handlers see, and the effects that they have yielded so far.

    Raises, from whatever method:
        EffectError: an effect that cannot be carried out.
        InvalidPayload: an event or intent with values that its types do not allow.
    """

    # Most turns need none of these: they are set on the turn when they are.
    tags: Mapping[str, str] = NO_TAGS
    """Those of what the turn answers."""
    begun: Sequence[Begun] = ()
    settled: Sequence[ExecutionRecord] = ()
    failed: Sequence[Token] = ()
    """Which of those settled have failed or timed out."""
    revealed = False
    """Whether its handler knows something that may not be written down."""
    _now_us = 0
    _new_tokens: Sequence[Token] = ()

    def __init__(self, setting: Setting, state: OwnerState) -> None:
        self._setting = setting
        self._state = state
        self._read: dict[Stream, Entry] = {}
        self.drafts: list[Draft] = []
        self.entries: dict[Stream, Entry] = {}
        self.residents = state.residents

    # What handlers see.

    @property
    def now_us(self) -> int:
        """The turn's time, looked up once, if at all; microseconds since 1970 UTC."""
        if not self._now_us:
            self._now_us = self._setting.clock.now_us()
        return self._now_us

    @property
    def now(self) -> datetime:
        """The turn's time."""
        return from_micros(self.now_us)

    def new_id(self) -> str:
        """A new id."""
        return self._setting.identity.new_id(self.now_us)

    def new_token(self) -> Token:
        """A new token."""
        token = Token(self._setting.identity.new_id(self.now_us))
        self._new_tokens = (*self._new_tokens, token)
        return token

    def get(self, kind: type[G], key: str) -> G | None:
        """An aggregate before the turn."""
        aggregate_type = self._setting.behaviour.streams.get(kind)
        if aggregate_type is None:
            msg = f"{self._setting.behaviour.name} folds nothing into {kind.__name__}; a module reads only its own aggregates."
            raise EffectError(msg)
        stream = (aggregate_type, key)
        entry = self._state.entries.get(stream) or self._read_back(stream)
        return cast("G | None", entry[1].get(kind))

    def _read_back(self, stream: Stream) -> Entry:
        """An aggregate that is not in memory; asked for once a turn."""
        entry = self._read.get(stream)
        if entry is None:
            checked_text("An aggregate's id", stream[1])
            entry = self._read[stream] = self._state.read_back(stream)
        return entry

    def resident(self, kind: type[Re]) -> Re:
        """A resident before the turn."""
        return self._state.resident(kind)

    def open(self, kind: type[I], subject: str) -> Sequence[Execution[I]]:
        """Own open executions before the turn."""
        return [record.view() for record in self._state.open_for(kind, subject)]

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says."""
        self.revealed = True
        return self._setting.codec.reveal(value)

    # What they yield.

    def answer(self, handler: Callable[..., Iterable[Any]], *message: Any) -> None:
        """Have a handler answer, and carry out its effects in order."""
        for effect in handler(self, *message):
            self.carry_out(effect)

    def carry_out(self, effect: Any) -> None:
        """Carry out one effect, on copies."""
        publication = self._setting.publications.get(type(effect))
        if publication is not None:
            self._publish(publication, effect)
        elif isinstance(effect, Begin):
            self._begin(effect)
        elif isinstance(effect, Event):
            self._publish(self._setting.publication(type(effect)), effect)
        elif isinstance(effect, Settle):
            record = self._own(effect.token)
            self.settle(record, self._checked(record, effect.outcome))
        elif isinstance(effect, NeedsPerson):
            if all(effect.token != begun.context.token for begun in self.begun):
                self._own(effect.token)
            self.note(effect.token, PersonNeeded(reason=effect.reason))
        else:
            msg = f"{effect!r} is no effect; yield events, Begin, Settle or NeedsPerson."
            raise EffectError(msg)

    def _checked(self, record: ExecutionRecord, outcome: Any) -> Outcome[Any]:
        """What an owner says of an execution of its own, as far as a performer could have said it."""
        codec, kind = self._setting.codec, type(record.intent)
        if not isinstance(outcome, Succeeded | Failed | Cancelled):
            msg = f"{outcome!r} is no end that an owner gives to what is its own; settle it as Succeeded, Failed or Cancelled."
            raise EffectError(msg)
        try:
            if isinstance(outcome, Succeeded):
                return Succeeded(result=codec.checked(outcome.result, codec.result_types[kind]))
            # One of the library's own has with it what its handler is to know.
            return codec.checked(outcome, type(outcome)) if type(outcome) in _PLAIN_ENDS else outcome
        except InvalidPayload as error:
            msg = f"{kind.__name__} was settled with what it does not promise: {error}"
            raise InvalidPayload(msg) from error

    def _publish(self, publication: Publication, event: Event, token: Token | None = None, settles: Settles | None = None) -> None:
        """Write an event of the program and fold it."""
        form = publication.form
        payload, event = self._setting.codec.encoded(form, event)
        aggregate_id = event.aggregate_id
        stream = (publication.aggregate_type, aggregate_id if type(aggregate_id) is str else plain_text("An aggregate's id", aggregate_id))
        entries = self.entries
        version, states = entries.get(stream) or self._state.entries.get(stream) or self._read_back(stream)
        if publication.folds:
            states = folded(states, publication.folds, event)
        entries[stream] = (version + 1, states)
        if publication.resident_folds:
            self.residents = folded(self.residents, publication.resident_folds, event)
        self._draft(Draft(form, stream, version, payload, event, token, settles))

    def note(self, token: Token, event: Any) -> None:
        """Write an engine event of an execution."""
        form, payload, event = self._setting.codec.encode(event)
        self._draft(Draft(form, (EXECUTION, token), None, payload, event, token))

    def note_report(self, token: Token, event: Any) -> None:
        """As `note`, of what was reported of an open execution.

        What cannot be written has words that are not ours: then the execution waits for a person, in our own, and is never lost.
        """
        try:
            self.note(token, event)
        except InvalidPayload:
            self.note(token, PersonNeeded(reason=f"what was reported of it cannot be written down as {type(event).__name__}"))

    def note_in(self, stream: Stream, event: Any, expected_version: int | None = None) -> None:
        """Write an engine event that belongs to no execution."""
        form, payload, event = self._setting.codec.encode(event)
        self._draft(Draft(form, stream, expected_version, payload, event))

    def settle(self, record: ExecutionRecord, outcome: Outcome[Any]) -> None:
        """End an execution: its settlement handler hears the outcome, and exactly one completion event is written."""
        if self.settled and any(settled.token == record.token for settled in self.settled):
            msg = f"Token {record.token} is settled twice in one turn; settle it once."
            raise EffectError(msg)
        self.settled = (*self.settled, record)
        if isinstance(outcome, Failed | TimedOut):
            self.failed = (*self.failed, record.token)
        intent = record.started.intent
        kind = type(intent)
        settles = kind.settles_as(outcome)
        setting = self._setting
        handler = setting.behaviour.settlements.get(kind)
        ended = False
        for effect in handler(self, intent, outcome) if handler is not None else ():
            if not isinstance(effect, kind.ends_with):
                self.carry_out(effect)
            elif ended:
                msg = (
                    f"Settling {kind.__name__} yielded a second completion event, {type(effect).__name__}; yield exactly one of ends_with."
                )
                raise EffectError(msg)
            else:
                publication = setting.publications.get(type(effect)) or setting.publication(type(effect))
                self._publish(publication, effect, record.token, settles)
                ended = True
        if not ended:
            self.settle_without_handler(record, outcome)
        if self._state.parks and settles != "succeeded":
            self._keep_overtaken_success(record)

    def _keep_overtaken_success(self, record: ExecutionRecord) -> None:
        """A stored success whose handler failed (P13) and that another end now overtakes comes late: evidence, and its handler (P10)."""
        parked = self._state.parking.get(Source(EXECUTION, record.token))
        if parked is None or parked.role != "settlement":
            return
        setting, intent = self._setting, record.intent
        stored = setting.codec.outcome(type(intent), bytes(parked.outcome))
        if not isinstance(stored, Succeeded):
            return
        result = msgspec.Raw(setting.codec.value_bytes(stored.result))
        self.note(record.token, LateSuccess(operation=intent.operation(), result=result))
        handler = setting.behaviour.late.get(type(intent))
        if handler is not None:
            self.answer(handler, intent, stored.result)

    def extend(self, record: ExecutionRecord, ends_us: int | None) -> None:
        """Have whoever wants to know hear when a further attempt, which the turn writes down, will have used its time up."""
        handler = self._setting.behaviour.extended.get(type(record.intent))
        if handler is not None and ends_us is not None:
            self.answer(handler, record.intent, from_micros(ends_us))

    def settle_without_handler(self, record: ExecutionRecord, outcome: Outcome[Any]) -> None:
        """Write the library's own completion event."""
        if all(settled.token != record.token for settled in self.settled):
            self.settled = (*self.settled, record)
            if isinstance(outcome, Failed | TimedOut):
                self.failed = (*self.failed, record.token)
        settles = type(record.intent).settles_as(outcome)
        form, payload, event = self._setting.codec.encode_ended(type(record.intent), settles, outcome)
        self._draft(Draft(form, (EXECUTION, record.token), None, payload, event, record.token, settles))

    def _begin(self, begin: Begin) -> None:
        token = begin.token
        if token is None:
            token = Token(self._setting.identity.new_id(self.now_us))
        elif type(token) is not str or not token.strip():
            msg = f"{token!r} is no token; take the one of turn.new_token()."
            raise EffectError(msg)
        elif any(token == begun.context.token for begun in self.begun) or (token not in self._new_tokens and self._state.was_begun(token)):
            msg = f"Token {token} was used before; begin with a new one."
            raise EffectError(msg)
        for action in begin.actions:
            if type(action) not in self._setting.performed:
                name = type(action).__name__
                msg = f"Nobody performs {name}: pass {name}.performed_by(…) to the system."
                raise EffectError(msg)
        timeout_us = timeout_us_of(type(begin.intent)) if begin.timeout is None else begin.timeout // MICROSECOND
        deadline_us = deadline_of(type(begin.intent), timeout_us, self.now_us)
        started: IntentStarted[Any, Any] = IntentStarted(
            intent=begin.intent,
            actions=begin.actions,
            deadline=None if deadline_us is None else from_micros(deadline_us),
            timeout_us=None if begin.timeout is None else timeout_us,
            retry=begin.retry,
            priority=int(begin.priority),
            origin=begin.origin,
            interruption=begin.interruption,
            if_it_fails=begin.if_it_fails,
            reason=begin.reason,
            tags={**self.tags, **begin.tags} if self.tags else begin.tags,
        )
        form, payload, started = self._setting.codec.encode_started(started)
        plain_text("An intent's subject", begin.intent.subject)
        self.begun = (*self.begun, Begun(Context(self._setting.behaviour.name, token), started, deadline_us))
        self._draft(Draft(form, (EXECUTION, token), 0, payload, started, token))

    def _own(self, token: Token) -> ExecutionRecord:
        record = self._state.open.get(token)
        if record is None:
            msg = f"Token {token} is not an open execution of {self._setting.behaviour.name}; an owner ends only its own (S2)."
            raise EffectError(msg)
        return record

    def _draft(self, draft: Draft) -> None:
        if len(self.drafts) >= EFFECTS_LIMIT:
            raise EffectError(TOO_MANY)
        self.drafts.append(draft)
