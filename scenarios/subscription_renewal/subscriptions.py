"""Subscriptions: each waits for its next month, is charged, and waits again. Months, charges and dunning are executions; nothing polls."""

import calendar
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Literal

from msgspec import structs

import tallystick as ts

MONTHS: Final = 12
DUNNING: Final = ts.ExponentialBackoff(initial=timedelta(days=1), maximum=timedelta(days=4), max_retries=3)
"""One day, two more and four more: the first charge is repeated after 1, 3 and 7 days."""


class Paid(ts.Record):
    """The provider's word."""

    receipt: str


class ChargeCard(ts.Action[Paid]):
    """Take a month's money."""

    customer: str
    month: int
    cents: int


class GiveBack(ts.Action[None]):
    """Give a month's money back."""

    customer: str
    receipt: str


class OfSubscription(ts.Event):
    """Something that happened to a customer's subscription."""

    aggregate_type: ClassVar[str] = "Subscription"
    customer: str

    @property
    def aggregate_id(self) -> str:
        """Each customer has one."""
        return self.customer


class Subscribed(OfSubscription):
    """It begins, and the first month is to be paid."""

    cents: int
    began_at: datetime


class MonthPaid(OfSubscription):
    """The month is paid for."""

    month: int
    receipt: str


class MonthUnpaid(OfSubscription):
    """The month was not paid for, however often it was asked for."""

    month: int
    reason: str


class MonthBegan(OfSubscription):
    """The next month is to be paid."""

    month: int


class MoneyGivenBack(OfSubscription):
    """A charge had gone through after all, when nobody waited for it any more; the customer has the money again."""

    month: int
    receipt: str


class SubscriptionEnded(OfSubscription):
    """Nothing more is charged."""

    reason: str


class Subscription(ts.Aggregate):
    """How one stands."""

    status: Literal["none", "active", "ended"] = "none"
    cents: int = 0
    began_at: datetime | None = None
    paid: int = 0
    reason: str = ""

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether nothing more comes of it."""
        return self.status == "ended"


class Subscribe(ts.Command[None]):
    """A customer wants it for a year."""

    customer: str
    cents: int


class Unsubscribe(ts.Command[None]):
    """A customer does not want it any more; what is paid is paid."""

    customer: str


class MonthlyCharge(ts.Intent[Paid]):
    """A month is to be paid for."""

    customer: str
    month: int
    timeout = timedelta(hours=1)
    retry = DUNNING
    ends_with = (MonthPaid, MonthUnpaid)

    @property
    def subject(self) -> str:
        """One charge at a time for each customer."""
        return self.customer


class MonthToCome(ts.Intent[None]):
    """The next month has not begun: nothing but time ends it, or the customer."""

    customer: str
    month: int
    ends_with = (MonthBegan,)

    @property
    def subject(self) -> str:
        """The customer."""
        return self.customer


class GivingBack(ts.Intent[None]):
    """Money that was taken for nothing goes back; where the bank does not, a person sees to it."""

    customer: str
    month: int
    receipt: str
    timeout = timedelta(hours=1)
    retry = ts.ExponentialBackoff(initial=timedelta(minutes=1), maximum=timedelta(days=1), max_retries=10)
    on_exhausted = "dead_letter"
    ends_with = (MoneyGivenBack,)

    @property
    def subject(self) -> str:
        """The customer."""
        return self.customer


class Subscriptions(ts.Module):
    """All subscriptions."""

    name = "subscriptions"

    @ts.handles(Subscribe, emits=[Subscribed])
    def subscribe(self, turn: ts.Turn, command: Subscribe) -> ts.Decision[None]:
        """Once for each customer."""
        if turn.get(Subscription, command.customer) is not None:
            code = "SUBSCRIBED"
            raise ts.Rejected(code, f"{command.customer} has a subscription.")
        yield Subscribed(customer=command.customer, cents=command.cents, began_at=turn.now)
        yield _charge(command.customer, 1, command.cents)

    @ts.handles(Unsubscribe, emits=[SubscriptionEnded])
    def unsubscribe(self, turn: ts.Turn, command: Unsubscribe) -> ts.Decision[None]:
        """A charge that is under way is awaited: nobody knows whether the money was taken."""
        found = turn.get(Subscription, command.customer)
        if found is None or found.status != "active":
            code = "NOT_SUBSCRIBED"
            raise ts.Rejected(code, f"{command.customer} has no subscription.")
        for each in turn.open(MonthToCome, command.customer):
            yield ts.Settle(token=each.token, outcome=ts.Cancelled(reason="the customer's wish"))
        yield SubscriptionEnded(customer=command.customer, reason="the customer's wish")

    @MonthlyCharge.settled
    def charged(self, turn: ts.Turn, charge: MonthlyCharge, outcome: ts.Outcome[Paid]) -> ts.Effects:
        """Paid: it waits for the next month. Not paid after all attempts: it ends."""
        found = turn.get(Subscription, charge.customer) or Subscription()
        if isinstance(outcome, ts.Succeeded):
            yield MonthPaid(customer=charge.customer, month=charge.month, receipt=outcome.result.receipt)
            if found.status == "active":
                yield from _next(turn, charge, found)
            return
        reason = outcome.code if isinstance(outcome, ts.Failed) else type(outcome).__name__
        yield MonthUnpaid(customer=charge.customer, month=charge.month, reason=reason)
        if found.status == "active":
            yield SubscriptionEnded(customer=charge.customer, reason="unpaid")

    @MonthlyCharge.late
    def charged_after_all(self, turn: ts.Turn, charge: MonthlyCharge, paid: Paid) -> ts.Effects:
        """The month was said to be unpaid, and the subscription is over: the money goes back."""
        del turn
        intent = GivingBack(customer=charge.customer, month=charge.month, receipt=paid.receipt)
        yield ts.Begin(intent=intent, actions=(GiveBack(customer=charge.customer, receipt=paid.receipt),))

    @GivingBack.settled
    def given_back(self, turn: ts.Turn, giving: GivingBack, outcome: ts.Outcome[None]) -> ts.Effects:
        """It is with the customer, or the log says that it is not."""
        del turn
        if isinstance(outcome, ts.Succeeded):
            yield MoneyGivenBack(customer=giving.customer, month=giving.month, receipt=giving.receipt)

    @MonthToCome.settled
    def month_begins(self, turn: ts.Turn, month: MonthToCome, outcome: ts.Outcome[None]) -> ts.Effects:
        """It is to be paid, unless it was called off."""
        found = turn.get(Subscription, month.customer)
        if found is not None and isinstance(outcome, ts.TimedOut):
            yield MonthBegan(customer=month.customer, month=month.month)
            yield _charge(month.customer, month.month, found.cents)

    @ts.folds(Subscribed, Subscription)
    def on_subscribed(self, found: Subscription, event: Subscribed) -> Subscription:
        """Active."""
        return structs.replace(found, status="active", cents=event.cents, began_at=event.began_at)

    @ts.folds(MonthPaid, Subscription)
    def on_paid(self, found: Subscription, event: MonthPaid) -> Subscription:
        """One month more."""
        del event
        return structs.replace(found, paid=found.paid + 1)

    @ts.folds(SubscriptionEnded, Subscription)
    def on_ended(self, found: Subscription, event: SubscriptionEnded) -> Subscription:
        """Over."""
        return structs.replace(found, status="ended", reason=event.reason)


def _charge(customer: str, month: int, cents: int) -> ts.Begin:
    action = ChargeCard(customer=customer, month=month, cents=cents)
    return ts.Begin(intent=MonthlyCharge(customer=customer, month=month), actions=(action,))


def _next(turn: ts.Turn, charge: MonthlyCharge, found: Subscription) -> Iterator[ts.Event | ts.Begin]:
    if charge.month == MONTHS:
        yield SubscriptionEnded(customer=charge.customer, reason="a year is over")
        return
    begins = months_after(found.began_at or turn.now, charge.month)
    intent = MonthToCome(customer=charge.customer, month=charge.month + 1)
    yield ts.Begin(intent=intent, timeout=max(begins - turn.now, timedelta()))


def months_after(moment: datetime, months: int) -> datetime:
    """The same day so many months later, or the last day of a month that has no such day: counted from the first day, not the last one."""
    year, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + year, month + 1
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


def modules() -> Sequence[ts.Module]:
    """One owner."""
    return (Subscriptions(),)


class MonthsAudit:
    """What a whole log must come to: no month is paid for twice, none is left out, and nothing is begun when all is over."""

    def __init__(self) -> None:
        self._months: dict[str, int] = {}
        self._ended: set[str] = set()
        self._problems: list[str] = []

    def take(self, event: Any) -> None:
        """One more event."""
        if isinstance(event, MonthPaid | MonthUnpaid):
            due = self._months.get(event.customer, 0) + 1
            self._months[event.customer] = event.month
            if event.month != due:
                self._problems.append(f"{event.customer}: month {event.month} where {due} was due")
        elif isinstance(event, MonthBegan) and event.customer in self._ended:
            self._problems.append(f"{event.customer}: month {event.month} began after the end")
        elif isinstance(event, SubscriptionEnded):
            if event.customer in self._ended:
                self._problems.append(f"{event.customer}: ended twice")
            self._ended.add(event.customer)

    def problems(self, residents: Mapping[Any, Any]) -> Iterator[str]:
        """What does not hold."""
        del residents
        yield from self._problems
