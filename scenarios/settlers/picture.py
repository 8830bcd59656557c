"""A picture of a colony: the whole of its state at one moment, in words of the game and not of any program, and a hash of it."""

import hashlib

import msgspec

import tallystick as ts
from tallystick.scenarios.settlers.land import Land
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works


class SettlerPicture(ts.Record):
    """One settler."""

    name: str
    at: tuple[int, int]
    task: str
    failures: int
    hunger: int
    fatigue: int
    portions: int
    pursued: str


class Picture(ts.Record):
    """A colony. Trees are their wood, houses their beams, by number."""

    settlers: tuple[SettlerPicture, ...]
    blocked: tuple[tuple[int, int], ...]
    stock: int
    trees: tuple[int, ...]
    houses: tuple[int, ...]
    jobs_done: int
    jobs_dropped: int
    tasks_failed: int
    reliefs: dict[str, int]
    not_met: int
    orders_followed: int
    orders_dropped: int

    @property
    def hash(self) -> str:
        """What stands for all of it."""
        return hashlib.blake2b(msgspec.json.encode(self, order="deterministic"), digest_size=16).hexdigest()


def taken(land: Land, now_us: int, roster: Roster, works: Works, wellbeing: Wellbeing) -> Picture:
    """The picture of a colony that runs as a system."""
    settlers: list[SettlerPicture] = []
    for name in sorted(roster.at):
        condition, job = wellbeing.settlers[name], works.jobs.get(name)
        settlers.append(
            SettlerPicture(
                name=name,
                at=roster.at[name],
                task="" if job is None else job.task,
                failures=0 if job is None else job.failures,
                hunger=condition.hunger.at(Need.HUNGER, now_us),
                fatigue=condition.fatigue.at(Need.FATIGUE, now_us),
                portions=condition.portions,
                pursued=condition.pursued or "",
            )
        )
    return Picture(
        settlers=tuple(settlers),
        blocked=tuple(sorted(roster.blocked)),
        stock=works.stock,
        trees=tuple(works.tree(number, now_us).wood for number in range(len(land.trees))),
        houses=tuple(works.house(number).beams for number in range(len(land.houses))),
        jobs_done=works.jobs_done,
        jobs_dropped=works.jobs_dropped,
        tasks_failed=works.tasks_failed,
        reliefs=dict(wellbeing.met),
        not_met=wellbeing.not_met,
        orders_followed=roster.reached,
        orders_dropped=roster.dropped,
    )
