"""Travel booking as a program to simulate: travellers who change their mind, agencies in all moods, and what their ledgers must say."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final

import tallystick as ts
from tallystick.scenarios.travel_booking.agencies import World
from tallystick.scenarios.travel_booking.holiday import BookHoliday, Holiday
from tallystick.scenarios.travel_booking.system import modules
from tallystick.scenarios.travel_booking.trip import BookTrip, Trip
from tallystick.testing import Chance, Invariant, InvariantViolation, SimulatedProgram, Wish
from tallystick.testing.sagas import SagasEnd

TRIPS: Final = 6
HOLIDAYS: Final = 4
REGRET: Final = 0.3
"""The share of travellers who change their mind."""
DECLINED: Final = 0.12
STUBBORN: Final = 0.12
"""How likely it is that a booking is declined for good; and that a compensation is, until a person has it tried again."""
LATER: Final = 0.1
STUBBORN_TIMES: Final = 2


class Whims:
    """Moods that a seed decides, always the same ones for the same key."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._refused: dict[str, int] = {}

    def before(self, what: str, action: ts.Action[Any], call: ts.Call) -> ts.Later | None:
        """Some bookings are declined, some take their time; some cancellations are refused at first."""
        chance = self._chance
        if what.startswith("cancel"):
            about = f"{what} {getattr(action, 'reference', '') or getattr(action, 'key', '')}"
            times = self._refused.get(about, 0)
            if chance.at("stubborn", about) < STUBBORN and times < STUBBORN_TIMES:
                self._refused[about] = times + 1
                code = "DESK_CLOSED"
                raise ts.Rejected(code, "Nobody is there to cancel it.")
            return None
        if what != "tickets" and chance.at("declines", call.key) < DECLINED:
            code = "DECLINED"
            raise ts.Rejected(code, "Nothing can be had.")
        late = what in {"approval", "payment", "flight"} and chance.at("later", call.key) < LATER
        return ts.Later() if late or (what == "approval" and chance.at("by hand", call.key) < 0.5) else None  # noqa: PLR2004 - half of them

    def after(self, what: str, action: ts.Action[Any], call: ts.Call) -> None:
        """What goes wrong on the way back is the simulation's to say."""
        del what, action, call


class SimulatedTravel(SimulatedProgram):
    """Trips and holidays are booked within ten minutes, and some are cancelled, soon or late."""

    name: ClassVar[str] = "travel-booking"

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.world = World(Whims(chance))

    def modules(self) -> Sequence[ts.Module]:
        """Both sagas."""
        return modules()

    def performers(self) -> Sequence[ts.Performer]:
        """The agencies."""
        return self.world.performers()

    def deliver(self, system: ts.System) -> None:
        """Answers that were promised."""
        self.world.deliver(system.complete)

    def wishes(self) -> Iterator[Wish]:
        """Starts, each with a key; some are asked for twice, and some cancelled."""
        chance = self.chance
        for number in range(1, TRIPS + HOLIDAYS + 1):
            at = timedelta(seconds=600 * chance.at("trip", number))
            trip = Trip(traveller=f"traveller-{number}", city=chance.pick(("Rome", "Oslo"), "city", number))
            saga: type[ts.Saga[Any, Any]] = BookTrip if number <= TRIPS else BookHoliday
            given: Any = trip if number <= TRIPS else Holiday(trip=trip, cents=100 * number)
            saga_id = f"{saga.name}-{number}"
            yield Wish(at, saga.start_command(given, id=saga_id), f"start:{saga_id}")
            if chance.at("twice", number) < REGRET:
                yield Wish(at + timedelta(seconds=2), saga.start_command(given, id=saga_id), f"again:{saga_id}")
            if chance.at("regret", number) < REGRET:
                later = timedelta(seconds=chance.pick((0.0, 0.01, 1.0, 30.0, 400.0, 4000.0), "hesitates", number))
                yield Wish(at + later, saga.cancel_command(saga_id, "REGRET"))  # once: it fails as long as a step's handler is poisoned

    def invariants(self) -> Sequence[Invariant]:
        """S11 and L3, and the agencies' ledgers."""
        return (SagasEnd(modules()), LedgersAgree(self.world))


class LedgersAgree:
    """No booking without a trip, and no trip without all its bookings; no tickets without a payment, and no payment that nobody knows."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._completed: dict[str, Any] = {}

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more record."""
        if recorded.event_type == "BookTripCompleted":
            self._completed[recorded.aggregate_id] = event.result
        elif recorded.event_type == "BookTripCompensated":
            self._completed.pop(recorded.aggregate_id, None)

    def end(self, system: ts.System) -> None:
        """Hold the ledgers against the log."""
        problems = list(self._world.problems(self._completed))
        paid, sent = (self._known(system, f"BookHoliday{step}Done") for step in ("Payment", "Tickets"))
        done = sum(1 for each in self._world.of.values() if each == "payment")
        if done != len(paid):
            problems.append(f"{done} payments were made, those of {sorted(paid)} are known")
        if sent - paid:
            problems.append(f"tickets were sent that are not paid: {sorted(sent - paid)}")
        if problems:
            raise InvariantViolation("S11", "; ".join(problems))

    def _known(self, system: ts.System, done: str) -> set[str]:
        return {each.aggregate_id for each in system.events(event_types=(done, f"{done}AfterAll", f"{done}Late"))}
