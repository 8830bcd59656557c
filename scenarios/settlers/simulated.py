"""The colony as a program to simulate: a few settlers, a player who meddles, a host that takes steps; and what must hold of them (L2).

A crash leaves the log and nothing else: whoever was on the way, or at a tree, starts that action again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, NamedTuple

import tallystick as ts
from tallystick.scenarios.settlers.audit import WoodAudit, problems
from tallystick.scenarios.settlers.events import JobDone, TaskDone
from tallystick.scenarios.settlers.fate import arrivals, settler_name
from tallystick.scenarios.settlers.land import Land, Tile, neighbours
from tallystick.scenarios.settlers.levels import micros
from tallystick.scenarios.settlers.navigation import BlockTile, ClearTile, ResetSettler, SendTo
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.system import LINES, modules, performers
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.work import Assign, FellTree, Unassign
from tallystick.scenarios.settlers.works import Works
from tallystick.testing import Chance, Invariant, InvariantViolation, SimulatedProgram, Wish

SETTLERS: Final = 4
MEDDLINGS: Final = 12
MEDDLES_FOR_S: Final = 1_000
LAND: Final = Land.generated(1, SETTLERS)
PATHS: Final = Paths(LAND)
CROSSROADS: Final = tuple(tile for _, tile in neighbours(LAND.stockpile) if LAND.is_open(tile))
"""Tiles that are on the way of many."""
ACTS_WITHIN: Final = timedelta(minutes=4)
"""Whoever can act has done something after so long at most: a meal, a night's rest and a task that fails now and then fit in."""


NOTHING_OUTSIDE: Final = frozenset(
    (
        *("duplicated", "reordered", "dropped", "late", "misaddressed", "hung", "failing", "failing_after_effect"),
        *("still_running", "found_done", "answer_to_come", "left_to_person", "late_success"),
    )
)
"""What befalls calls of the outside world, their answers, and whoever asks what became of them: settlers make none."""


class SimulatedColony(SimulatedProgram):
    """Twenty minutes with everything that can go wrong, and some more in peace."""

    name: ClassVar[str] = "settlers"
    step: ClassVar[timedelta] = timedelta(seconds=1)
    cannot_meet: ClassVar[frozenset[str]] = NOTHING_OUTSIDE
    steps_after_healing: ClassVar[timedelta] = ACTS_WITHIN + timedelta(seconds=30)

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.deeds = Deeds()
        """What the log that was last read says."""
        self.peace = timedelta()
        """For how long nothing has gone wrong."""
        self._looked: Looked | None = None
        self._seen: dict[str, tuple[int, timedelta]] = {}

    def modules(self) -> Sequence[ts.Module]:
        """The three owners."""
        return modules(LAND, PATHS)

    def performers(self) -> Sequence[ts.Performer]:
        """All that settlers do, and nothing outside."""
        return performers()

    def lines(self) -> Sequence[ts.Line]:
        """The settlers'."""
        return LINES

    def wishes(self) -> Iterator[Wish]:
        """The settlers come, some of them hungry; then the player sends, resets, unassigns, blocks tiles and fells trees."""
        chance = self.chance
        for arrival in arrivals(LAND._replace(seed=chance.between(0, 1_000_000, "arrivals")), SETTLERS):
            yield Wish(timedelta(seconds=60 * chance.at("arrives", arrival.settler)), arrival, f"arrive:{arrival.settler}")
        for number in range(MEDDLINGS):
            at = timedelta(seconds=60 + MEDDLES_FOR_S * chance.at("meddles", number))
            yield from self._meddling(number, at)

    def _meddling(self, number: int, at: timedelta) -> Iterator[Wish]:
        chance, later = self.chance, timedelta(seconds=self.chance.between(5, 60, "for", number))
        settler = settler_name(chance.between(1, SETTLERS, "whom", number))
        match chance.between(1, 5, "what", number):
            case 1:
                yield Wish(at, SendTo(settler=settler, to=self._somewhere(number)), f"send:{number}")
            case 2:
                yield Wish(at, ResetSettler(settler=settler), f"reset:{number}")
            case 3:
                yield Wish(at, Unassign(settler=settler), f"unassign:{number}")
                yield Wish(at + later, Assign(settler=settler), f"assign:{number}")
            case 4:
                tile = chance.pick(CROSSROADS, "tile", number)
                yield Wish(at, BlockTile(tile=tile), f"block:{number}")
                yield Wish(at + later, ClearTile(tile=tile), f"clear:{number}")
            case _:
                yield Wish(at, FellTree(tree=chance.between(0, len(LAND.trees) - 1, "tree", number)), f"fell:{number}")

    def _somewhere(self, number: int) -> Tile:
        return self.chance.pick((*LAND.beds, *LAND.bushes), "where", number)

    def invariants(self) -> Sequence[Invariant]:
        """Wood, and who does something."""
        self.deeds = Deeds()
        return (WoodIsConserved(), self.deeds)

    def stepped(self, system: ts.System, now: datetime) -> None:
        """No token is kept for nothing, and whoever can act acts."""
        self.peace += self.step
        roster, works, _ = self._look(system, now)
        for settler in roster.at:
            done, since = self._seen.get(settler, (-1, self.peace))
            if done != self.deeds.done[settler] or settler in works.unassigned:
                self._seen[settler] = (self.deeds.done[settler], self.peace)
            elif self.peace - since > ACTS_WITHIN:
                raise InvariantViolation("L1", f"{settler} has done nothing for {ACTS_WITHIN}: {works.jobs.get(settler)}")

    def _look(self, system: ts.System, now: datetime) -> "Looked":
        """At everything, if anything has happened; else all is as it was, and whoever is to be looked at will be so sooner."""
        if self._looked is None or self._looked.position != self.deeds.position:
            roster, works, wellbeing = system.resident(Roster), system.resident(Works), system.resident(Wellbeing)
            for problem in problems(system.open_executions(), roster, works, wellbeing, micros(now)):
                raise InvariantViolation("L2", problem)
            self._looked = Looked(roster, works, self.deeds.position)
        return self._looked


class Looked(NamedTuple):
    """What was found when the log ended there."""

    roster: Roster
    works: Works
    position: int


class WoodIsConserved:
    """S9: wood is where it was put, or was lost with a job; counted from the events, not by Work."""

    def __init__(self) -> None:
        self._audit = WoodAudit()

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more event."""
        del recorded
        self._audit.take(event)

    def end(self, system: ts.System) -> None:
        """What Work has agrees with what was counted."""
        found = list(self._audit.problems(system.resident(Works)))
        if found:
            raise InvariantViolation("S9", "; ".join(found))


class Deeds:
    """Counts what every settler has done, up to a position of the log."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.position = 0

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more event."""
        self.position = recorded.position
        if isinstance(event, TaskDone | JobDone):
            self.done[event.settler] += 1

    def end(self, system: ts.System) -> None:
        """Counting finds nothing wrong."""
        del system
