"""The codec: one system's registry of what may stand in its log, by name and schema version, and the way to bytes and back.

Not a process-wide table: two systems, or two tests, may each have their own `OrderPlaced`. Payloads are JSON, decoded strictly.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

import msgspec

from tallystick.domain.action import Action
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.command import AskedSomewhere, Command
from tallystick.domain.envelope import Recorded, Settles
from tallystick.domain.errors import (
    DefinitionError,
    InvalidPayload,
    MalformedPayload,
    PersonalDataRefused,
    UnknownEventType,
    UnknownEventVersion,
)
from tallystick.domain.event import Event, Upcaster
from tallystick.domain.evidence import said_by
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Outcome
from tallystick.domain.protocol import ENGINE_EVENTS, ENGINE_STREAMS, ExecutionRedriven, IntentEnded, IntentStarted
from tallystick.domain.record import type_argument
from tallystick.domain.sensitive import (
    NO_KEYS,
    Forgotten,
    Sealer,
    Sensitive,
    Unsealed,
    declares_sensitive,
    has_forgotten,
    misplaced,
    redacted,
    revealed,
)

PAYLOAD_LIMIT_BYTES = 1 << 20
"""The largest payload of one event; what is larger belongs in a file or a blob store, with its reference in the event."""

ANSWER_LIMIT_BYTES = PAYLOAD_LIMIT_BYTES - (1 << 16)
"""The largest result or outcome: the event that keeps it says more, such as what the handler raised that was to hear of it."""

_ENDS: tuple[Settles, ...] = ("succeeded", "failed", "abandoned")


class Form(msgspec.Struct, frozen=True, eq=False):
    """How one event type is written and read."""

    name: str
    version: int
    kind: Any
    decode: Callable[[bytes], Any]
    upcasters: Mapping[int, Upcaster]


Encoded = tuple[Form, bytes, Any]
"""A payload on its way into the log: its form, its bytes, and the strictly decoded copy that everybody gets from now on."""


UNFIT = (msgspec.MsgspecError, TypeError, ValueError)
"""What the library for JSON raises for values that it cannot write, or that do not have the declared types."""


def _invalid(form: Form, event: Any, error: Exception) -> InvalidPayload:
    if where := misplaced(event):
        msg = f"{form.name}.{where} is a sensitive value, and not declared as one; use an id, or the value's token."
        return PersonalDataRefused(msg)
    return InvalidPayload(f"{form.name} has values that its types do not allow: {error}")


def _too_large(form: Form, payload: bytes) -> InvalidPayload:
    size = f"{len(payload)} bytes; the limit is {PAYLOAD_LIMIT_BYTES}"
    return InvalidPayload(f"{form.name} has {size}. Keep the content elsewhere, and log its reference.")


class Codec:
    """What one system's log may hold. Immutable once made; safe in any thread.

    Raises:
        DefinitionError: two different types would have one name in the log.
    """

    def __init__(self, behaviours: Iterable[Behaviour], actions: Iterable[type[Any]] = (), *, sealer: Sealer | None = None) -> None:
        self.sealer = sealer
        """What seals and opens sensitive values; None where the program declares none."""
        self._encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="deterministic", enc_hook=self._boxed).encode
        self._by_name: dict[str, Form] = {}
        self._by_kind: dict[type[Any], Form] = {}
        self._started: dict[type[Intent[Any]], Form] = {}
        self._ended: dict[type[Intent[Any]], dict[Settles, Form]] = {}
        self._outcomes: dict[type[Intent[Any]], msgspec.json.Decoder[Any]] = {}
        self._results: dict[Any, msgspec.json.Decoder[Any]] = {}
        self._has_sensitive: dict[type[Any], bool] = {}
        """Which types of commands have sensitive fields, as far as that was asked."""
        self.result_types: dict[type[Intent[Any]], Any] = {}
        self.intents: dict[str, type[Intent[Any]]] = {}
        action_types = tuple(actions)
        action: Any = Union[action_types] if action_types else None  # noqa: UP007 - made of values
        self._action_tuple: Any = tuple.__class_getitem__((action, ...))
        for engine_event in ENGINE_EVENTS:
            if engine_event is not ExecutionRedriven:
                self._add(engine_event.__name__, 1, engine_event)
        for behaviour in behaviours:
            for event in (*behaviour.published, *behaviour.reactions):
                self._add_event(event)
            for intent in (*behaviour.settlements, *behaviour.late):
                self._add_intent(intent, action)
        redriven: Any = ExecutionRedriven[action]
        self._by_kind[ExecutionRedriven] = self._add(ExecutionRedriven.__name__, 1, redriven)

    def _add(self, name: str, version: int, kind: Any, upcasters: Mapping[int, Upcaster] | None = None) -> Form:
        known = self._by_name.get(name)
        if known is not None:
            if known.kind != kind:
                msg = f"Two types would be written as {name!r}: {known.kind!r} and {kind!r}; rename one of them."
                raise DefinitionError(msg)
            return known
        try:
            decode = msgspec.json.Decoder(kind, strict=True).decode
        except TypeError as error:
            msg = f"{name} is declared with types that cannot be written and read back: {error}"
            raise DefinitionError(msg) from error
        form = Form(name, version, kind, decode, upcasters or {})
        self._by_name[name] = form
        if isinstance(kind, type):
            self._by_kind[kind] = form
        return form

    def _add_event(self, event: type[Event]) -> None:
        if not event.aggregate_type:
            msg = f"{event.__name__} has no aggregate_type; say what it happens to."
            raise DefinitionError(msg)
        if event.aggregate_type in ENGINE_STREAMS:
            msg = f"{event.__name__} happens to a {event.aggregate_type}, whose events are the library's own; choose another name."
            raise DefinitionError(msg)
        self._add(event.__name__, event.schema_version, event, event.upcasters)

    def _add_intent(self, intent: type[Intent[Any]], action: Any) -> None:
        if intent in self._started:
            return
        operation = intent.operation()
        if self.intents.setdefault(operation, intent) is not intent:
            msg = f"Two intents are named {operation!r}; rename one of them."
            raise DefinitionError(msg)
        result: Any = type_argument(intent, Intent)
        action = getattr(intent, "actions_type", action)
        started: Any = IntentStarted[intent, action]  # type: ignore[valid-type]
        ended: Any = IntentEnded[result]
        outcome: Any = Outcome[result]  # type: ignore[misc]
        self._started[intent] = self._add(intent.started_name(), 1, started)
        self._ended[intent] = {end: self._add(intent.ended_name(end), 1, ended) for end in _ENDS}
        self._outcomes[intent] = msgspec.json.Decoder(outcome, strict=True)
        self.result_types[intent] = result

    # Writing.

    def _boxed(self, value: Any) -> str:
        """What JSON has in the place of what it does not know: of text that is not sealed yet, its box."""
        if isinstance(value, Unsealed) and self.sealer is not None:
            return self.sealer.seal(value)
        msg = NO_KEYS if isinstance(value, Unsealed) else f"Encoding objects of type {type(value).__name__} is unsupported"
        raise TypeError(msg)

    def form_of(self, kind: type[Any]) -> Form:
        """How events of a type are written.

        Raises:
            InvalidPayload: nobody has declared the type, so that it could not be read back.
        """
        form = self._by_kind.get(kind)
        if form is None:
            msg = f"{kind.__name__} is not declared by any module: fold it, or name it in emits=…, so that it can be read back."
            raise InvalidPayload(msg)
        return form

    def encoded(self, form: Form, event: Any) -> tuple[bytes, Any]:
        """Bytes, and the copy strictly decoded from them.

        Raises:
            InvalidPayload: its values do not have the types that it declares, or it is too large.
        """
        try:
            payload = self._encode(event)
            copy = form.decode(payload)
        except UNFIT as error:
            raise _invalid(form, event, error) from error
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise _too_large(form, payload)
        return payload, copy

    def encode(self, event: Any) -> Encoded:
        """An event of the program or the engine. Errors as `form_of` and `encoded`."""
        form = self.form_of(type(event))
        return form, *self.encoded(form, event)

    def encode_started(self, started: IntentStarted[Any, Any]) -> Encoded:
        """An intent event; its type is the intent's. Errors as `encoded`, and for an intent that nobody settles."""
        form = self._started.get(type(started.intent))
        if form is None:
            name = type(started.intent).__name__
            msg = f"No module settles {name}: give one a method marked @{name}.settled, so that its end is heard."
            raise InvalidPayload(msg)
        return form, *self.encoded(form, started)

    def encode_ended(self, intent: type[Intent[Any]], settles: Settles, outcome: Outcome[Any]) -> Encoded:
        """A completion event where the program yielded none of its own."""
        form = self._ended[intent][settles]
        return form, *self.encoded(form, IntentEnded(operation=intent.operation(), outcome=outcome))

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says; for whoever is allowed to know. Errors as `revealed`."""
        return revealed(value, self.sealer)

    def sealed(self, command: Command[Any]) -> Command[Any]:
        """A command as its handler gets it: what is sensitive in it is sealed, so that it can be compared with what is in states.

        Raises:
            InvalidPayload: it has values that its types do not allow.
        """
        if self.sealer is None:
            return command
        kind = type(command)
        has = self._has_sensitive.get(kind)
        if has is None:
            has = self._has_sensitive[kind] = declares_sensitive([kind])
        copy: Command[Any] = self.checked(command, kind) if has else command
        return copy

    # Reading.

    def decode(self, recorded: Recorded) -> Any:
        """The payload of a record, in its current schema version.

        Raises:
            UnknownEventType, UnknownEventVersion, MalformedPayload: naming position and type; nothing is skipped.
        """
        if recorded.event is not None:
            return recorded.event
        form = self._by_name.get(recorded.event_type)
        if form is None:
            detail = "no module of this system declares it; restore its class, or add one with its name."
            raise UnknownEventType(recorded.position, recorded.event_type, detail)
        try:
            if recorded.schema_version == form.version:
                return form.decode(recorded.payload)
            return self._upcast(form, recorded)
        except UNFIT as error:
            raise MalformedPayload(recorded.position, recorded.event_type, str(error)) from error

    def _upcast(self, form: Form, recorded: Recorded) -> Any:
        content = msgspec.json.decode(recorded.payload)
        for version in range(recorded.schema_version, form.version):
            upcaster = form.upcasters.get(version)
            if upcaster is None:
                break
            try:
                content = upcaster(content)
            except Exception as error:
                detail = f"its upcaster from version {version} raised {error!r}"
                raise MalformedPayload(recorded.position, recorded.event_type, detail) from error
        else:
            if recorded.schema_version < form.version:
                return form.decode(self._encode(content))
        detail = f"version {recorded.schema_version}; this program has {form.version} and upcasters from {sorted(form.upcasters)}"
        raise UnknownEventVersion(recorded.position, recorded.event_type, detail)

    def knows(self, event_type: str) -> bool:
        """Whether a record of that type can be read."""
        return event_type in self._by_name

    # Results, replies and outcomes.

    def result_decoder(self, kind: Any) -> msgspec.json.Decoder[Any]:
        """A strict decoder for a result or reply type; made once."""
        decoder = self._results.get(kind)
        if decoder is None:
            decoder = self._results[kind] = msgspec.json.Decoder(kind, strict=True)
        return decoder

    def checked(self, value: Any, kind: Any) -> Any:
        """A strictly decoded copy of a result or reply.

        Raises:
            InvalidPayload: it is not of the declared type.
        """
        return self.read_value(self.value_bytes(value), kind)

    def checked_answer(self, value: Any, kind: Any) -> Any:
        """As `checked`, for what comes from outside: whatever its own code raises, or its size, is a mistake of it and of nobody here.

        Raises:
            InvalidPayload: it is not of the declared type, cannot be written and read back, or is too large.
        """
        try:
            return self.read_value(self.answer_bytes(value), kind)
        except InvalidPayload:
            raise
        except Exception as error:
            msg = f"{type(value).__name__} cannot be written as JSON and read back: {said_by(error)}"
            raise InvalidPayload(msg) from error

    def answer_bytes(self, value: Any) -> bytes:
        """A result or an outcome as JSON.

        Raises:
            InvalidPayload: it cannot be written, or is too large for an event that keeps it.
        """
        content = self.value_bytes(value)
        if len(content) > ANSWER_LIMIT_BYTES:
            size = f"{len(content)} bytes; the limit is {ANSWER_LIMIT_BYTES}"
            msg = f"{type(value).__name__} has {size}. Keep the content elsewhere, and give its reference."
            raise InvalidPayload(msg)
        return content

    def value_bytes(self, value: Any) -> bytes:
        """A result or reply as JSON."""
        try:
            return self._encode(value)
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            msg = f"{type(value).__name__} cannot be written as JSON: {error}"
            raise InvalidPayload(msg) from error

    def read_value(self, content: bytes, kind: Any) -> Any:
        """A result or reply from JSON."""
        try:
            return self.result_decoder(kind).decode(content)
        except msgspec.MsgspecError as error:
            msg = f"not a {getattr(kind, '__name__', kind)}: {error}"
            raise InvalidPayload(msg) from error

    def actions(self, content: bytes) -> tuple[Action[Any], ...]:
        """Actions from a JSON array.

        Raises:
            InvalidPayload: they are none that this system performs, or have other fields than those.
        """
        try:
            actions: tuple[Action[Any], ...] = self.result_decoder(self._action_tuple).decode(content)
        except msgspec.MsgspecError as error:
            msg = f"not actions of this system: {error}"
            raise InvalidPayload(msg) from error
        return actions

    def started(self, intent: type[Intent[Any]], content: bytes) -> IntentStarted[Any, Any]:
        """An intent event's content from JSON."""
        started: IntentStarted[Any, Any] = self._started[intent].decode(content)
        return started

    def outcome(self, intent: type[Intent[Any]], content: bytes) -> Outcome[Any]:
        """An outcome from JSON, its result of the intent's type."""
        outcome: Outcome[Any] = self._outcomes[intent].decode(content)
        return outcome

    def content_hash(self, command: Command[Any]) -> str:
        """What tells whether an idempotency key is used with the same content again (P15).

        Of a command with sensitive values there are two parts: of all but what they say, and of all. It tells nobody what they say, since
        only who has the keys could try texts out.
        """
        return self._content_hash(command.contents()[0] if isinstance(command, AskedSomewhere) else command)

    def _content_hash(self, command: Command[Any]) -> str:
        name, content = type(command).__name__.encode(), self._encode(command)
        if self.sealer is None or (shown := redacted(content)) is content:
            return _hash(name, content)
        return _hash(name, shown) + _hash(name, content)

    def is_content_of(self, content_hash: str, command: Command[Any]) -> bool:
        """Whether a hash is a command's; where a person has been forgotten since, by what it says besides (P15)."""
        own = self.content_hash(command)
        if own == content_hash:
            return True
        if isinstance(command, AskedSomewhere):
            return any(self._content_hash(each) == content_hash for each in command.contents())
        of_rest = len(own) // 2
        return len(own) > len(_hash(b"", b"")) and own[:of_rest] == content_hash[:of_rest] and has_forgotten(self._encode(command))


def _hash(name: bytes, content: bytes) -> str:
    return hashlib.blake2b(name + b"\0" + content, digest_size=16).hexdigest()
