"""A fetcher for the tests of attempts: one action, whose attempts are bounded in several ways, in virtual time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import tallystick as ts
from tallystick.actors.performers.performer import RunningCall
from tests.actors.outside import ByHandRuntime, StillRunning

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class SoldOut(LookupError):
    """One of the errors that the outside world raises."""


class SoldOutForEver(SoldOut):
    """A kind of it."""


class Fetch(ts.Action[str]):
    what: str


class Fetching(ts.Intent[str]):
    what: str
    timeout = timedelta(seconds=60)
    retry = ts.FixedDelay(interval=10 * SECOND, max_retries=3, final=(SoldOut, ZeroDivisionError))


class Bounded(Fetching):
    schedule_to_close = timedelta(seconds=100)


class Beating(Fetching):
    heartbeat = timedelta(seconds=8)
    retry = ts.FixedDelay(interval=10 * SECOND, max_retries=1)


class Hasty(Beating):
    heartbeat = timedelta(milliseconds=200)


class Begin(ts.Command[str]):
    what: str
    kind: str = "Fetching"
    retry: ts.FixedDelay | None = None
    several: int = 1


KINDS: dict[str, type[Fetching]] = {"Fetching": Fetching, "Bounded": Bounded, "Beating": Beating, "Hasty": Hasty}


class Fetcher(ts.Module):
    name = "fetcher"

    @ts.handles(Begin)
    def begin(self, turn: ts.Turn, command: Begin) -> ts.Decision[str]:
        token = turn.new_token()
        actions = tuple(Fetch(what=command.what) for _ in range(command.several))
        yield ts.Begin(intent=KINDS[command.kind](what=command.what), actions=actions, retry=command.retry, token=token)
        return token

    @Fetching.settled
    def fetched(self, _turn: ts.Turn, _fetching: Fetching, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()

    @Bounded.settled
    def bounded(self, _turn: ts.Turn, _fetching: Bounded, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()

    @Beating.settled
    def beating(self, _turn: ts.Turn, _fetching: Beating, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()

    @Hasty.settled
    def hasty(self, _turn: ts.Turn, _hasty: Hasty, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


class Scene:
    """A system in virtual time; what is raised, called, returned or left open is by script, then "there"."""

    def __init__(self, *answers: Any) -> None:
        self.script: list[Any] = list(answers)
        self.calls: list[ts.Call] = []
        self.clock = ts.ManualClock(NOON)
        self.log: ts.MemoryLog = ts.MemoryLog()
        self.open()

    def open(self) -> None:
        self.runtime = ByHandRuntime(self.clock)
        self.system = ts.System([Fetcher()], performers=[Fetch.performed_by(self.fetch)], log=self.log, runtime=self.runtime)
        self.system.__enter__()

    def crash(self) -> None:
        """The process is gone; another one opens the log."""
        self.log = self.log.reopened()
        self.open()

    def fetch(self, _action: Fetch, call: ts.Call) -> Any:
        self.calls.append(call)
        answer = self.script.pop(0) if self.script else "there"
        if isinstance(answer, BaseException):
            raise answer
        return answer(call) if callable(answer) else answer

    def begin(self, kind: str = "Fetching", **more: Any) -> ts.Token:
        token = ts.Token(self.system.ask(Begin(what="x", kind=kind, **more)))
        self.runtime.run_until_idle()
        return token

    def begin_and_wait(self, kind: str = "Fetching", **more: Any) -> ts.Token:
        """Whose call is out, as `open_call`."""
        self.script.append(StillRunning())
        return self.begin(kind, **more)

    def settle(self) -> None:
        """Run until nothing is left, without letting time pass."""
        self.runtime.run_until_idle()

    def advance(self, seconds: float) -> None:
        self.runtime.advance(timedelta(seconds=seconds))

    def story(self) -> list[tuple[float, str]]:
        """What is in the log of the execution, and how many seconds after noon."""
        return [((each.occurred_at - NOON).total_seconds(), each.event_type) for each in self.system.events() if each.token]

    def outcome(self) -> Any:
        """The library's own completion event."""
        (ended,) = [each for each in self.system.events() if each.settles]
        return self.system._codec.decode(ended).outcome

    @property
    def progress(self) -> ts.Progress | None:
        """What is known of the only execution that is open."""
        (open_one,) = self.system.open_executions()
        return open_one.execution.progress

    @property
    def reports(self) -> list[tuple[float | None, str]]:
        """What performers have reported, as the log has it."""
        return reports(self.system)

    @property
    def open_call(self) -> RunningCall:
        return self.runtime.open_calls[-1].call


def reports(system: ts.System) -> list[tuple[float | None, str]]:
    """The percentages and messages that are in a system's log."""
    events = [system._codec.decode(each) for each in system.events() if each.event_type == "ProgressReported"]
    return [(event.percent, event.message) for event in events]
