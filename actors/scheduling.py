"""Schedules as a host sees them: to send a command later, at a moment, or again and again. What is due when is their owner's business."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

import msgspec

from tallystick.actors.cron import CronDates
from tallystick.actors.operating import OpenExecution
from tallystick.actors.runtimes.runtime import Runtime, off_loop
from tallystick.domain.command import Command
from tallystick.domain.envelope import LONGEST, MICROSECOND
from tallystick.domain.errors import DefinitionError, InvalidPayload, UnknownCommand
from tallystick.domain.event import Aggregate
from tallystick.domain.module import Module
from tallystick.domain.schedules import CancelSchedule, MakeSchedule, Missed, Schedule, Schedules, ScheduleWait, What, When
from tallystick.domain.text import checked_id
from tallystick.store.codec import Codec

G = TypeVar("G", bound=Aggregate)

DATES = CronDates()


class Host(Protocol):
    """What a scheduler needs of its system."""

    def ask(self, command: Command[Any]) -> Any:
        """Have a command carried out."""
        ...

    async def ask_async(self, command: Command[Any]) -> Any:
        """As `ask`, without holding up the event loop."""
        ...

    def get(self, kind: type[G], key: str) -> G | None:
        """A durable aggregate."""
        ...

    def open_executions(self) -> Sequence[OpenExecution]:
        """All that was begun and has not ended."""
        ...


class Scheduler:
    """The schedules of one system. Safe in any thread; what it says is durable when it returns.

    An id stands for one schedule: making it again, at every start of a program for instance, changes nothing. A schedule that was cancelled
    may be made anew. Each run reaches the command's owner once, in the order of the log; a refusal is recorded and changes nothing, any
    other error of its handler is retried and then a dead letter, behind which later runs of that schedule wait.
    """

    def __init__(
        self,
        host: Host,
        runtime: Runtime,
        codec: Codec,
        owners: Callable[[], Mapping[type[Any], str]],
        unfit: Callable[[], frozenset[str]],
    ) -> None:
        self._host = host
        self._runtime = runtime
        self._codec = codec
        self._owners = owners
        self._unfit = unfit

    def after(self, delay: timedelta, command: Command[Any], *, id: str) -> bool:  # noqa: A002 - a schedule's id
        """Send it once, after a delay of any length; whether there was no such schedule yet.

        Raises:
            IdempotencyConflict: that id stands for another schedule.
            UnknownCommand: no module of this system could be sent it.
            InvalidPayload: it has values that its types do not allow.
            DefinitionError: the delay is negative.
        """
        made: bool = self._host.ask(self._to_make(id, _in(delay), command))
        return made

    async def after_async(self, delay: timedelta, command: Command[Any], *, id: str) -> bool:  # noqa: A002 - as above
        """As `after`, for an event loop, which it does not hold up; raises `Overloaded` at once when there is no room."""
        made: bool = await self._host.ask_async(self._to_make(id, _in(delay), command))
        return made

    def at(self, moment: datetime, command: Command[Any], *, id: str) -> bool:  # noqa: A002 - as above
        """Send it once, at a moment; at once if that has passed. As `after`; DefinitionError where the moment has no time zone."""
        made: bool = self._host.ask(self._to_make(id, _at(moment), command))
        return made

    async def at_async(self, moment: datetime, command: Command[Any], *, id: str) -> bool:  # noqa: A002 - as above
        """As `at`, for an event loop; see `after_async`."""
        made: bool = await self._host.ask_async(self._to_make(id, _at(moment), command))
        return made

    def every(
        self,
        cron: str,
        command: Command[Any],
        *,
        id: str,  # noqa: A002 - as above
        time_zone: str = "UTC",
        missed: Missed = "once",
    ) -> bool:
        """Send it whenever that is due: "0 9 * * 1-5" in "Europe/Berlin" is nine o'clock there, summer and winter.

        `missed` says what becomes of runs that nobody was there for: "skip" leaves them out, "once" makes up for the last one, "all" for
        each. As `after`; DefinitionError where the expression or the zone is none, or cronsim (`tallystick[schedules]`) is not installed.
        """
        made: bool = self._host.ask(self._to_make(id, _every(cron, time_zone, missed), command))
        return made

    async def every_async(
        self,
        cron: str,
        command: Command[Any],
        *,
        id: str,  # noqa: A002 - as above
        time_zone: str = "UTC",
        missed: Missed = "once",
    ) -> bool:
        """As `every`, for an event loop; see `after_async`."""
        made: bool = await self._host.ask_async(self._to_make(id, _every(cron, time_zone, missed), command))
        return made

    def cancel(self, id: str, reason: str = "") -> bool:  # noqa: A002 - as above
        """Send nothing more; whether there was something to cancel."""
        cancelled: bool = self._host.ask(CancelSchedule(schedule_id=id, reason=reason))
        return cancelled

    async def cancel_async(self, id: str, reason: str = "") -> bool:  # noqa: A002 - as above
        """As `cancel`, for an event loop; see `after_async`."""
        cancelled: bool = await self._host.ask_async(CancelSchedule(schedule_id=id, reason=reason))
        return cancelled

    def get(self, id: str) -> Schedule | None:  # noqa: A002 - as above
        """A schedule, also one that is done."""
        return self._host.get(Schedule, id)

    async def get_async(self, id: str) -> Schedule | None:  # noqa: A002 - as above
        """As `get`, without holding up the event loop."""
        return await off_loop(self._runtime, lambda: self.get(id))

    def list(self) -> "tuple[Schedule, ...]":
        """Those that wait, the next one first."""
        waiting = [each.execution.intent for each in self._host.open_executions()]
        found = [self.get(each.schedule_id) for each in waiting if isinstance(each, ScheduleWait)]
        return tuple(sorted((each for each in found if each is not None and each.due_at is not None), key=_when_due))

    async def list_async(self) -> "tuple[Schedule, ...]":
        """As `list`, without holding up the event loop."""
        return await off_loop(self._runtime, self.list)

    def _to_make(self, schedule_id: str, when: When, command: Command[Any]) -> MakeSchedule:
        checked_id("the id of a schedule", schedule_id)
        kind = type(command)
        owner = self._owners().get(kind)
        if owner is None or owner in self._unfit():
            msg = f"No module of this system could be sent a {kind.__name__} later."
            raise UnknownCommand(msg)
        try:
            content = self._codec.value_bytes(command)
            msgspec.json.decode(content, type=kind, strict=True)
        except (InvalidPayload, ValueError) as error:
            msg = f"{kind.__name__} cannot be kept for later: {error}"
            raise InvalidPayload(msg) from error
        what = What(owner=owner, command=kind.__name__, content=msgspec.Raw(content))
        return MakeSchedule(schedule_id=schedule_id, when=when, what=what)


def _in(delay: timedelta) -> When:
    if delay < timedelta():
        msg = f"A delay of {delay} is none; time does not run backwards."
        raise DefinitionError(msg)
    if delay > LONGEST:
        msg = f"A delay of {delay} is longer than calendars go; it can be {LONGEST.days} days."
        raise DefinitionError(msg)
    return When(after_us=delay // MICROSECOND)


def _at(moment: datetime) -> When:
    if moment.tzinfo is None:
        msg = f"{moment.isoformat()} has no time zone; say which moment is meant, for instance by tzinfo=UTC."
        raise DefinitionError(msg)
    return When(at=moment.astimezone(UTC))


def _every(cron: str, time_zone: str, missed: Missed) -> When:
    DATES.after(cron, time_zone, datetime(2000, 1, 1, tzinfo=UTC))
    return When(cron=cron, time_zone=time_zone, missed=missed)


def _when_due(schedule: Schedule) -> tuple[datetime, str]:
    return schedule.due_at or datetime.max.replace(tzinfo=UTC), schedule.schedule_id


class HasSchedules:
    """The part of a `System` that sends commands later."""

    _codec: Codec
    _runtime: Runtime
    _handler_of: dict[type[Any], str]
    _no_deliveries: frozenset[str]

    @cached_property
    def schedules(self) -> Scheduler:
        """To send commands later."""
        return Scheduler(cast("Any", self), self._runtime, self._codec, lambda: self._handler_of, lambda: self._no_deliveries)


def module_of_schedules() -> Module:
    """Their owner."""
    return Schedules(DATES)
