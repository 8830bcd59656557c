"""What the owners of the colony say to each other: every event, by the owner that publishes it. What each means is the owners' business.

Only decisions and their ends are events: a step in which nobody decides anything leaves no trace. Times are microseconds since 1970.
"""

from typing import ClassVar

import tallystick as ts
from tallystick.scenarios.settlers.jobs import JobKind, Task
from tallystick.scenarios.settlers.land import Tile
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.relief import Relief

# Navigation: who is there and stands where, which tiles are blocked, and where the player sends somebody.


class SettlerEvent(ts.Event):
    """Something that happened to a settler as a body in the land."""

    aggregate_type: ClassVar[str] = "Settler"
    settler: str

    @property
    def aggregate_id(self) -> str:
        """The settler."""
        return self.settler


class SettlerArrived(SettlerEvent):
    """A settler has come to the land. `hunger` and `fatigue` are what it brings along, in points."""

    at: Tile
    at_us: int
    hunger: int
    fatigue: int


class SettlerMoved(SettlerEvent):
    """A settler stands somewhere else now. Told when a queue of actions ends, not tile by tile."""

    at: Tile


class SettlerReset(SettlerEvent):
    """Whatever the settler does is to be called off: all owners let go of it and decide anew."""


class OrderGiven(SettlerEvent):
    """The player wants the settler to be there; it goes as soon as it is free."""

    to: Tile
    at_us: int


class OrderBegun(SettlerEvent):
    """The settler sets out for where it was sent."""


class OrderDone(SettlerEvent):
    """The settler is where it was sent."""

    at: Tile


class OrderPutOff(SettlerEvent):
    """It did not get there, or could not go: it is tried again at that time."""

    reason: str
    until_us: int


class OrderDropped(SettlerEvent):
    """It will not be tried again."""

    reason: str


class LandEvent(ts.Event):
    """Something that happened to a tile."""

    aggregate_type: ClassVar[str] = "Tile"
    tile: Tile

    @property
    def aggregate_id(self) -> str:
        """The tile."""
        return f"{self.tile.x},{self.tile.y}"


class TileBlocked(LandEvent):
    """Nobody can step on it for now."""


class TileCleared(LandEvent):
    """It can be walked on again."""


# Work: jobs and their tasks, trees, the stockpile, houses.


class WorkEvent(ts.Event):
    """Something that happened to the work of a settler."""

    aggregate_type: ClassVar[str] = "Worker"
    settler: str

    @property
    def aggregate_id(self) -> str:
        """The settler."""
        return self.settler


class WorkerEnrolled(WorkEvent):
    """The settler is given work from that time on."""

    from_us: int


class WorkerUnassigned(WorkEvent):
    """The settler is given no work any more."""


class NothingToDo(WorkEvent):
    """There was no job for the settler; looked for again at that time."""

    until_us: int


class JobTaken(WorkEvent):
    """The settler has a job. What it takes is promised to it: wood of a tree, or of the stockpile, and a place for a beam in a house."""

    kind: JobKind
    tree: int = -1
    house: int = -1


class TaskBegun(WorkEvent):
    """The settler's next task is under way."""

    task: Task


class TaskDone(WorkEvent):
    """A task is done, and there is another one to follow."""

    task: Task
    at: Tile
    at_us: int


class JobDone(WorkEvent):
    """The last task of the job is done."""

    at: Tile
    at_us: int


class TaskPutOff(WorkEvent):
    """The settler had something more pressing to do: the task is taken up at that time, or when that is over."""

    until_us: int


class TaskTakenUp(WorkEvent):
    """What was put off can be gone on with from that time on."""

    from_us: int


class TaskFailed(WorkEvent):
    """The task did not succeed, and is tried again at that time."""

    reason: str
    until_us: int


class JobDropped(WorkEvent):
    """The settler has lost its job, and with it what it carried. It looks for another one at that time."""

    reason: str
    until_us: int


class TreeEvent(ts.Event):
    """Something that happened to a tree."""

    aggregate_type: ClassVar[str] = "Tree"
    tree: int

    @property
    def aggregate_id(self) -> str:
        """The tree."""
        return str(self.tree)


class TreeFelled(TreeEvent):
    """The tree lies there, and is of use to nobody until it has grown again."""

    at_us: int


# Needs.


class NeedEvent(ts.Event):
    """Something that happened to the needs of a settler."""

    aggregate_type: ClassVar[str] = "Needy"
    settler: str

    @property
    def aggregate_id(self) -> str:
        """The settler."""
        return self.settler


class NeedsBegun(NeedEvent):
    """The settler's needs rise from here."""

    at_us: int
    hunger: int
    fatigue: int


class NeedPursued(NeedEvent):
    """Something is done about a need."""

    need: Need
    relief: Relief


class NeedMet(NeedEvent):
    """It has helped. `at`: where the settler stands now, if it has moved."""

    need: Need
    relief: Relief
    at_us: int
    at: Tile | None = None


class NeedNotMet(NeedEvent):
    """It has not; something is done about it again after a while."""

    need: Need
    reason: str
    at_us: int
