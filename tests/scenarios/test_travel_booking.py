"""Travel booking in every combination of what hotel, flight and car may do: the agencies' ledgers say that all was booked, or nothing."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

import tallystick as ts
from tallystick.scenarios.telling import Audience
from tallystick.scenarios.travel_booking import script
from tallystick.scenarios.travel_booking.agencies import World
from tallystick.scenarios.travel_booking.simulated import SimulatedTravel
from tallystick.scenarios.travel_booking.system import modules, sagas
from tallystick.scenarios.travel_booking.trip import BookTrip, Itinerary, Trip
from tallystick.testing import Simulation, check_invariants
from tallystick.testing.sagas import SagasEnd
from tests.actors.travels import Governed

WHAT = ("hotel", "flight", "car")
FORWARD = ("friendly", "refuses", "mumbles", "breaks", "silent")
"""It is done; refused; done, and nobody hears of it; not done, and nobody hears of it; nothing is heard at all."""
BACK = ("friendly", "slow", "closed")
"""It is undone at once; when it has been tried a few times; when a person has had it tried again."""


def book(forward: tuple[str, ...], back: tuple[str, ...]) -> tuple[World, ts.SagaStatus, dict[str, Itinerary]]:
    moods = Governed()
    world = World(moods)
    for what, mood in zip(WHAT, forward, strict=True):
        moods.are(what, "later" if mood == "silent" else mood, 0 if mood == "friendly" else 1000)
    for what, mood in zip(WHAT, back, strict=True):
        moods.are(f"cancel {what}", {"slow": "mumbles", "closed": "refuses"}.get(mood, ""), {"slow": 3, "closed": 1}.get(mood, 0))
    runtime = ts.SteppedRuntime(ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    with ts.System(sagas=sagas(), performers=world.performers(), runtime=runtime) as system:
        trip = system.start(BookTrip, Trip(traveller="Ada", city="Rome"), id="1")
        for _ in range(8):
            runtime.advance(timedelta(days=1))
            world.owed.clear()  # whoever was silent has forgotten it
            if trip.status().state != "needs_person":
                break
            trip.redrive(who="ann", why="it may be tried again")
        check_invariants(system, [SagasEnd(modules())])
        completed = {"1": trip.result()} if trip.status().state == "completed" else {}
        return world, trip.status(), completed


@pytest.mark.parametrize("forward", list(itertools.product(FORWARD, repeat=3)), ids="-".join)
def test_all_is_booked_or_nothing(forward: tuple[str, ...]) -> None:
    for back in (("friendly",) * 3, ("closed", "friendly", "slow"), ("slow", "closed", "closed")):
        world, status, completed = book(forward, back)
        assert list(world.problems(completed)) == [], (back, status)
        assert status.state == ("completed" if set(forward) == {"friendly"} else "compensated"), back


@pytest.mark.parametrize("back", list(itertools.product(BACK, repeat=3)), ids="-".join)
def test_whatever_compensations_do_nothing_stays_booked(back: tuple[str, ...]) -> None:
    for forward in (("friendly", "friendly", "refuses"), ("friendly", "mumbles", "mumbles"), ("mumbles", "friendly", "friendly")):
        world, status, completed = book(forward, back)
        assert (status.state, completed, list(world.problems(completed))) == ("compensated", {}, []), forward


class Hears(Audience):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def hears(self, line: str) -> None:
        self.lines.append(line)


def test_the_story_ends_as_it_should() -> None:
    audience = Hears()
    script.play(ts.MemoryLog(), audience)
    assert audience.lines[-1].endswith("2 hotels, 2 flights, 2 cars: those of the two trips.")


@pytest.mark.parametrize("seed", [*range(1, 13), 700, 3_940, 3_995, 1_000_016])  # the last four have found something
def test_travel_booking_holds_under_all_faults(seed: int) -> None:
    Simulation(SimulatedTravel, seed).check()
