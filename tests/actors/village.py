"""A village for the tests of lines and steps: two owners want the same villagers, for errands that are performed outside or take ticks."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import tallystick as ts
from tallystick.actors.engine import Engine
from tallystick.domain.envelope import Recorded
from tallystick.domain.line import Line
from tests.actors.outside import ByHandRuntime, FaultyLog, OpenCall, StillRunning

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Born(ts.Event):
    aggregate_type = "Village"
    who: str

    @property
    def aggregate_id(self) -> str:
        return "village"


class Villagers(ts.Resident):
    who: frozenset[str] = frozenset()

    def __contains__(self, subject: str) -> bool:
        return subject in self.who


class Task(ts.Action[str]):
    """Performed outside."""

    name: str
    step: int = 0


class Walk(ts.Action[str]):
    """Takes so many ticks."""

    name: str
    ticks: int
    fails: str = ""


class Walking(ts.Ticker[Walk, str]):
    done: int = 0

    def tick(self, action: Walk, step: ts.Step) -> ts.Running | ts.Done[str] | ts.Failed:
        self.done += 1
        ticked.append((action.name, step.now_us))
        if self.done < action.ticks:
            return ts.Running()
        match action.fails:
            case "":
                return ts.Done(result=f"{action.name} has walked")
            case "raises":
                raise ZeroDivisionError(action.name)
            case "rejects":
                code = "NO_WAY"
                raise ts.Rejected(code)
            case "says nonsense":
                return None  # type: ignore[return-value]
            case code:
                return ts.Failed(code=code)


ticked: list[tuple[str, int]] = []
"""Every tick of whatever test runs, emptied by each `Village`."""


class Told(ts.Event):
    name: str
    what: str

    @property
    def aggregate_id(self) -> str:
        return self.name


class NeedTold(Told):
    aggregate_type = "Need"


class WorkTold(Told):
    aggregate_type = "Work"


class Errand(ts.Intent[str]):
    name: str
    who: str
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=1)
    line = "villagers"

    @property
    def subject(self) -> str:
        return self.who


class Need(Errand):
    ends_with = (NeedTold,)


class Work(Errand):
    ends_with = (WorkTold,)


class Send(ts.Command[None]):
    """Begin an errand with these actions."""

    name: str
    who: str = "ann"
    tasks: int = 0
    walks: tuple[int, ...] = ()
    fails: str = ""
    priority: int = ts.Priority.NORMAL
    origin: str = ""
    interruption: str = "deferred"
    if_it_fails: str = "resume_parent"
    timeout_s: int = 60

    @property
    def actions(self) -> tuple[ts.Action[Any], ...]:
        tasks = [Task(name=self.name, step=step) for step in range(self.tasks)]
        return (*tasks, *(Walk(name=self.name, ticks=ticks, fails=self.fails) for ticks in self.walks))


class SendForWork(Send):
    pass


class SendForNeed(Send):
    pass


class CallOff(ts.Command[int]):
    """End all the work that somebody has; the reply is how much that was."""

    who: str


class BeBorn(ts.Command[None]):
    who: str


def told(outcome: ts.Outcome[str]) -> str:
    match outcome:
        case ts.Succeeded(result=said):
            return said
        case ts.Failed(code=said) | ts.Refused(cause=said) | ts.Cancelled(reason=said):
            return said
        case ts.TimedOut():
            return "timed out"


def begin(intent: Errand, command: Send) -> ts.Begin:
    return ts.Begin(
        intent=intent,
        actions=command.actions,
        timeout=timedelta(seconds=command.timeout_s),
        priority=command.priority,
        origin=command.origin,
        interruption=command.interruption,  # type: ignore[arg-type]
        if_it_fails=command.if_it_fails,  # type: ignore[arg-type]
    )


class Elders(ts.Module):
    name = "elders"

    @ts.handles(BeBorn, emits=[Born])
    def be_born(self, _turn: ts.Turn, command: BeBorn) -> ts.Decision[None]:
        yield Born(who=command.who)

    @ts.folds(Born, Villagers)
    def born(self, villagers: Villagers, event: Born) -> Villagers:
        return Villagers(who=villagers.who | {event.who})


class Needs(ts.Module):
    name = "needs"

    @ts.handles(SendForNeed)
    def send(self, _turn: ts.Turn, command: SendForNeed) -> ts.Decision[None]:
        yield begin(Need(name=command.name, who=command.who), command)

    @Need.settled
    def settle(self, _turn: ts.Turn, need: Need, outcome: ts.Outcome[str]) -> ts.Effects:
        yield NeedTold(name=need.name, what=told(outcome))


class Works(ts.Module):
    name = "works"

    @ts.handles(SendForWork)
    def send(self, _turn: ts.Turn, command: SendForWork) -> ts.Decision[None]:
        yield begin(Work(name=command.name, who=command.who), command)

    @ts.handles(CallOff)
    def call_off(self, turn: ts.Turn, command: CallOff) -> ts.Decision[int]:
        found = turn.open(Work, command.who)
        for each in found:
            yield ts.Settle(token=each.token, outcome=ts.Cancelled(reason="called off"))
        return len(found)

    @Work.settled
    def settle(self, _turn: ts.Turn, work: Work, outcome: ts.Outcome[str]) -> ts.Effects:
        yield WorkTold(name=work.name, what=told(outcome))


Hook = Callable[[Task, ts.Call], Any]


class Outside:
    """Performs tasks as a script says, by name; what is not in it stays open."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.calls: list[tuple[str, int, int, str]] = []

    def perform(self, task: Task, call: ts.Call) -> str | ts.Later:
        self.calls.append((task.name, task.step, call.attempt, call.key.rpartition("/")[2] if "/" in call.key else ""))
        answers = self.answers.get(task.name)
        answer: Any = answers.pop(0) if answers else StillRunning()
        if isinstance(answer, BaseException):
            raise answer
        return str(answer) if not isinstance(answer, ts.Later) else answer

    @property
    def called(self) -> list[str]:
        """Names and steps, in order."""
        return [f"{name} {step}" for name, step, _, _ in self.calls]


class Village:
    """A village whose time the test drives, and which can crash."""

    modules: ClassVar[Sequence[type[ts.Module]]] = (Elders, Needs, Works)

    def __init__(self, line: Line | None = None, *, modules: Sequence[ts.Module] | None = None, rate: ts.Rate | None = None) -> None:
        ticked.clear()
        self.line = line or ts.Line("villagers", origins=("needs", "works"))
        self.outside = Outside()
        self.clock = ts.ManualClock(NOON)
        self._rate = rate
        self._modules = modules
        self._log = FaultyLog()
        self._open()

    def _open(self) -> None:
        self.runtime = ByHandRuntime(self.clock)
        modules = self._modules if self._modules is not None else [kind() for kind in self.modules]
        performers = [Task.performed_by(self.outside.perform, rate=self._rate), Walk.ticked_by(Walking)]
        self.system = ts.System(modules, performers=performers, lines=[self.line], log=self._log, runtime=self.runtime)
        self.system.__enter__()
        self.idle()

    def crash(self) -> None:
        self._log = self.log.reopened()
        self._open()

    def idle(self) -> None:
        self.runtime.run_until_idle()

    def advance(self, seconds: float) -> None:
        self.runtime.advance(timedelta(seconds=seconds))

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.system.step(timedelta(milliseconds=100))

    def work(self, name: str, **wanted: Any) -> None:
        """Send somebody for work: one task outside, if nothing else is said."""
        self._send(SendForWork, name, wanted)

    def work_later(self, name: str, **wanted: Any) -> None:
        """As `work`, but nobody runs yet."""
        settings: dict[str, Any] = {"tasks": 1, **wanted}
        self.system.submit(SendForWork(name=name, **settings))

    def need(self, name: str, **wanted: Any) -> None:
        """Let somebody have a critical need."""
        self._send(SendForNeed, name, {"priority": ts.Priority.CRITICAL, **wanted})

    def _send(self, kind: type[Send], name: str, wanted: dict[str, Any]) -> None:
        if not {"tasks", "walks"} & set(wanted):
            wanted["tasks"] = 1
        self.system.ask(kind(name=name, **wanted))
        self.idle()

    def open_call(self, name: str) -> OpenCall:
        """The last call for a task of that name that has not answered."""
        return next(each for each in reversed(self.runtime.open_calls) if each.call.action.name == name)

    def returns(self, name: str, result: str = "done") -> None:
        self.open_call(name).returns(result)
        self.idle()

    def raises(self, name: str, error: BaseException) -> None:
        self.open_call(name).raises(error)
        self.idle()

    @property
    def engine(self) -> Engine:
        return self.system._life.engine

    @property
    def log(self) -> FaultyLog:
        log = self.system._life.log
        assert isinstance(log, FaultyLog)
        return log

    @property
    def written(self) -> list[Recorded]:
        return list(self.log.read())

    def events(self, event_type: str) -> list[Any]:
        return [self.system._codec.decode(each) for each in self.written if each.event_type == event_type]

    @property
    def told(self) -> list[str]:
        """What the owners heard of their errands, in order: every errand once."""
        payloads = [self.system._codec.decode(each) for each in self.written if each.event_type in {"NeedTold", "WorkTold"}]
        return [f"{each.name}: {each.what}" for each in payloads]

    def token(self, name: str) -> ts.Token:
        for each in self.written:
            if each.event_type in {"NeedStarted", "WorkStarted"} and self.system._codec.decode(each).intent.name == name:
                return ts.Token(each.token or "")
        raise AssertionError(name)

    @property
    def open(self) -> int:
        return len(self.system.open_executions())

    @property
    def nothing_left(self) -> bool:
        """Whether nobody remembers any errand: no owner, not the queue, not the performers."""
        queue, health = self.engine.queue, self.system.health()
        held = queue._held
        counts = (health.queues_waiting, health.queues_parked, health.queues_ticking, health.calls_waiting_for_rates)
        pool = self.system._pool
        return not (
            self.open
            or held.entries
            or held.entries.outside
            or held.standings
            or held.alone
            or any(counts)
            or pool._calls
            or pool._answers
            or pool.promises
        )
