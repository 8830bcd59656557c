"""A saga's definition as data: its steps in order, what each waits for, what failing means. It calls nobody."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from tallystick.domain.retry import AnyRetry, ExponentialBackoff

InDoubt = Literal["undo", "ask_person", "ignore"]
"""What it means for a step that is to be undone that nobody knows whether it was done: it is asked about, or undone by its key; a person
says; or it is left as it is."""

STEP_TIMEOUT = timedelta(minutes=5)
STEP_RETRY = ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(minutes=1), max_retries=3)
UNDO_RETRY = ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(minutes=10), max_retries=10)
LONG = timedelta(hours=1)
"""What may take longer than this is waited for out of memory."""


class Patience(NamedTuple):
    """How long one attempt may take, and how it is repeated."""

    timeout: timedelta | None
    retry: AnyRetry | None


class StepPlan(NamedTuple):
    """One step. `after` are the places of the steps that it waits for; `act`, `undo` and `undo_by_key` are given the saga first."""

    name: str
    place: int
    after: tuple[int, ...]
    act: Callable[..., Any]
    patience: Patience
    pivot: bool
    in_doubt: InDoubt
    undo: Callable[..., Any] | None
    undo_by_key: Callable[..., Any] | None
    undo_patience: Patience
    child: type[Any] | None
    result: Any
    actions: tuple[type[Any], ...]

    @property
    def undoable(self) -> bool:
        """Whether there is something to be undone."""
        return self.undo is not None or (self.child is not None and not self.pivot)

    @property
    def long(self) -> bool:
        """Whether it may take its time."""
        return self.patience.timeout is None or self.patience.timeout > LONG


class SagaPlan(NamedTuple):
    """One version of one saga. `places` leads from a step's name to its place."""

    name: str
    version: int
    steps: tuple[StepPlan, ...]
    places: Mapping[str, int]
    input: Any
    result: Any
    former_steps: tuple[str, ...]

    @property
    def has_pivot(self) -> bool:
        """Whether there is a step after which there is no way back."""
        return any(step.pivot for step in self.steps)
