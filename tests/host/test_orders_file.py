"""Reading files of orders: what is wrong with a line is said with its number and field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallystick.host import orders_file
from tallystick.host.orders_file import MalformedLine, OrdersFile

Write = Callable[..., Path]
Orders = list[dict[str, Any]]


def read(path: Path) -> list[str]:
    with OrdersFile(path) as file:
        return [order.order_id for order in file]


def test_orders_are_read_in_their_order(written: Write, every_path: Orders) -> None:
    assert read(written(every_path)) == [order["order_id"] for order in every_path]


def test_blank_lines_and_a_missing_end_of_line_do_no_harm(written: Write, every_path: Orders) -> None:
    first, second = (json.dumps(order).encode() for order in every_path[:2])
    assert read(written([b"\n", first, b"\n \n", second])) == ["all-in-order", "all-in-the-past"]


def test_an_empty_file_has_no_orders(written: Write) -> None:
    assert read(written([])) == []


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"order_id": None}, "order_id", "expected `str`, got `null`"),
    ({"order_id": ""}, "order_id", "length >= 1"),
    ({"placed_at": "yesterday"}, "placed_at", "RFC3339"),
    ({"placed_at": "2020-01-01T00:00:00"}, "placed_at", "timezone"),
    ({"placed_at": "0001-01-01T00:00:00Z"}, "placed_at", "year"),
    ({"placed_at": "1970-01-01T00:00:00+23:00"}, "placed_at", "year"),
    ({"delivered_at": "8999-12-31T23:00:00-02:00"}, "delivered_at", "year"),
    ({"approved_at": 5}, "approved_at", "expected `datetime | null`, got `int`"),
    ({"delivered_at": "9999-12-31T00:00:00Z"}, "delivered_at", "year"),
    ({"final_status": "cancelled"}, "final_status", "'cancelled'"),
    ({"items": None}, "items", "expected `array`, got `null`"),
    ({"items": [{"sku": "tea"}]}, "items[0].quantity", "missing"),
    (
        {"items": [{"sku": "tea", "quantity": 0, "unit_price_cents": 1, "freight_cents": 0}]},
        "items[0].quantity",
        ">= 1",
    ),
    (
        {"items": [{"sku": "tea", "quantity": 1, "unit_price_cents": 1.5, "freight_cents": 0}]},
        "items[0].unit_price_cents",
        "expected `int`, got `float`",
    ),
    ({"payments": [{}]}, "payments[0].type", "missing"),
]


@pytest.mark.parametrize(("change", "field", "problem"), WRONG)
def test_a_wrong_field_is_named(written: Write, every_path: Orders, change: dict[str, Any], field: str, problem: str) -> None:
    every_path[2].update(change)
    with pytest.raises(MalformedLine) as found:
        read(written(every_path))
    assert (found.value.line, found.value.field) == (3, field)
    assert f"line 3, field {field}: " in str(found.value)
    assert problem in str(found.value)


@pytest.mark.parametrize("field", ["order_id", "customer_id", "placed_at", "final_status", "approved_at", "handed_to_carrier_at", "items"])
def test_a_missing_field_is_named(written: Write, every_path: Orders, field: str) -> None:
    del every_path[1][field]
    with pytest.raises(MalformedLine, match=f"line 2, field {field}: missing"):
        read(written(every_path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"order_id"', "truncated"),
        (b"no json\n", "JSON is malformed"),
        (b"\xff\xfe\n", "JSON is malformed"),
        (b"[]\n", "expected `object`, got `array`"),
        (b"{} {}\n", "line 2"),
        (b'{"order_id": "x", "notes": ' + b"[" * 5000 + b"]" * 5000 + b"}\n", "nested too deeply"),
        (b'{"order_id": "caf\xe9"}\n', "byte 18, 0xe9, is not UTF-8"),
    ],
)
def test_a_line_that_is_no_object_is_named_by_its_number(written: Write, every_path: Orders, line: bytes, problem: str) -> None:
    with pytest.raises(MalformedLine, match=r"line 2") as found:
        read(written([every_path[0], line]))
    assert problem in str(found.value)


def test_a_line_without_end_is_not_read_to_its_end(written: Write, every_path: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders_file, "LINE_LIMIT_BYTES", 1000)
    with pytest.raises(MalformedLine, match="line 2: longer than 1000 bytes"):
        read(written([every_path[0], b"[" * 5000]))


def test_an_order_that_stands_there_twice_is_refused(written: Write, every_path: Orders) -> None:
    with pytest.raises(MalformedLine, match="line 2, field order_id: order all-in-order stands in an earlier line"):
        read(written([every_path[0], every_path[0]]))


def test_lines_out_of_order_are_refused(written: Write, every_path: Orders) -> None:
    with pytest.raises(MalformedLine, match=r"line 2, field placed_at: .* before the line above"):
        read(written([every_path[3], every_path[0]]))
