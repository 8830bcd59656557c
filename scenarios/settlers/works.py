"""Work's state: what every settler has to do, and what there is of wood, trees and houses."""

from typing import Final

import msgspec
from pyrsistent import PMap, pmap

import tallystick as ts
from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.jobs import GROWS_AGAIN_US, TREE_WOOD, Job, JobKind, Offers, Task
from tallystick.scenarios.settlers.land import Land

_replace = msgspec.structs.replace


class Tree(ts.Record):
    """What is left of a tree, and how much of that is promised to somebody. Felled, it grows again; when, follows from the time."""

    wood: int = TREE_WOOD
    promised: int = 0
    felled_us: int = 0

    def at(self, now_us: int) -> "Tree":
        """As it stands at that time."""
        grown = self.wood == 0 and now_us >= self.felled_us + GROWS_AGAIN_US
        return Tree(promised=self.promised) if grown else self


class House(ts.Record):
    """The beams that it has, and those that are on their way. It is never finished: it grows."""

    beams: int = 0
    promised: int = 0


UNTOUCHED: Final = Tree()
UNBUILT: Final = House()


class Works(ts.Resident):
    """Who works on what, and what there is. On the agenda stands whoever has to be given something to do; who is at work does not."""

    jobs: PMap[str, Job] = pmap()
    agenda: Agenda = Agenda()
    unassigned: PMap[str, bool] = pmap()
    stock: int = 0
    promised: int = 0
    trees: PMap[int, Tree] = pmap()
    houses: PMap[int, House] = pmap()
    jobs_done: int = 0
    jobs_dropped: int = 0
    tasks_failed: int = 0

    def is_free(self, settler: str) -> bool:
        """Whether no task of it is under way."""
        return settler in self.agenda or settler in self.unassigned

    def tree(self, number: int, now_us: int) -> Tree:
        """One of them, at that time."""
        return self.trees.get(number, UNTOUCHED).at(now_us)

    def house(self, number: int) -> House:
        """One of them."""
        return self.houses.get(number, UNBUILT)

    def offers(self, land: Land, now_us: int) -> Offers:
        """What can still be promised."""
        trees = [self.tree(number, now_us) for number in range(len(land.trees))]
        houses = [self.house(number) for number in range(len(land.houses))]
        return Offers(
            [self.stock - self.promised],
            [tree.wood - tree.promised for tree in trees],
            [house.beams + house.promised for house in houses],
        )

    # How it changes.

    def looked_at(self, settler: str, due_us: int) -> "Works":
        """The settler is to be looked at by then."""
        return _replace(self, agenda=self.agenda.with_(settler, due_us))

    def with_job(self, settler: str, job: Job) -> "Works":
        """The settler has that job, or is that far with it."""
        return _replace(self, jobs=self.jobs.set(settler, job))

    def taken(self, settler: str, job: Job) -> "Works":
        """The settler has a job, and what it takes is promised to it."""
        works = self.with_job(settler, job)
        if job.kind is JobKind.HOUSE:
            return _replace(_with_house(works, job.house, promised=1), promised=self.promised + 1)
        return _with_tree(works, job.tree, 0, promised=1)

    def task_done(self, settler: str, now_us: int) -> "Works":
        """What a task has changed; the job's next one is due."""
        job = self.jobs[settler]
        works = self.with_job(settler, _replace(job, done=job.done + 1)).looked_at(settler, now_us)
        match job.task:
            case Task.FELL:
                return _with_tree(works, job.tree, now_us, wood=-1, promised=-1)
            case Task.FETCH:
                return _replace(works, stock=self.stock - 1, promised=self.promised - 1)
            case _:
                return works

    def job_done(self, settler: str, now_us: int) -> "Works":
        """What the last task has changed; another job is due."""
        job = self.jobs[settler]
        works = _replace(self, jobs=self.jobs.remove(settler), jobs_done=self.jobs_done + 1).looked_at(settler, now_us)
        if job.kind is JobKind.HOUSE:
            return _with_house(works, job.house, beams=1, promised=-1)
        return _replace(works, stock=self.stock + 1)

    def job_dropped(self, settler: str, until_us: int) -> "Works":
        """What was promised can be had by others again; what was carried is lost."""
        job = self.jobs[settler]
        works = _replace(self, jobs=self.jobs.remove(settler), jobs_dropped=self.jobs_dropped + 1).looked_at(settler, until_us)
        if job.task is Task.FELL:
            return _with_tree(works, job.tree, 0, promised=-1)
        if job.task is Task.FETCH:
            works = _replace(works, promised=self.promised - 1)
        return works if job.kind is JobKind.WOOD else _with_house(works, job.house, promised=-1)

    def felled(self, number: int, now_us: int) -> "Works":
        """A tree lies there."""
        tree = self.trees.get(number, UNTOUCHED)
        return _replace(self, trees=self.trees.set(number, Tree(wood=0, promised=tree.promised, felled_us=now_us)))


def _with_tree(works: Works, number: int, now_us: int, *, wood: int = 0, promised: int = 0) -> Works:
    tree = works.tree(number, now_us)
    left = max(0, tree.wood + wood)  # felled in the very step in which its wood was cut, it has none
    felled_us = now_us if wood and not left else tree.felled_us
    return _replace(works, trees=works.trees.set(number, Tree(wood=left, promised=tree.promised + promised, felled_us=felled_us)))


def _with_house(works: Works, number: int, *, beams: int = 0, promised: int = 0) -> Works:
    house = works.house(number)
    return _replace(works, houses=works.houses.set(number, House(beams=house.beams + beams, promised=house.promised + promised)))
