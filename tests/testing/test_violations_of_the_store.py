"""Bugs of the store, and of what is written for it, that its own invariants find: goods, money, notes, and the log's last word."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store import newcomer, payments
from tallystick.scenarios.tiny_store.events import OrderPaid
from tallystick.scenarios.tiny_store.inventory import Inventory
from tallystick.scenarios.tiny_store.payments import Payments
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.store import memory
from tallystick.store.chain import GENESIS, linked
from tallystick.store.journal import Journal
from tallystick.testing.disk import SimulatedLog
from tallystick.testing.options import Faults
from tests.testing.finding import assert_found

Plant = Callable[[pytest.MonkeyPatch], None]


def marked_alike(method: Any, like: Any) -> Any:
    method.__dict__.update(like.__dict__)
    return method


def one_less_on_the_shelf(patched: pytest.MonkeyPatch) -> None:
    received = Inventory.stock_received

    def mean(self: Inventory, stock: Any, event: Any) -> Any:
        return received(self, stock, msgspec.structs.replace(event, quantity=event.quantity - 1))

    patched.setattr(Inventory, "stock_received", marked_alike(mean, received))


def refund_of_another_payment(patched: pytest.MonkeyPatch) -> None:
    refund = payments._refund
    patched.setattr(payments, "_refund", lambda order_id, payment_id, amount: refund(order_id, f"{payment_id}-other", amount))


def payment_that_nobody_made(patched: pytest.MonkeyPatch) -> None:
    settle = Payments.settle

    def inventive(self: Payments, turn: Any, payment: Any, outcome: Any) -> Any:
        for event in settle(self, turn, payment, outcome):
            yield msgspec.structs.replace(event, payment_id="pay-invented") if hasattr(event, "payment_id") else event

    patched.setattr(Payments, "settle", marked_alike(inventive, settle))


def no_notes_of_payments(patched: pytest.MonkeyPatch) -> None:
    noted = newcomer._noted
    patched.setattr(newcomer, "_noted", lambda event: () if isinstance(event, OrderPaid) else noted(event))


def readers_miss_a_record(patched: pytest.MonkeyPatch) -> None:
    durable_after = Journal.durable_after
    patched.setattr(Journal, "durable_after", lambda self, position, limit: durable_after(self, position + (position == 10), limit))


def causes_not_kept(patched: pytest.MonkeyPatch) -> None:
    write = SimulatedLog.write

    def partly(self: SimulatedLog, records: Sequence[ts.Recorded]) -> Any:
        return write(self, [msgspec.structs.replace(each, causation=None) for each in records])

    patched.setattr(SimulatedLog, "write", partly)


def batches_not_chained(patched: pytest.MonkeyPatch) -> None:
    """Each batch is linked to the log's beginning instead of to the batch before."""
    patched.setattr(memory, "linked", lambda _previous, records: linked(GENESIS, records))


@pytest.mark.parametrize(
    ("plant", "faults", "invariant", "said"),
    [
        (one_less_on_the_shelf, "none", "S9", r"\w+: \d+ on hand"),
        (refund_of_another_payment, "none", "S10", r"refund of what was never done: \['pay-.*-other'\]"),
        (payment_that_nobody_made, "none", "S10", r"the log has captures that were never made: \['pay-invented'\]"),
        (no_notes_of_payments, "restart", "P3", r"order-\d+: .*'OrderPaid'.* have happened .* notes of \['OrderPlaced', 'OrderConfirmed'"),
        (readers_miss_a_record, "none", "S5", r"was given position 12 after 10 \(position 12, seed"),
        (causes_not_kept, "crash", "S5", r"another record stands there than was appended \(position \d+, seed"),
        (batches_not_chained, "none", "P23", r"The record at position \d+ is not the one that was written there"),
    ],
)
def test_what_the_store_or_its_log_gets_wrong_is_found_under_its_id(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, faults: Faults, invariant: str, said: str
) -> None:
    plant(monkeypatch)
    assert_found(SimulatedStore, seeds=40, faults=faults, invariant=invariant, said=said)
