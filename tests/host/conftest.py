"""A small file of made-up orders that goes down every path of a replay, and what it must come to."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)
DAY = 24.0
SECOND = 1 / 3600


def moment(hours: float | None) -> str | None:
    """So many hours after the beginning."""
    return None if hours is None else (MIDNIGHT + timedelta(seconds=round(hours * 3600))).isoformat().replace("+00:00", "Z")


def item(sku: str = "tea", quantity: int = 1, cents: int = 500, freight: int = 120) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, "unit_price_cents": cents, "freight_cents": freight}


def order(
    order_id: str,
    times: tuple[float, float | None, float | None, float | None],
    final_status: str = "delivered",
    items: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """`times`: placed, approved, handed to the carrier, delivered; in hours."""
    placed, approved, handed, delivered = times
    return {
        "order_id": order_id,
        "customer_id": "somebody",
        "placed_at": moment(placed),
        "final_status": final_status,
        "approved_at": moment(approved),
        "handed_to_carrier_at": moment(handed),
        "delivered_at": moment(delivered),
        "estimated_delivery_at": moment(placed + 20 * DAY),
        "items": [item()] if items is None else list(items),
        "payments": [{"type": "voucher", "installments": 1, "cents": 620}],
    }


EVERY_PATH = [
    order("all-in-order", (0, 1, 24, 72)),
    order("all-in-the-past", (0, -4, -3, -2)),
    order("carrier-before-gateway", (1, 30, 20, 25)),
    order("all-at-one-moment", (2, 5, 5, 5)),
    order("never-delivered", (2, 3, 4, None), "shipped"),
    order("no-items", (3, 4, None, None), "unavailable", items=[]),
    order("unlisted", (3, 4, None, None), "unavailable", items=[item("UNLISTED")]),
    order("never-approved", (4, None, None, None), "created"),
    order("approved-too-late", (5, 5 + 30 * DAY + SECOND, 5 + 31 * DAY, 5 + 32 * DAY)),
    order("approved-on-the-deadline", (6, 6 + 30 * DAY, 6 + 31 * DAY, 6 + 32 * DAY)),
    order("never-handed-over", (7, 8, None, None), "processing"),
    order("handed-over-too-late", (8, 9, 9 + 60 * DAY + SECOND, 9 + 61 * DAY)),
    order("handed-over-on-the-deadline", (9, 10, 10 + 60 * DAY, 10 + 61 * DAY)),
    order("cancelled-when-confirmed", (10, None, None, None), "canceled"),
    order("cancelled-when-paid", (11, 12, None, None), "canceled"),
    order("cancelled-when-shipped", (12, 13, 14, 20), "canceled"),
    order("cancelled-when-rejected", (13, 14, None, None), "canceled", items=[]),
    order("cancelled-when-failed", (14, 14 + 40 * DAY, None, None), "canceled"),
    order("a-lot", (15, 16, 17, 18), items=[item("tea", 1_000_000), item("cup", 600_000), item("cup", 600_000)]),
    order("months-later", (100 * DAY, 100 * DAY + 1, 101 * DAY, 102 * DAY)),
    order("never-approved-at-the-end", (100 * DAY, None, None, None), "created"),
]
RESULT = {
    "orders": 21,
    "statuses": {"CANCELLED": 2, "PAID": 2, "PAYMENT_FAILED": 4, "REJECTED": 3, "SHIPPED": 10},
    "delivered": 9,
    "cancel_refused": 3,
    "late_successes": {"payment": 2, "shipment": 1},
    "open_executions": 0,
}


@pytest.fixture
def every_path() -> list[dict[str, Any]]:
    return json.loads(json.dumps(EVERY_PATH))  # type: ignore[no-any-return]  # a copy to be spoiled


@pytest.fixture
def result() -> dict[str, Any]:
    return RESULT


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write lines to a file of orders: objects, or bytes as they are."""

    def write(lines: Sequence[dict[str, Any] | bytes], name: str = "orders.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines))
        return path

    return write
