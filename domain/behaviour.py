"""Behaviour: a module's handlers as tables, found and checked once. Calling them is the owner actor's."""

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from tallystick.domain.command import Command
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import DefinitionError
from tallystick.domain.event import Aggregate, Event, Resident
from tallystick.domain.intent import Intent
from tallystick.domain.marks import Mark, marks_of
from tallystick.domain.module import Module
from tallystick.domain.record import type_argument

Handler = Callable[..., Any]


class Fold(NamedTuple):
    """How one event type changes one kind of state."""

    into: type[Aggregate]
    resident: bool
    recorded: bool
    """Whether it is given the record, too, and so is not a turn's to apply."""
    apply: Handler

    def after(self, before: Any, event: Event, recorded: Recorded | None) -> Any:
        """The state after an event, given its record, whichever of both it is made of."""
        return self.apply(before, event, recorded) if self.recorded else self.apply(before, event)


class Behaviour:
    """What one module does with what: the tables that its owner dispatches on.

    Raises:
        DefinitionError: a declaration cannot work; the message names the module and method.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self.name = type(module).name
        self.reactions: dict[type[Event], Handler] = {}
        self.commands: dict[type[Command[Any]], Handler] = {}
        self.settlements: dict[type[Intent[Any]], Handler] = {}
        self.late: dict[type[Intent[Any]], Handler] = {}
        self.extended: dict[type[Intent[Any]], Handler] = {}
        self.steps: tuple[Handler, ...] = ()
        self.folds: dict[type[Event], tuple[Fold, ...]] = {}
        self.aggregate_folds: dict[type[Event], tuple[Fold, ...]] = {}
        """Of `folds`, those into states that can be evicted; only for events that have some."""
        self.resident_folds: dict[type[Event], tuple[Fold, ...]] = {}
        """Of `folds`, those into resident states."""
        self.record_folds: dict[type[Event], tuple[Fold, ...]] = {}
        """Of `folds`, those that are given the record."""
        self.emits: dict[str, tuple[type[Event], ...]] = {}
        if not self.name:
            msg = f'{type(module).__name__} has no name: give it one, name = "…"; it identifies the module in the log.'
            raise DefinitionError(msg)
        for method, mark in _marked_methods(module):
            self._add(method, mark)
        self.streams = _streams(self)
        if module.joins_at == "use" and self.reactions:
            msg = f'{self.name} joins_at "use", but reacts to events; let it join at the tail or the beginning.'
            raise DefinitionError(msg)

    def _add(self, method: str, mark: Mark) -> None:
        handler = getattr(self.module, method)
        where = f"{type(self.module).__name__}.{method}"
        match mark.role:
            case "reacts":
                _put(self.reactions, mark.kind, handler, where, "reacts to")
            case "handles":
                _check_reply(handler, mark.kind, where)
                _put(self.commands, mark.kind, handler, where, "handles")
            case "settled":
                _put(self.settlements, mark.kind, handler, where, "settles")
            case "late":
                _put(self.late, mark.kind, handler, where, "answers late successes of")
            case "extended":
                _put(self.extended, mark.kind, handler, where, "hears of further attempts of")
            case "steps":
                self.steps = (*self.steps, handler)
            case "folds":
                into = mark.into
                if into is None or not issubclass(into, Aggregate):
                    msg = f"{where} folds into {into!r}, which is no Aggregate."
                    raise DefinitionError(msg)
                fold = Fold(into, issubclass(into, Resident), mark.recorded, handler)
                tables = [self.folds, self.resident_folds if fold.resident else self.aggregate_folds]
                for table in (*tables, self.record_folds) if fold.recorded else tables:
                    table[mark.kind] = (*table.get(mark.kind, ()), fold)
        self.emits[method] = (*self.emits.get(method, ()), *mark.emits)

    @property
    def published(self) -> tuple[type[Event], ...]:
        """The event types that this module may write, as declared by `emits`, `ends_with` and its folds."""
        found: dict[type[Event], None] = {}
        for kinds in self.emits.values():
            found.update(dict.fromkeys(kinds))
        for intent in {**self.settlements, **self.late}:
            found.update(dict.fromkeys(intent.ends_with))
        found.update(dict.fromkeys(self.folds))
        return tuple(found)

    @property
    def residents(self) -> tuple[type[Resident], ...]:
        """The kinds of resident state, in order of declaration."""
        return tuple({f.into: None for folds in self.folds.values() for f in folds if issubclass(f.into, Resident)})


def _marked_methods(module: Module) -> Iterator[tuple[str, Mark]]:
    """Names and marks, in order of definition, base classes first; a subclass's method replaces its base's."""
    names: dict[str, None] = {}
    for ancestor in reversed(type(module).__mro__):
        names.update(dict.fromkeys(name for name, value in vars(ancestor).items() if marks_of(value)))
    for name in names:
        for mark in marks_of(getattr(type(module), name)):
            yield name, mark


def _put(table: dict[Any, Handler], kind: type[Any], handler: Handler, where: str, what: str) -> None:
    if kind in table:
        msg = f"{where} {what} {kind.__name__}, but {table[kind].__qualname__} does so already; one handler for each."
        raise DefinitionError(msg)
    table[kind] = handler


def _check_reply(handler: Handler, command: type[Any], where: str) -> None:
    """Compare the declared reply of a command with that of its handler, where both are known."""
    try:
        declared = get_type_hints(handler).get("return")
    except NameError:  # a name that exists for type checkers only; they compare the types then
        declared = None
    if get_origin(declared) is not Generator:
        return
    reply, wanted = get_args(declared)[2], type_argument(command, Command)
    if wanted is not Any and reply != wanted and not (reply is type(None) and wanted is None):
        msg = f"{where} returns {reply}, but {command.__name__} promises {wanted}; make them the same."
        raise DefinitionError(msg)


def _streams(behaviour: Behaviour) -> Mapping[type[Aggregate], str]:
    """The aggregate type whose stream makes each evictable state; it must be one, so that the state can be read back."""
    streams: dict[type[Aggregate], str] = {}
    for event, folds in behaviour.folds.items():
        if not event.aggregate_type:
            msg = f"{event.__name__} has no aggregate_type; say what it happens to."
            raise DefinitionError(msg)
        for fold in folds:
            if not fold.resident and streams.setdefault(fold.into, event.aggregate_type) != event.aggregate_type:
                msg = (
                    f"{fold.into.__name__} is folded from {streams[fold.into]} and {event.aggregate_type} events; "
                    "an aggregate has one stream, so that it can be read back. Make it a Resident, or fold one of them elsewhere."
                )
                raise DefinitionError(msg)
    return streams
