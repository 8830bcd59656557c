"""A year of three customers in virtual time: one pays always, one's card fails for three days in spring, one's card expires in summer."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

import tallystick as ts
from tallystick.scenarios.subscription_renewal.subscriptions import ChargeCard, GiveBack, Paid, Subscribe, Subscription, modules
from tallystick.scenarios.telling import Audience, PlayedWrong, Teller, must_be

NAME: Final = "subscription-renewal"
SUMMARY: Final = "A year of monthly charges; unpaid ones are asked for again after 1, 3 and 7 days, and then the subscription ends."
NEW_YEAR: Final = datetime(2026, 1, 31, 9, tzinfo=UTC)
DAY: Final = timedelta(days=1)


CHAPTERS: Final = (
    (85, "Ben's card does not work in the last days of April: he is asked again after one day, in vain, and after three."),
    (65, "Cleo's card has expired in July: she is asked again after 1, 3 and 7 days; then her subscription ends."),
    (250, "The year is over."),
)
"""What is told after so many days more."""


class CardDeclined(ts.TallystickError):
    """The bank says no today."""


class Bank:
    """Pays, but for the cards that do not work; one charge for each key."""

    def __init__(self, clock: ts.ManualClock) -> None:
        self._clock = clock
        self.taken: dict[str, ChargeCard] = {}
        self.declines: dict[str, tuple[datetime, datetime]] = {}

    def charge(self, action: ChargeCard, call: ts.Call) -> Paid:
        """Take the money, once for each key."""
        begin, end = self.declines.get(action.customer, (NEW_YEAR, NEW_YEAR))
        if begin <= self._clock.now < end:
            raise CardDeclined
        self.taken.setdefault(call.key, action)
        return Paid(receipt=f"{action.customer}/{action.month}")

    def give_back(self, action: GiveBack, call: ts.Call) -> None:
        """Money back, which nobody wants in this story."""
        msg = f"{action.customer} wants {action.receipt} back, by {call.key}."
        raise PlayedWrong(msg)


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        PlayedWrong: it goes another way.
    """
    teller, clock = Teller(audience), ts.ManualClock(NEW_YEAR)
    bank, runtime = Bank(clock), ts.SteppedRuntime(clock)
    performers = [ChargeCard.performed_by(bank.charge), GiveBack.performed_by(bank.give_back)]
    bank.declines["ben"] = (datetime(2026, 4, 29, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))
    bank.declines["cleo"] = (datetime(2026, 7, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    with ts.System(modules(), performers=performers, log=log, runtime=runtime) as system:
        teller.say("Ada, Ben and Cleo subscribe on the 31st of January: they are charged at the end of each month.")
        for customer in ("ada", "ben", "cleo"):
            system.ask(Subscribe(customer=customer, cents=990))
        for days, line in CHAPTERS:
            runtime.advance(days * DAY)
            teller.show(system)
            teller.say(line)
        _check(system, bank, teller)


def _check(system: ts.System, bank: Bank, teller: Teller) -> None:
    charges = Counter(charge.customer for charge in bank.taken.values())
    for customer, paid, reason in (("ada", 12, "a year is over"), ("ben", 12, "a year is over"), ("cleo", 6, "unpaid")):
        found = system.get(Subscription, customer) or Subscription()
        paid_for = f"{found.paid} months, by {charges[customer]} charges"
        otherwise = f"{customer} has paid {paid_for}, and ended for {found.reason!r}; {paid} months were expected."
        must_be((found.paid, found.reason, charges[customer]), (paid, reason, paid), otherwise)
        teller.say(f"{customer} has paid {paid} months, once each; then it ended: {reason}.")
    must_be(system.open_executions(), (), "Something is open after the year.")
