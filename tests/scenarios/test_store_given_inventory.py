"""Inventory by specification: an order has all of its goods set aside or none, and every unit is in one place."""

from typing import Final

import pytest
from pyrsistent import pmap

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    InventoryReleased,
    InventoryReservationFailed,
    InventoryReserved,
    InventoryShipped,
    OrderCancelled,
    OrderItem,
    OrderPaymentFailed,
    OrderPlaced,
    OrderShipped,
    SkuDelisted,
    SkuQuantity,
    StockReceived,
)
from tallystick.scenarios.tiny_store.inventory import (
    DelistSku,
    Inventory,
    ReceiveStock,
    Reservation,
    ReservationStatus,
    Stock,
    StockError,
    StockLevel,
)
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.status import IllegalTransition
from tallystick.testing import given

EURO: Final = Money(cents=100, currency="EUR")
TEN_TEA: Final = StockReceived(sku="tea", quantity=10)
THREE_CUPS: Final = StockReceived(sku="cup", quantity=3)

RESERVED: Final = InventoryReserved(order_id="o1", reservations=(SkuQuantity(sku="tea", quantity=2), SkuQuantity(sku="cup", quantity=1)))
TEA_RELEASED: Final = InventoryReleased(order_id="o1", sku="tea", quantity=2)
CUP_RELEASED: Final = InventoryReleased(order_id="o1", sku="cup", quantity=1)
GONE: Final = InventoryShipped(order_id="o1", items=RESERVED.reservations)

CANCELLED: Final = OrderCancelled(order_id="o1", reason="CUSTOMER_REQUEST")
NOT_PAID: Final = OrderPaymentFailed(order_id="o1")
SHIPPED: Final = OrderShipped(order_id="o1", shipment_id="s1")
ENDS: Final = (CANCELLED, NOT_PAID, SHIPPED)

STOCKED: Final = (TEN_TEA, THREE_CUPS)


def placed(*lines: tuple[str, int]) -> OrderPlaced:
    items = tuple(OrderItem(sku=sku, quantity=quantity, unit_price=EURO) for sku, quantity in lines)
    return OrderPlaced(order_id="o1", customer_id="c1", items=items, total_amount=EURO, address="1 High Street")


def stock(**levels: StockLevel) -> Stock:
    return Stock(levels=pmap(levels))


# Stock


def test_goods_that_come_in_are_on_hand_and_for_sale() -> None:
    given(Inventory()).when(ReceiveStock(sku="tea", quantity=10)).then(TEN_TEA).then_resident(Stock, stock(tea=StockLevel(on_hand=10)))


def test_goods_that_come_in_again_are_added_and_for_sale_again() -> None:
    given(Inventory(), TEN_TEA, SkuDelisted(sku="tea")).when(ReceiveStock(sku="tea", quantity=5)).then(
        StockReceived(sku="tea", quantity=5)
    ).then_resident(Stock, stock(tea=StockLevel(on_hand=15)))


@pytest.mark.parametrize("quantity", [0, -1])
def test_less_than_one_unit_does_not_come_in(quantity: int) -> None:
    given(Inventory()).when(ReceiveStock(sku="tea", quantity=quantity)).then_rejected("BAD_QUANTITY")


def test_an_article_goes_out_of_sale_and_what_is_there_stays() -> None:
    given(Inventory(), TEN_TEA).when(DelistSku(sku="tea")).then(SkuDelisted(sku="tea")).then_resident(
        Stock, stock(tea=StockLevel(on_hand=10, active=False))
    )


def test_an_article_that_was_never_listed_cannot_go_out_of_sale() -> None:
    given(Inventory()).when(DelistSku(sku="tea")).then_rejected("UNKNOWN_SKU")


# Setting aside


def test_all_goods_of_an_order_are_set_aside() -> None:
    given(Inventory(), *STOCKED).when(placed(("tea", 2), ("cup", 1))).then(RESERVED).then_state(
        Reservation, "o1", Reservation(status=ReservationStatus.RESERVED, items=RESERVED.reservations)
    ).then_resident(Stock, stock(tea=StockLevel(on_hand=8, reserved=2), cup=StockLevel(on_hand=2, reserved=1)))


def test_lines_of_one_article_are_set_aside_together() -> None:
    given(Inventory(), *STOCKED).when(placed(("tea", 2), ("tea", 3))).then(
        InventoryReserved(order_id="o1", reservations=(SkuQuantity(sku="tea", quantity=5),))
    )


@pytest.mark.parametrize(
    ("past", "wanted", "reason"),
    [
        (STOCKED, (("tea", 1), ("cup", 4)), "INSUFFICIENT_STOCK: cup"),
        (STOCKED, (("tea", 6), ("tea", 5)), "INSUFFICIENT_STOCK: tea"),
        (STOCKED, (("tea", 1), ("pot", 1)), "UNKNOWN_SKU: pot"),
        ((*STOCKED, SkuDelisted(sku="tea")), (("tea", 1),), "UNKNOWN_SKU: tea"),
    ],
)
def test_of_an_order_that_cannot_be_had_whole_nothing_is_set_aside(
    past: tuple[ts.Event, ...], wanted: tuple[tuple[str, int], ...], reason: str
) -> None:
    given(Inventory(), *past).when(placed(*wanted)).then(InventoryReservationFailed(order_id="o1", reason=reason)).then_state(
        Reservation, "o1", Reservation(status=ReservationStatus.FAILED, reason=reason)
    )


def test_an_order_gets_no_second_reservation() -> None:
    given(Inventory(), *STOCKED, placed(("tea", 2))).when(placed(("tea", 2))).then_nothing()
    given(Inventory(), placed(("tea", 2)), *STOCKED).when(placed(("tea", 2))).then_nothing()


# Letting go


@pytest.mark.parametrize("end", [CANCELLED, NOT_PAID], ids=["cancelled", "not paid"])
def test_each_article_of_an_order_that_is_given_up_goes_back(end: ts.Event) -> None:
    given(Inventory(), *STOCKED, RESERVED).when(end).then(TEA_RELEASED, CUP_RELEASED).then_state(
        Reservation, "o1", Reservation(status=ReservationStatus.RELEASED)
    ).then_resident(Stock, stock(tea=StockLevel(on_hand=10), cup=StockLevel(on_hand=3)))


def test_only_what_is_still_held_goes_back() -> None:
    given(Inventory(), *STOCKED, RESERVED, TEA_RELEASED).when(CANCELLED).then(CUP_RELEASED)


def test_the_goods_of_an_order_that_is_shipped_leave_the_house() -> None:
    given(Inventory(), *STOCKED, RESERVED).when(SHIPPED).then(GONE).then_state(
        Reservation, "o1", Reservation(status=ReservationStatus.SHIPPED, items=RESERVED.reservations)
    ).then_resident(Stock, stock(tea=StockLevel(on_hand=8, shipped=2), cup=StockLevel(on_hand=2, shipped=1)))


@pytest.mark.parametrize("end", ENDS, ids=["cancelled", "not paid", "shipped"])
@pytest.mark.parametrize(
    "past",
    [
        (),
        (InventoryReservationFailed(order_id="o1", reason="UNKNOWN_SKU: tea"),),
        (RESERVED, TEA_RELEASED, CUP_RELEASED),
        (RESERVED, GONE),
    ],
    ids=["nothing held", "not reserved", "released", "gone"],
)
def test_what_is_not_held_neither_goes_back_nor_out(past: tuple[ts.Event, ...], end: ts.Event) -> None:
    given(Inventory(), *STOCKED, *past).when(end).then_nothing()


# What cannot have been


def test_less_than_nothing_cannot_be_on_hand() -> None:
    with pytest.raises(StockError, match="below zero"):
        given(Inventory(), RESERVED)


@pytest.mark.parametrize("events", [(RESERVED, GONE, TEA_RELEASED), (RESERVED, TEA_RELEASED, CUP_RELEASED, GONE)])
def test_a_history_that_cannot_have_been_is_refused(events: tuple[ts.Event, ...]) -> None:
    with pytest.raises((IllegalTransition, StockError)):
        given(Inventory(), *STOCKED, *events)
