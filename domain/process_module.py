"""What a program writes to have a process, and the ordinary module that it is: its time-out and its retries are an execution's."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from tallystick.domain import process as core
from tallystick.domain.command import Command
from tallystick.domain.effect import Begin, Decision, Effect, Effects, Settle
from tallystick.domain.errors import DefinitionError, Rejected
from tallystick.domain.event import Event
from tallystick.domain.intent import Intent
from tallystick.domain.marks import Mark, marked
from tallystick.domain.module import Module, Turn
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Succeeded, TimedOut
from tallystick.domain.process import ProcessState
from tallystick.domain.record import Record, RecordMeta
from tallystick.domain.retry import AnyRetry


class Hears(NamedTuple):
    """An event that concerns a process, and the field that says which one. What `begun_by`, `awaits` and `failed_by` make."""

    what: str
    kind: type[Event]
    by: str
    reason: str = ""
    step: str = ""


def begun_by(kind: type[Event], *, by: str) -> Hears:
    """The event that begins a process; its field `by` is the process's id."""
    return Hears("begin", kind, by)


def awaits(kind: type[Event], *, by: str) -> Hears:
    """A step: the event, of whatever owner, that completes it, and the field that says of which process it is."""
    return Hears("step", kind, by)


def failed_by(kind: type[Event], *, by: str, reason: str = "") -> Hears:
    """An event that fails the process; its field `reason`, if there is one, says why."""
    return Hears("fail", kind, by, reason)


class RetryProcess(Command[None]):
    """A person has a failed process go on."""

    process_id: str
    who: str = ""
    why: str = ""


class ResetProcess(RetryProcess):
    """A person has a process that has ended begin from nothing."""


class Processing(Intent[None]):
    """A process is under way: its time-out is the process's, and so are its retries."""

    process: ClassVar[str] = ""
    """The aggregate type of the process's own events."""

    process_id: str

    @property
    def subject(self) -> str:
        """The process."""
        return self.process_id


class Process(Module):
    """A module that is led on by others' events: its attributes say which event begins it, completes each step, or fails it.

    The steps count in the order in which they stand; one whose event comes early is remembered. `timeout` bounds the whole of it. When it
    has passed, `retry` says how often, and after what delay, it is given that time again; then it fails, "timed out after maximum
    retries". A person retries a failed one, or resets one that has ended, by asking what `retry_command` and `reset_command` make.

    `State` is how one stands, for `system.get(OrderFulfilment.State, id)`; `Begun`, `StepCompleted`, `StepRemembered`, `Completed`,
    `Failed`, `Retried` and `Reset` are its events, for other modules to react to. An event without the declared field, or with an empty
    one, is taken to be of the process with its aggregate's id, which `State.by_stream` counts.

    Raises:
        DefinitionError: when the class is made, if nothing begins it, it has no step, or one event has two parts in it.
    """

    timeout: ClassVar[timedelta | None] = None
    retry: ClassVar[AnyRetry | None] = None
    State: ClassVar[type[ProcessState]]
    Begun: ClassVar[type[core.Begun]]
    StepCompleted: ClassVar[type[core.StepCompleted]]
    StepRemembered: ClassVar[type[core.StepRemembered]]
    Completed: ClassVar[type[core.Completed]]
    Failed: ClassVar[type[core.ProcessFailed]]
    Retried: ClassVar[type[core.Retried]]
    Reset: ClassVar[type[core.Reset]]
    plan: ClassVar[core.ProcessPlan]
    _processing: ClassVar[type[Processing]]
    _retry: ClassVar[type[RetryProcess]]
    _reset: ClassVar[type[ResetProcess]]
    _hears: ClassVar[dict[type[Event], Hears]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Read the declaration, and make its types."""
        super().__init_subclass__(**options)
        if not cls.name:
            cls.name = cls.__name__
        cls._hears = _read(cls)
        steps = tuple(each.step for each in cls._hears.values() if each.what == "step")
        cls.plan = core.ProcessPlan(cls.__name__, steps, cls.timeout, cls.retry)
        cls.State = _made(f"{cls.__name__}State", ProcessState)
        for what, base in _EVENTS.items():
            setattr(cls, what, _made(f"{cls.__name__}{what}", base, aggregate_type=cls.__name__))
        settings = {"process": cls.__name__, "timeout": cls.timeout, "retry": cls.retry, "ends_with": (cls.Completed, cls.Failed)}
        cls._processing = _made(f"{cls.__name__}Processing", Processing, **settings)
        cls._retry = _made(f"Retry{cls.__name__}", RetryProcess)
        cls._reset = _made(f"Reset{cls.__name__}", ResetProcess)
        cls._bear_marks()

    @classmethod
    def _bear_marks(cls) -> None:
        """Give the class handlers of its own, marked for its own types."""
        events = [getattr(cls, what) for what in _EVENTS]
        written = (cls.Begun, cls.StepCompleted, cls.StepRemembered, cls.Completed)
        people = (cls.Retried, cls.Reset, cls.StepCompleted, cls.Completed)
        marks: list[tuple[Callable[..., Any], list[Mark]]] = [
            (Process._heard, [Mark("reacts", kind, emits=written) for kind in cls._hears]),
            (Process._ended, [Mark("settled", cls._processing)]),
            (Process._retried, [Mark("handles", cls._retry, emits=people)]),
            (Process._was_reset, [Mark("handles", cls._reset, emits=people)]),
            (Process._folded, [Mark("folds", kind, into=cls.State) for kind in events]),
        ]
        for method, its in marks:
            name = method.__name__.removeprefix("_")
            setattr(cls, name, _own(name, method, its))

    @classmethod
    def retry_command(cls, process_id: str, *, who: str = "", why: str = "") -> Command[None]:
        """Have a failed one go on where it stood. Rejects with NOT_FAILED."""
        return cls._retry(process_id=process_id, who=who, why=why)

    @classmethod
    def reset_command(cls, process_id: str, *, who: str = "", why: str = "") -> Command[None]:
        """Have one that has ended begin from nothing, when its first event comes again. Rejects with NOT_ENDED."""
        return cls._reset(process_id=process_id, who=who, why=why)

    # What it hears.

    def _heard(self, turn: Turn, event: Event) -> Effects:
        hears = self._hears[type(event)]
        process_id, by_stream = _whose(event, hears.by)
        state = turn.get(self.State, process_id) or self.State()
        match hears.what:
            case "begin" if core.allows(state, "begin"):
                yield self.Begun(process_id=process_id, by_stream=by_stream)
                yield from self._goes_on(turn, process_id, state, core.catches_up(self.plan, state), by_stream=False)
            case "step":
                yield from self._step(turn, process_id, state, hears.step, by_stream=by_stream)
            case "fail" if core.allows(state, "fail"):
                reason = str(getattr(event, hears.reason)) if hears.reason else type(event).__name__
                for each in turn.open(self._processing, process_id):
                    yield Settle(token=each.token, outcome=Failed(code=type(event).__name__, message=reason))
            case _:
                return

    def _step(self, turn: Turn, process_id: str, state: ProcessState, step: str, *, by_stream: bool) -> Iterator[Effect]:
        steps = core.completes(self.plan, state, step)
        if steps:
            yield from self._goes_on(turn, process_id, state, steps, by_stream=by_stream)
        elif core.remembers(state, step):
            yield self.StepRemembered(process_id=process_id, step=step, by_stream=by_stream)

    def _goes_on(self, turn: Turn, process_id: str, state: ProcessState, steps: tuple[str, ...], *, by_stream: bool) -> Iterator[Effect]:
        """Write the steps down; then it is completed, or under way."""
        for place, step in enumerate(steps):
            yield self.StepCompleted(process_id=process_id, step=step, by_stream=by_stream and place == 0)
        under_way = turn.open(self._processing, process_id)
        if not core.is_all(self.plan, state, steps):
            if not under_way:
                yield Begin(intent=self._processing(process_id=process_id))
        elif under_way:
            yield Settle(token=under_way[0].token, outcome=Succeeded(result=None))
        else:
            yield self.Completed(process_id=process_id)

    # Its end, and what people decide.

    def _ended(self, turn: Turn, processing: Processing, outcome: Outcome[None]) -> Effects:
        """Exactly one end: a time-out that comes later finds nothing open (P4)."""
        del turn
        process_id = processing.process_id
        match outcome:
            case Succeeded():
                yield self.Completed(process_id=process_id)
            case TimedOut():
                yield self.Failed(process_id=process_id, reason=core.TIMED_OUT)
            case Failed(message=message):
                yield self.Failed(process_id=process_id, reason=message)
            case Cancelled(reason=reason):
                yield self.Failed(process_id=process_id, reason=reason)
            case _:
                yield self.Failed(process_id=process_id, reason=outcome.cause)

    def _retried(self, turn: Turn, command: RetryProcess) -> Decision[None]:
        state = self._checked(turn, command.process_id, "retry")
        yield self.Retried(process_id=command.process_id, who=command.who, why=command.why)
        yield from self._goes_on(turn, command.process_id, state, core.catches_up(self.plan, state), by_stream=False)

    def _was_reset(self, turn: Turn, command: ResetProcess) -> Decision[None]:
        self._checked(turn, command.process_id, "reset")
        yield self.Reset(process_id=command.process_id, who=command.who, why=command.why)

    def _checked(self, turn: Turn, process_id: str, change: core.Change) -> ProcessState:
        state = turn.get(self.State, process_id) or self.State()
        if not core.allows(state, change):
            code = "NOT_FAILED" if change == "retry" else "NOT_ENDED"
            raise Rejected(code, f"{self.plan.name} {process_id!r} is {state.phase}, where a {change} is not possible.")
        return state

    def _folded(self, state: ProcessState, event: core.ProcessEvent) -> ProcessState:
        return core.apply(state, event)


_EVENTS: dict[str, type[core.ProcessEvent]] = {
    "Begun": core.Begun,
    "StepCompleted": core.StepCompleted,
    "StepRemembered": core.StepRemembered,
    "Completed": core.Completed,
    "Failed": core.ProcessFailed,
    "Retried": core.Retried,
    "Reset": core.Reset,
}


def _read(process: type[Process]) -> dict[type[Event], Hears]:
    found: dict[type[Event], Hears] = {}
    for ancestor in reversed(process.__mro__):
        for name, value in vars(ancestor).items():
            if isinstance(value, Hears):
                if value.kind in found:
                    parts = f"{found[value.kind].what} and {value.what}"
                    msg = f"{process.__name__} hears {value.kind.__name__} twice, for {parts}; once is enough."
                    raise DefinitionError(msg)
                found[value.kind] = value._replace(step=name)
    whats = [each.what for each in found.values()]
    if "begin" not in whats or "step" not in whats:
        msg = f"{process.__name__} never begins, or has no step: say begun_by(…) once, and awaits(…) for each step."
        raise DefinitionError(msg)
    return found


def _whose(event: Event, by: str) -> tuple[str, bool]:
    """Which process an event is of; and whether it lacked the field, so that its own stream stands in."""
    found = getattr(event, by, None)
    return (str(found), False) if found not in {None, ""} else (event.aggregate_id, True)


def _made(name: str, base: type[Record], **settings: Any) -> Any:
    options = {"omit_defaults": True} if issubclass(base, core.ProcessEvent) else {}
    namespace = {"__annotations__": {}, "__module__": base.__module__, "__doc__": base.__doc__, **settings}
    return RecordMeta(name, (base,), namespace, **options)


def _own(name: str, method: Callable[..., Any], marks: list[Mark]) -> Callable[..., Any]:
    def own(self: Any, *arguments: Any) -> Any:
        return method(self, *arguments)

    own.__name__, own.__qualname__, own.__doc__ = name, f"{Process.__name__}.{name}", method.__doc__
    for mark in marks:
        marked(own, mark)
    return own
