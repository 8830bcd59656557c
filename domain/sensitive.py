"""Sensitive fields: text about a person that is kept sealed with that person's own key. Forgetting the key forgets the text everywhere.

Not cryptography, and not the keys: who seals and opens is given to the codec. A value here says whose it is and cannot be read; whoever
may read it is given the means to, by `turn.reveal`, `call.reveal` or `system.reveal`. A fold is given none, so that a state is the same
before and after somebody is forgotten.
"""

import functools
import hashlib
import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Final, Generic, NoReturn, Protocol, Self, TypeVar, cast, get_args, get_origin

import msgspec

from tallystick.domain.errors import DefinitionError, InvalidPayload, PersonalDataRefused
from tallystick.domain.record import Record
from tallystick.domain.text import writable

T = TypeVar("T", bound=str)

SUBJECT_LIMIT_CHARS: Final = 200
_SEALED_FOR: Final = "sealedFor"
_BOX: Final = "box"
_BOXED: Final = r"^([A-Za-z0-9+/]{64,}={0,2})?$"
"""What a box looks like: whatever is read as one, an action that was edited by hand for instance, is no text in its place."""
_AS_IT_IS: Final = frozenset({int, bool, type(None)})
_MARK: Final = b'"sealedFor"'
_EMPTY: Final = b'"box":""'


class Unsealed:
    """Text on its way into a log, in the place of the box that it will have. What does not go through a codec cannot write it."""

    __slots__ = ("subject", "text")

    def __init__(self, subject: str, text: str) -> None:
        self.subject = subject
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unsealed) and (self.subject, self.text) == (other.subject, other.text)

    def __hash__(self) -> int:
        return hash((self.subject, self.text))

    def __repr__(self) -> str:
        return "<not sealed yet>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        msg = f"What is sensitive of {self.subject!r} is not written down before it is sealed; let a system keep it."
        raise TypeError(msg)


class Sensitive(Record, Generic[T]):
    """Text about a person, in a field such as `email: Sensitive[str]`. Made by `sensitive`; shows whose it is, and never what it says.

    `box` is the text, sealed: the same text of the same person has the same box, so that values and states can be compared; empty where
    the person had been forgotten before. Two values are equal when both are sealed, or neither is, and they say the same.
    """

    sealed_for: str
    box: Annotated[str, msgspec.Meta(pattern=_BOXED)]

    @property
    def token(self) -> str:
        """A short text that stands for this one where it has no place itself: in tags, messages and the data of evidence.

        Raises:
            PersonalDataRefused: it is not sealed yet; have it sealed by `system.seal`.
        """
        if unsealed(self) is not None:
            msg = f"What is sensitive of {self.sealed_for!r} has no token before it is sealed; use system.seal(…).token."
            raise PersonalDataRefused(msg)
        return hashlib.blake2b(f"{self.sealed_for}\0{self.box}".encode(), digest_size=8).hexdigest()

    def __repr__(self) -> str:
        return f"<sensitive of {self.sealed_for!r}>"

    def __str__(self) -> str:
        return repr(self)

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("of", self.sealed_for)]


def unsealed(value: Sensitive[Any]) -> Unsealed | None:
    """The text of a value that is not sealed yet; else None."""
    box: Any = value.box
    return box if isinstance(box, Unsealed) else None


class Forgotten(Record):
    """What is revealed of a person who has been forgotten."""

    subject: str


class Sealer(Protocol):
    """Seals and opens. Safe in any thread."""

    def seal(self, unsealed: Unsealed) -> str:
        """The box for a text; empty where its person has been forgotten."""
        ...

    def open(self, value: Sensitive[Any]) -> str | Forgotten:
        """The text of a sealed value.

        Raises:
            KeyMissing: nobody has its person's key, though nobody has forgotten that person either.
        """
        ...


def sensitive(text: str, *, of: str) -> Sensitive[str]:
    """Text about a person. `of` names the person by an id that itself says nothing, and by which `system.forget` finds it.

    Raises:
        PersonalDataRefused: the id is itself sensitive.
        InvalidPayload: the text is none, or the id is blank or too long.
    """
    refuse_sensitive("the id of a person", of)
    for given in cast("tuple[Any, ...]", (text, of)):
        if not isinstance(given, str):
            msg = f"A sensitive value is text of somebody who is named by text; a {type(given).__name__} was given."
            raise InvalidPayload(msg)
    if not of.strip() or len(of) > SUBJECT_LIMIT_CHARS:
        msg = f"A person's id has 1 to {SUBJECT_LIMIT_CHARS} characters and is not blank; this one has {len(of)}."
        raise InvalidPayload(msg)
    if not _can_be_written(text) or not _can_be_written(of):
        msg = "A sensitive value has characters that no file can hold (lone surrogates)."
        raise InvalidPayload(msg)
    return Sensitive(sealed_for=of, box=cast("str", Unsealed(of, text)))


def _can_be_written(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def revealed(value: Sensitive[Any], sealer: Sealer | None) -> str | Forgotten:
    """What a value says.

    Raises:
        PersonalDataRefused: it is no sensitive value.
        DefinitionError: it is sealed, and the system has no keys.
        KeyMissing: as `Sealer.open`.
    """
    given: Any = value
    if not isinstance(given, Sensitive):
        msg = f"{type(given).__name__} is nothing to be revealed; only what was made by sensitive(…) is."
        raise PersonalDataRefused(msg)
    text = unsealed(value)
    if text is not None:
        return text.text
    if sealer is None:
        raise DefinitionError(NO_KEYS)
    return sealer.open(value)


NO_KEYS: Final = (
    "This system has no keys for sensitive values, since no record of its modules declares a Sensitive[str] field: declare it there, "
    "or give the system keys=KeyFile(…)."
)


# Where they have no place, and where only their names have.


def refuse_sensitive(what: str, *values: object) -> None:
    """Refuse what identifies, and so stays readable for ever, if it is a sensitive value.

    Raises:
        PersonalDataRefused: naming what it was to be.
    """
    for value in values:
        if type(value) is not str and isinstance(value, Sensitive | Unsealed | Forgotten):
            msg = f"{what} is a sensitive value, which would stay readable when the person is forgotten; use an id, or its `token`."
            raise PersonalDataRefused(msg)


def checked_evidence(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of evidence: plain values by name. It explains, so a sensitive one is not refused, but shows only whose it is.

    Raises:
        InvalidPayload: a value is no plain one, such as a raw body; a sensitive one is used as a name (PersonalDataRefused).
    """
    _check_named(data)
    if all(type(value) in _AS_IT_IS and type(name) is str for name, value in data.items()):
        return data
    refuse_sensitive("a name in evidence", *data)
    return {name: _plain(name, value) for name, value in data.items()}


def _check_named(data: object) -> None:
    """What untyped programs give is not always what types say."""
    if not isinstance(data, Mapping):
        msg = f"Evidence is values by name, and no {type(data).__name__}."
        raise InvalidPayload(msg)


def _plain(name: str, value: object) -> str | float | None:
    """One value of evidence as JSON has it: an enumeration's member is its text or number, half an emoji is written out."""
    match value:
        case None | bool():
            return value
        case str() | Sensitive():
            return writable(str.__str__(value) if isinstance(value, str) else str(value))
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case float():
            msg = f"Evidence {name!r} is {value}, which JSON has no number for; leave it out, or say it in text."
        case _:
            msg = f"Evidence {name!r} is a {type(value).__name__}; keep the body elsewhere, and give its reference or a `token`."
    raise InvalidPayload(msg)


def redacted(payload: bytes) -> bytes:
    """A payload as people and other programs may see it: sealed values with only the name of their person."""
    return msgspec.json.encode(redacted_content(msgspec.json.decode(payload))) if _MARK in payload else payload


def redacted_content(content: Any) -> Any:
    """As `redacted`, of what a payload holds."""
    if isinstance(content, dict):
        found = cast("dict[str, Any]", content)
        if found.keys() == {_SEALED_FOR, _BOX}:
            return f"<sensitive of {found[_SEALED_FOR]!r}>"
        return {name: redacted_content(value) for name, value in found.items()}
    if isinstance(content, list):
        return [redacted_content(each) for each in content]
    return content


def has_forgotten(payload: bytes) -> bool:
    """Whether a payload has a value of somebody who had been forgotten when it was written."""
    return _EMPTY in payload


def says_the_same(one: Any, other: Any) -> bool:
    """Whether two values are equal, but for what was sealed for people who have been forgotten by now: that, nobody can tell any more."""
    if one == other or type(one) is not type(other):
        return bool(one == other)
    match one:
        case Sensitive():
            return one.sealed_for == other.sealed_for and "" in {one.box, other.box}
        case msgspec.Struct():
            return all(says_the_same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
        case tuple() | list():
            return len(one) == len(other) and all(map(says_the_same, one, other))
        case Mapping():
            return one.keys() == other.keys() and all(says_the_same(value, other[key]) for key, value in one.items())
        case _:
            return False


def content_says_the_same(one: bytes, other: bytes) -> bool:
    """As `says_the_same`, of JSON."""
    return one == other or ((has_forgotten(one) or has_forgotten(other)) and redacted(one) == redacted(other))


def misplaced(record: Any, path: str = "") -> str:
    """Where a record has a sensitive value that its types do not declare; empty where it has none."""
    if isinstance(record, Sensitive) or not isinstance(record, msgspec.Struct):
        return ""
    for field in msgspec.structs.fields(record):
        value, name = getattr(record, field.name), f"{path}{field.name}"
        values = value.values() if isinstance(value, Mapping) else (value,)
        if any(isinstance(each, Sensitive) for each in values) and not declares_sensitive([field.type]):
            return name
        if found := next(filter(None, (misplaced(each, f"{name}.") for each in values)), ""):
            return found
    return ""


# What a program declares.


def declares_sensitive(kinds: Iterable[Any]) -> bool:
    """Whether any of these types, or what they hold, has a sensitive field.

    Raises:
        DefinitionError: one is declared as something else than text.
    """
    return sum(_declares_anywhere(kind) for kind in kinds) > 0  # all of them, so that each is checked


@functools.lru_cache(maxsize=4096)
def _declares_anywhere(kind: Any) -> bool:
    """What a type declares is always the same; a program that is opened often, as in a simulation, is not looked through each time."""
    return _declares(kind, set())


def _annotated(kind: type[msgspec.Struct]) -> list[Any]:
    """The types of its fields, and of what else it annotates: looked up as msgspec does only where they are written as text."""
    found = [each for ancestor in kind.__mro__[:-1] for each in inspect.get_annotations(ancestor).values()]
    if any(isinstance(each, str) for each in found):
        return [field.type for field in msgspec.structs.fields(kind)]
    return [each for each in found if get_origin(each) is not ClassVar]


def _declares(kind: Any, seen: set[Any]) -> bool:
    if kind in seen:
        return False
    seen.add(kind)
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin is Sensitive:
        if arguments not in {(str,), ()}:
            msg = f"Sensitive[{getattr(arguments[0], '__name__', arguments[0])}]: only text is kept sealed; declare Sensitive[str]."
            raise DefinitionError(msg)
        return True
    inside = [each for each in arguments if not isinstance(each, str | int | bytes)]
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        inside += _annotated(origin)
    return sum(_declares(each, seen) for each in inside) > 0
