"""Reads a saga's class into its plan, and refuses what cannot work."""

from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from tallystick.domain.action import Action
from tallystick.domain.errors import DefinitionError
from tallystick.domain.record import type_argument
from tallystick.domain.sagas.plan import SagaPlan, StepPlan
from tallystick.domain.sagas.saga import Saga, SagaStep
from tallystick.domain.sagas.types_in_log import camel, type_arguments


def plan_of(saga: type[Saga[Any, Any]]) -> SagaPlan:
    """The plan of one version; read once, and kept with the class.

    Raises:
        DefinitionError: naming the step and the mend.
    """
    kept: Any = saga
    if "_plan" not in vars(saga):
        kept._plan = _read(saga)  # noqa: SLF001 - kept with the class
    plan: SagaPlan = kept._plan  # noqa: SLF001 - as above
    return plan


def _read(saga: type[Saga[Any, Any]]) -> SagaPlan:
    if not saga.name.isidentifier():
        msg = f"{saga.__name__}.name is {saga.name!r}; it begins the names of events, so it must be a word."
        raise DefinitionError(msg)
    if saga.version < 1:
        msg = f"{saga.__name__}.version is {saga.version}; versions count from 1."
        raise DefinitionError(msg)
    given, result = type_arguments(saga)
    steps = tuple(_step_plans(saga))
    if not steps:
        msg = f"{saga.__name__} has no step: mark a method with @ts.step."
        raise DefinitionError(msg)
    if result not in (Any, None, type(None)) and saga.result is Saga.result:
        msg = f"{saga.__name__} promises a result, but has none: define result(self, given, done)."
        raise DefinitionError(msg)
    _check_names(saga, steps)
    _check_pivots(saga, steps)
    return SagaPlan(
        name=saga.name,
        version=saga.version,
        steps=steps,
        places={step.name: step.place for step in steps},
        input=given,
        result=result,
        former_steps=saga.former_steps,
    )


def _step_plans(saga: type[Saga[Any, Any]]) -> Iterator[StepPlan]:
    """In order of definition, those of base classes first; a subclass's step takes its base's place."""
    names: dict[str, None] = {}
    for ancestor in reversed(saga.__mro__):
        names.update(dict.fromkeys(name for name, value in vars(ancestor).items() if isinstance(value, SagaStep)))
    found = [step for name in names if isinstance(step := getattr(saga, name), SagaStep)]
    places = {step.name: place for place, step in enumerate(found)}
    for place, step in enumerate(found):
        after = tuple(range(place))[-1:] if step.after is None else tuple(_place(saga, step, each, places) for each in step.after)
        result, actions = _result_of(saga, step)
        yield StepPlan(
            name=step.name,
            place=place,
            after=after,
            act=step.act,
            patience=step.patience,
            pivot=step.pivot,
            in_doubt=step.in_doubt,
            undo=step.undo,
            undo_by_key=step.undo_by_key,
            undo_patience=step.undo_patience,
            child=step.child,
            result=result,
            actions=actions,
        )


def _place(saga: type[Any], step: SagaStep[Any, Any], after: SagaStep[Any, Any], places: dict[str, int]) -> int:
    place = places.get(after.name)
    if place is None or place >= places[step.name]:
        msg = f"{saga.__name__}.{step.name} is after {after.name or after!r}, which is no step that is defined before it."
        raise DefinitionError(msg)
    return place


def _result_of(saga: type[Any], step: SagaStep[Any, Any]) -> tuple[Any, tuple[type[Any], ...]]:
    """What a step's action, or other saga, results in, and which actions these are; read off the method's annotation."""
    if step.child is not None:
        return type_arguments(step.child)[1], ()
    actions = tuple(action for action in _returned(step.act) if isinstance(action, type) and issubclass(action, Action))
    results = [type_argument(action, Action) for action in actions]
    if not results or any(result != results[0] for result in results):
        msg = (
            f"{saga.__name__}.{step.name} must say which action it returns, and all must have one result: "
            f"def {step.name}(self, given: …, done: ts.Results) -> TheAction."
        )
        raise DefinitionError(msg)
    return results[0], actions


def _returned(fn: Callable[..., Any]) -> tuple[Any, ...]:
    try:
        returned = get_type_hints(fn).get("return")
    except NameError as error:
        msg = f"{fn.__qualname__}: {error}; its annotations must be names that exist when the program runs."
        raise DefinitionError(msg) from error
    return get_args(returned) if get_origin(returned) in (Union, UnionType) else (returned,)


def _check_names(saga: type[Any], steps: tuple[StepPlan, ...]) -> None:
    taken: dict[str, str] = {}
    for step in steps:
        other = taken.setdefault(camel(step.name), step.name)
        if other != step.name:
            msg = f"{saga.__name__}: {other} and {step.name} would have the same names in the log; rename one of them."
            raise DefinitionError(msg)


def _check_pivots(saga: type[Any], steps: tuple[StepPlan, ...]) -> None:
    """Whatever is not before a pivot is after it: while it is being decided whether there is a way back, nothing else is under way."""
    before: dict[int, set[int]] = {}
    for step in steps:
        before[step.place] = set(step.after).union(*(before[place] for place in step.after))
    for pivot in (step for step in steps if step.pivot):
        for step in steps:
            if step.place != pivot.place and step.place not in before[pivot.place] and pivot.place not in before[step.place]:
                msg = f"{saga.__name__}.{step.name} may run beside {pivot.name}, which is a pivot; put it before or after, by after=(…)."
                raise DefinitionError(msg)
        if pivot.undo is not None or pivot.undo_by_key is not None:
            msg = f"{saga.__name__}.{pivot.name} is a pivot, after which there is no way back; it cannot have a compensation."
            raise DefinitionError(msg)
    for step in steps:
        child = None if step.child is None else plan_of(step.child)
        if child is not None and child.has_pivot and not step.pivot:
            msg = f"{saga.__name__}.{step.name} is the saga {child.name}, which has a pivot and cannot be undone: say pivot=True."
            raise DefinitionError(msg)
        if step.undo_by_key is not None and step.undo is None:
            msg = f"{saga.__name__}.{step.name} is undone in doubt, but not when it is done; give it an undone_by, too."
            raise DefinitionError(msg)
