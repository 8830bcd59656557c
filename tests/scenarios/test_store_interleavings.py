"""Any order in which the modules may read the log, customers cancel and the outside world answers: the store ends of one mind."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick.scenarios.tiny_store.inventory import Reservation, ReservationStatus, Stock
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order, OrderStatus
from tallystick.scenarios.tiny_store.shipments import Dispatch

OWNERS = ("orders", "inventory", "payments", "shipments")
RECEIVED = {"tea": 10, "cup": 3}

Move = tuple[str, int]
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "place", "cancel", "dispatch", "yes", "yes", "no", "silence", "late"]), st.integers(0, 7)
    ),
    max_size=60,
)


class World:
    """The outside world: what it has really done, whatever the store made of it."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.placed: list[str] = []
        self.refused: list[str] = []
        self.asked: list[tuple[str, Any]] = []
        self.captured: dict[str, str] = {}
        self.refunded: set[str] = set()
        self.sent: dict[str, str] = {}
        self.recalled: set[str] = set()

    def move(self, move: Move) -> None:
        what, which = move
        for name in OWNERS:
            self.asked.extend((name, each) for each in self.shop.open(name) if (name, each) not in self.asked)
        match what:
            case "take":
                self.shop.take(OWNERS[which % len(OWNERS)])
            case "place":
                self.placed.append(self.shop.place(f"o{len(self.placed)}", **({"tea": 3} if which % 3 else {"tea": 1, "cup": 2})))
            case "cancel" | "dispatch" if self.placed:
                order_id = self.placed[which % len(self.placed)]
                command = CancelOrder(order_id=order_id) if what == "cancel" else Dispatch(order_id=order_id, at=self.shop.now)
                try:
                    self.shop.ask(command)
                except ts.Rejected as refusal:
                    self.refused.append(refusal.code)
            case "yes" | "no" | "silence" | "late" if self.asked:
                name, execution = self.asked[which % len(self.asked)]
                self.answer(name, execution, what)
            case _:
                pass

    def answer(self, name: str, execution: Any, what: str) -> None:
        shop, token, intent = self.shop, execution.token, execution.intent
        operation = type(intent).__name__
        if what in {"no", "silence"}:
            shop.answer(name, token, ts.Failed(code="NO") if what == "no" else ts.TimedOut(attempts=1))
        elif operation == "PaymentProcessing":
            self.captured[f"pay-{token}"] = intent.order_id
            shop.paid(token)
        elif operation == "Refunding":
            self.refunded.add(intent.payment_id)
            shop.refunded(token)
        elif operation == "ShipmentCreation":
            self.sent[f"ship-{token}"] = intent.order_id
            shop.taken(token)
        else:
            self.recalled.add(intent.shipment_id)
            shop.recalled(token, intent.shipment_id)

    def settle_down(self) -> None:
        """The world answers whatever is still open, and says again what it said to deaf ears."""
        self.shop.run()
        while still_open := [(name, each) for name in OWNERS for each in self.shop.open(name)]:
            for name, execution in still_open:
                self.answer(name, execution, "yes")
            self.shop.run()


def check_stock(shop: Any) -> None:
    for sku, received in RECEIVED.items():
        level = shop.stock(sku)
        assert level.received == received, "conserved"
        assert min(level.on_hand, level.reserved, level.shipped) >= 0, "never negative"
    assert set(shop.state(Stock, "").levels) == set(RECEIVED)


def check_order(world: World, order_id: str) -> None:
    status = world.shop.state(Order, order_id).status
    kept = [each for each, of in world.captured.items() if of == order_id and each not in world.refunded]
    out = [each for each, of in world.sent.items() if of == order_id and each not in world.recalled]
    assert len(kept) == (status in {OrderStatus.PAID, OrderStatus.SHIPPED}), f"{status}: money kept {kept}"
    assert len(out) == (status is OrderStatus.SHIPPED), f"{status}: parcels out {out}"
    held = {
        OrderStatus.REJECTED: {ReservationStatus.FAILED},
        OrderStatus.PAID: {ReservationStatus.RESERVED},
        OrderStatus.SHIPPED: {ReservationStatus.SHIPPED},
        OrderStatus.PAYMENT_FAILED: {ReservationStatus.RELEASED},
        OrderStatus.CANCELLED: {ReservationStatus.RELEASED, ReservationStatus.FAILED},
    }
    assert status in held, "at rest no order is pending or confirmed"
    assert world.shop.state(Reservation, order_id).status in held[status]


@given(moves=MOVES)
def test_money_goods_and_parcels_agree_with_the_orders_at_rest(opened_shop: Any, moves: list[Move]) -> None:
    world = World(opened_shop())
    for move in moves:
        if move[0] in {"no", "silence"} and undoes(world, move):
            continue  # what cannot be undone waits for a person; that is another test
        world.move(move)
        check_stock(world.shop)
    world.settle_down()
    check_stock(world.shop)
    for order_id in world.placed:
        check_order(world, order_id)


def undoes(world: World, move: Move) -> bool:
    """Whether the move would refuse a refund or a recall."""
    return bool(world.asked) and type(world.asked[move[1] % len(world.asked)][1].intent).__name__ in {"Refunding", "Recalling"}


@pytest.mark.parametrize("step", range(12))
def test_a_cancel_at_any_step_of_a_happy_order_ends_of_one_mind(opened_shop: Any, step: int) -> None:
    world = World(opened_shop())
    world.placed.append(world.shop.place("o0"))
    for now in range(12):
        if now == step:
            world.move(("cancel", 0))
        for name in OWNERS:
            if world.shop.take(name):
                break
        else:
            for name in OWNERS:
                for execution in world.shop.open(name)[:1]:
                    world.answer(name, execution, "yes")
    world.settle_down()
    check_stock(world.shop)
    check_order(world, "o0")
