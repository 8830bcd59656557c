"""What settlers do, and how it goes on from step to step. Every action ends with where the settler stands, if it has moved."""

from typing import Final, TypeVar

import tallystick as ts
from tallystick.scenarios.settlers.jobs import BUILD_US, FELL_US, TILE_US
from tallystick.scenarios.settlers.land import MOVES, Tile
from tallystick.scenarios.settlers.levels import SECOND_US
from tallystick.scenarios.settlers.relief import LASTS_US, Relief
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

A = TypeVar("A", bound=ts.Action[Tile | None])

PATH_BLOCKED: Final = "PATH_BLOCKED"
TARGET_GONE: Final = "TARGET_GONE"
NO_RATIONS: Final = "NO_RATIONS"

RUNNING: Final = ts.Running()


class Walk(ts.Action[Tile | None]):
    """Go from tile to tile, by the moves of `way`."""

    start: Tile
    way: str


class Fell(ts.Action[Tile | None]):
    """Cut wood from a tree."""

    tree: int
    at: Tile


class Build(ts.Action[Tile | None]):
    """Add a beam to a house."""

    at: Tile


class Relieve(ts.Action[Tile | None]):
    """Do something about a need: at a tile, or where the settler happens to be."""

    settler: str
    relief: Relief
    at: Tile | None = None


class Walking(ts.Ticker[Walk, Tile | None]):
    """On the way. A blocked tile is noticed in front of it."""

    x: int = 0
    y: int = 0
    moves: int = 0
    spent_us: int = 0

    @classmethod
    def begin(cls, action: Walk, call: ts.Call) -> "Walking":
        """At the start."""
        del call
        return cls(x=action.start.x, y=action.start.y)

    def tick(self, action: Walk, step: ts.Step) -> ts.Running | ts.Done[Tile | None] | ts.Failed:
        """Go on, a tile every `TILE_US`."""
        self.spent_us += step.delta_us
        if self.spent_us < TILE_US:
            return RUNNING
        while self.spent_us >= TILE_US and self.moves < len(action.way):
            dx, dy = MOVES[action.way[self.moves]]
            x, y = self.x + dx, self.y + dy
            if (x, y) in step.resident(Roster).blocked:
                return ts.Failed(code=PATH_BLOCKED, message=f"Nobody gets to {x},{y}.")
            self.x, self.y = x, y
            self.moves += 1
            self.spent_us -= TILE_US
        return ts.Done(result=Tile(self.x, self.y)) if self.moves == len(action.way) else RUNNING


class Lasting(ts.Ticker[A, Tile | None]):
    """Something that takes whole seconds, and ends early if what it needs is not there any more: after each second the settler looks up."""

    spent_us: int = 0

    def tick(self, action: A, step: ts.Step) -> ts.Running | ts.Done[Tile | None] | ts.Failed:
        """Go on."""
        seconds = self.spent_us // SECOND_US
        self.spent_us += step.delta_us
        if self.spent_us // SECOND_US == seconds:
            return RUNNING
        hindered = self.hindered(action, step)
        if hindered:
            return ts.Failed(code=hindered)
        return RUNNING if self.spent_us < self.lasts_us(action) else ts.Done(result=self.stands(action))

    def hindered(self, action: A, step: ts.Step) -> str:
        """Why it cannot go on; empty if it can."""
        del action, step
        return ""

    def lasts_us(self, action: A) -> int:
        """How long it takes."""
        raise NotImplementedError(action)

    def stands(self, action: A) -> Tile | None:
        """Where the settler stands."""
        raise NotImplementedError(action)


class Felling(Lasting[Fell]):
    """At a tree, which may be gone."""

    def hindered(self, action: Fell, step: ts.Step) -> str:
        """There has to be wood."""
        return "" if step.resident(Works).tree(action.tree, step.now_us).wood else TARGET_GONE

    def lasts_us(self, action: Fell) -> int:
        """As long for every tree."""
        del action
        return FELL_US

    def stands(self, action: Fell) -> Tile:
        """At the tree."""
        return action.at


class Building(Lasting[Build]):
    """At a house."""

    def lasts_us(self, action: Build) -> int:
        """As long for every beam."""
        del action
        return BUILD_US

    def stands(self, action: Build) -> Tile:
        """At the house."""
        return action.at


class Relieving(Lasting[Relieve]):
    """Eating or sleeping."""

    def hindered(self, action: Relieve, step: ts.Step) -> str:
        """A ration has to be in the pouch."""
        empty = action.relief is Relief.RATION and not step.resident(Wellbeing).settlers[action.settler].portions
        return NO_RATIONS if empty else ""

    def lasts_us(self, action: Relieve) -> int:
        """Longer in a bed than on the ground."""
        return LASTS_US[action.relief]

    def stands(self, action: Relieve) -> Tile | None:
        """Where it was done."""
        return action.at


def performers() -> tuple[ts.Performer, ...]:
    """Every action, with how it goes on."""
    return (Walk.ticked_by(Walking), Fell.ticked_by(Felling), Build.ticked_by(Building), Relieve.ticked_by(Relieving))
