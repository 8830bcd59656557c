"""The public face names what public signatures name: whoever annotates a variable need not look for a module that is not promised."""

import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

import tallystick as ts

PRIVATE: Final[Mapping[str, frozenset[str]]] = {
    "what a runtime and the engine say to each other; nobody else writes a runtime": frozenset(
        {"Answered", "Awaited", "Clock", "EngineActor", "Executor", "Identity", "Inbox", "SavedIdentity"}
    ),
    "what a log is asked by the library; whoever writes one reads store/log.py": frozenset({"Beginning", "Head", "Sealed", "Snapshot"}),
    "parts of what is handed out, read where they stand": frozenset(
        {"Distribution", "Entry", "IntentStarted", "Source", "Span", "Standing", "Tally", "What", "When"}
    ),
    "what is given to classes that only the library makes": frozenset({"Codec", "Host", "Patience", "Runtime", "SagaOwner", "Sagas"}),
    "what decorators make, in the place of which it stands": frozenset({"Hears", "SubSagaMaker"}),
    "the library's own modules from inside": frozenset({"AttendOperation", "Knower", "OpenOperations", "ProcessPlan", "Saved"}),
    "events and state of a process, found at its class: `OrderFulfilment.Begun`": frozenset(
        {"Begun", "Completed", "ProcessFailed", "ProcessState", "Reset", "Retried", "StepCompleted", "StepRemembered"}
    ),
}
PUBLIC: Final[dict[str, Any]] = {name: getattr(ts, name) for name in ts.__all__}
PUBLIC_TYPES: Final = frozenset(each for each in PUBLIC.values() if isinstance(each, type))
ENTERED: Final = frozenset({"__init__", "__enter__", "__aenter__", "__call__"})


def types_in(annotation: Any) -> Iterator[type]:
    """The library's own types that an annotation names."""
    origin = typing.get_origin(annotation)
    if origin is not None:
        for each in (origin, *typing.get_args(annotation)):
            yield from types_in(each)
    elif isinstance(annotation, list):
        for each in annotation:
            yield from types_in(each)
    elif isinstance(annotation, type) and annotation.__module__.startswith("tallystick."):
        yield annotation


def functions_of(kind: type) -> Iterator[Any]:
    for name, value in vars(kind).items():
        if not name.startswith("_") or name in ENTERED:
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(function):
                yield function


def annotations_of(public: Any) -> Iterator[Any]:
    """Those of a function, or of a class's fields and methods, also of what it inherits from classes that are not public."""
    if inspect.isfunction(public):
        yield from typing.get_type_hints(public, localns=PUBLIC).values()
    elif not isinstance(public, type):
        yield public
    else:
        for kind in public.__mro__:
            if kind.__module__.startswith("tallystick.") and (kind is public or kind not in PUBLIC_TYPES):
                fields = typing.get_type_hints(kind, localns=PUBLIC)
                yield from (fields[name] for name in inspect.get_annotations(kind) if not name.startswith("_"))
                for function in functions_of(kind):
                    yield from typing.get_type_hints(function, localns=PUBLIC).values()


def test_what_public_signatures_name_is_public_or_left_out_for_a_reason() -> None:
    named = {kind for public in PUBLIC.values() for annotation in annotations_of(public) for kind in types_in(annotation)}
    hidden = {kind.__name__ for kind in named if kind not in PUBLIC_TYPES}
    assert hidden == frozenset[str]().union(*PRIVATE.values())


def test_no_two_public_signatures_mean_different_types_by_one_name() -> None:
    named = {kind for public in PUBLIC.values() for annotation in annotations_of(public) for kind in types_in(annotation)}
    assert [kind for kind in named if kind not in PUBLIC_TYPES and kind.__name__ in PUBLIC] == []


def test_what_was_decided_on_many_letters_is_no_probes_answer() -> None:
    assert typing.get_type_hints(ts.System.redrive_all)["return"] is ts.Decided
    assert not issubclass(ts.Decided, ts.Done)
