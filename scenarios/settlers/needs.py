"""Needs: sees to it that every settler eats and sleeps: when there is time, or, if it must be, in the midst of work."""

from datetime import timedelta
from typing import ClassVar, assert_never

import msgspec

import tallystick as ts
from tallystick.scenarios.settlers.actions import Relieve, Walk
from tallystick.scenarios.settlers.events import NeedMet, NeedNotMet, NeedPursued, NeedsBegun, SettlerArrived, SettlerReset
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import Level, Need, micros
from tallystick.scenarios.settlers.line import NEEDS, SETTLERS
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.relief import HELPS, ON_THE_SPOT, PORTIONS, PROPERLY, Relief
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Condition, Wellbeing
from tallystick.scenarios.settlers.works import Works

_replace = msgspec.structs.replace


class Pursuing(ts.Intent[Tile | None]):
    """To have something done about a need."""

    line: ClassVar[str] = SETTLERS.name
    timeout: ClassVar[timedelta | None] = timedelta(minutes=10)
    on_timeout: ClassVar = "abandon"
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (NeedMet, NeedNotMet)

    settler: str
    need: Need
    relief: Relief

    @property
    def subject(self) -> str:
        """The settler."""
        return self.settler


class NeedsManager(ts.Module):
    """The owner of hunger and fatigue."""

    name: ClassVar[str] = NEEDS

    def __init__(self, land: Land, paths: Paths) -> None:
        self._spots = {Need.HUNGER: land.bushes, Need.FATIGUE: land.beds}
        self._paths = paths

    # Deciding.

    @ts.each_step
    def look_after(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        """What is critical comes at once, the rest when the settler is free. Who is free goes where it helps most."""
        wellbeing, now_us = turn.resident(Wellbeing), step.now_us
        urgent = wellbeing.urgent.due(now_us)
        if not urgent:
            return  # what is critical is urgent too
        works, roster = step.resident(Works), step.resident(Roster)
        for settler in urgent:
            free = works.is_free(settler) and not roster.is_under_orders(settler)
            critical = wellbeing.critical.is_due(settler, now_us)
            if not free and not critical:
                continue
            condition = wellbeing.settlers[settler]
            need = (condition.critical(now_us) if critical else None) or condition.urgent(now_us)
            if need is None:
                continue
            spot = self._nearest(need, roster.at[settler]) if free else None
            way = None if spot is None else self._paths.way(roster.at[settler], spot, roster.blocked)
            if spot is not None and way is not None:
                walk = Walk(start=roster.at[settler], way=way)
                yield from _pursued(settler, need, PROPERLY[need], walk, spot, critical=critical)
            elif critical:
                yield from _pursued(settler, need, ON_THE_SPOT[need], critical=True)
            else:
                yield NeedNotMet(settler=settler, need=need, reason="NO_WAY", at_us=now_us)

    def _nearest(self, need: Need, at: Tile) -> Tile:
        """The bush or bed to go to; of several, the first."""
        return min(self._spots[need], key=lambda spot: self._paths.distance(at, spot))

    @Pursuing.settled
    def settle(self, turn: ts.Turn, pursuing: Pursuing, outcome: ts.Outcome[Tile | None]) -> ts.Effects:
        """It has helped, or it has not: either way the need is left alone for a while."""
        settler, need, now_us = pursuing.settler, pursuing.need, micros(turn.now)
        match outcome:
            case ts.Succeeded(result=at):
                yield NeedMet(settler=settler, need=need, relief=pursuing.relief, at_us=now_us, at=at)
            case ts.Failed(code=reason) | ts.Refused(cause=reason) | ts.Cancelled(reason=reason):
                yield NeedNotMet(settler=settler, need=need, reason=reason.upper(), at_us=now_us)
            case ts.TimedOut():
                yield NeedNotMet(settler=settler, need=need, reason="TIMED_OUT", at_us=now_us)
            case _:
                assert_never(outcome)

    # Others' decisions.

    @ts.reacts_to(SettlerArrived, emits=[NeedsBegun])
    def arrived(self, turn: ts.Turn, event: SettlerArrived) -> ts.Effects:
        """Hungry and tired as it comes."""
        del turn
        yield NeedsBegun(settler=event.settler, at_us=event.at_us, hunger=event.hunger, fatigue=event.fatigue)

    @ts.reacts_to(SettlerReset)
    def reset(self, turn: ts.Turn, event: SettlerReset) -> ts.Effects:
        """Whatever is being done is called off."""
        for execution in turn.open(Pursuing, event.settler):
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="RESET"))

    # State.

    @ts.folds(NeedsBegun, Wellbeing)
    def begun(self, wellbeing: Wellbeing, event: NeedsBegun) -> Wellbeing:
        """From here the needs rise."""
        hunger, fatigue = Level(points=event.hunger, at_us=event.at_us), Level(points=event.fatigue, at_us=event.at_us)
        return wellbeing.with_condition(event.settler, Condition(hunger=hunger, fatigue=fatigue))

    @ts.folds(NeedPursued, Wellbeing)
    def pursued(self, wellbeing: Wellbeing, event: NeedPursued) -> Wellbeing:
        """Nothing else is done until that has ended."""
        return wellbeing.with_condition(event.settler, _replace(wellbeing.settlers[event.settler], pursued=event.need))

    @ts.folds(NeedMet, Wellbeing)
    def met(self, wellbeing: Wellbeing, event: NeedMet) -> Wellbeing:
        """Lower, and cooling."""
        condition = wellbeing.settlers[event.settler]
        level = condition.level(event.need).relieved(event.need, event.at_us, HELPS[event.relief])
        portions = {Relief.MEAL: PORTIONS, Relief.RATION: condition.portions - 1}.get(event.relief)
        wellbeing = wellbeing.with_condition(event.settler, condition.with_level(event.need, level, portions=portions))
        return _replace(wellbeing, met=wellbeing.met.set(event.relief, wellbeing.met.get(event.relief, 0) + 1))

    @ts.folds(NeedNotMet, Wellbeing)
    def not_met(self, wellbeing: Wellbeing, event: NeedNotMet) -> Wellbeing:
        """As high as before, and cooling."""
        condition = wellbeing.settlers[event.settler]
        level = condition.level(event.need).not_met(event.at_us)
        return _replace(wellbeing.with_condition(event.settler, condition.with_level(event.need, level)), not_met=wellbeing.not_met + 1)


def _pursued(settler: str, need: Need, relief: Relief, walk: Walk | None = None, spot: Tile | None = None, *, critical: bool) -> ts.Effects:
    """Do something about a need: first get there, if it is not done on the spot.

    On the spot it interrupts what the settler does; an empty pouch then makes that fail too, so that the settler is free to go and eat.
    """
    relieve = Relieve(settler=settler, relief=relief, at=spot)
    yield NeedPursued(settler=settler, need=need, relief=relief)
    yield ts.Begin(
        intent=Pursuing(settler=settler, need=need, relief=relief),
        actions=(relieve,) if walk is None else (walk, relieve),
        priority=ts.Priority.CRITICAL if critical else ts.Priority.HIGH,
        origin=NEEDS,
        interruption="not_interruptible" if critical else "deferred",
        if_it_fails="fail_parent",
    )
