"""Subscriptions, simulated: a bank in all moods, customers who leave, and a year that goes by however often the process is lost."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

import tallystick as ts
from tallystick.scenarios.subscription_renewal.subscriptions import ChargeCard, GiveBack, MonthsAudit, Paid, Subscribe, Unsubscribe, modules
from tallystick.testing import Chance, FakeProvider, Invariant, InvariantViolation, SimulatedProgram, Wish

CUSTOMERS = 4
LEAVE = 0.25


class SimulatedSubscriptions(SimulatedProgram):
    """Four customers subscribe within ten minutes, and some leave."""

    name: ClassVar[str] = "subscription-renewal"
    faults_for: ClassVar[timedelta] = timedelta(days=400)  # all of the year: the bank fails when it is asked again, too
    rests_within: ClassVar[timedelta] = timedelta(days=500)

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.bank = FakeProvider(chance, declines_percent=3, later_percent=5)

    def modules(self) -> Sequence[ts.Module]:
        """One owner."""
        return modules()

    def performers(self) -> Sequence[ts.Performer]:
        """The bank."""
        return (
            self.bank.performs(ChargeCard, lambda _charge, key: Paid(receipt=f"paid-{key}")),
            self.bank.performs(GiveBack, lambda _back, _key: None, key=lambda back: back.receipt, declines=False),
        )

    def deliver(self, system: ts.System) -> None:
        """Answers that were promised."""
        self.bank.deliver(system.complete)

    def wishes(self) -> Iterator[Wish]:
        """Subscriptions, and ends of some."""
        chance = self.chance
        for number in range(1, CUSTOMERS + 1):
            customer, at = f"customer-{number}", timedelta(seconds=600 * chance.at("subscribes", number))
            yield Wish(at, Subscribe(customer=customer, cents=990), f"subscribe:{customer}")
            if chance.at("leaves", number) < LEAVE:
                later = timedelta(seconds=chance.pick((0.0, 0.01, 5.0, 300.0), "hesitates", number))
                yield Wish(at + later, Unsubscribe(customer=customer), f"leave:{customer}")

    def invariants(self) -> Sequence[Invariant]:
        """Months and money."""
        return (MonthsAreCharged(self.bank),)


class MonthsAreCharged:
    """S10: each month is charged once at most, in order; what the log says was paid was, and what was is said, or goes back."""

    def __init__(self, bank: FakeProvider) -> None:
        self._bank = bank
        self._audit = MonthsAudit()
        self._receipts: set[str] = set()
        self._back: set[str] = set()

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        """One more record."""
        self._audit.take(event)
        if recorded.event_type == "MonthPaid":
            self._receipts.add(event.receipt)
        elif recorded.event_type == "GivingBackStarted":
            self._back.add(msgspec.json.decode(recorded.payload)["intent"]["receipt"])
        for problem in self._audit.problems({}):
            raise InvariantViolation("S10", problem, position=recorded.position)

    def end(self, system: ts.System) -> None:
        """Hold the bank's ledger against the log."""
        del system
        done = self._bank.done(ChargeCard)
        twice = [each for each, count in Counter((entry.asked.customer, entry.asked.month) for entry in done).items() if count > 1]
        unknown = self._receipts - {entry.result.receipt for entry in done}
        forgotten = {entry.result.receipt for entry in done} - self._receipts - self._back
        if twice or unknown or forgotten:
            text = f"charged twice: {twice}; said to be paid: {sorted(unknown)}; taken, and nobody knows: {sorted(forgotten)}"
            raise InvariantViolation("S10", text)
