"""What the tests of the colony share: one land, names, steps made by hand, and a colony that a test drives itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pyrsistent import pmap

import tallystick as ts
from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.audit import problems
from tallystick.scenarios.settlers.colony import MORNING, STEP
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import micros
from tallystick.scenarios.settlers.navigation import Arrive
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.system import LINES, modules, performers
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

LAND = Land.generated(1, 20)
PATHS = Paths(LAND)
HOME = LAND.stockpile
ANN = "settler-ann"
BOB = "settler-bob"
NOON_US = 1_767_268_800_000_000
"""The time of a test that is stated by given, when, then: noon of 1 January 2026."""
SECOND_US = 1_000_000


def way(start: Tile, goal: Tile) -> str:
    found = PATHS.way(start, goal, frozenset())
    assert found is not None
    return found


def at_step(now_us: int = NOON_US, *residents: ts.Resident) -> ts.Step:
    """A step in which everybody stands at home and is free, unless it is said otherwise."""
    usual: dict[type[Any], ts.Resident] = {
        Roster: Roster(at=pmap({ANN: HOME, BOB: HOME})),
        Works: Works(agenda=Agenda().with_(ANN, 0).with_(BOB, 0)),
        Wellbeing: Wellbeing(),
    }
    usual.update({type(resident): resident for resident in residents})
    return ts.Step(delta_us=50_000, now_us=now_us, look=usual.__getitem__)


class Played:
    """A colony on the small land, with the settlers that a test lets come, and no fate but the test."""

    def __init__(self, log: ts.EventLog | None = None) -> None:
        self.clock = ts.ManualClock(MORNING)
        self.runtime = ts.SteppedRuntime(self.clock)
        self.system = ts.System(modules(LAND, PATHS), performers=performers(), lines=LINES, log=log, runtime=self.runtime)

    def arrive(self, settler: str = ANN, at: Tile = HOME, *, hunger: int = 0, fatigue: int = 0) -> None:
        self.system.ask(Arrive(settler=settler, at=at, hunger=hunger, fatigue=fatigue))

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            self.system.step(STEP)
            self.check()

    def live(self, **time: float) -> None:
        self.steps(timedelta(**time) // STEP)

    def until(self, event: type[ts.Event], *, within: timedelta = timedelta(minutes=30), more: int = 1) -> Any:
        """Go on until so many more events of that type have happened; the last of them."""
        before = len(self.happened(event))
        for _ in range(within // STEP):
            self.steps()
            found = self.happened(event)
            if len(found) >= before + more:
                return found[-1]
        msg = f"no {event.__name__} within {within}"
        raise AssertionError(msg)

    def happened(self, *kinds: type[ts.Event]) -> list[Any]:
        names = tuple(kind.__name__ for kind in kinds)
        return [recorded.event for recorded in self.system.events(event_types=names)]

    def names(self, after: int = 0) -> list[str]:
        return [recorded.event_type for recorded in self.system.events(after=after)]

    def open(self, owner: str) -> list[ts.OpenExecution]:
        return [execution for execution in self.system.open_executions() if execution.owner == owner]

    @property
    def now_us(self) -> int:
        return micros(self.clock.now)

    @property
    def roster(self) -> Roster:
        return self.system.resident(Roster)

    @property
    def works(self) -> Works:
        return self.system.resident(Works)

    @property
    def wellbeing(self) -> Wellbeing:
        return self.system.resident(Wellbeing)

    def check(self) -> None:
        """After every step: no token without its settler's deed, no deed without its token, nobody stuck."""
        assert list(problems(self.system.open_executions(), self.roster, self.works, self.wellbeing, self.now_us)) == []


@contextmanager
def colony(log: ts.EventLog | None = None) -> Iterator[Played]:
    played = Played(log)
    with played.system:
        yield played
