"""Marks: what a decorator leaves on a method, for the module class to collect. The decorators stand where users look for them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ATTRIBUTE = "__tallystick_marks__"


class Mark(NamedTuple):
    """One thing that a method is for: the kind of handler, and the record type that it handles."""

    role: Literal["reacts", "handles", "folds", "settled", "late", "extended", "steps"]
    kind: type[Any]
    emits: Sequence[type[Any]] = ()
    into: type[Any] | None = None
    recorded: bool = False
    """Of a fold, whether it is given the record, too."""


def marked(fn: F, mark: Mark) -> F:
    """The same function, with one more mark."""
    setattr(fn, ATTRIBUTE, (*getattr(fn, ATTRIBUTE, ()), mark))
    return fn


def marks_of(fn: object) -> tuple[Mark, ...]:
    """The marks of a function; none for anything else."""
    found: tuple[Mark, ...] = getattr(fn, ATTRIBUTE, ())
    return found
