"""Needs' state: how every settler feels, and when something has to be done about it."""

import msgspec
from pyrsistent import PMap, pmap

import tallystick as ts
from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.levels import COOLS_AFTER_FAILURE_US, Level, Need
from tallystick.scenarios.settlers.relief import PORTIONS


class Condition(ts.Record):
    """How one settler feels. `pursued`: the need that something is being done about."""

    hunger: Level
    fatigue: Level
    portions: int = PORTIONS
    pursued: Need | None = None

    def level(self, need: Need) -> Level:
        """One of its needs."""
        return self.hunger if need is Need.HUNGER else self.fatigue

    def with_level(self, need: Need, level: Level, *, portions: int | None = None) -> "Condition":
        """With another level, and nothing being done any more."""
        hunger = level if need is Need.HUNGER else self.hunger
        fatigue = level if need is Need.FATIGUE else self.fatigue
        return Condition(hunger=hunger, fatigue=fatigue, portions=self.portions if portions is None else portions)

    def urgent(self, now_us: int) -> Need | None:
        """The need that is to be looked after when there is time, if there is one."""
        return next((need for need in Need if self.level(need).urgent_us(need) <= now_us), None)

    def critical(self, now_us: int) -> Need | None:
        """The need that is to be looked after at once, if there is one."""
        return next((need for need in Need if self.level(need).critical_us(need) <= now_us), None)

    def has_to_eat(self, now_us: int) -> bool:
        """Whether it is so hungry that it would be interrupted in whatever it does, in vain, for its pouch is empty.

        Not while hunger is left alone for longer than after an attempt that failed: it has just eaten, or the host's clock was put back.
        """
        soon = self.hunger.cooled_us <= now_us + COOLS_AFTER_FAILURE_US
        return soon and not self.portions and self.hunger.is_critical(Need.HUNGER, now_us)


class Wellbeing(ts.Resident):
    """All settlers. On the agendas stands everybody but those for whom something is being done."""

    settlers: PMap[str, Condition] = pmap()
    urgent: Agenda = Agenda()
    critical: Agenda = Agenda()
    met: PMap[str, int] = pmap()
    """How often each relief has helped."""
    not_met: int = 0

    def has_to_eat(self, settler: str, now_us: int) -> bool:
        """Whether nobody else is to give it anything to do until it has eaten."""
        condition = self.settlers.get(settler)
        return condition is not None and condition.has_to_eat(now_us)

    def with_condition(self, settler: str, condition: Condition) -> "Wellbeing":
        """With one settler's condition, and the agendas as it asks for."""
        urgent, critical = self.urgent.without(settler), self.critical.without(settler)
        if condition.pursued is None:
            urgent = urgent.with_(settler, min(condition.level(need).urgent_us(need) for need in Need))
            critical = critical.with_(settler, min(condition.level(need).critical_us(need) for need in Need))
        return msgspec.structs.replace(self, settlers=self.settlers.set(settler, condition), urgent=urgent, critical=critical)
