"""Handles of sagas: waiting on every runtime, in threads and event loops; and what is found before anything is begun."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.travel_booking.agencies import World
from tallystick.scenarios.travel_booking.system import sagas
from tallystick.scenarios.travel_booking.trip import BookTrip
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
    with pytest.raises(ts.TimedOutWaiting):
        travels.start().result(0.01)
    world = World(travels.moods)
    travels.moods.are("hotel", "later")
    with ts.System(sagas=sagas(), performers=world.performers()) as system:
        handle = system.start(BookTrip, TRIP, id="1")
        with pytest.raises(ts.TimedOutWaiting):
            handle.result(0.01)


def test_an_action_that_nobody_performs_is_found_when_the_system_is_composed() -> None:
    with pytest.raises(ts.DefinitionError, match="BookHotel"):
        ts.System(sagas=[BookTrip()])


def test_a_step_that_is_retried_uses_the_same_key(travels: Travels) -> None:
    travels.moods.are("hotel", "mumbles", 2)
    trip = travels.start()
    travels.runtime.advance(timedelta(minutes=10))
    trip.result()
    assert len({key for what, key in travels.world.asked if what == "hotel"}) == 1
    assert travels.held == ALL
