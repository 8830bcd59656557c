"""What the tests of the colony share: one land, names, steps made by hand, and a colony that a test drives itself."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from pyrsistent import pmap

import tallystick as ts
from tallystick.domain.effect import IfItFails, Interruption
from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.audit import problems
from tallystick.scenarios.settlers.colony import MORNING, STEP
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import RULES, Level, Need, micros
from tallystick.scenarios.settlers.line import SETTLERS
from tallystick.scenarios.settlers.navigation import Arrive
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.system import LINES, modules, performers
from tallystick.scenarios.settlers.wellbeing import Condition, Wellbeing
from tallystick.scenarios.settlers.works import Works

E = TypeVar("E", bound=ts.Event)

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


def succeeded(at: Tile | None) -> ts.Succeeded[Tile | None]:
    """What a queue ends with, whose settler stands there."""
    return ts.Succeeded(result=at)


def at_step(now_us: int = NOON_US, *residents: ts.Resident) -> ts.Step:
    """A step in which everybody stands at home and is free, unless it is said otherwise."""
    usual: dict[type[Any], ts.Resident] = {
        Roster: Roster(at=pmap({ANN: HOME, BOB: HOME})),
        Works: Works(agenda=Agenda().with_(ANN, 0).with_(BOB, 0)),
        Wellbeing: Wellbeing(),
    }
    usual.update({type(resident): resident for resident in residents})
    return ts.Step(delta_us=50_000, now_us=now_us, look=usual.__getitem__)


def starving(portions: int = 0, cooled_us: int = 0) -> Wellbeing:
    """Ann, who has to eat at once, with so much in her pouch."""
    hunger = Level(points=RULES[Need.HUNGER].critical, at_us=NOON_US, cooled_us=cooled_us)
    return Wellbeing(settlers=pmap({ANN: Condition(hunger=hunger, fatigue=Level(points=0, at_us=NOON_US), portions=portions)}))


class Pause(ts.Action[None]):
    """Do nothing for so many steps, and then perhaps fail."""

    steps: int
    fails: bool = False


class Pausing(ts.Ticker[Pause, None]):
    spent: int = 0

    def tick(self, action: Pause, step: ts.Step) -> ts.Running | ts.Done[None] | ts.Failed:
        del step
        self.spent += 1
        if self.spent < action.steps:
            return ts.Running()
        return ts.Failed(code="NO_GOOD") if action.fails else ts.Done(result=None)


class Meddled(ts.Event):
    aggregate_type = "Meddling"
    settler: str
    label: str
    outcome: str

    @property
    def aggregate_id(self) -> str:
        return self.settler


class Meddling(ts.Intent[None]):
    line = SETTLERS.name
    ends_with = (Meddled,)
    settler: str
    label: str

    @property
    def subject(self) -> str:
        return self.settler


class Meddle(ts.Command[None]):
    """Want a settler for something, once for each label."""

    settler: str
    labels: tuple[str, ...]
    priority: int
    origin: str = ""
    actions: tuple[Pause, ...] = (Pause(steps=2),)
    interruption: Interruption = "deferred"
    if_it_fails: IfItFails = "resume_parent"


class Meddler(ts.Module):
    """Somebody else who wants settlers, so that a test can have any intent compete with those of the colony's own owners."""

    name = "behaviour"

    @ts.handles(Meddle)
    def meddle(self, turn: ts.Turn, command: Meddle) -> ts.Decision[None]:
        del turn
        for label in command.labels:
            yield ts.Begin(
                intent=Meddling(settler=command.settler, label=label),
                actions=command.actions,
                priority=command.priority,
                origin=command.origin,
                interruption=command.interruption,
                if_it_fails=command.if_it_fails,
            )

    @Meddling.settled
    def settle(self, turn: ts.Turn, meddling: Meddling, outcome: ts.Outcome[None]) -> ts.Effects:
        del turn
        told = f"refused: {outcome.cause}" if isinstance(outcome, ts.Refused) else type(outcome).__name__.lower()
        yield Meddled(settler=meddling.settler, label=meddling.label, outcome=told)


class Played:
    """A colony on the small land, with the settlers that a test lets come, and no fate but the test."""

    def __init__(self, log: ts.EventLog | None = None, *, meddled: bool = False) -> None:
        self.clock = ts.ManualClock(MORNING)
        self.runtime = ts.SteppedRuntime(self.clock)
        owners, actions = (*modules(LAND, PATHS), *([Meddler()] * meddled)), (*performers(), *([Pause.ticked_by(Pausing)] * meddled))
        self.system = ts.System(owners, performers=actions, lines=LINES, log=log, runtime=self.runtime)

    def arrive(self, settler: str = ANN, at: Tile = HOME, *, hunger: int = 0, fatigue: int = 0) -> None:
        self.system.ask(Arrive(settler=settler, at=at, hunger=hunger, fatigue=fatigue))

    def steps(self, count: int = 1) -> None:
        for _ in range(count):
            before = self.system.health().tail
            self.system.step(STEP)
            if self.system.health().tail != before:
                self.check()
        self.check()

    def live(self, **time: float) -> None:
        self.steps(timedelta(**time) // STEP)

    def until(self, event: type[E], *, within: timedelta = timedelta(minutes=30)) -> E:
        """Go on until an event of that type happens; the last of them in that step."""
        for _ in range(within // STEP):
            seen = self.system.health().tail
            self.steps()
            found = self.happened(event, after=seen) if self.system.health().tail > seen else []
            if found:
                return found[-1]
        msg = f"no {event.__name__} within {within}"
        raise AssertionError(msg)

    def happened(self, *kinds: type[E], after: int = 0) -> list[E]:
        by_name = {kind.__name__: kind for kind in kinds}
        records = self.system.events(after=after, event_types=tuple(by_name))
        return [msgspec.json.decode(recorded.payload, type=by_name[recorded.event_type]) for recorded in records]

    def names(self, after: int = 0) -> list[str]:
        return [recorded.event_type for recorded in self.system.events(after=after)]

    def meddled(self) -> dict[str, str]:
        """What became of each label."""
        return {each.label: each.outcome for each in self.happened(Meddled)}

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
def colony(log: ts.EventLog | None = None, *, meddled: bool = False) -> Generator[Played]:
    played = Played(log, meddled=meddled)
    with played.system:
        yield played
