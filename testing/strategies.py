"""Strategies: which of those that could go on goes on next. Each is a pure function of the seed and of who can."""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

from tallystick.actors.actor import Inbox
from tallystick.testing.chance import Chance

Name = Literal["uniform", "priorities"]

TURNS_EXPECTED = 2000
"""Over so many turns the change points are spread; a run that is longer has no more of them."""


class Strategy(Protocol):
    """Chooses."""

    def pick(self, ready: Sequence[Inbox], others: int) -> int:
        """The index of an inbox, or, from `len(ready)` on, of one of so many others: the outside world, the timer's alarm."""
        ...


class Uniform:
    """Each with the same chance."""

    def __init__(self, chance: Chance) -> None:
        self._draw = chance.stream("schedule")

    def pick(self, ready: Sequence[Inbox], others: int) -> int:
        """Any of them."""
        return int(self._draw() * (len(ready) + others))


class Priorities:
    """Always the one with the highest priority, which are drawn once; at a few drawn points the one that is running becomes the last.

    This finds a bug that takes d orderings between n actors in k turns with a probability of at least 1/(n·k^(d-1)) (Burckhardt et al., "A
    randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010): it starves actors for as long as it takes, which a
    uniform choice hardly ever does.
    """

    def __init__(self, chance: Chance, change_points: int) -> None:
        self._chance = chance
        self._priorities: dict[str, float] = {}
        self._known: dict[Inbox, float] = {}
        """As `_priorities`, found without an inbox's name: this is asked for each inbox in each turn."""
        self._turns = 0
        self._changes = {chance.between(1, TURNS_EXPECTED, "change", number): -float(number + 1) for number in range(change_points)}

    def pick(self, ready: Sequence[Inbox], others: int) -> int:
        """The one that comes first. Asked for every turn, so it makes no lists."""
        self._turns += 1
        known = self._known
        best, highest = 0, -math.inf
        for index, inbox in enumerate(ready):
            priority = known.get(inbox) or self._meet(inbox)
            if priority > highest:
                best, highest = index, priority
        for number in range(others):
            priority = self._priority(f"\0{number}")
            if priority > highest:
                best, highest = len(ready) + number, priority
        if self._changes and (lowest := self._changes.pop(self._turns, None)) is not None:
            self._priorities[_name(ready[best]) if best < len(ready) else f"\0{best - len(ready)}"] = lowest
            known.clear()
        return best

    def _meet(self, inbox: Inbox) -> float:
        priority = self._known[inbox] = self._priority(_name(inbox))
        return priority

    def _priority(self, name: str) -> float:
        priority = self._priorities.get(name)
        if priority is None:
            priority = self._priorities[name] = self._chance.at("priority", name)
        return priority


def _name(inbox: Inbox) -> str:
    return "" if inbox.actor is None else inbox.actor.name


def strategy_named(name: Name, chance: Chance, change_points: int) -> Strategy:
    """The strategy of that name."""
    return Uniform(chance) if name == "uniform" else Priorities(chance, change_points)
