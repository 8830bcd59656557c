"""Handles of sagas: waiting on every runtime, in threads and event loops; and what is found before anything is begun."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.clock import SystemClock
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.scenarios.travel_booking.agencies import World
from tallystick.scenarios.travel_booking.system import sagas
from tallystick.scenarios.travel_booking.trip import BookTrip, Itinerary
from tests.actors.outside import PATIENCE_S, has_ended, in_a_thread, wait_until
from tests.actors.travels import TRIP, Travels

ALL = {"hotel": 1, "flight": 1, "car": 1}


@pytest.fixture
def travels() -> Travels:
    return Travels()


@pytest.mark.parametrize("runtime", [ts.DispatcherRuntime, ts.ThreadsRuntime])
def test_handles_wait_on_every_runtime(runtime: Any) -> None:
    world = World()
    with ts.System(sagas=sagas(), performers=world.performers(), runtime=runtime()) as system:
        handles = [system.start(BookTrip, TRIP, id=str(number)) for number in range(20)]
        assert len({handle.result(30).hotel for handle in handles}) == 20


def test_handles_wait_in_an_event_loop() -> None:
    async def book() -> str:
        world = World()
        async with ts.System(sagas=sagas(), performers=world.performers()) as system:
            handle = await system.start_async(BookTrip, TRIP, id="1")
            itinerary = await handle.result_async()
            with pytest.raises(ts.Rejected):
                await handle.cancel_async("too late")
            with pytest.raises(ts.Rejected):
                await handle.redrive_async()
            assert (await handle.status_async()).state == "completed"
            return itinerary.hotel

    assert asyncio.run(book()).startswith("H-")


@pytest.mark.parametrize("twin", [False, True])
def test_what_somebody_decides_about_a_saga_is_in_its_timeline(travels: Travels, twin: bool) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel hotel", "refuses", 1)
    trip = travels.start()
    travels.days(1)
    assert trip.status().state == "needs_person"
    with travels.system.bracket("Desk.Look"):  # which has a correlation of its own
        if twin:
            asyncio.run(trip.redrive_async(who="ann", why="they are open again"))
        else:
            trip.redrive(who="ann", why="they are open again")
    travels.idle()
    assert trip.status().state == "compensated"
    (correlation,) = {each.correlation for each in travels.written if each.aggregate_type == "BookTrip"}
    told = [each.event for each in travels.system.timeline(correlation).entries]
    assert told.index("BookTripNeedsPerson") < told.index("BookTripRedriven") < told.index("BookTripCompensated")


def test_what_is_cancelled_is_cancelled_within_its_own_story(travels: Travels) -> None:
    travels.moods.are("hotel", "later")
    trip = travels.start()
    travels.idle()
    trip.cancel("changed my mind")
    travels.days(1)
    assert len({each.correlation for each in travels.written if each.aggregate_type == "BookTrip"}) == 1


@pytest.mark.parametrize("blank", ["", " "])
def test_an_id_is_never_blank_since_all_sagas_of_it_would_be_one(travels: Travels, blank: str) -> None:
    with pytest.raises(ts.InvalidPayload, match="id of a BookTrip is blank"):
        travels.start(blank)
    with pytest.raises(ts.InvalidPayload, match="blank"):
        travels.system.saga(BookTrip, blank)
    assert travels.told == []


def test_waiting_ends_with_the_time_that_was_given(travels: Travels) -> None:
    travels.moods.are("hotel", "later")
    with pytest.raises(ts.TimedOutWaiting, match="BookTrip '1' has not ended, and nothing is left to run"):
        travels.start().result(0.01)
    with running_trip(travels) as (_, handle), pytest.raises(ts.TimedOutWaiting, match="BookTrip '1' has not ended by now; it goes on"):
        handle.result(0.01)


@contextmanager
def running_trip(travels: Travels, runtime: Runtime | None = None) -> Generator[tuple[ts.System, ts.SagaHandle[Itinerary]]]:
    """A trip in threads and real time, whose hotel answers later; with the system."""
    travels.moods.are("hotel", "later")
    with ts.System(sagas=sagas(), performers=World(travels.moods).performers(), runtime=runtime) as system:
        yield system, system.start(BookTrip, TRIP, id="1")


class ClockThatIsSetAhead(SystemClock):
    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


def test_what_is_heard_of_a_saga_meanwhile_gives_a_caller_no_further_time(travels: Travels) -> None:
    clock, errors = ClockThatIsSetAhead(), list[BaseException]()

    def wait() -> None:
        with pytest.raises(ts.TimedOutWaiting) as raised:
            handle.result(60.0)
        errors.append(raised.value)

    with running_trip(travels, ts.DispatcherRuntime(clock)) as (system, handle):
        waits = in_a_thread(wait)
        wait_until(lambda: bool(system._sagas._futures))
        clock.ahead_us = 61_000_000  # in a minute and a second something is heard of it that is not its end
        system._sagas._tell(("BookTrip", "1"))
        assert has_ended(waits)
    assert [type(each) for each in errors] == [ts.TimedOutWaiting]


def test_nobody_is_remembered_who_waits_no_longer(travels: Travels) -> None:
    async def ask(handle: ts.SagaHandle[Itinerary]) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(handle.result_async(), 0.01)

    with running_trip(travels) as (system, handle):
        for _ in range(3):
            with pytest.raises(ts.TimedOutWaiting):
                handle.result(0.001)
            asyncio.run(ask(handle))
        assert system._sagas._futures == {}


def test_who_waits_when_the_system_stops_is_told_so(travels: Travels) -> None:
    told, looks = list[str](), list[bool]()

    def look() -> bool:
        looks.append(handle._stands_still())
        return looks[-1]

    def wait() -> None:
        with pytest.raises(ts.TimedOutWaiting) as raised:
            system._sagas.wait(handle._owner, "1", look, PATIENCE_S)
        told.append(str(raised.value))

    with running_trip(travels) as (system, handle):
        waits = in_a_thread(wait)
        wait_until(lambda: len(looks) == 2)  # it looks again when it listens
    assert has_ended(waits)
    assert told == ["The system has stopped; a saga that has not ended goes on when its log is opened again."]
    with pytest.raises(ts.TimedOutWaiting, match="has stopped"):
        handle.result()


def test_who_waits_hears_of_a_log_that_cannot_be_read(travels: Travels, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_trip(travels) as (system, handle):
        monkeypatch.setattr(system, "subscribe", lambda *_, **__: (unreadable(why) for why in ["a bad sector"]))
        with pytest.raises(ts.LogCorrupt, match="a bad sector"):
            handle.result(PATIENCE_S)


def unreadable(why: str) -> ts.Recorded:
    raise ts.LogCorrupt(why)


def test_an_event_loop_may_drive_a_stepped_system_to_a_sagas_end(travels: Travels) -> None:
    async def book() -> str:
        return (await travels.start("1").result_async()).hotel

    async def wait() -> None:
        travels.moods.are("hotel", "later")
        handle = travels.start("2")
        with pytest.raises(ts.TimedOutWaiting, match="BookTrip '2' has not ended, and nothing is left to run"):
            await handle.result_async()
        assert (await handle.status_async()).state == "running"

    assert asyncio.run(book()).startswith("H-")
    asyncio.run(wait())


def test_an_action_that_nobody_performs_is_found_when_the_system_is_composed() -> None:
    with pytest.raises(ts.DefinitionError, match="BookHotel"):
        ts.System(sagas=[BookTrip()])


def test_modules_of_sagas_may_be_given_to_several_systems_each_with_its_own_performers(travels: Travels) -> None:
    modules, world = ts.saga_modules(*sagas()), World(travels.moods)
    travels.moods.are("car", "breaks")
    runtime = ts.SteppedRuntime()
    with ts.System(modules, performers=world.performers(), runtime=runtime) as system:
        ts.System(
            modules, performers=[ts.Performer(action=each.action, run=each.run) for each in world.performers()]
        )  # who cannot be asked
        trip = system.start(BookTrip, TRIP, id="1")
        runtime.advance(timedelta(days=1))
        assert trip.status().state == "compensated", "whether the car was booked can be asked of this system's performer"


def test_a_step_that_is_retried_uses_the_same_key(travels: Travels) -> None:
    travels.moods.are("hotel", "mumbles", 2)
    trip = travels.start()
    travels.runtime.advance(timedelta(minutes=10))
    trip.result()
    assert len({key for what, key in travels.world.asked if what == "hotel"}) == 1
    assert travels.held == ALL
