"""The store's modules without a system: their handlers called as the plain functions that they are, in any order that a log allows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import pytest

import tallystick as ts
from tallystick.domain.behaviour import Behaviour
from tallystick.scenarios.tiny_store.events import OrderItem
from tallystick.scenarios.tiny_store.inventory import ReceiveStock, Stock, StockLevel
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order, PlaceOrder
from tallystick.scenarios.tiny_store.payments import Receipt, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recalled, Waybill
from tallystick.scenarios.tiny_store.system import modules

G = TypeVar("G", bound=ts.Aggregate)
Re = TypeVar("Re", bound=ts.Resident)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Owner:
    """One module with its folded state, its open executions, and how far it has read."""

    def __init__(self, module: ts.Module) -> None:
        self.behaviour = Behaviour(module)
        self.states: dict[tuple[type[ts.Aggregate], str], Any] = {}
        self.executions: dict[ts.Token, ts.Execution[Any]] = {}
        self.settled: dict[ts.Token, ts.Intent[Any]] = {}
        self.seen = 0

    def fold(self, event: ts.Event) -> None:
        for fold in self.behaviour.folds.get(type(event), ()):
            key = (fold.into, "" if fold.resident else event.aggregate_id)
            self.states[key] = fold.apply(self.states.get(key, fold.into()), event)


class PureTurn:
    """A turn of an owner, as its handlers see it."""

    now = NOON
    tags: Mapping[str, str] = {}

    def __init__(self, owner: Owner, ids: Iterator[str]) -> None:
        self._owner = owner
        self._ids = ids

    def new_id(self) -> str:
        return next(self._ids)

    def new_token(self) -> ts.Token:
        return ts.Token(next(self._ids))

    def get(self, kind: type[G], key: str) -> G | None:
        state: G | None = self._owner.states.get((kind, key))
        return state

    def resident(self, kind: type[Re]) -> Re:
        state: Re = self._owner.states.get((kind, ""), kind())
        return state

    def open(self, kind: type[Any], subject: str) -> Sequence[ts.Execution[Any]]:
        return [each for each in self._owner.executions.values() if type(each.intent) is kind and each.intent.subject == subject]


class Published(NamedTuple):
    owner: str
    event: ts.Event


class PureStore:
    """The choreography without threads, disk or time. The test says which owner takes its next event, and what the world answers."""

    now = NOON

    def __init__(self) -> None:
        self.owners = {module.name: Owner(module) for module in modules()}
        self.log: list[Published] = []
        self.evidence: list[ts.Token] = []
        self._ids = (f"id-{number}" for number in range(1, 1_000_000))

    # What the test does.

    def ask(self, command: ts.Command[Any]) -> Any:
        owner = next(each for each in self.owners.values() if type(command) in each.behaviour.commands)
        decision = owner.behaviour.commands[type(command)](self._turn(owner), command)
        return self._carried_out(owner, decision)

    def take(self, name: str) -> bool:
        """Let an owner take the next event that concerns it; False when it has read to the end."""
        owner = self.owners[name]
        while owner.seen < len(self.log):
            event = self.log[owner.seen].event
            owner.seen += 1
            handler = owner.behaviour.reactions.get(type(event))
            if handler is not None:
                self._carried_out(owner, handler(self._turn(owner), event))
                return True
        return False

    def run(self) -> None:
        """Until nobody has anything left to take."""
        taken = True
        while taken:
            taken = False
            for name in self.owners:
                taken |= self.take(name)

    def deliver_again(self, name: str, event: ts.Event) -> list[ts.Effect]:
        """What an owner would do if it were given an event a second time; nothing is carried out."""
        owner = self.owners[name]
        return list(owner.behaviour.reactions[type(event)](self._turn(owner), event))

    def answer(self, name: str, token: ts.Token, outcome: ts.Outcome[Any]) -> None:
        """A report of the outside world; one for a settled token is stale, and a success then late."""
        owner = self.owners[name]
        if token in owner.executions:
            self._settle(owner, token, outcome)
        elif isinstance(outcome, ts.Succeeded) and token in owner.settled and token not in self.evidence:
            self.evidence.append(token)
            intent = owner.settled[token]
            late = owner.behaviour.late.get(type(intent))
            if late is not None:
                self._carried_out(owner, late(self._turn(owner), intent, outcome.result))

    # What the test looks at.

    def state(self, kind: type[G], key: str) -> G:
        found = self.state_or_none(kind, key)
        assert found is not None
        return found

    def state_or_none(self, kind: type[G], key: str = "") -> G | None:
        found: G | None = next((each.states[kind, key] for each in self.owners.values() if (kind, key) in each.states), None)
        return found

    def open(self, name: str) -> list[ts.Execution[Any]]:
        return list(self.owners[name].executions.values())

    def names(self) -> list[str]:
        return [type(each.event).__name__ for each in self.log]

    def of(self, kind: type[Any]) -> list[Any]:
        return [each.event for each in self.log if type(each.event) is kind]

    def _turn(self, owner: Owner) -> PureTurn:
        return PureTurn(owner, self._ids)

    def _settle(self, owner: Owner, token: ts.Token, outcome: ts.Outcome[Any]) -> None:
        execution = owner.executions[token]
        effects = list(owner.behaviour.settlements[type(execution.intent)](self._turn(owner), execution.intent, outcome))
        endings = [each for each in effects if type(each) in type(execution.intent).ends_with]
        assert len(endings) == 1, f"{endings} end {execution.intent}"
        del owner.executions[token]
        owner.settled[token] = execution.intent
        self._carried_out(owner, iter(effects))

    def _carried_out(self, owner: Owner, effects: Any) -> Any:
        """All effects of a turn, which saw the state before it; what a command's handler returns is the reply."""
        decided, reply = _drained(iter(effects))
        for effect in decided:
            match effect:
                case ts.Begin():
                    token = effect.token or ts.Token(next(self._ids))
                    owner.executions[token] = ts.Execution(token=token, intent=effect.intent, attempt=1, deadline=None)
                case ts.Settle():
                    self._settle(owner, effect.token, effect.outcome)
                case ts.Event():
                    owner.fold(effect)
                    self.log.append(Published(owner.behaviour.name, effect))
                case _:
                    pytest.fail(f"{effect} is not expected of the store")
        return reply


def _drained(effects: Iterator[ts.Effect]) -> tuple[list[ts.Effect], Any]:
    decided: list[ts.Effect] = []
    while True:
        try:
            decided.append(next(effects))
        except StopIteration as end:
            return decided, end.value


class Shop(PureStore):
    """A store with some stock, and short words for what customers and the world do, and for what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.ask(ReceiveStock(sku="tea", quantity=10))
        self.ask(ReceiveStock(sku="cup", quantity=3))
        self._stocked = len(self.log)

    def place(self, order_id: str = "o1", **quantities: int) -> str:
        reply: str = self.ask(order(order_id, **quantities))
        return reply

    def cancel(self, order_id: str = "o1") -> None:
        self.ask(CancelOrder(order_id=order_id))

    def stock(self, sku: str = "tea") -> StockLevel:
        return self.state(Stock, "").level(sku)

    def pay(self) -> ts.Token:
        """Run up to the charge of the one order that is to be paid, and let it succeed; its token."""
        self.run()
        (charge,) = self.open("payments")
        self.paid(charge.token)
        self.run()
        return charge.token

    def ship(self) -> None:
        """Run up to the parcel of the one order that is under way, and let the carrier take it."""
        self.pay()
        (request,) = self.open("shipments")
        self.taken(request.token)
        self.run()
        assert self.status() == "SHIPPED"

    def status(self, order_id: str = "o1") -> str:
        return str(self.state(Order, order_id).status)

    def story(self) -> list[str]:
        """The names of the events since the shop was stocked."""
        return self.names()[self._stocked :]

    def paid(self, token: ts.Token) -> None:
        self.answer("payments", token, ts.Succeeded(result=Receipt(payment_id=f"pay-{token}")))

    def taken(self, token: ts.Token) -> None:
        self.answer("shipments", token, ts.Succeeded(result=Waybill(shipment_id=f"ship-{token}", tracking_number="TN")))

    def refunded(self, token: ts.Token) -> None:
        self.answer("payments", token, ts.Succeeded(result=RefundReceipt(refund_id=f"refund-{token}")))

    def recalled(self, token: ts.Token, shipment_id: str) -> None:
        self.answer("shipments", token, ts.Succeeded(result=Recalled(shipment_id=shipment_id)))


def order(order_id: str = "o1", **quantities: int) -> PlaceOrder:
    """Two packets of tea, unless it is said otherwise; 2.50 each."""
    price = Money(cents=250, currency="EUR")
    items = tuple(OrderItem(sku=sku, quantity=count, unit_price=price) for sku, count in (quantities or {"tea": 2}).items())
    return PlaceOrder(customer_id="c1", items=items, address="1 High Street", order_id=order_id)


# The fixtures are typed loosely: tests are no package, so that a test file cannot name the classes above.


@pytest.fixture
def shop() -> Any:
    return Shop()


@pytest.fixture(scope="session")
def opened_shop() -> Any:
    """A new shop at each call, for tests that need many."""
    return Shop


@pytest.fixture(scope="session")
def order_of() -> Any:
    return order
