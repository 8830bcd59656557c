"""A small program for the protocol's tests: a desk takes orders, a workshop has them done outside, a ledger writes down what it hears.

A handler calls the module's `hook` first, with what it is about to do and for which job: a test that wants it to fail lets it raise.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

import tallystick as ts

Hook = Callable[[str, str], None]


def no_hook(_what: str, _job_id: str) -> None:
    """Nothing special."""


class OfJob(ts.Event):
    aggregate_type = "Job"
    job_id: str

    @property
    def aggregate_id(self) -> str:
        return self.job_id


class JobBegun(OfJob):
    pass


class JobDone(OfJob):
    result: str


class JobFailed(OfJob):
    reason: str


class JobUndone(OfJob):
    """A job that was done too late has been undone outside."""


class Ordered(ts.Event):
    aggregate_type = "Order"
    order_id: str
    text: str = ""

    @property
    def aggregate_id(self) -> str:
        return self.order_id


class Entered(ts.Event):
    aggregate_type = "Entry"
    about: str
    what: str

    @property
    def aggregate_id(self) -> str:
        return self.about


class Work(ts.Action[str]):
    job_id: str
    step: int = 1


class Undo(ts.Action[str]):
    job_id: str


class Making(ts.Intent[str]):
    job_id: str
    place: str = ""
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(seconds=10), max_retries=2)
    ends_with = (JobDone, JobFailed)

    @property
    def subject(self) -> str:
        return self.place


class Undoing(ts.Intent[str]):
    job_id: str
    ends_with = (JobUndone,)


class JobState(ts.Aggregate):
    status: str = "none"

    @property
    def closed(self) -> bool:  # type: ignore[override]  # a property may stand in for the value
        return self.status in {"done", "failed"}


class Done(ts.Resident):
    """How many jobs are done."""

    count: int = 0


class Do(ts.Command[str]):
    """Have a job done outside in so many steps; nobody performs it when there are none. Jobs of one place run one after another."""

    job_id: str
    steps: int = 1
    place: str = ""


class Drop(ts.Command[int]):
    """Give up a job; the reply is how many executions that ended."""

    job_id: str


class Order(ts.Command[str]):
    order_id: str
    text: str = ""


class Desk(ts.Module):
    name = "desk"

    @ts.handles(Order, emits=[Ordered])
    def order(self, _turn: ts.Turn, command: Order) -> ts.Decision[str]:
        yield Ordered(order_id=command.order_id, text=command.text)
        return command.order_id


class Workshop(ts.Module):
    name = "workshop"

    def __init__(self, hook: Hook = no_hook) -> None:
        self.hook = hook

    @ts.handles(Do, emits=[JobBegun])
    def do(self, turn: ts.Turn, command: Do) -> ts.Decision[str]:
        self.hook("do", command.job_id)
        if turn.get(JobState, command.job_id) is not None:
            code = "KNOWN"
            raise ts.Rejected(code, f"Job {command.job_id} was begun before.")
        yield from self._begin(command.job_id, command.steps, command.place)
        return command.job_id

    @ts.handles(Drop)
    def drop(self, turn: ts.Turn, command: Drop) -> ts.Decision[int]:
        found = turn.open(Making, "")
        for execution in (each for each in found if each.intent.job_id == command.job_id):
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="dropped"))
        return len(found)

    @ts.reacts_to(Ordered)
    def ordered(self, _turn: ts.Turn, event: Ordered) -> ts.Effects:
        self.hook("ordered", event.order_id)
        if event.text != "nothing":
            yield from self._begin(event.order_id, 1, "")

    def _begin(self, job_id: str, steps: int, place: str) -> ts.Effects:
        yield JobBegun(job_id=job_id)
        actions = tuple(Work(job_id=job_id, step=step) for step in range(1, steps + 1))
        yield ts.Begin(intent=Making(job_id=job_id, place=place), actions=actions)

    @Making.settled
    def settle(self, _turn: ts.Turn, job: Making, outcome: ts.Outcome[str]) -> ts.Effects:
        self.hook("settle", job.job_id)
        match outcome:
            case ts.Succeeded(result=result):
                yield JobDone(job_id=job.job_id, result=result)
            case ts.Failed(code=reason) | ts.Cancelled(reason=reason) | ts.Refused(cause=reason):
                yield JobFailed(job_id=job.job_id, reason=reason)
            case ts.TimedOut(attempts=attempts):
                yield JobFailed(job_id=job.job_id, reason=f"no answer to {attempts} attempts")
            case _:
                assert_never(outcome)

    @Making.late
    def undo(self, _turn: ts.Turn, job: Making, _result: str) -> ts.Effects:
        self.hook("late", job.job_id)
        yield ts.Begin(intent=Undoing(job_id=job.job_id), actions=(Undo(job_id=job.job_id),))

    @Undoing.settled
    def undone(self, _turn: ts.Turn, undoing: Undoing, _outcome: ts.Outcome[str]) -> ts.Effects:
        yield JobUndone(job_id=undoing.job_id)

    @ts.folds(JobBegun, JobState)
    def begun(self, _job: JobState, _event: JobBegun) -> JobState:
        return JobState(status="begun")

    @ts.folds(JobDone, JobState)
    def done(self, _job: JobState, _event: JobDone) -> JobState:
        return JobState(status="done")

    @ts.folds(JobFailed, JobState)
    def failed(self, _job: JobState, _event: JobFailed) -> JobState:
        return JobState(status="failed")

    @ts.folds(JobDone, Done)
    def counted(self, done: Done, _event: JobDone) -> Done:
        return Done(count=done.count + 1)


class Ledger(ts.Module):
    """Enters each event that it hears once, by the event's own aggregate."""

    name = "ledger"

    def __init__(self, hook: Hook = no_hook) -> None:
        self.hook = hook

    @ts.reacts_to(Ordered, emits=[Entered])
    def ordered(self, _turn: ts.Turn, event: Ordered) -> ts.Effects:
        self.hook("ordered", event.order_id)
        yield Entered(about=event.order_id, what=f"ordered {event.text}".strip())

    @ts.reacts_to(JobDone, emits=[Entered])
    def done(self, _turn: ts.Turn, event: JobDone) -> ts.Effects:
        self.hook("done", event.job_id)
        yield Entered(about=event.job_id, what="done")

    @ts.reacts_to(JobFailed, emits=[Entered])
    def failed(self, _turn: ts.Turn, event: JobFailed) -> ts.Effects:
        self.hook("failed", event.job_id)
        yield Entered(about=event.job_id, what="failed")
