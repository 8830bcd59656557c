"""Commands that are sent later: after a delay, at a moment, by cron; once each, through crashes, missed runs and daylight saving."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

import tallystick as ts
from tallystick.actors.cron import CronDates
from tallystick.actors.scheduling import Scheduler
from tallystick.domain.schedules import RUNS_A_TURN

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


class Rang(ts.Event):
    aggregate_type = "Bell"
    bell: str

    @property
    def aggregate_id(self) -> str:
        return self.bell


class Ring(ts.Command[int]):
    bell: str
    how: Literal["well", "refuses", "fails"] = "well"


class Bells(ts.Module):
    name = "bells"
    broken = True

    @ts.handles(Ring, emits=[Rang])
    def ring(self, turn: ts.Turn, command: Ring) -> ts.Decision[int]:
        yield Rang(bell=command.bell)
        if command.how == "refuses":
            code = "NO_ROPE"
            raise ts.Rejected(code, "said after the event")
        if command.how == "fails" and self.broken:
            raise ValueError(command.bell)
        return turn.now.minute


class Tower:
    """A system in virtual time; it can be crashed, and be gone for a while."""

    def __init__(self, start: datetime = NOON) -> None:
        self.clock = ts.ManualClock(start)
        self.bells = Bells()
        self.log = ts.MemoryLog()
        self.open()

    def open(self) -> None:
        self.runtime = ts.SteppedRuntime(self.clock, seed=1)
        self.system = ts.System([self.bells], log=self.log, runtime=self.runtime)
        self.system.__enter__()

    def crash(self, gone: timedelta = timedelta()) -> None:
        self.log = self.log.reopened()
        self.clock = ts.ManualClock(self.clock.now + gone)
        self.open()
        self.runtime.advance(timedelta())

    def rings(self) -> list[datetime]:
        return [each.occurred_at for each in self.system.events(event_types=("Rang",))]

    def due(self) -> list[datetime]:
        return [self.system._codec.decode(each).due_at for each in self.system.events(event_types=("CommandDue",))]

    def types(self) -> list[str]:
        return [each.event_type for each in self.system.events() if each.event_type != "OwnerJoined"]


@pytest.fixture
def tower() -> Iterator[Tower]:
    made = Tower()
    yield made
    made.system.stop()


def test_a_command_is_sent_after_a_delay_and_once(tower: Tower) -> None:
    assert tower.system.schedules.after(MINUTE, Ring(bell="a"), id="once")
    tower.runtime.advance(59 * timedelta(seconds=1))
    assert tower.rings() == []
    tower.runtime.advance(DAY)
    assert tower.rings() == [NOON + MINUTE]
    assert tower.types() == [
        "ScheduleMade",
        "ScheduleWaitStarted",
        "TimeoutFired",
        "CommandDue",
        "ScheduleWaitAbandoned",
        "Rang",
        "CommandSettled",
    ]


def test_a_delay_of_sixty_days_holds_through_crashes(tower: Tower) -> None:
    tower.system.schedules.after(60 * DAY, Ring(bell="a"), id="far")
    for _ in range(59):
        tower.runtime.advance(DAY)
        tower.crash()
    assert tower.rings() == []
    tower.runtime.advance(DAY)
    assert tower.rings() == [NOON + 60 * DAY]


def test_what_was_due_while_nobody_was_there_is_sent_at_the_next_opening(tower: Tower) -> None:
    tower.system.schedules.at(NOON + DAY, Ring(bell="a"), id="at")
    tower.crash(gone=3 * DAY)
    assert (tower.rings(), tower.due()) == ([NOON + 3 * DAY], [NOON + DAY])


def test_a_wall_clock_that_jumps_between_two_processes_neither_loses_a_run_nor_makes_one_twice(tower: Tower) -> None:
    hour = 60 * MINUTE
    tower.system.schedules.every("0 * * * *", Ring(bell="a"), id="hourly")
    tower.system.schedules.after(4 * hour, Ring(bell="b"), id="later")
    tower.runtime.advance(2 * hour)
    assert tower.due() == [NOON + hour, NOON + 2 * hour]
    tower.crash(gone=-2 * hour)  # the clock was put back: it is noon again
    tower.runtime.advance(2 * hour)
    assert tower.due() == [NOON + hour, NOON + 2 * hour], "what was sent is not sent again"
    tower.runtime.advance(hour)
    assert tower.due()[2:] == [NOON + 3 * hour]
    tower.crash(gone=hour)  # and put right again
    assert tower.due()[3:] == [NOON + 4 * hour] * 2, "the hourly one and the other"
    assert (len(tower.rings()), tower.system.dead_letters()) == (5, ())


def test_a_moment_that_has_passed_is_due_at_once_and_one_without_a_zone_is_refused(tower: Tower) -> None:
    tower.system.schedules.at(NOON - DAY, Ring(bell="a"), id="past")
    tower.runtime.advance(timedelta())
    assert tower.rings() == [NOON]
    with pytest.raises(ts.DefinitionError, match="no time zone"):
        tower.system.schedules.at(datetime(2027, 1, 1), Ring(bell="a"), id="naive")  # noqa: DTZ001 - refused for that
    with pytest.raises(ts.DefinitionError, match="backwards"):
        tower.system.schedules.after(-DAY, Ring(bell="a"), id="back")


@pytest.mark.parametrize("turns", range(30))
def test_a_run_reaches_its_owner_once_wherever_the_process_is_lost(turns: int) -> None:
    tower = Tower()
    tower.system.schedules.after(MINUTE, Ring(bell="a"), id="once")
    tower.clock.advance(MINUTE)
    for _ in range(turns):
        tower.runtime.step()
    tower.crash()
    tower.runtime.advance(DAY)
    assert len(tower.rings()) == 1
    tower.system.stop()


def test_a_schedule_is_made_once_and_stands_for_one_thing(tower: Tower) -> None:
    schedules = tower.system.schedules
    assert schedules.after(MINUTE, Ring(bell="a"), id="x")
    assert not schedules.after(MINUTE, Ring(bell="a"), id="x")
    with pytest.raises(ts.IdempotencyConflict):
        schedules.after(MINUTE, Ring(bell="b"), id="x")
    tower.runtime.advance(DAY)
    assert not schedules.after(MINUTE, Ring(bell="a"), id="x")
    tower.runtime.advance(DAY)
    assert len(tower.rings()) == 1


def test_a_cancelled_schedule_sends_nothing_and_may_be_made_anew(tower: Tower) -> None:
    schedules = tower.system.schedules
    schedules.after(MINUTE, Ring(bell="a"), id="x")
    assert schedules.cancel("x", "no more bells")
    assert not schedules.cancel("x")
    assert not schedules.cancel("unknown")
    tower.runtime.advance(DAY)
    assert tower.rings() == []
    assert schedules.after(MINUTE, Ring(bell="b"), id="x")
    tower.runtime.advance(DAY)
    assert tower.rings() == [NOON + DAY + MINUTE]


def test_the_list_has_what_waits_and_the_next_one_comes_first(tower: Tower) -> None:
    schedules = tower.system.schedules
    schedules.after(DAY, Ring(bell="a"), id="later")
    schedules.every("30 * * * *", Ring(bell="b"), id="hourly")
    schedules.after(MINUTE, Ring(bell="c"), id="soon")
    assert [each.schedule_id for each in schedules.list()] == ["soon", "hourly", "later"]
    tower.runtime.advance(40 * MINUTE)
    assert [(each.schedule_id, each.runs, each.due_at) for each in schedules.list()] == [
        ("hourly", 1, NOON + 90 * MINUTE),
        ("later", 0, NOON + DAY),
    ]
    done = schedules.get("soon")
    assert done is not None
    assert done.status == "done"


def test_what_cannot_be_sent_later_is_refused_at_once(tower: Tower) -> None:
    class Stranger(ts.Command[None]):
        pass

    with pytest.raises(ts.UnknownCommand):
        tower.system.schedules.after(MINUTE, Stranger(), id="x")
    with pytest.raises(ts.InvalidPayload):
        tower.system.schedules.after(MINUTE, Ring(bell=3), id="x")  # type: ignore[arg-type]
    for blank in ("", " "):
        with pytest.raises(ts.InvalidPayload, match="blank"):
            tower.system.schedules.after(MINUTE, Ring(bell="a"), id=blank)
    with pytest.raises(ts.DefinitionError, match="longer than"):
        tower.system.schedules.after(timedelta.max, Ring(bell="a"), id="x")
    for cron, zone in (("61 * * * *", "UTC"), ("at nine", "UTC"), ("0 9 * * *", "Europe/Nowhere"), ("0 0 30 2 *", "UTC")):
        with pytest.raises(ts.DefinitionError):
            tower.system.schedules.every(cron, Ring(bell="a"), id="x", time_zone=zone)
    assert tower.types() == []


def test_a_log_of_a_program_without_schedules_has_no_trace_of_them(tower: Tower) -> None:
    tower.system.ask(Ring(bell="a"))
    assert {each.owner for each in tower.system.events()} == {"bells"}


# What the owner says.


def test_a_refusal_is_written_down_and_changes_nothing(tower: Tower) -> None:
    tower.system.schedules.after(MINUTE, Ring(bell="a", how="refuses"), id="x")
    tower.runtime.advance(DAY)
    assert tower.rings() == []
    (settled,) = tower.system.events(event_types=("CommandSettled",))
    answer = tower.system._codec.decode(settled)
    assert (settled.aggregate_id, answer.rejected, answer.code) == (f"schedule:x@{(NOON + MINUTE).isoformat()}", True, "NO_ROPE")


def test_a_handler_that_fails_is_retried_and_then_a_dead_letter_that_holds_up_no_other_schedule(tower: Tower) -> None:
    schedules = tower.system.schedules
    schedules.every("* * * * *", Ring(bell="a", how="fails"), id="failing")
    schedules.after(2 * MINUTE, Ring(bell="b"), id="other")
    tower.runtime.advance(10 * MINUTE)
    assert tower.rings() == [NOON + 2 * MINUTE]
    (letter,) = tower.system.dead_letters()
    tower.bells.broken = False
    tower.system.redrive(letter)
    tower.runtime.advance(timedelta())
    assert len(tower.rings()) == 11


# Cron.


def berlin(*moment: int) -> datetime:
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - for this alone

    year, month, day, hour, minute = moment
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo("Europe/Berlin"))


def test_nine_o_clock_is_nine_o_clock_in_summer_and_in_winter() -> None:
    tower = Tower(datetime(2026, 3, 27, tzinfo=UTC))
    tower.system.schedules.every("0 9 * * *", Ring(bell="a"), id="daily", time_zone="Europe/Berlin")
    tower.runtime.advance(4 * DAY)
    assert tower.rings() == [berlin(2026, 3, day, 9, 0) for day in (27, 28, 29, 30)]
    assert [each.hour for each in tower.rings()] == [8, 8, 7, 7]
    tower.system.stop()


@pytest.mark.parametrize(
    ("start", "rings"),
    [
        (datetime(2026, 3, 28, tzinfo=UTC), [berlin(2026, 3, 28, 2, 30), berlin(2026, 3, 29, 3, 0), berlin(2026, 3, 30, 2, 30)]),
        (datetime(2026, 10, 24, tzinfo=UTC), [berlin(2026, 10, 24, 2, 30), berlin(2026, 10, 25, 2, 30), berlin(2026, 10, 26, 2, 30)]),
    ],
    ids=["an hour that is left out", "an hour that comes twice"],
)
def test_a_run_in_an_hour_that_daylight_saving_touches_is_made_once(start: datetime, rings: list[datetime]) -> None:
    tower = Tower(start)
    tower.system.schedules.every("30 2 * * *", Ring(bell="a"), id="nightly", time_zone="Europe/Berlin")
    tower.runtime.advance(3 * DAY)
    assert tower.rings() == [each.astimezone(UTC) for each in rings]
    tower.system.stop()


@pytest.mark.parametrize(
    ("missed", "due"),
    [("skip", []), ("once", [72]), ("all", list(range(1, 73)))],
)
def test_runs_that_nobody_was_there_for_are_made_up_for_as_the_policy_says(missed: Any, due: list[int]) -> None:
    tower = Tower()
    tower.system.schedules.every("0 * * * *", Ring(bell="a"), id="hourly", missed=missed)
    tower.crash(gone=3 * DAY + 10 * MINUTE)
    assert tower.due() == [NOON + hours * timedelta(hours=1) for hours in due]
    assert len(tower.rings()) == len(due)
    missing = [tower.system._codec.decode(each) for each in tower.system.events(event_types=("ScheduleRunsMissed",))]
    expected = {"skip": [(1, 72)], "once": [(1, 71)], "all": list[tuple[int, int]]()}[missed]
    assert [((each.first - NOON) / (60 * MINUTE), (each.last - NOON) / (60 * MINUTE)) for each in missing] == expected
    tower.runtime.advance(50 * MINUTE)
    assert tower.due()[len(due) :] == [NOON + 3 * DAY + 60 * MINUTE]
    tower.system.stop()


def test_a_run_that_is_a_little_late_is_not_missed() -> None:
    tower = Tower()
    tower.system.schedules.every("0 * * * *", Ring(bell="a"), id="hourly", missed="skip")
    tower.crash(gone=timedelta(hours=1, seconds=30))
    assert tower.due() == [NOON + timedelta(hours=1)]
    tower.system.stop()


def test_many_missed_runs_are_made_up_for_in_turns_of_a_bounded_size() -> None:
    tower = Tower()
    tower.system.schedules.every("* * * * *", Ring(bell="a"), id="each minute", missed="all")
    tower.crash(gone=350 * MINUTE)
    tower.runtime.advance(timedelta())
    assert tower.due() == [NOON + minute * MINUTE for minute in range(1, 351)]
    causes = [each.causation for each in tower.system.events(event_types=("CommandDue",))]
    assert max(causes.count(cause) for cause in set(causes)) == RUNS_A_TURN
    tower.system.stop()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "*/15 * * * *", "0 9 * * 1-5", "0 0 29 2 *", "5 1 1 * *"])
def test_due_times_go_forward_and_back_alike(cron: str, zone: str) -> None:
    dates, moment = CronDates(), datetime(2026, 3, 1, 7, 13, tzinfo=UTC)
    for _ in range(60):
        due = dates.after(cron, zone, moment)
        assert due > moment
        assert dates.until(cron, zone, due) == due
        assert dates.until(cron, zone, due - timedelta(seconds=1)) <= moment or moment == datetime(2026, 3, 1, 7, 13, tzinfo=UTC)
        moment = due


def test_without_cronsim_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tower: Tower) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cronsim", None)
    with pytest.raises(ts.DefinitionError, match=r"tallystick\[schedules\]"):
        tower.system.schedules.every("0 9 * * *", Ring(bell="a"), id="x")
    assert tower.system.schedules.after(MINUTE, Ring(bell="a"), id="y")


def test_a_system_without_schedules_leaves_their_names_to_the_program() -> None:
    with ts.System([Bells()], runtime=ts.SteppedRuntime(), schedules=False) as system, pytest.raises(ts.UnknownCommand):
        system.schedules.after(MINUTE, Ring(bell="a"), id="x")


def test_all_of_it_can_be_done_from_an_event_loop() -> None:
    async def evening() -> list[str]:
        async with ts.System([Bells()]) as system:
            schedules = system.schedules
            assert await schedules.after_async(60 * DAY, Ring(bell="a"), id="a")
            assert not await schedules.after_async(60 * DAY, Ring(bell="a"), id="a")
            assert await schedules.at_async(NOON, Ring(bell="b"), id="b")
            assert await schedules.every_async("0 9 * * *", Ring(bell="c"), id="c", time_zone="Europe/Berlin", missed="all")
            found = await schedules.get_async("c")
            assert found is not None
            assert (found.status, found.when.time_zone, found.when.missed) == ("waiting", "Europe/Berlin", "all")
            assert await schedules.cancel_async("a", "it is late")
            assert not await schedules.cancel_async("a")
            with pytest.raises(ts.DefinitionError, match="no time zone"):
                await schedules.at_async(NOON.replace(tzinfo=None), Ring(bell="d"), id="d")
            return [each.schedule_id for each in await schedules.list_async() if each.schedule_id != "b"]

    assert asyncio.run(evening()) == ["c"]


@pytest.mark.parametrize("name", ["after", "at", "every", "cancel", "get", "list"])
def test_each_method_has_a_twin_that_takes_the_same(name: str) -> None:
    assert inspect.signature(getattr(Scheduler, name)) == inspect.signature(getattr(Scheduler, f"{name}_async"))


def test_in_the_stepped_runtime_the_twins_stay_in_the_thread_that_drives_it() -> None:
    class Watched(Bells):
        def __init__(self) -> None:
            super().__init__()
            self.rung_by: list[str] = []

        @ts.handles(Ring, emits=[Rang])
        def ring(self, turn: ts.Turn, command: Ring) -> ts.Decision[int]:
            self.rung_by.append(threading.current_thread().name)
            yield Rang(bell=command.bell)
            return turn.now.minute

    async def evening(bells: Watched) -> None:
        with ts.System([bells], runtime=ts.SteppedRuntime()) as system:
            for look in (system.schedules.list_async(), system.schedules.get_async("x")):
                system.submit(Ring(bell="a"))  # is carried out by whoever waits for something next
                await look
            await system.ask_async(Ring(bell="b"))

    bells = Watched()
    asyncio.run(evening(bells))
    assert bells.rung_by == [threading.current_thread().name] * 3
