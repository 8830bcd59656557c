"""The store with the process, simulated: customers, parcels that are sent and arrive or do not, people who retry and reset."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import tallystick as ts
from tallystick.scenarios.order_fulfilment.fulfilment import FulfilmentAudit, OrderFulfilment, modules
from tallystick.scenarios.tiny_store.shipments import Deliver, Dispatch
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.testing import Invariant, InvariantViolation, Wish

ARRIVES: Final = 0.7
"""The share of the parcels that arrive."""
MOMENT: Final = datetime(2026, 1, 6, tzinfo=UTC)


class SimulatedFulfilment(SimulatedStore):
    """As the store's short day; then parcels are sent, some arrive, and people look after what stands still."""

    name: ClassVar[str] = "order-fulfilment"
    orders: ClassVar[int] = 6
    faults_for: ClassVar[timedelta] = timedelta(days=16)  # until the last attempt of the slowest process has run out of time

    def modules(self) -> Sequence[ts.Module]:
        """Five owners."""
        return modules()

    def wishes(self) -> Iterator[Wish]:
        """The carrier's word comes once for each parcel, whether or not it was made; so may a person's."""
        yield from super().wishes()
        chance = self.chance
        for number in range(1, self.orders + 1):
            order_id = f"order-{number}"
            sent = timedelta(minutes=12 + 20 * chance.at("sent", number))
            yield Wish(sent, Dispatch(order_id=order_id, at=MOMENT), f"dispatch:{order_id}")
            if chance.at("arrives", number) < ARRIVES:
                yield Wish(sent + timedelta(minutes=30), Deliver(order_id=order_id, at=MOMENT), f"deliver:{order_id}")
            for what, command in (("retry", OrderFulfilment.retry_command), ("reset", OrderFulfilment.reset_command)):
                if chance.at(what, number) < 0.5:  # noqa: PLR2004 - half of them
                    at = timedelta(minutes=90 * chance.at(what, "at", number))
                    yield Wish(at, command(order_id, who="ann"), f"{what}:{order_id}")

    def invariants(self) -> Sequence[Invariant]:
        """The store's, and the process's."""
        return (*super().invariants(), ProcessesEnd())


class ProcessesEnd:
    """A process changes as its transitions allow, its steps are in order, and while it is processing its time is running."""

    def __init__(self) -> None:
        self._audit = FulfilmentAudit()

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more record."""
        self._audit.take(event)
        for problem in self._audit.problems({}):
            raise InvariantViolation("S11", problem, position=recorded.position)

    def end(self, system: ts.System) -> None:
        """Whatever is processing is open, and the other way round."""
        intents = [each.execution.intent for each in system.open_executions() if each.owner == OrderFulfilment.name]
        found = {getattr(intent, "process_id", "") for intent in intents}
        if found != self._audit.processing or len(found) != len(intents):
            raise InvariantViolation("L3", f"{sorted(self._audit.processing)} are processing, and {sorted(found)} are open")
