"""The module: takes deliveries of an account in whatever order they come, and has them posted in the order of their numbers."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, assert_never

import msgspec

import tallystick as ts

Standing = Literal["applied", "held", "duplicate"]
"""What became of a delivery: it is being posted; it waits for one before it; it had come before."""


class Delivery(ts.Record):
    """What is kept of a delivery: stable ids and numbers, and never its raw body."""

    event_id: str
    sequence: int
    cents: int
    operation_id: str


class OfAccount(ts.Event):
    """An event of one account."""

    aggregate_type = "Account"

    account: str

    @property
    def aggregate_id(self) -> str:
        """The account."""
        return self.account


class DeliveryReceived(OfAccount):
    """It has come, and will be posted when all before it are."""

    delivery: Delivery


class DeliveryApplied(OfAccount):
    """Its turn has come."""

    delivery: Delivery


class DeliveryPosted(OfAccount):
    """It stands in the ledger."""

    sequence: int


class DeliveryNotPosted(OfAccount):
    """The ledger did not take it."""

    sequence: int
    reason: str


class Post(ts.Action[str]):
    """Write a delivery into the ledger."""

    account: str
    delivery: Delivery


class Posting(ts.Intent[str]):
    """A delivery on its way into the ledger; those of one account go one after another."""

    account: str
    sequence: int
    timeout = timedelta(minutes=1)
    retry = ts.ExponentialBackoff(initial=timedelta(milliseconds=10), maximum=timedelta(minutes=1), max_retries=10)
    ends_with = (DeliveryPosted, DeliveryNotPosted)

    @property
    def subject(self) -> str:
        """The account."""
        return self.account


class Account(ts.Aggregate):
    """Which delivery comes next, and those that have come too early."""

    following: int = 1
    waiting: Mapping[str, Delivery] = {}


class Receive(ts.Command[Standing]):
    """A delivery has come."""

    account: str
    delivery: Delivery


class Deliveries(ts.Module):
    """The owner of accounts."""

    name = "deliveries"

    @ts.handles(Receive, emits=[DeliveryReceived, DeliveryApplied])
    def receive(self, turn: ts.Turn, command: Receive) -> ts.Decision[Standing]:
        """It is applied with all that waited for it; or it waits itself."""
        account = turn.get(Account, command.account) or Account()
        delivery, name = command.delivery, command.account
        if delivery.sequence < account.following or str(delivery.sequence) in account.waiting:
            return "duplicate"
        yield DeliveryReceived(account=name, delivery=delivery)
        waiting = {**account.waiting, str(delivery.sequence): delivery}
        following = account.following
        while (due := waiting.get(str(following))) is not None:
            yield DeliveryApplied(account=name, delivery=due)
            yield ts.Begin(intent=Posting(account=name, sequence=following), actions=(Post(account=name, delivery=due),))
            following += 1
        return "held" if following == account.following else "applied"

    @Posting.settled
    def posted(self, turn: ts.Turn, posting: Posting, outcome: ts.Outcome[str]) -> ts.Effects:
        """It stands in the ledger, or it does not."""
        del turn
        account, sequence = posting.account, posting.sequence
        match outcome:
            case ts.Succeeded():
                yield DeliveryPosted(account=account, sequence=sequence)
            case ts.Failed(code=code):
                yield DeliveryNotPosted(account=account, sequence=sequence, reason=code)
            case ts.TimedOut() | ts.Cancelled() | ts.Refused():
                yield DeliveryNotPosted(account=account, sequence=sequence, reason=type(outcome).__name__)
            case _:
                assert_never(outcome)

    @ts.folds(DeliveryReceived, Account)
    def on_received(self, account: Account, event: DeliveryReceived) -> Account:
        """It waits."""
        return msgspec.structs.replace(account, waiting={**account.waiting, str(event.delivery.sequence): event.delivery})

    @ts.folds(DeliveryApplied, Account)
    def on_applied(self, account: Account, event: DeliveryApplied) -> Account:
        """It waits no more."""
        number = event.delivery.sequence
        waiting = {key: each for key, each in account.waiting.items() if key != str(number)}
        return Account(following=number + 1, waiting=waiting)
