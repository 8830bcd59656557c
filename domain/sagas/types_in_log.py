"""The types that a saga has in the log: events, intents and commands of its own, made from its plan, as strict as those written by hand.

The names are the saga's, the step's, and what happened: `BookTripStarted`, `BookTripHotelDone`, `BookTripHotelUndoStarted`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast, get_args, get_origin

import msgspec

from tallystick.domain.action import Action
from tallystick.domain.command import Command
from tallystick.domain.errors import DefinitionError
from tallystick.domain.intent import Intent
from tallystick.domain.record import Record, RecordMeta
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.plan import SagaPlan, StepPlan
from tallystick.domain.sagas.state import Instance

R = TypeVar("R")


# Commands.


class StartSaga(Command[None]):
    """Begin an instance."""

    saga_id: str
    input: Any


class CancelSaga(Command[None]):
    """Undo an instance."""

    saga_id: str
    reason: str


class RedriveSaga(Command[None]):
    """Let an instance go on that waits for a person. `by_hand`: what was to be undone has been."""

    saga_id: str
    who: str = ""
    why: str = ""
    by_hand: bool = False


class Commands(NamedTuple):
    """The commands of one version of a saga."""

    start: type[StartSaga]
    cancel: type[CancelSaga]
    redrive: type[RedriveSaga]


# Intents.


class SagaIntent(Intent[Any]):
    """Something that is under way for an instance."""

    step: ClassVar[str] = ""

    saga_id: str
    version: int

    @property
    def subject(self) -> str:
        """One for each step of each instance, so that steps run at once."""
        return f"{self.step}:{self.saga_id}"


class StepIntent(SagaIntent):
    """To have a step done; `round` counts how often it was begun."""

    round: int = 1


class AskIntent(SagaIntent):
    """To hear whether a step was done."""


class UndoIntent(SagaIntent):
    """To have a step undone."""


class AttentionIntent(SagaIntent):
    """To have somebody look at a step."""

    on_redrive = "settle"
    step: str  # type: ignore[misc]  # a setting of the other intents, a field of this one
    code: str = ""
    message: str = ""


class Answer(Record, Generic[R]):
    """Whether a step was done, and with what result."""

    done: bool
    result: R | None = None


class Ask(Action[Answer[Any]]):
    """Ask, by the performer's probe, whether an action was done under that key."""

    asked: Any
    key: str


class StepTypes(NamedTuple):
    """The types of one step."""

    done: type[said.StepDone]
    failed: type[said.StepFailed]
    in_doubt: type[said.StepInDoubt]
    done_after_all: type[said.StepDoneAfterAll]
    not_done: type[said.StepNotDone]
    doubt_remains: type[said.StepDoubtRemains]
    done_late: type[said.StepDoneLate]
    undone: type[said.StepUndone]
    undo_failed: type[said.StepUndoFailed]
    requested: type[said.StepRequested]
    undo_requested: type[said.StepUndoRequested]
    intent: type[StepIntent]
    asking: type[AskIntent]
    undoing: type[UndoIntent]
    ask: type[Ask]
    child: str
    """The name of the saga that the step is, if it is one."""


class SagaTypes(NamedTuple):
    """The types of one saga, all its versions together."""

    name: str
    instance: type[Instance]
    started: type[said.Started]
    cancel_requested: type[said.CancelRequested]
    completed: type[said.Completed]
    compensated: type[said.Compensated]
    redriven: type[said.Redriven]
    resolved: type[said.Resolved]
    attention: type[AttentionIntent]
    steps: Mapping[str, StepTypes]
    former: tuple[type[Record], ...]
    """What steps were called that no version has any more."""


def camel(name: str) -> str:
    """`book_hotel` as `BookHotel`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _made(name: str, base: type[Any], fields: Mapping[str, Any], **settings: Any) -> Any:
    options = {"omit_defaults": True} if issubclass(base, said.SagaEvent | SagaIntent) else {}
    namespace = {"__annotations__": dict(fields), "__module__": base.__module__, "__doc__": base.__doc__, **settings}
    return RecordMeta(name, (base,), namespace, **options)


def commands_of(saga: type[Any]) -> Commands:
    """The commands of one version; made once, and kept with the class."""
    made: Commands | None = vars(saga).get("_commands")
    if made is None:
        given = type_arguments(saga)[0]
        made = Commands(
            _made(f"Start{saga.__name__}", StartSaga, {"input": given}),
            _made(f"Cancel{saga.__name__}", CancelSaga, {}),
            _made(f"Redrive{saga.__name__}", RedriveSaga, {}),
        )
        saga._commands = made  # noqa: SLF001 - kept with the class, so that it goes when the class does
    return made


def type_arguments(saga: type[Any]) -> tuple[Any, Any]:
    """Input and result of a `BookTrip(Saga[Trip, Booked])`.

    Raises:
        DefinitionError: it does not say them.
    """
    for ancestor in saga.__mro__:
        for original in ancestor.__dict__.get("__orig_bases__", ()):
            arguments = get_args(original)
            if hasattr(get_origin(original), "start_command") and not any(isinstance(each, TypeVar) for each in arguments):
                given, result = arguments
                return given, result
    msg = f"{saga.__name__} does not say what it is given and what it comes to: class {saga.__name__}(ts.Saga[Given, Result])."
    raise DefinitionError(msg)


def types_of(plans: Sequence[SagaPlan]) -> SagaTypes:
    """The types of a saga that has these versions.

    Raises:
        DefinitionError: two versions mean different things by one name.
    """
    name = plans[0].name
    steps: dict[str, list[StepPlan]] = {}
    for plan in plans:
        for step in plan.steps:
            steps.setdefault(step.name, []).append(step)
    former = dict.fromkeys(each for plan in plans for each in plan.former_steps if each not in steps)

    def made(what: str, base: type[Any], **fields: Any) -> Any:
        return _made(f"{name}{what}", base, fields, aggregate_type=name)

    completed = made("Completed", said.Completed, result=_one(name, "its result", [plan.result for plan in plans]))
    redriven, resolved = made("Redriven", said.Redriven), made("Resolved", said.Resolved)
    return SagaTypes(
        name=name,
        instance=_made(f"{name}Instance", Instance, {}),
        started=made("Started", said.Started, input=_one(name, "its input", [plan.input for plan in plans])),
        cancel_requested=made("CancelRequested", said.CancelRequested),
        completed=completed,
        compensated=made("Compensated", said.Compensated),
        redriven=redriven,
        resolved=resolved,
        attention=_made(f"{name}Attention", AttentionIntent, {}, started=f"{name}NeedsPerson", ends_with=(redriven, resolved)),
        steps={each: _step_types(name, each, found) for each, found in steps.items()},
        former=tuple(kind for each in former for kind in _former_types(name, each)),
    )


def _one(name: str, what: str, kinds: Sequence[Any]) -> Any:
    if any(kind != kinds[0] for kind in kinds):
        of = " and ".join(dict.fromkeys(str(getattr(kind, "__name__", kind)) for kind in kinds))
        msg = f"The versions of {name} mean different things by {what}: {of}. Keep the type, or choose another name."
        raise DefinitionError(msg)
    return kinds[0]


def _events(name: str, step: str) -> Callable[..., Any]:
    """A maker of a step's events."""

    def made(what: str, base: type[Any], **fields: Any) -> Any:
        return _made(f"{name}{camel(step)}{what}", base, fields, aggregate_type=name, step=step)

    return made


def _step_types(name: str, step: str, plans: Sequence[StepPlan]) -> StepTypes:
    result = _one(name, f"the result of {step}", [plan.result for plan in plans])
    actions = tuple(dict.fromkeys(action for plan in plans for action in plan.actions))
    event = _events(name, step)
    prefix = f"{name}{camel(step)}"

    def intent(what: str, base: type[Any], outcome: Any, *ends: Any) -> Any:
        return _made(f"{prefix}{what}", base, {}, step=step, ends_with=ends, __orig_bases__=(Intent[outcome],))

    done, failed, in_doubt = (
        event("Done", said.StepDone, result=result),
        event("Failed", said.StepFailed),
        event("InDoubt", said.StepInDoubt),
    )
    after_all = event("DoneAfterAll", said.StepDoneAfterAll, result=result)
    not_done, remains = event("NotDone", said.StepNotDone), event("DoubtRemains", said.StepDoubtRemains)
    undone, undo_failed = event("Undone", said.StepUndone), event("UndoFailed", said.StepUndoFailed)
    child = plans[0].child
    child_input = Any if child is None else type_arguments(child)[0]
    asked = cast("Any", reduce(or_, actions) if actions else None)
    answer: Any = cast("Any", Answer)[result]
    return StepTypes(
        done=done,
        failed=failed,
        in_doubt=in_doubt,
        done_after_all=after_all,
        not_done=not_done,
        doubt_remains=remains,
        done_late=event("DoneLate", said.StepDoneLate, result=result),
        undone=undone,
        undo_failed=undo_failed,
        requested=event("Requested", said.StepRequested, input=child_input),
        undo_requested=event("UndoRequested", said.StepUndoRequested),
        intent=intent("", StepIntent, result, done, failed, in_doubt),
        asking=intent("Asking", AskIntent, answer, after_all, not_done, remains),
        undoing=intent("Undo", UndoIntent, Any, undone, undo_failed),
        ask=_made(f"Ask{prefix}", Ask, {"asked": asked}, __orig_bases__=(cast("Any", Action)[answer],)),
        child="" if child is None else child.name,
    )


# Steps that no version has any more: read, but never written.


class FormerIntent(Intent[msgspec.Raw]):
    """Something that was under way for a step that no version has any more; of its actions nothing is known but their JSON."""

    actions_type: ClassVar[Any] = msgspec.Raw

    saga_id: str
    version: int
    step: str = ""
    round: int = 1


def _former_types(name: str, step: str) -> list[type[Record]]:
    event = _events(name, step)
    raw = msgspec.Raw
    kinds: list[type[Record]] = [
        event("Done", said.StepDone, result=raw),
        event("DoneAfterAll", said.StepDoneAfterAll, result=raw),
        event("DoneLate", said.StepDoneLate, result=raw),
        event("Requested", said.StepRequested, input=raw),
    ]
    plain: dict[str, type[Any]] = {
        "Failed": said.StepFailed,
        "InDoubt": said.StepInDoubt,
        "NotDone": said.StepNotDone,
        "DoubtRemains": said.StepDoubtRemains,
        "Undone": said.StepUndone,
        "UndoFailed": said.StepUndoFailed,
        "UndoRequested": said.StepUndoRequested,
    }
    kinds += [event(what, base) for what, base in plain.items()]
    ends = tuple(kinds)
    kinds += [_made(f"{name}{camel(step)}{what}", FormerIntent, {}, ends_with=ends) for what in ("", "Asking", "Undo")]
    return kinds
