"""What must hold of a colony at any moment: no token is kept for nothing, nobody is stuck, and no wood is made or lost unseen."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import tallystick as ts
from tallystick.scenarios.settlers.events import JobDone, JobDropped, JobTaken, TaskDone
from tallystick.scenarios.settlers.jobs import PUT_OFF_US, JobKind, Task
from tallystick.scenarios.settlers.line import NAVIGATION, NEEDS, WORK
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

LATE_US: Final = PUT_OFF_US
"""Nobody has longer to wait until it is looked at."""


def problems(executions: Iterable[ts.OpenExecution], roster: Roster, works: Works, wellbeing: Wellbeing, now_us: int) -> Iterator[str]:
    """What is wrong between two steps: tokens and what owners know of their settlers have to agree, one to one.

    A settler without a task under way stands on work's agenda, for a time that is near: so it is given one, or it is unassigned.
    """
    open_by_owner: dict[str, Counter[str]] = {NEEDS: Counter(), NAVIGATION: Counter(), WORK: Counter()}
    for execution in executions:
        if execution.owner not in open_by_owner:
            continue  # somebody else's, who stands in the line too
        open_by_owner[execution.owner][execution.execution.intent.subject] += 1
    for settler in roster.at:
        condition = wellbeing.settlers.get(settler)
        expected = {
            NEEDS: condition is not None and condition.pursued is not None,
            NAVIGATION: roster.is_under_orders(settler),
            WORK: settler in works.jobs and not works.is_free(settler),
        }
        for owner, under_way in expected.items():
            found = open_by_owner[owner].pop(settler, 0)
            if found != under_way:
                yield f"{settler}: {owner} has {found} open executions, and {int(under_way)} would be right"
        due_us = works.agenda.times.get(settler)
        if due_us is None and not expected[WORK] and settler not in works.unassigned:
            yield f"{settler}: has nothing to do, and nobody will ever look at it"
        if due_us is not None and due_us > now_us + LATE_US:
            yield f"{settler}: is looked at in {(due_us - now_us) // 1_000_000} s only"
    yield from (f"{owner} has open executions of nobody: {dict(left)}" for owner, left in open_by_owner.items() if left)


class WoodAudit:
    """Wood is in a tree, in the stockpile, in somebody's hands or in a house, or was lost with a job. Takes all events, in order."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[JobKind, bool]] = {}
        """Each settler's job, and whether it holds wood."""
        self.cut = self.stored = self.fetched = self.built = self.lost = 0

    def take(self, event: Any) -> None:
        """One more event."""
        match event:
            case JobTaken():
                self._jobs[event.settler] = (event.kind, False)
            case TaskDone(task=Task.FELL | Task.FETCH):
                self._jobs[event.settler] = (self._jobs[event.settler][0], True)
                self.cut += event.task is Task.FELL
                self.fetched += event.task is Task.FETCH
            case JobDone():
                kind, _ = self._jobs.pop(event.settler)
                self.stored += kind is JobKind.WOOD
                self.built += kind is JobKind.HOUSE
            case JobDropped():
                self.lost += self._jobs.pop(event.settler)[1]
            case _:
                pass

    def problems(self, works: Works) -> Iterator[str]:
        """What does not add up."""
        beams = sum(house.beams for house in works.houses.values())
        held = sum(holds for _, holds in self._jobs.values())
        building = Counter(job.house for job in works.jobs.values() if job.kind is JobKind.HOUSE)
        if works.stock != self.stored - self.fetched or not 0 <= works.promised <= works.stock:
            yield f"{self.stored} were stored and {self.fetched} fetched, but {works.stock} are there, {works.promised} of them promised"
        if beams != self.built:
            yield f"{self.built} beams were built, but {beams} are there"
        if self.cut + self.fetched != self.stored + self.built + self.lost + held:
            yield f"{self.cut} were cut and {self.fetched} fetched, but {self.stored + self.built} put down, {self.lost} lost, {held} held"
        for number, house in works.houses.items():
            if house.promised != building[number]:
                yield f"house {number}: {house.promised} promised beams, and {building[number]} settlers at it"
        felling = Counter(job.tree for job in works.jobs.values() if job.task is Task.FELL)
        for number, tree in works.trees.items():
            if tree.promised != felling[number] or tree.wood < 0:
                yield f"tree {number}: {tree.wood} left, {tree.promised} promised, {felling[number]} settlers at it"
