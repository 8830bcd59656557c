"""The owner of schedules: an ordinary module. A schedule that waits is an execution without actions, whose time-out is its due time.

What is due is an event, `CommandDue`. The owner that the command is for takes it as it takes any event: in the order of the log, once.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import msgspec

from tallystick.domain.behaviour import Behaviour
from tallystick.domain.command import Command
from tallystick.domain.effect import Begin, Decision, Effect, Effects, Settle
from tallystick.domain.errors import IdempotencyConflict
from tallystick.domain.event import Aggregate, Event
from tallystick.domain.intent import Intent
from tallystick.domain.module import Module, Turn, folds, handles
from tallystick.domain.outcome import Cancelled, Outcome, Succeeded, TimedOut
from tallystick.domain.record import Record
from tallystick.domain.sensitive import content_says_the_same
from tallystick.domain.token import Token

OWNER: Final = "schedules"
"""The owner's name in the log."""
Missed = Literal["skip", "once", "all"]
"""What becomes of runs that could not be in time: none of them is made up for, or the last one, or each of them."""
ON_TIME: Final = timedelta(minutes=1)
"""A run that is later than this was missed."""
RUNS_A_TURN: Final = 100
"""How many missed runs are made up for at a time."""


class Cron(Protocol):
    """Knows when a cron expression is due in a time zone. Times are UTC."""

    def after(self, expression: str, time_zone: str, moment: datetime) -> datetime:
        """The first due time after that moment."""
        ...

    def until(self, expression: str, time_zone: str, moment: datetime) -> datetime:
        """The last due time that is not after that moment."""
        ...


class When(Record, omit_defaults=True):
    """When a schedule is due: once after a delay or at a moment, or again and again."""

    after_us: int | None = None
    at: datetime | None = None
    cron: str = ""
    time_zone: str = "UTC"
    missed: Missed = "once"


class What(Record):
    """A command as a log holds it: its owner, its type's name and its JSON."""

    owner: str
    command: str
    content: msgspec.Raw


class Schedule(Aggregate):
    """One schedule. `status`: "waiting" until it is "done" or "cancelled"; `due_at` is its next run, or its last one."""

    schedule_id: str = ""
    status: Literal["", "waiting", "done", "cancelled"] = ""
    when: When = When()
    what: What = What(owner="", command="", content=msgspec.Raw(b"null"))
    due_at: datetime | None = None
    runs: int = 0
    """How often its command has been sent."""

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether nothing more comes of it."""
        return self.status in {"done", "cancelled"}


class OfSchedule(Event):
    """Something that happened to a schedule."""

    aggregate_type = "Schedule"
    schedule_id: str

    @property
    def aggregate_id(self) -> str:
        """The schedule."""
        return self.schedule_id


class ScheduleMade(OfSchedule):
    """A command is to be sent later."""

    when: When
    what: What
    due_at: datetime


class CommandDue(OfSchedule):
    """The command is its owner's to carry out now; `next_at` is when it is due again."""

    what: What
    due_at: datetime
    next_at: datetime | None = None


class ScheduleRunsMissed(OfSchedule):
    """Runs from `first` to `last` could not be in time, and are not made up for; `next_at` is when it is due again."""

    first: datetime
    last: datetime
    next_at: datetime


class ScheduleCancelled(OfSchedule):
    """Nothing more is sent."""

    reason: str = ""


class MakeSchedule(Command[bool]):
    """Have a command sent later; the reply says whether there was no such schedule yet."""

    schedule_id: str
    when: When
    what: What


class CancelSchedule(Command[bool]):
    """Send nothing more; the reply says whether there was something to cancel."""

    schedule_id: str
    reason: str = ""


class ScheduleWait(Intent[None]):
    """A schedule waits for its due time."""

    schedule_id: str
    due_at: datetime

    @property
    def subject(self) -> str:
        """The schedule."""
        return self.schedule_id


class Schedules(Module):
    """The owner of all schedules of a system."""

    name = OWNER
    joins_at = "use"

    def __init__(self, cron: Cron) -> None:
        self._cron = cron

    @handles(MakeSchedule, emits=[ScheduleMade])
    def make(self, turn: Turn, command: MakeSchedule) -> Decision[bool]:
        """Once for each id, unless the one before was cancelled. Raises IdempotencyConflict where that id stands for another one."""
        found = turn.get(Schedule, command.schedule_id)
        if found is not None and found.status != "cancelled":
            if found.when != command.when or not _same(found.what, command.what):
                msg = f"There is a schedule {command.schedule_id!r} already, for something else; cancel it first, or choose another id."
                raise IdempotencyConflict(msg)
            return False
        due_at = self._first(command.when, turn.now)
        yield ScheduleMade(schedule_id=command.schedule_id, when=command.when, what=command.what, due_at=due_at)
        yield _waits(turn, command.schedule_id, due_at)
        return True

    def _first(self, when: When, now: datetime) -> datetime:
        if when.cron:
            return self._cron.after(when.cron, when.time_zone, now)
        return when.at if when.at is not None else now + timedelta(microseconds=when.after_us or 0)

    @handles(CancelSchedule, emits=[ScheduleCancelled])
    def cancel(self, turn: Turn, command: CancelSchedule) -> Decision[bool]:
        """What has been sent is its owner's."""
        waiting = turn.open(ScheduleWait, command.schedule_id)
        for each in waiting:
            yield Settle(token=Token(each.token), outcome=Cancelled(reason=command.reason))
        return bool(waiting)

    @ScheduleWait.settled
    def is_due(self, turn: Turn, wait: ScheduleWait, outcome: Outcome[None]) -> Effects:
        """Its time has come, or somebody has decided otherwise: a person who completes the wait has it sent now."""
        schedule = turn.get(Schedule, wait.schedule_id)
        if schedule is None:
            return
        if not isinstance(outcome, TimedOut | Succeeded):
            yield ScheduleCancelled(schedule_id=wait.schedule_id, reason=outcome.reason if isinstance(outcome, Cancelled) else "")
        elif not schedule.when.cron:
            yield CommandDue(schedule_id=wait.schedule_id, what=schedule.what, due_at=wait.due_at)
        else:
            yield from self._runs(turn, schedule, wait.due_at)

    def _runs(self, turn: Turn, schedule: Schedule, due_at: datetime) -> Iterator[Effect]:
        """Send what is due by now, as the policy says, and wait for the next run."""
        when, now = schedule.when, turn.now
        if when.missed == "all":
            due = list(self._due(when, due_at, now))
            next_at = self._cron.after(when.cron, when.time_zone, due[-1])
        else:
            last = max(self._cron.until(when.cron, when.time_zone, now), due_at)
            next_at = self._cron.after(when.cron, when.time_zone, max(last, now))
            due = [last] if when.missed == "once" or now - last <= ON_TIME else []
            if not due or last != due_at:
                missed = last if not due else self._cron.until(when.cron, when.time_zone, last - timedelta(microseconds=1))
                yield ScheduleRunsMissed(schedule_id=schedule.schedule_id, first=due_at, last=max(missed, due_at), next_at=next_at)
        for each in due:
            yield CommandDue(schedule_id=schedule.schedule_id, what=schedule.what, due_at=each, next_at=next_at)
        yield _waits(turn, schedule.schedule_id, next_at)

    def _due(self, when: When, due_at: datetime, now: datetime) -> Iterator[datetime]:
        """Each due time by now, the first one in any case."""
        for _ in range(RUNS_A_TURN):
            yield due_at
            due_at = self._cron.after(when.cron, when.time_zone, due_at)
            if due_at > now:
                return

    @folds(ScheduleMade, Schedule)
    def made(self, schedule: Schedule, event: ScheduleMade) -> Schedule:
        """It waits."""
        del schedule
        return Schedule(schedule_id=event.schedule_id, status="waiting", when=event.when, what=event.what, due_at=event.due_at)

    @folds(CommandDue, Schedule)
    def sent(self, schedule: Schedule, event: CommandDue) -> Schedule:
        """It waits for its next run, or is done."""
        status: Any = "done" if event.next_at is None else "waiting"
        due_at = event.next_at or event.due_at
        return msgspec.structs.replace(schedule, status=status, due_at=due_at, runs=schedule.runs + 1)

    @folds(ScheduleRunsMissed, Schedule)
    def missed(self, schedule: Schedule, event: ScheduleRunsMissed) -> Schedule:
        """It waits for its next run."""
        return msgspec.structs.replace(schedule, due_at=event.next_at)

    @folds(ScheduleCancelled, Schedule)
    def cancelled(self, schedule: Schedule, event: ScheduleCancelled) -> Schedule:
        """Nothing more comes."""
        del event
        return msgspec.structs.replace(schedule, status="cancelled")


def takes_deliveries(behaviour: Behaviour) -> bool:
    """Whether an owner can be sent commands by a schedule: it has some, and is there from the beginning to hear of it."""
    return bool(behaviour.commands) and behaviour.module.joins_at != "use"


def _waits(turn: Turn, schedule_id: str, due_at: datetime) -> Begin:
    return Begin(intent=ScheduleWait(schedule_id=schedule_id, due_at=due_at), timeout=max(due_at - turn.now, timedelta()))


def _same(one: What, other: What) -> bool:
    """Whether two commands are the same, as far as anybody can tell by now."""
    return (one.owner, one.command) == (other.owner, other.command) and content_says_the_same(bytes(one.content), bytes(other.content))
