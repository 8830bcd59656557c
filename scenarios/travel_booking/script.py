"""The story of four travellers, played in virtual time and checked at its end: what they hold, and what the agencies say."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import tallystick as ts
from tallystick.scenarios.telling import Audience, Teller, must_be
from tallystick.scenarios.travel_booking.agencies import Friendly, World
from tallystick.scenarios.travel_booking.holiday import BookHoliday, Holiday
from tallystick.scenarios.travel_booking.system import sagas
from tallystick.scenarios.travel_booking.trip import BookTrip, Itinerary, Trip

NAME: Final = "travel-booking"
SUMMARY: Final = "Hotel, flight and car: all booked, or none; one in doubt, one that cannot be cancelled, one that somebody approves."
MORNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Told(Friendly):
    """Does what the story says, by traveller and what is asked for, so many times; otherwise friendly."""

    def __init__(self) -> None:
        self.refuses: dict[str, int] = {}
        self.mumbles: dict[str, int] = {}
        self.later: set[str] = set()

    def before(self, what: str, action: ts.Action[Any], call: ts.Call) -> ts.Later | None:
        """Refuses, or puts it off."""
        del call
        name = f"{getattr(action, 'traveller', '')} {what}".strip()
        if self.refuses.get(name, 0):
            self.refuses[name] -= 1
            code = "SOLD_OUT" if not what.startswith("cancel") else "DESK_CLOSED"
            raise ts.Rejected(code, "Not today.")
        return ts.Later() if name in self.later else None

    def after(self, what: str, action: ts.Action[Any], call: ts.Call) -> None:
        """Has done it, and nobody hears of it."""
        del call
        name = f"{getattr(action, 'traveller', '')} {what}".strip()
        if self.mumbles.get(name, 0):
            self.mumbles[name] -= 1
            raise ConnectionError(name)


class Play(Teller):
    """One telling."""

    def __init__(self, log: ts.EventLog, audience: Audience) -> None:
        super().__init__(audience)
        self.moods = Told()
        self.world = World(self.moods)
        self.runtime = ts.SteppedRuntime(ts.ManualClock(MORNING))
        self.system = ts.System(sagas=sagas(), performers=self.world.performers(), log=log, runtime=self.runtime)

    def book(self, traveller: str) -> ts.SagaHandle[Itinerary]:
        """A trip of theirs, as far as no time need pass."""
        self.runtime.advance(timedelta(milliseconds=20))
        handle = self.system.start(BookTrip, Trip(traveller=traveller, city="Rome"), id=f"trip-of-{traveller}")
        self.wait()
        return handle

    def wait(self, duration: timedelta = timedelta()) -> None:
        """Let time pass."""
        self.runtime.advance(duration)
        self.show(self.system)

    def expect(self, handle: ts.SagaHandle[Any], state: str) -> None:
        """Check where a saga stands, and say so.

        Raises:
            PlayedWrong: it stands elsewhere.
        """
        status = handle.status()
        must_be(status.state, state, f"{handle.id} is {status.state}, where {state} was expected.")
        steps = ", ".join(f"{step} {how}" for step, how in status.steps.items())
        self.say(f"{handle.id} {'needs a person' if state == 'needs_person' else f'is {state}'}: {steps}.")


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        PlayedWrong: it goes another way.
    """
    telling = Play(log, audience)
    with telling.system:
        _tell(telling)


def _tell(telling: Play) -> None:
    moods = telling.moods
    telling.say("Ada books a trip: the hotel first, then flight and car at once.")
    telling.expect(telling.book("Ada"), "completed")

    telling.say("Ben finds no car: his flight and his hotel are cancelled, in that order.")
    moods.refuses["Ben car"] = 1
    telling.expect(telling.book("Ben"), "compensated")

    telling.say("Nobody hears whether Cleo's car was booked. It is asked about, was booked, and is cancelled with the rest.")
    moods.mumbles["Cleo car"] = 4
    cleo = telling.book("Cleo")
    telling.wait(timedelta(minutes=5))
    telling.expect(cleo, "compensated")

    telling.say("Dora finds no car either, and the airline does not cancel her flight: a person must look.")
    moods.refuses |= {"Dora car": 1, "cancel flight": 1}
    dora = telling.book("Dora")
    telling.expect(dora, "needs_person")
    telling.say("Ann has called the airline, and has it tried again.")
    dora.redrive(who="Ann", why="They are open again.")
    telling.wait()
    telling.expect(dora, "compensated")

    telling.say("Emil's holiday waits two days for an approval; then it is booked, paid, and his tickets are sent.")
    moods.later.add("Emil approval")
    emil = telling.system.start(BookHoliday, Holiday(trip=Trip(traveller="Emil", city="Oslo"), cents=90_000), id="holiday-of-Emil")
    telling.wait(timedelta(days=2))
    telling.world.deliver(telling.system.complete)
    telling.wait()
    telling.expect(emil, "completed")
    _check_ledgers(telling)


def _check_ledgers(telling: Play) -> None:
    completed: dict[str, Any] = {}
    for recorded in telling.system.events(event_types=("BookTripCompleted",)):
        trip = telling.system.saga(BookTrip, recorded.aggregate_id)
        completed[recorded.aggregate_id] = trip.result()
    problems = list(telling.world.problems(completed))
    must_be(problems, [], "; ".join(problems))
    held = {what: len(telling.world.held(what)) for what in ("hotel", "flight", "car")}
    telling.say("The agencies' ledgers have " + ", ".join(f"{count} {what}s" for what, count in held.items()) + ": those of the two trips.")
