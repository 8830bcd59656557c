"""Programs for the simulator's own tests: a workshop whose jobs are done outside, in good order and with bugs."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import tallystick as ts
from tallystick.testing import FakeProvider, SimulatedProgram, Wish
from tests.actors.workshop import Desk, Do, Ledger, Order, Undo, Work, Workshop


class SimulatedWorkshop(SimulatedProgram):
    """A few jobs, one or two steps each, some of them in one place; and orders that begin jobs too."""

    name: ClassVar[str] = "workshop"
    jobs: ClassVar[int] = 12

    def __init__(self, chance: Any) -> None:
        super().__init__(chance)
        self.provider = FakeProvider(chance, declines_percent=10, later_percent=15)

    def modules(self) -> Sequence[ts.Module]:
        return (Desk(), Workshop(), Ledger())

    def performers(self) -> Sequence[ts.Performer]:
        return (
            self.provider.performs(Work, lambda work, _key: f"{work.job_id} {work.step} is done"),
            self.provider.performs(Undo, lambda undo, _key: f"{undo.job_id} is undone", declines=False),
        )

    def deliver(self, system: ts.System) -> None:
        self.provider.deliver(system.complete)

    def wishes(self) -> Iterator[Wish]:
        chance = self.chance
        for number in range(self.jobs):
            at = timedelta(seconds=300 * chance.at("job", number))
            if number % 3:
                place = chance.pick(("", "here"), "place", number)
                yield Wish(at, Do(job_id=f"job-{number}", steps=chance.between(1, 2, "steps", number), place=place), f"do:{number}")
            else:
                yield Wish(at, Order(order_id=f"job-{number}"), f"order:{number}" if number % 2 else None)
