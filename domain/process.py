"""Processes: modules that advance by other owners' events. Pure decisions over a state; the declaration is in `process_module`.

A process is idle until its first event, then processing, then completed or failed. `TRANSITIONS` has all the ways between these there are.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, Literal, NamedTuple

from msgspec import structs

from tallystick.domain.event import Aggregate, Event
from tallystick.domain.retry import AnyRetry

Phase = Literal["idle", "processing", "completed", "failed"]
Change = Literal["begin", "complete", "fail", "retry", "reset"]

TRANSITIONS: Final[Mapping[tuple[Phase, Change], Phase]] = {
    ("idle", "begin"): "processing",
    ("processing", "complete"): "completed",
    ("processing", "fail"): "failed",
    ("failed", "retry"): "processing",
    ("failed", "reset"): "idle",
    ("completed", "reset"): "idle",
}
"""Nothing else: what is not here has no effect where an event asks for it, and is refused where a person does."""

TIMED_OUT: Final = "timed out after maximum retries"


class ProcessPlan(NamedTuple):
    """A process as declared: its steps in order, and how long all of it may take."""

    name: str
    steps: tuple[str, ...]
    timeout: timedelta | None
    retry: AnyRetry | None


class ProcessEvent(Event, omit_defaults=True):
    """Something that happened to a process. `by_stream`: the event that caused it lacked its field, so that its own stream stood in."""

    process_id: str
    by_stream: bool = False

    @property
    def aggregate_id(self) -> str:
        """The process."""
        return self.process_id


class Begun(ProcessEvent):
    """It is processing."""


class StepCompleted(ProcessEvent):
    """The step that it waited for is done."""

    step: str


class StepRemembered(ProcessEvent):
    """A step is done before it is its turn; it counts when it is."""

    step: str


class Completed(ProcessEvent):
    """All steps are done."""


class ProcessFailed(ProcessEvent):
    """It has failed, and goes on only when a person has it retried."""

    reason: str


class Retried(ProcessEvent):
    """A person has it go on; what is done stays done, and its time and retries count anew."""

    who: str = ""
    why: str = ""


class Reset(ProcessEvent):
    """A person has it begin from nothing, when its first event comes again."""

    who: str = ""
    why: str = ""


class ProcessState(Aggregate):
    """How a process stands. `done` are the steps that count, in order; `ahead` those that were done before their turn."""

    phase: Phase = "idle"
    done: tuple[str, ...] = ()
    ahead: tuple[str, ...] = ()
    reason: str = ""
    retried: int = 0
    """How often a person had it retried."""
    by_stream: int = 0
    """How many of its events lacked the field that says whose they are."""

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether it may leave memory: it is not waited for."""
        return self.phase != "processing"


def allows(state: ProcessState, change: Change) -> bool:
    """Whether a process may change so."""
    return (state.phase, change) in TRANSITIONS


def completes(plan: ProcessPlan, state: ProcessState, step: str) -> tuple[str, ...]:
    """The steps that a step's event completes, in order: none if it is not its turn; with it, those that were remembered behind it."""
    if state.phase != "processing" or len(state.done) >= len(plan.steps) or plan.steps[len(state.done)] != step:
        return ()
    return (step, *_remembered(plan, state.ahead, len(state.done) + 1))


def catches_up(plan: ProcessPlan, state: ProcessState) -> tuple[str, ...]:
    """The steps that count at once when a process begins or is retried, since they were done before."""
    return tuple(_remembered(plan, state.ahead, len(state.done)))


def _remembered(plan: ProcessPlan, ahead: tuple[str, ...], place: int) -> Iterator[str]:
    for step in plan.steps[place:]:
        if step not in ahead:
            return
        yield step


def remembers(state: ProcessState, step: str) -> bool:
    """Whether a step's event that is not waited for is kept for later: not twice, and not of a process that is completed."""
    return state.phase != "completed" and step not in state.done and step not in state.ahead


def is_all(plan: ProcessPlan, state: ProcessState, steps: tuple[str, ...]) -> bool:
    """Whether nothing is left to be done after these."""
    return len(state.done) + len(steps) == len(plan.steps)


def apply(state: ProcessState, event: ProcessEvent) -> ProcessState:
    """The process after an event."""
    if event.by_stream:
        state = structs.replace(state, by_stream=state.by_stream + 1)
    match event:
        case Begun() | Retried():
            return structs.replace(state, phase="processing", reason="", retried=state.retried + isinstance(event, Retried))
        case StepCompleted(step=step):
            return structs.replace(state, done=(*state.done, step), ahead=tuple(each for each in state.ahead if each != step))
        case StepRemembered(step=step):
            return structs.replace(state, ahead=(*state.ahead, step))
        case Completed():
            return structs.replace(state, phase="completed")
        case ProcessFailed(reason=reason):
            return structs.replace(state, phase="failed", reason=reason)
        case _:
            return type(state)(by_stream=state.by_stream)
