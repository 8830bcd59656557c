"""A saga's process dies after each of its turns: what was begun is ended, and nothing is booked, undone or said twice."""

from collections import Counter
from collections.abc import Callable

import pytest

import tallystick as ts
from tallystick.scenarios.travel_booking.holiday import BookHoliday, Holiday
from tests.actors.travels import TRIP, Travels

ALL = {"hotel": 1, "flight": 1, "car": 1}
NOTHING = {"hotel": 0, "flight": 0, "car": 0}

Moods = Callable[[Travels], None]


def good(travels: Travels) -> None:
    del travels


def no_car(travels: Travels) -> None:
    travels.moods.are("car", "refuses")


def no_word_of_the_car(travels: Travels) -> None:
    travels.moods.are("car", "mumbles")


def no_word_of_the_hotel(travels: Travels) -> None:
    travels.moods.are("hotel", "mumbles")


def nobody_at_the_airline(travels: Travels) -> None:
    travels.moods.are("car", "refuses")
    travels.moods.are("cancel flight", "refuses", 1)


COURSES = [
    (good, "completed", ALL),
    (no_car, "compensated", NOTHING),
    (no_word_of_the_car, "compensated", NOTHING),
    (no_word_of_the_hotel, "compensated", NOTHING),
    (nobody_at_the_airline, "compensated", NOTHING),
]


def end(travels: Travels) -> None:
    """Let everything come to its end; a person helps where one is needed."""
    for _ in range(5):
        travels.days(1)
        if travels.trip.status().state != "needs_person":
            return
        travels.trip.redrive(who="ann")


def once(travels: Travels) -> None:
    """What must be said once was."""
    counts = Counter(each for each in travels.told if not each.startswith("BookTripFlightUndo"))
    assert {name: count for name, count in counts.items() if count > 1} == {}


@pytest.mark.parametrize(("course", "state", "held"), COURSES, ids=[course.__name__ for course, _, _ in COURSES])
def test_after_a_crash_at_any_moment_a_saga_ends_as_it_would_have(course: Moods, state: str, held: dict[str, int]) -> None:
    for turns in range(200):
        travels = Travels()
        course(travels)
        travels.start()
        at_rest = False
        for _ in range(turns):
            if not travels.runtime.step():
                due = travels.runtime.next_due()
                at_rest = due is None
                if due is None:
                    break
                travels.runtime.clock.advance_to_us(int(due.timestamp() * 1_000_000))
        travels.crash()
        end(travels)
        ends = [(state, held)]
        if course is no_word_of_the_car or course is no_word_of_the_hotel:
            ends.append(("completed", ALL))  # whoever opens the log asks what became of the call, and hears that it was done
        assert (travels.trip.status().state, travels.held) in ends, turns
        once(travels)
        travels.check()
        if at_rest:
            return
    pytest.fail("it never came to rest")


def test_a_person_is_still_needed_after_a_crash() -> None:
    travels = Travels()
    nobody_at_the_airline(travels)
    travels.start()
    travels.idle()
    travels.crash()
    assert travels.trip.status().state == "needs_person"
    travels.trip.redrive(who="ann")
    travels.idle()
    assert travels.held == NOTHING


@pytest.mark.parametrize("mood", ["ok", "refuses"])
def test_a_holiday_survives_a_crash_at_any_moment(mood: str) -> None:
    for turns in range(300):
        travels = Travels()
        if mood == "refuses":
            travels.moods.are("payment", mood)
        travels.system.start(BookHoliday, Holiday(trip=TRIP, cents=1), id="h")
        ended = [travels.runtime.step() for _ in range(turns)][-1:] == [False]
        travels.crash()
        travels.days(8)
        status = travels.system.saga(BookHoliday, "h").status()
        assert (status.state, travels.held) == (("completed", ALL) if mood == "ok" else ("compensated", NOTHING)), turns
        travels.check()
        if ended:
            return
    pytest.fail("it never came to rest")


def test_a_saga_that_has_ended_says_nothing_more_when_its_log_is_opened_again() -> None:
    travels = Travels()
    travels.start().result()
    before = travels.told
    for _ in range(3):
        travels.crash()
        travels.days(30)
        travels.start()
    assert travels.told == before
    assert isinstance(travels.trip, ts.SagaHandle)
