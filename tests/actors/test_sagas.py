"""Sagas on a running system: forward, back, in doubt, with people, and what is heard of them."""

from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.travel_booking.holiday import Approval, BookHoliday, Holiday
from tallystick.scenarios.travel_booking.trip import BookTrip
from tests.actors.travels import TRIP, Travels

ALL = {"hotel": 1, "flight": 1, "car": 1}
NOTHING = {"hotel": 0, "flight": 0, "car": 0}
HOLIDAY = Holiday(trip=TRIP, cents=100)


@pytest.fixture
def travels() -> Travels:
    return Travels()


# Forward


def test_a_saga_completes_with_its_result_and_says_each_thing_once(travels: Travels) -> None:
    itinerary = travels.start().result()
    assert itinerary.hotel.startswith("H-")
    assert travels.held == ALL
    assert travels.told == [
        "BookTripStarted",
        "BookTripHotelStarted",
        "BookTripHotelDone",
        "BookTripFlightStarted",
        "BookTripCarStarted",
        "BookTripFlightDone",
        "BookTripCarDone",
        "BookTripCompleted",
    ]
    assert travels.trip.status().state == "completed"
    travels.check()


@pytest.mark.parametrize("times", [1, 5])
def test_a_second_start_with_the_same_id_is_the_same_saga(travels: Travels, times: int) -> None:
    first = travels.start()
    for _ in range(times):
        travels.start()
    first.result()
    travels.start()
    assert travels.told.count("BookTripStarted") == 1
    assert travels.held == ALL


def test_a_start_with_the_same_id_and_another_input_is_a_conflict(travels: Travels) -> None:
    travels.start()
    with pytest.raises(ts.IdempotencyConflict, match="another input"):
        travels.system.start(BookTrip, type(TRIP)(traveller="Bob", city="Oslo"), id="1")


def test_an_input_of_another_type_begins_nothing(travels: Travels) -> None:
    wrong: Any = type(TRIP)(traveller="Bob", city="Oslo", nights="two")  # type: ignore[arg-type]
    with pytest.raises(ts.InvalidPayload):
        travels.system.start(BookTrip, wrong, id="2")
    assert travels.told == []


def test_a_saga_that_the_system_was_not_given_is_unknown() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system, pytest.raises(ts.UnknownSaga):
        system.start(BookTrip, TRIP, id="1")


def test_an_instance_that_there_is_not_is_unknown(travels: Travels) -> None:
    with pytest.raises(ts.UnknownSaga):
        travels.trip.status()
    with pytest.raises(ts.Rejected, match="NO_SUCH_SAGA"):
        travels.trip.cancel("never mind")


# Back


@pytest.mark.parametrize("failing", ["hotel", "flight", "car"])
def test_when_a_step_is_refused_all_that_was_done_is_undone_in_reverse(travels: Travels, failing: str) -> None:
    travels.moods.are(failing, "refuses")
    with pytest.raises(ts.SagaCompensated) as caught:
        travels.start().result()
    assert (caught.value.step, caught.value.code) == (failing, "NO")
    assert travels.held == NOTHING
    assert travels.told[-1] == "BookTripCompensated"
    travels.check()


def test_a_step_that_only_raises_is_in_doubt_and_is_undone_whether_it_was_done_or_not(travels: Travels) -> None:
    travels.moods.are("car", "mumbles")
    trip = travels.start()
    travels.days(1)
    with pytest.raises(ts.SagaCompensated):
        trip.result()
    assert "BookTripCarDoneAfterAll" in travels.told
    assert travels.held == NOTHING
    travels.check()


def test_a_step_in_doubt_that_was_not_done_is_not_undone(travels: Travels) -> None:
    travels.moods.are("car", "breaks")
    travels.start()
    travels.days(1)
    assert "BookTripCarNotDone" in travels.told
    assert "BookTripCarUndoStarted" not in travels.told
    assert trip_state(travels) == "compensated"


def test_a_step_that_is_undone_by_its_key_is_not_asked_about(travels: Travels) -> None:
    travels.moods.are("hotel", "mumbles")
    travels.start()
    travels.days(1)
    assert "BookTripHotelAskingStarted" not in travels.told
    assert "call off hotel" in {what for what, _ in travels.world.asked}
    assert travels.held == NOTHING
    travels.check()


def test_a_step_that_times_out_is_in_doubt(travels: Travels) -> None:
    travels.moods.are("flight", "later")
    travels.start()
    travels.days(1)
    assert trip_state(travels) == "needs_person"  # the agency still means to book it, and says so whenever it is asked
    travels.world.owed.clear()
    travels.trip.redrive(who="ann", why="they forgot it")
    travels.idle()
    assert trip_state(travels) == "compensated"
    assert travels.held == NOTHING
    travels.check()


def test_a_success_that_comes_when_the_saga_is_over_is_undone_and_ends_nothing_again(travels: Travels) -> None:
    travels.moods.are("flight", "later")
    travels.start()
    travels.days(1)
    owed, travels.world.owed = travels.world.owed, {}
    travels.trip.redrive()
    travels.idle()
    assert trip_state(travels) == "compensated"
    travels.world.owed = owed
    travels.world.deliver(travels.system.complete)
    travels.idle()
    assert travels.held == NOTHING
    assert travels.told.count("BookTripCompensated") == 1
    assert travels.told[-1] == "BookTripFlightUndone"
    travels.check()


def test_what_a_person_was_to_look_at_may_come_by_itself(travels: Travels) -> None:
    travels.moods.are("flight", "later")
    travels.start()
    travels.days(1)
    assert trip_state(travels) == "needs_person"
    travels.world.deliver(travels.system.complete)
    travels.idle()
    assert (trip_state(travels), travels.held) == ("compensated", NOTHING)
    assert travels.told.count("BookTripResolved") == 1
    assert travels.system.open_executions() == ()
    travels.check()


def test_a_compensation_that_succeeds_late_needs_no_person_any_more(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel flight", "refuses", 1)
    travels.start()
    travels.idle()
    started = [each for each in travels.written if each.event_type == "BookTripFlightUndoStarted"]
    assert not travels.system.complete(ts.Token(started[0].token or ""), None)
    travels.idle()
    assert trip_state(travels) == "compensated"
    assert travels.told.count("BookTripResolved") == 1
    travels.check()


def trip_state(travels: Travels) -> str:
    return travels.trip.status().state


# A compensation that fails


def test_a_compensation_that_fails_has_retries_of_its_own(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel hotel", "breaks", 3)
    travels.start()
    travels.days(1)
    assert trip_state(travels) == "compensated"
    assert travels.held == NOTHING


def test_a_compensation_that_fails_for_good_needs_a_person_and_is_redriven(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel flight", "refuses", 2)
    trip = travels.start()
    with pytest.raises(ts.SagaNeedsPerson, match="flight"):
        trip.result()
    status = trip.status()
    assert (status.state, [each.step for each in status.waiting]) == ("needs_person", ["flight"])
    assert travels.system.health().owners["BookTrip"].waiting_for_person == 1
    assert travels.held == {"hotel": 1, "flight": 1, "car": 0}  # the order is kept: nothing is undone before it
    trip.redrive(who="ann", why="they are open again")
    with pytest.raises(ts.SagaNeedsPerson):
        trip.result()
    trip.redrive(who="ann", why="now they are")
    with pytest.raises(ts.SagaCompensated):
        trip.result()
    assert travels.held == NOTHING
    assert travels.told.count("BookTripNeedsPerson") == 2
    redriven = [each.payload.decode() for each in travels.written if each.event_type == "BookTripRedriven"]
    assert ["now they are" in each for each in redriven] == [False, True]
    travels.check()


def test_a_person_may_say_that_it_was_undone_by_hand(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel flight", "refuses")
    trip = travels.start()
    travels.idle()
    trip.redrive(who="ann", why="called them", by_hand=True)
    travels.idle()
    assert trip.status().steps == {"hotel": "undone", "flight": "undone", "car": "failed"}
    assert trip.status().state == "compensated"


def test_ending_the_waiting_by_hand_is_a_redrive_too(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel flight", "refuses", 1)
    travels.start()
    travels.idle()
    (waiting,) = [each for each in travels.system.open_executions() if each.execution.status == "person"]
    travels.system.abandon(waiting, "have another look")
    travels.idle()
    assert trip_state(travels) == "compensated"


def test_a_saga_that_waits_for_nobody_cannot_be_redriven(travels: Travels) -> None:
    travels.start().result()
    with pytest.raises(ts.Rejected, match="NOT_WAITING"):
        travels.trip.redrive()


# Cancelling


def test_a_cancel_undoes_at_every_moment() -> None:
    turns = 0
    while cancelled_after(turns):
        turns += 1
    assert turns > 10


def cancelled_after(turns: int) -> bool:
    """Whether it was still in time; when it was not, the trip is left as it is."""
    travels = Travels()
    travels.start()
    for _ in range(turns):
        travels.runtime.step()
    answer = travels.system.submit(BookTrip.cancel_command("1", "changed my mind"))
    travels.runtime.until(answer.done, 0)
    if answer.exception() is not None:
        with pytest.raises(ts.Rejected, match="COMPLETED"):
            travels.trip.cancel("changed my mind")
        assert travels.held == ALL
        return False
    travels.trip.cancel("really")
    travels.days(1)
    assert (trip_state(travels), travels.held) == ("compensated", NOTHING), turns
    assert travels.told.count("BookTripCancelRequested") == 1
    travels.check()
    return True


# Pivot, people, and a saga as a step


def test_a_holiday_is_approved_by_a_person_booked_paid_and_sent(travels: Travels) -> None:
    travels.moods.are("approval", "later")
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    travels.days(3)
    assert holiday.status().steps["approval"] == "running"
    (key,) = travels.world.owed
    assert travels.system.complete(ts.Token(key), Approval(by="ann"))
    assert holiday.result().car.startswith("C-")
    assert travels.held == ALL
    travels.check()


def test_an_approval_that_does_not_come_in_a_week_turns_the_saga_back(travels: Travels) -> None:
    travels.moods.are("approval", "later")
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    travels.days(8)
    assert (holiday.status().state, holiday.status().code) == ("compensated", "TIMED_OUT")


def test_when_the_payment_is_refused_the_trip_is_undone_as_a_step(travels: Travels) -> None:
    travels.moods.are("payment", "refuses")
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    with pytest.raises(ts.SagaCompensated):
        holiday.result()
    assert travels.held == NOTHING
    assert travels.told.count("BookTripCompleted") == 1
    assert travels.told.count("BookTripCompensated") == 1
    travels.check()


def test_when_the_trip_fails_so_does_the_holiday(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    with pytest.raises(ts.SagaCompensated) as caught:
        holiday.result()
    assert (caught.value.step, caught.value.code) == ("trip", "NO")
    assert travels.held == NOTHING
    travels.check()


def test_past_its_pivot_a_saga_goes_on_when_a_person_has_looked(travels: Travels) -> None:
    travels.moods.are("tickets", "refuses", 1)
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    with pytest.raises(ts.SagaNeedsPerson, match="tickets"):
        holiday.result()
    with pytest.raises(ts.Rejected, match="PAST_PIVOT"):
        holiday.cancel("too late")
    with pytest.raises(ts.Rejected, match="NOT_BY_HAND"):
        holiday.redrive(by_hand=True)
    holiday.redrive(who="ann", why="new stamps")
    holiday.result()
    assert travels.held == ALL
    travels.check()


def test_a_payment_in_doubt_is_asked_about_and_decides_the_direction() -> None:
    for mood, state in (("mumbles", "completed"), ("breaks", "compensated")):
        travels = Travels()
        travels.moods.are("payment", mood)
        holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
        travels.days(1)
        assert holiday.status().state == state
        travels.check()


def test_a_cancel_while_the_payment_is_out_waits_for_it(travels: Travels) -> None:
    travels.moods.are("payment", "later")
    holiday = travels.system.start(BookHoliday, HOLIDAY, id="h")
    travels.idle()
    holiday.cancel("changed my mind")
    assert holiday.status().state == "running"
    travels.world.deliver(travels.system.complete)
    holiday.result()
    assert travels.held == ALL
