"""What a system makes of its sagas: an owner for each, its methods marked for the types that the saga has in the log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tallystick.domain.errors import DefinitionError
from tallystick.domain.marks import Mark, marked
from tallystick.domain.module import ModuleMeta
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.definition import plan_of
from tallystick.domain.sagas.owner import SagaOwner
from tallystick.domain.sagas.plan import SagaPlan
from tallystick.domain.sagas.saga import Saga
from tallystick.domain.sagas.types_in_log import SagaTypes, commands_of, types_of

Marked = tuple[Callable[..., Any], Sequence[Mark]]


def saga_modules(*sagas: Saga[Any, Any]) -> tuple[SagaOwner, ...]:
    """The modules that these sagas become; several versions of one saga become one module.

    For whoever takes modules only: `System(sagas=…)` does this by itself.

    Raises:
        DefinitionError: a declaration cannot work; the message names the saga, the step and the mend.
    """
    by_name: dict[str, list[Saga[Any, Any]]] = {}
    for saga in sagas:
        by_name.setdefault(saga.name, []).append(saga)
    plans = {name: _plans(name, versions) for name, versions in by_name.items()}
    relatives = {name: _types(by_name[name], versions) for name, versions in plans.items()}
    _check_children(plans, relatives)
    company = tuple(type(saga) for saga in sagas)
    return tuple(_kind_of_owner(company, by_name[name], relatives)(by_name[name], plans[name], relatives[name]) for name in by_name)


def _plans(name: str, sagas: Sequence[Saga[Any, Any]]) -> Sequence[SagaPlan]:
    versions: dict[int, type[Any]] = {}
    for saga in sagas:
        other = versions.setdefault(saga.version, type(saga))
        if other is not type(saga):
            msg = (
                f"{other.__name__} and {type(saga).__name__} are both version {saga.version} of {name}; give the newer one the next number."
            )
            raise DefinitionError(msg)
    if len(versions) < len(sagas):
        msg = f"{name} is given twice; once is enough."
        raise DefinitionError(msg)
    return [plan_of(type(saga)) for saga in sagas]


def _types(sagas: Sequence[Saga[Any, Any]], plans: Sequence[SagaPlan]) -> SagaTypes:
    """Made once for the same versions, and kept with the first of them: a system that is opened again does not make them anew."""
    versions = tuple(type(saga) for saga in sagas)
    keeper: Any = versions[0]
    kept: dict[tuple[type[Any], ...], SagaTypes] = vars(keeper).get("_types", {})
    if versions not in kept:
        kept[versions] = types_of(plans)
        keeper._types = kept  # noqa: SLF001 - kept with the class, so that they go when it does
    return kept[versions]


def _check_children(plans: Mapping[str, Sequence[SagaPlan]], relatives: Mapping[str, SagaTypes]) -> None:
    for name, versions in plans.items():
        for plan in versions:
            for child in (step.child for step in plan.steps if step.child is not None):
                if child.name not in relatives or child.version not in {each.version for each in plans[child.name]}:
                    msg = f"{name} has version {child.version} of {child.name} as a step: give the system that saga, too."
                    raise DefinitionError(msg)


def _kind_of_owner(company: tuple[type[Any], ...], sagas: Sequence[Saga[Any, Any]], relatives: Mapping[str, SagaTypes]) -> Any:
    """Its class, with its methods marked; made once for a saga in the same company, and kept with it, like its types."""
    keeper: Any = type(sagas[0])
    kept: dict[tuple[type[Any], ...], Any] = vars(keeper).get("_owner_kinds", {})
    if company not in kept:
        types = relatives[keeper.name]
        namespace: dict[str, Any] = {"name": types.name, "__module__": __name__, "__doc__": SagaOwner.__doc__}
        for method, marks in (*_decisions(sagas, types), *_reactions(types, relatives)):
            if marks:
                namespace[method.__name__] = _marked(method, marks)
        kept[company] = ModuleMeta(f"{types.name}Owner", (SagaOwner,), namespace)
        keeper._owner_kinds = kept  # noqa: SLF001 - kept with the class, so that they go when it does
    return kept[company]


def _decisions(sagas: Sequence[Saga[Any, Any]], types: SagaTypes) -> Iterator[Marked]:
    """What is asked of it, and what becomes of what it has begun."""
    commands = [commands_of(type(saga)) for saga in sagas]
    steps = list(types.steps.values())
    former = [kind for kind in types.former if not issubclass(kind, said.SagaEvent)]
    yield SagaOwner.start, [Mark("handles", each.start, emits=(types.started,)) for each in commands]
    yield SagaOwner.cancel, [Mark("handles", each.cancel, emits=(types.cancel_requested,)) for each in commands]
    yield SagaOwner.redrive, [Mark("handles", each.redrive) for each in commands]
    yield SagaOwner.step_ended, [Mark("settled", kind) for kind in (*(each.intent for each in steps), *former)]
    yield SagaOwner.asked, [Mark("settled", each.asking) for each in steps]
    yield SagaOwner.undo_ended, [Mark("settled", each.undoing) for each in steps]
    yield SagaOwner.attended, [Mark("settled", types.attention)]
    yield SagaOwner.done_late, [Mark("late", each.intent) for each in steps]
    yield SagaOwner.undone_late, [Mark("late", each.undoing) for each in steps]
    yield SagaOwner.folded, [Mark("folds", event, into=types.instance) for event in _events(types)]


def _events(types: SagaTypes) -> Iterator[type[Any]]:
    yield from (types.started, types.cancel_requested, types.completed, types.compensated, types.redriven, types.resolved)
    for step in types.steps.values():
        yield from (kind for kind in step if isinstance(kind, type) and issubclass(kind, said.SagaEvent))
    yield from (kind for kind in types.former if issubclass(kind, said.SagaEvent))


def _reactions(types: SagaTypes, relatives: Mapping[str, SagaTypes]) -> Iterator[Marked]:
    """What it hears of sagas that are steps of it, and of those that it is a step of."""
    parents = [step for relative in relatives.values() for step in relative.steps.values() if step.child == types.name]
    children = dict.fromkeys(step.child for step in types.steps.values() if step.child)
    yield SagaOwner.requested, [Mark("reacts", each.requested) for each in parents]
    yield SagaOwner.undo_requested, [Mark("reacts", each.undo_requested) for each in parents]
    ends = [kind for child in children for kind in (relatives[child].completed, relatives[child].compensated)]
    yield SagaOwner.child_ended, [Mark("reacts", kind) for kind in ends]


def _marked(method: Callable[..., Any], marks: Sequence[Mark]) -> Callable[..., Any]:
    """The method, in a function of this owner's own that bears the marks."""

    def own(self: Any, *arguments: Any) -> Any:
        return method(self, *arguments)

    own.__name__, own.__qualname__, own.__doc__ = method.__name__, method.__qualname__, method.__doc__
    for mark in marks:
        marked(own, mark)
    return own
