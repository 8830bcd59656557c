"""Where an instance of a saga stands, and what follows from what happened: pure functions of plan, state and event.

`apply` makes the state after an event; what is to be begun then is the difference between the two, which `moves` reads off. A step that
is "running", "asking" or "undoing" has an open execution, a stuck one waits for a person: so an instance that has not ended always
waits for somebody (L3). Steps are undone one at a time, the last of the definition first (S11).
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple, TypeVar

from msgspec import structs

from tallystick.domain.event import Aggregate
from tallystick.domain.record import Record
from tallystick.domain.sagas import events as said
from tallystick.domain.sagas.events import Parent
from tallystick.domain.sagas.plan import SagaPlan, StepPlan

Status = Literal[
    "waiting", "running", "done", "failed", "doubt", "asking", "not_done", "undoing", "undone",
    "stuck_step", "stuck_doubt", "stuck_undo", "stuck_late",
]  # fmt: skip
Phase = Literal["new", "running", "compensating", "completed", "compensated"]
Deed = Literal["begin", "ask", "undo", "attend", "withdraw", "release", "complete", "compensated"]

STUCK: Final = frozenset({"stuck_step", "stuck_doubt", "stuck_undo", "stuck_late"})
ACTIVE: Final = frozenset({"running", "asking", "undoing", "stuck_step", "stuck_doubt", "stuck_undo"})
"""While a step is one of these, no other is undone."""


class StepState(Record):
    """One step of an instance. `rounds` counts how often it was begun, `tries` how often it was asked about or undone.

    `known` says whether there is a result. `surplus`: an earlier round had its effect, too.
    """

    status: Status = "waiting"
    rounds: int = 0
    tries: int = 0
    known: bool = False
    surplus: bool = False
    may_ask: bool = False
    result: Any = None
    key: str = ""
    code: str = ""
    message: str = ""
    child_id: str = ""

    @property
    def needs_person(self) -> bool:
        """Whether somebody must look."""
        return self.status in STUCK or self.surplus


class Instance(Aggregate):
    """One instance. `step`, `code` and `message` say why it is, or was, compensated; `cancelled` that it will be if its pivot fails."""

    phase: Phase = "new"
    version: int = 0
    input: Any = None
    steps: tuple[StepState, ...] = ()
    step: str = ""
    code: str = ""
    message: str = ""
    cancelled: bool = False
    asleep: bool = False
    result: Any = None
    parent: Parent | None = None

    @property
    def closed(self) -> bool:  # type: ignore[override]  # a setting of the class there, a property here
        """Whether it need not be in memory: it has ended, or waits for something that takes its time."""
        return self.asleep or self.phase in {"completed", "compensated"}

    @property
    def needs_person(self) -> bool:
        """Whether somebody must look."""
        return any(step.needs_person for step in self.steps)


class Move(NamedTuple):
    """What is to be done next; `place` is the step's, -1 where it is about the whole."""

    deed: Deed
    place: int = -1


I = TypeVar("I", bound=Instance)  # noqa: E741 - the instance's type


def apply(plan: SagaPlan, before: I, event: said.SagaEvent) -> I:
    """The instance after an event."""
    transition = _transition_of(type(event))
    return before if transition is None else _drowsy(plan, transition(plan, before, event))


def moves(plan: SagaPlan, before: Instance, after: Instance) -> list[Move]:
    """What is to be done now that this instance has become that one."""
    found: list[Move] = []
    for step in plan.steps:
        was = before.steps[step.place] if before.steps else StepState()
        found.extend(_moves_of(step.place, was, after.steps[step.place]))
    if before.phase == "running" and after.phase == "compensating":
        found.extend(Move("withdraw", step.place) for step in plan.steps if after.steps[step.place].status == "running")
    if after.phase == "running" and all(step.status == "done" for step in after.steps):
        found.append(Move("complete"))
    elif after.phase == "compensating" and not any(step.status in ACTIVE for step in after.steps):
        found.append(Move("compensated"))
    return found


def _moves_of(place: int, was: StepState, now: StepState) -> Iterator[Move]:
    if was.needs_person and not now.needs_person:
        yield Move("release", place)
    if now.rounds > was.rounds:
        yield Move("begin", place)
    elif now.tries > was.tries:
        yield Move("ask" if now.status == "asking" else "undo", place)
    elif now.needs_person and not was.needs_person:
        yield Move("attend", place)


def past_pivot(plan: SagaPlan, instance: Instance) -> bool:
    """Whether there is no way back."""
    return any(step.pivot and instance.steps[step.place].status == "done" for step in plan.steps)


def pivot_is_out(plan: SagaPlan, instance: Instance) -> bool:
    """Whether it has still to be heard whether there is a way back."""
    return any(step.pivot and instance.steps[step.place].status in {"running", "asking", "stuck_doubt"} for step in plan.steps)


# Parts.


def _with(instance: I, place: int, **changes: Any) -> I:
    steps = instance.steps
    step = structs.replace(steps[place], **changes)
    return structs.replace(instance, steps=(*steps[:place], step, *steps[place + 1 :]))


def _drowsy(plan: SagaPlan, instance: I) -> I:
    """All that it waits for takes its time."""
    asleep = instance.phase == "running" and all(
        plan.steps[place].long for place, step in enumerate(instance.steps) if step.status == "running"
    )
    return instance if asleep == instance.asleep else structs.replace(instance, asleep=asleep)


def _go_on(plan: SagaPlan, instance: I) -> I:
    return _begin_ready(plan, instance) if instance.phase == "running" else _undo_next(plan, instance)


def _begin_ready(plan: SagaPlan, instance: I) -> I:
    """Begin each step whose forerunners are all done."""
    steps = instance.steps
    for step in plan.steps:
        if steps[step.place].status == "waiting" and all(steps[place].status == "done" for place in step.after):
            instance = _with(instance, step.place, status="running", rounds=1)
    return instance


def _begin_again(instance: I, place: int) -> I:
    return _with(instance, place, status="running", rounds=instance.steps[place].rounds + 1, known=False, result=None)


def _ask(instance: I, place: int) -> I:
    """Ask the outside world whether it was done; where nobody can be asked, a person says."""
    step = instance.steps[place]
    if not step.may_ask:
        return _with(instance, place, status="stuck_doubt")
    return _with(instance, place, status="asking", tries=step.tries + 1)


def _undo(instance: I, place: int) -> I:
    step = instance.steps[place]
    return _with(instance, place, status="undoing", tries=step.tries + 1)


def _undo_next(plan: SagaPlan, instance: I) -> I:
    """Undo the last step that is to be undone, once nothing else is under way."""
    if any(step.status in ACTIVE for step in instance.steps):
        return instance
    for step in reversed(plan.steps):
        status = instance.steps[step.place].status
        if status == "done" and step.undoable:
            return _undo(instance, step.place)
        if status == "doubt" and step.undoable and step.in_doubt != "ignore":
            return _resolve(step, instance)
    return instance


def _resolve(step: StepPlan, instance: I) -> I:
    """Undo what may have been done: by its key, or when it is known whether it was."""
    if step.child is not None or step.undo_by_key is not None:
        return _undo(instance, step.place)
    if step.in_doubt == "ask_person":
        return _with(instance, step.place, status="stuck_doubt")
    return _ask(instance, step.place)


def _turn_back(plan: SagaPlan, instance: I, step: str, code: str, message: str) -> I:
    turned = structs.replace(instance, phase="compensating", step=step, code=code, message=message, cancelled=False)
    return _undo_next(plan, turned)


def _known_done(plan: SagaPlan, instance: I, place: int, result: Any) -> I:
    done = _with(instance, place, status="done", known=True, result=result)
    if plan.steps[place].pivot:
        done = structs.replace(done, cancelled=False)
    return _go_on(plan, done)


def _not_there(plan: SagaPlan, instance: I, place: int, *, status: Status) -> I:
    """A step in doubt was not done, or a person has seen to it."""
    if instance.phase != "running":
        return _undo_next(plan, _with(instance, place, status=status))
    if past_pivot(plan, instance):
        return _begin_again(instance, place)
    step = instance.steps[place]
    return _turn_back(plan, _with(instance, place, status=status), plan.steps[place].name, step.code, step.message)


# What happened.


def _started(plan: SagaPlan, instance: I, event: said.Started) -> I:
    steps = tuple(StepState() for _ in plan.steps)
    begun = structs.replace(
        instance, phase="running", version=event.definition_version, input=event.input, parent=event.parent, steps=steps
    )
    return _begin_ready(plan, begun)


def _done(plan: SagaPlan, instance: I, event: said.StepDone) -> I:
    return _known_done(plan, instance, plan.places[event.step], event.result)


def _failed(plan: SagaPlan, instance: I, event: said.StepFailed) -> I:
    place = plan.places[event.step]
    instance = _with(instance, place, status="failed", code=event.code, message=event.message)
    if instance.phase != "running":
        return _undo_next(plan, instance)
    if past_pivot(plan, instance):
        return _with(instance, place, status="stuck_step")
    return _turn_back(plan, instance, event.step, event.code, event.message)


def _in_doubt(plan: SagaPlan, instance: I, event: said.StepInDoubt) -> I:
    place = plan.places[event.step]
    instance = _with(instance, place, status="doubt", key=event.key, code=event.code, message=event.message, may_ask=event.may_ask)
    if instance.phase != "running":
        return _undo_next(plan, instance)
    if plan.steps[place].pivot or past_pivot(plan, instance):
        return _ask(instance, place)
    return _turn_back(plan, instance, event.step, event.code, event.message)


def _done_after_all(plan: SagaPlan, instance: I, event: said.StepDoneAfterAll) -> I:
    return _known_done(plan, instance, plan.places[event.step], event.result)


def _not_done(plan: SagaPlan, instance: I, event: said.StepNotDone) -> I:
    place = plan.places[event.step]
    step = instance.steps[place]
    if step.known:  # its success came while the question was out
        return _known_done(plan, instance, place, step.result)
    return _not_there(plan, instance, place, status="not_done")


def _doubt_remains(plan: SagaPlan, instance: I, event: said.StepDoubtRemains) -> I:
    place = plan.places[event.step]
    step = instance.steps[place]
    if step.known:
        return _known_done(plan, instance, place, step.result)
    return _with(instance, place, status="stuck_doubt", message=event.message or event.code)


def _done_late(plan: SagaPlan, instance: I, event: said.StepDoneLate) -> I:
    place = plan.places[event.step]
    step, its_plan = instance.steps[place], plan.steps[place]
    if event.round < step.rounds:
        return _with(instance, place, surplus=True)
    if step.known:
        return instance
    late = _with(instance, place, known=True, result=event.result)
    match step.status:
        case "doubt" | "not_done" | "failed":
            late = _with(late, place, status="stuck_late" if its_plan.pivot else "done")
            return late if late.phase == "running" else _undo_next(plan, late)
        case "stuck_doubt" | "stuck_step":
            return _known_done(plan, late, place, event.result)
        case "asking":  # the answer will find it known
            return late
        case _:  # it is undone, or will be, by its key, which holds for whatever comes
            return instance


def _undone(plan: SagaPlan, instance: I, event: said.StepUndone) -> I:
    return _undo_next(plan, _with(instance, plan.places[event.step], status="undone"))


def _undo_failed(plan: SagaPlan, instance: I, event: said.StepUndoFailed) -> I:
    return _with(instance, plan.places[event.step], status="stuck_undo", code=event.code, message=event.message)


def _redriven(plan: SagaPlan, instance: I, event: said.Redriven) -> I:
    place = plan.places[event.step]
    step = instance.steps[place]
    match step.status:
        case "stuck_undo":  # a later step may have come to light as done meanwhile; then that one is undone first
            left: Status = "undone" if event.by_hand else "done" if step.known else "doubt"
            return _undo_next(plan, _with(instance, place, status=left))
        case "stuck_doubt" if event.by_hand:
            return _not_there(plan, instance, place, status="not_done")
        case "stuck_doubt":
            return _ask(_with(instance, place, may_ask=event.may_ask), place)
        case "stuck_step":
            return _begin_again(instance, place)
        case "stuck_late":
            return _undo_next(plan, _with(instance, place, status="undone"))
        case _:
            return _with(instance, place, surplus=False)


def _cancel_requested(plan: SagaPlan, instance: I, event: said.CancelRequested) -> I:
    if instance.phase == "running" and pivot_is_out(plan, instance):
        return structs.replace(instance, cancelled=True)
    return _turn_back(plan, instance, "", "CANCELLED", event.reason)


def _requested(plan: SagaPlan, instance: I, event: said.StepRequested) -> I:
    return _with(instance, plan.places[event.step], child_id=event.child_id)


def _completed(plan: SagaPlan, instance: I, event: said.Completed) -> I:
    del plan
    return structs.replace(instance, phase="completed", result=event.result)


def _compensated(plan: SagaPlan, instance: I, event: said.Compensated) -> I:
    del plan
    return structs.replace(instance, phase="compensated", step=event.step, code=event.code, message=event.message)


_TRANSITIONS: dict[type[said.SagaEvent], Callable[..., Any]] = {
    said.Started: _started,
    said.StepDone: _done,
    said.StepFailed: _failed,
    said.StepInDoubt: _in_doubt,
    said.StepDoneAfterAll: _done_after_all,
    said.StepNotDone: _not_done,
    said.StepDoubtRemains: _doubt_remains,
    said.StepDoneLate: _done_late,
    said.StepUndone: _undone,
    said.StepUndoFailed: _undo_failed,
    said.Redriven: _redriven,
    said.CancelRequested: _cancel_requested,
    said.StepRequested: _requested,
    said.Completed: _completed,
    said.Compensated: _compensated,
}


def _transition_of(kind: type[said.SagaEvent]) -> Callable[..., Any] | None:
    """A saga's own type of event is made directly from one of those above."""
    return _TRANSITIONS.get(kind) or _TRANSITIONS.get(kind.__mro__[1])
