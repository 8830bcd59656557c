"""A program whose executions are left open when no retry is left: a kiln that fires what it is given, and its stage."""

from datetime import timedelta

import tallystick as ts
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Hook, JobDone, JobFailed, Ledger, OfJob, Work, no_hook


class Firing(ts.Intent[str]):
    job_id: str
    place: str = ""
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=2)
    on_exhausted = "dead_letter"
    ends_with = (JobDone, JobFailed)

    @property
    def subject(self) -> str:
        return self.place


class Asking(ts.Intent[str]):
    """Ends at once when nobody answers, for that is what it says of timeouts."""

    job_id: str
    timeout = timedelta(minutes=1)
    on_timeout = "abandon"
    on_exhausted = "dead_letter"
    ends_with = (JobDone, JobFailed)


class Fire(ts.Command[str]):
    job_id: str
    steps: int = 1
    place: str = ""


class AskFor(ts.Command[str]):
    job_id: str


class Doubted(OfJob):
    """A job is put before a person."""


class Doubt(ts.Command[str]):
    job_id: str


class Kiln(ts.Module):
    name = "kiln"

    def __init__(self, hook: Hook = no_hook) -> None:
        self.hook = hook

    @ts.handles(Fire)
    def fire(self, _turn: ts.Turn, command: Fire) -> ts.Decision[str]:
        actions = tuple(Work(job_id=command.job_id, step=step) for step in range(1, command.steps + 1))
        yield ts.Begin(intent=Firing(job_id=command.job_id, place=command.place), actions=actions)
        return command.job_id

    @ts.handles(AskFor)
    def ask_for(self, _turn: ts.Turn, command: AskFor) -> ts.Decision[str]:
        yield ts.Begin(intent=Asking(job_id=command.job_id), actions=(Work(job_id=command.job_id),))
        return command.job_id

    @ts.handles(Doubt)
    def doubt(self, turn: ts.Turn, command: Doubt) -> ts.Decision[str]:
        for each in turn.open(Firing, ""):
            yield ts.NeedsPerson(token=each.token, reason="it looks odd")
        return command.job_id

    @Firing.settled
    def settle(self, _turn: ts.Turn, firing: Firing, outcome: ts.Outcome[str]) -> ts.Effects:
        self.hook("settle", firing.job_id)
        yield _ended(firing.job_id, outcome)

    @Asking.settled
    def settle_asking(self, _turn: ts.Turn, asking: Asking, outcome: ts.Outcome[str]) -> ts.Effects:
        yield _ended(asking.job_id, outcome)

    @Firing.late
    def late(self, _turn: ts.Turn, _firing: Firing, _result: str) -> ts.Effects:
        return ()


def _ended(job_id: str, outcome: ts.Outcome[str]) -> JobDone | JobFailed:
    match outcome:
        case ts.Succeeded(result=result):
            return JobDone(job_id=job_id, result=result)
        case ts.Failed(code=reason) | ts.Cancelled(reason=reason) | ts.Refused(cause=reason):
            return JobFailed(job_id=job_id, reason=reason)
        case ts.TimedOut(attempts=attempts):
            return JobFailed(job_id=job_id, reason=f"no answer to {attempts} attempts")


class KilnStage(Stage):
    """A kiln, and a ledger that hears of it."""

    def __init__(self) -> None:
        self.kiln = Kiln()
        super().__init__([self.kiln, Desk(), Ledger()])

    def fails(self, job_id: str = "a", *, steps: int = 1, place: str = "", error: str = "smoke") -> None:
        """That job is begun, and fails as often as it may."""
        self.provider.answers(job_id, *(OSError(error) for _ in range(3)))
        self.system.ask(Fire(job_id=job_id, steps=steps, place=place))
        self.advance(60)

    @property
    def letter(self) -> ts.DeadLetter:
        """The one dead letter."""
        (letter,) = self.system.dead_letters()
        return letter

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events("JobFailed")]

    @property
    def results(self) -> list[str]:
        return [event.result for event in self.events("JobDone")]
