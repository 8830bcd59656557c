"""A traveller's stage: the two sagas of travel booking on a log in memory, in virtual time, among agencies whose moods a test governs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import tallystick as ts
from tallystick.domain.envelope import Recorded
from tallystick.scenarios.travel_booking.agencies import World
from tallystick.scenarios.travel_booking.system import sagas
from tallystick.scenarios.travel_booking.trip import BookTrip, Itinerary, Trip
from tallystick.testing import check_invariants
from tallystick.testing.sagas import SagasEnd

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRIP = Trip(traveller="Ada", city="Rome")
ALWAYS = 1000


class Governed:
    """Moods by what is asked for, so many times: it "refuses", "breaks" before the effect, "mumbles" after it, or is done "later"."""

    def __init__(self) -> None:
        self.moods: dict[str, list[str]] = {}

    def are(self, what: str, mood: str, times: int = ALWAYS) -> None:
        self.moods[what] = [mood] * times

    def before(self, what: str, action: ts.Action[Any], call: ts.Call) -> ts.Later | None:
        del action, call
        mood = self.moods.get(what, [])[:1]
        if mood == ["refuses"]:
            self.moods[what].pop(0)
            code = "NO"
            raise ts.Rejected(code, "No.")
        if mood == ["breaks"]:
            self.moods[what].pop(0)
            raise ConnectionError
        if mood == ["later"]:
            self.moods[what].pop(0)
            return ts.Later()
        return None

    def after(self, what: str, action: ts.Action[Any], call: ts.Call) -> None:
        del action, call
        if self.moods.get(what, [])[:1] == ["mumbles"]:
            self.moods[what].pop(0)
            raise ConnectionError


class Travels:
    """One system after another on one log; the world outlives them all."""

    def __init__(self, made: Callable[[], Sequence[ts.Saga[Any, Any]]] = sagas, performers: Sequence[ts.Performer] = ()) -> None:
        self.moods = Governed()
        self.world = World(self.moods)
        self.sagas = made
        self.performers = performers
        self.clock = ts.ManualClock(NOON)
        self.log = ts.MemoryLog()
        self._open()

    def _open(self) -> None:
        self.runtime = ts.SteppedRuntime(self.clock)
        performers = [*self.world.performers(), *self.performers]
        self.system = ts.System(sagas=self.sagas(), performers=performers, log=self.log, runtime=self.runtime)
        self.system.__enter__()

    def crash(self) -> None:
        """The process is gone in the middle of whatever it was doing; another one opens the log."""
        self.log = self.log.reopened()
        self._open()

    def reopen(self, made: Callable[[], Sequence[ts.Saga[Any, Any]]]) -> None:
        """A clean stop, and a new start of another program."""
        self.system.stop()
        self.log = self.log.reopened()
        self.sagas = made
        self._open()

    def start(self, saga_id: str = "1") -> ts.SagaHandle[Itinerary]:
        return self.system.start(BookTrip, TRIP, id=saga_id)

    @property
    def trip(self) -> ts.SagaHandle[Itinerary]:
        """The first one, in the present process."""
        return self.system.saga(BookTrip, "1")

    def idle(self) -> None:
        self.runtime.run_until_idle()

    def days(self, days: float) -> None:
        self.runtime.advance(timedelta(days=days))

    @property
    def written(self) -> list[Recorded]:
        return list(self.system.events())

    @property
    def told(self) -> list[str]:
        """The types of the sagas' events and intents, in order."""
        return [each.event_type for each in self.written if each.event_type.startswith("Book")]

    @property
    def held(self) -> dict[str, int]:
        """How much is booked and not given back."""
        return {what: len(self.world.held(what)) for what in ("hotel", "flight", "car")}

    def check(self) -> None:
        """All invariants, S11 and L3 among them."""
        self.idle()
        check_invariants(self.system, [SagasEnd(ts.saga_modules(*self.sagas()))])
