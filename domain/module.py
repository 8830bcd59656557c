"""Modules: what a program plugs in as an owner, and the decorators that say what its methods are for."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

from tallystick.domain.command import Command
from tallystick.domain.effect import Decision, Effects
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import DefinitionError
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.execution import Execution
from tallystick.domain.intent import Intent
from tallystick.domain.marks import Mark, marked, marks_of
from tallystick.domain.sensitive import Forgotten, Sensitive
from tallystick.domain.step import Step
from tallystick.domain.token import Token

M = TypeVar("M")
R = TypeVar("R")
E = TypeVar("E", bound=Event)
G = TypeVar("G", bound=Aggregate)
Re = TypeVar("Re", bound=Resident)
I = TypeVar("I", bound=Intent[Any])  # noqa: E741 - the intent's type
C = TypeVar("C", bound=Command[Any])
F = TypeVar("F", bound=Callable[..., Any])


class Turn(Protocol):
    """All that a handler may depend on besides its message: the state *before* the turn, the turn's time, new ids."""

    @property
    def now(self) -> datetime:
        """The turn's time, UTC."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the command, execution or event that the turn answers; what it writes and begins has them, too."""
        ...

    def new_id(self) -> str:
        """A new id for an aggregate."""
        ...

    def new_token(self) -> Token:
        """A new token, for a `Begin` whose token the handler wants to know."""
        ...

    def get(self, kind: type[G], key: str) -> G | None:
        """An aggregate of one's own, read back from the log if it was evicted; None if no event of it exists."""
        ...

    def resident(self, kind: type[Re]) -> Re:
        """A resident state of one's own."""
        ...

    def open(self, kind: type[I], subject: str) -> Sequence[Execution[I]]:
        """One's own open executions of that intent and subject, oldest first."""
        ...

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """The text, or `Forgotten`. From then on, messages of exceptions that leave this turn are not recorded."""
        ...


def reacts_to(
    kind: type[E], *, emits: Sequence[type[Event]] = ()
) -> Callable[[Callable[[M, Turn, E], Effects]], Callable[[M, Turn, E], Effects]]:
    """Mark the method that answers an event, of whatever module. `emits`: the events that it may yield."""
    return lambda fn: marked(fn, Mark("reacts", kind, emits=tuple(emits)))


class handles(Generic[C]):  # noqa: N801 - a decorator, which is a class so that checkers see the command's type and the reply's apart
    """Mark the method that decides a command. `emits`: the events that it may yield."""

    def __init__(self, kind: type[C], *, emits: Sequence[type[Event]] = ()) -> None:
        self._mark = Mark("handles", kind, emits=tuple(emits))

    def __call__(self, fn: Callable[[M, Turn, C], Decision[R]]) -> Callable[[M, Turn, C], Decision[R]]:
        """The same method, marked."""
        return marked(fn, self._mark)


def folds(kind: type[E], into: type[G]) -> Callable[[Callable[[M, G, E], G]], Callable[[M, G, E], G]]:
    """Mark the method that makes the state after an event out of the state before it: the only way state changes.

    The first event of an aggregate meets `into()`; the aggregate is the event's own. A fold reads no configuration and no other state.
    """
    return lambda fn: marked(fn, Mark("folds", kind, into=into))


def folds_recorded(kind: type[E], into: type[G]) -> Callable[[Callable[[M, G, E, Recorded], G]], Callable[[M, G, E, Recorded], G]]:
    """As `folds`, by a method that is given the record, too: its envelope has what an event does not say of itself, as its correlation.

    A record is numbered when nothing can be refused any more, so the method must not fail; and it comes after all folds of its turn, so
    no other event of that state may be in the turn. For the library's own modules, which see to both.
    """
    return lambda fn: marked(fn, Mark("folds", kind, into=into, recorded=True))


def extended(kind: type[Intent[Any]]) -> Callable[[F], F]:
    """Mark the method `(self, turn, intent, ends_at) -> effects` that hears when a further attempt will have used its time up.

    What it yields is in the append that schedules the attempt, or begins one that a person wants; it must not fail. Of attempts without
    a time it does not hear. For the library's own modules.
    """
    return lambda fn: marked(fn, Mark("extended", kind))


def each_step(fn: Callable[[M, Turn, Step], Effects]) -> Callable[[M, Turn, Step], Effects]:
    """Mark the method that takes the module's turn in each `system.step`, once, for all its subjects; stepped runtime only.

    A turn that yields nothing writes nothing.
    """
    return marked(fn, Mark("steps", Step))


class _Namespace(dict[str, Any]):
    """A class body in which no handler can be defined over another by accident."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self and (marks_of(self[name]) or marks_of(value)):
            msg = f"Two methods are named {name!r}, and at least one is a handler: the first would be lost. Rename one."
            raise DefinitionError(msg)
        super().__setitem__(name, value)


class ModuleMeta(type):
    """Makes modules that lose no handler unawares, neither in their own class body nor to a subclass."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **_options: Any) -> _Namespace:
        """The class body's namespace."""
        del name, bases
        return _Namespace()

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> "ModuleMeta":
        """Make the class from a plain copy of the namespace."""
        made = super().__new__(mcls, name, bases, dict(namespace), **options)
        _check_overrides(made)
        return made


def _check_overrides(module: type) -> None:
    """Refuse a method that hides a base's handler without being marked for what that one is for."""
    for name in {name for ancestor in module.__mro__ for name, value in vars(ancestor).items() if marks_of(value)}:
        (definer, override), *hidden = [(each, vars(each)[name]) for each in module.__mro__ if name in vars(each)]
        marked_for = {(mark.role, mark.kind) for mark in marks_of(override)}
        for base, handler in hidden:
            if override is None or handler is None:  # removed on purpose
                break
            for mark in marks_of(handler):
                if (mark.role, mark.kind) not in marked_for:
                    msg = (
                        f"{definer.__name__}.{name} overrides {base.__name__}.{name}, but not its decorator for {mark.kind.__name__}: that "
                        f"handler would be lost. Repeat the decorator, or rename the method; to remove the handler, say {name} = None."
                    )
                    raise DefinitionError(msg)


class Module(metaclass=ModuleMeta):
    """An owner: its methods are pure handlers, marked by `handles`, `reacts_to`, `settled`, `late`, `each_step`; `folds` makes its state.

    `name` identifies it in the log for ever; renaming a class does not matter, renaming `name` does. `joins_at` says which events a module
    takes that is new to a log: those to come, or all that the log holds (P3). What it begins for old events is begun now. A module that
    reacts to nothing may join when it is used: until then the log has no trace of it.

    A subclass has its base's handlers. It replaces one by a method of the same name with the same decorators, and removes one by assigning
    None to its name.

    Raises:
        DefinitionError: when the class is made, if a handler would be lost to another definition of its name.
    """

    name: ClassVar[str] = ""
    joins_at: ClassVar[Literal["tail", "beginning", "use"]] = "tail"
