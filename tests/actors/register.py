"""A small program with sensitive fields in every place that can have one: a register of customers, who are greeted by mail."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pyrsistent import PMap, pmap

import tallystick as ts

ADA = "ada.lovelace@example.org"
STREET = "12 St James's Square"
SECRETS = (ADA, STREET, "lovelace", "James")


class OfCustomer(ts.Event):
    aggregate_type = "Customer"
    customer_id: str

    @property
    def aggregate_id(self) -> str:
        return self.customer_id


class Address(ts.Record):
    street: ts.Sensitive[str]
    country: str = "GB"


class Enrolled(OfCustomer):
    email: ts.Sensitive[str]
    address: Address | None = None
    aliases: tuple[ts.Sensitive[str], ...] = ()


class Greeted(OfCustomer):
    sent_to: ts.Sensitive[str]


class NotGreeted(OfCustomer):
    reason: str


class Subscribed(ts.Event):
    aggregate_type = "Subscription"
    customer_id: str
    email: ts.Sensitive[str]
    domain: str

    @property
    def aggregate_id(self) -> str:
        return self.customer_id


class Enrol(ts.Command[ts.Sensitive[str]]):
    customer_id: str
    email: ts.Sensitive[str]
    address: Address | None = None
    refuse: bool = False


class Refresh(ts.Command[None]):
    customer_id: str


class Sent(ts.Record):
    to: ts.Sensitive[str]


class Greet(ts.Action[Sent]):
    customer_id: str
    email: ts.Sensitive[str]


class Greeting(ts.Intent[Sent]):
    customer_id: str
    email: ts.Sensitive[str]
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(seconds=1), max_retries=1)
    on_exhausted = "dead_letter"
    ends_with = (Greeted, NotGreeted)

    @property
    def subject(self) -> str:
        return self.customer_id


class Customer(ts.Aggregate):
    customer_id: str = ""
    email: ts.Sensitive[str] | None = None
    address: Address | None = None
    greeted: ts.Sensitive[str] | None = None


class Directory(ts.Resident):
    emails: PMap[str, ts.Sensitive[str]] = pmap()


Hook = Callable[[ts.Turn, Any], None]


class Register(ts.Module):
    name = "register"

    @ts.handles(Enrol, emits=[Enrolled])
    def enrol(self, turn: ts.Turn, command: Enrol) -> ts.Decision[ts.Sensitive[str]]:
        if command.refuse:
            raise ts.Rejected("UNWANTED", f"nobody wants {turn.reveal(command.email)}")  # noqa: EM101 - a code
        customer_id, email = command.customer_id, command.email
        yield Enrolled(customer_id=customer_id, email=email, address=command.address, aliases=(email,))
        yield ts.Begin(intent=Greeting(customer_id=customer_id, email=email), actions=(Greet(customer_id=customer_id, email=email),))
        return email

    @ts.folds(Enrolled, Customer)
    def enrolled(self, customer: Customer, event: Enrolled) -> Customer:
        return Customer(customer_id=event.customer_id, email=event.email, address=event.address, greeted=customer.greeted)

    @ts.folds(Enrolled, Directory)
    def listed(self, directory: Directory, event: Enrolled) -> Directory:
        return Directory(emails=directory.emails.set(event.customer_id, event.email))

    @Greeting.settled
    def greeted(self, _turn: ts.Turn, greeting: Greeting, outcome: ts.Outcome[Sent]) -> ts.Effects:
        if isinstance(outcome, ts.Succeeded):
            yield Greeted(customer_id=greeting.customer_id, sent_to=outcome.result.to)
        else:
            yield NotGreeted(customer_id=greeting.customer_id, reason=type(outcome).__name__)

    @ts.folds(Greeted, Customer)
    def was_greeted(self, customer: Customer, event: Greeted) -> Customer:
        return Customer(customer_id=customer.customer_id, email=customer.email, address=customer.address, greeted=event.sent_to)


class Newsletter(ts.Module):
    """Reads what it is told, and fails with it in its message when it is to."""

    name = "newsletter"

    def __init__(self) -> None:
        self.fails = False
        self.met: list[str | ts.Forgotten] = []

    @ts.reacts_to(Enrolled, emits=[Subscribed])
    def subscribe(self, turn: ts.Turn, event: Enrolled) -> ts.Effects:
        text = turn.reveal(event.email)
        self.met.append(text)
        if self.fails:
            msg = f"no newsletter for {text}"
            raise ValueError(msg)
        domain = "unknown" if isinstance(text, ts.Forgotten) else text.partition("@")[2]
        yield Subscribed(customer_id=event.customer_id, email=event.email, domain=domain)


class Mailer:
    """Greets people, or fails with their address in its message."""

    def __init__(self) -> None:
        self.fails = False
        self.sent: list[str | ts.Forgotten] = []

    def greet(self, action: Greet, call: ts.Call) -> Sent:
        address = call.reveal(action.email)
        self.sent.append(address)
        if self.fails:
            msg = f"550 no mailbox for {address}"
            raise ConnectionError(msg)
        return Sent(to=ts.sensitive(f"{address} (accepted)", of=action.customer_id))


def ada(text: str = ADA) -> ts.Sensitive[str]:
    """Something sensitive of Ada."""
    return ts.sensitive(text, of="c-ada")


HOME = Address(street=ada(STREET))


def enrol(
    customer_id: str = "c-ada", *, email: ts.Sensitive[str] | None = None, address: Address | None = HOME, refuse: bool = False
) -> Enrol:
    return Enrol(customer_id=customer_id, email=email or ada(), address=address, refuse=refuse)


def compose(mailer: Mailer | None = None, newsletter: Newsletter | None = None, **given: Any) -> ts.System:
    """The program."""
    performers = [Greet.performed_by((mailer or Mailer()).greet)]
    return ts.System([Register(), newsletter or Newsletter()], performers=performers, **given)
