"""Sequences made from logs, held against the diagrams that the store was drawn from; those are written down here by hand."""

from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

import tallystick as ts
from tallystick.host.cli import cli
from tallystick.host.programs import TINY_STORE
from tallystick.host.render import BUS, Arrow, Sequencer
from tallystick.scenarios.telling import Audience
from tallystick.scenarios.tiny_store.scripts import SCRIPTS


class Step(NamedTuple):
    """In a diagram: the publisher's arrow to the bus, and the bus's to the subscriber."""

    publisher: str
    event: str
    subscriber: str | None = None


HAPPY = [
    Step("Orders", "OrderPlaced", "Inventory"),
    Step("Inventory", "InventoryReserved", "Orders"),
    Step("Orders", "OrderConfirmed", "Payments"),
    Step("Payments", "PaymentProcessed", "Orders"),
    Step("Orders", "OrderPaid", "Shipments"),
    Step("Shipments", "ShipmentCreated", "Orders"),
    Step("Orders", "OrderShipped"),
]
INSUFFICIENT_STOCK = [
    Step("Orders", "OrderPlaced", "Inventory"),
    Step("Inventory", "InventoryReservationFailed", "Orders"),
    Step("Orders", "OrderRejected"),
]
PAYMENT_FAILURE = [
    Step("Orders", "OrderPlaced", "Inventory"),
    Step("Inventory", "InventoryReserved", "Orders"),
    Step("Orders", "OrderConfirmed", "Payments"),
    Step("Payments", "PaymentFailed", "Orders"),
    Step("Orders", "OrderPaymentFailed", "Inventory"),
    Step("Inventory", "InventoryReleased"),
]
CANCELLATION = [
    Step("Orders", "OrderCancelled", "Inventory"),
    Step("Inventory", "InventoryReleased"),
]


class Collected(Audience):
    def __init__(self) -> None:
        self.arrows: list[Arrow] = []
        self._sequencer = Sequencer(TINY_STORE.modules(), TINY_STORE.additions)

    def sees(self, recorded: ts.Recorded) -> None:
        self.arrows.extend(self._sequencer.arrows_of(recorded))


def played(name: str) -> list[Arrow]:
    audience = Collected()
    SCRIPTS[name].play(ts.MemoryLog(), audience)
    return audience.arrows


def steps(arrows: list[Arrow]) -> list[Step]:
    """The sequence as the diagrams have it: without what is ours, and without commands and operations."""
    found: list[Step] = []
    for arrow in arrows:
        if arrow.ours:
            continue
        if arrow.kind == "published":
            assert arrow.target == BUS
            found.append(Step(arrow.source, arrow.text))
        elif arrow.kind == "delivered":
            assert found[-1].event == arrow.text, "an event is delivered right after it was published"
            found[-1] = found[-1]._replace(subscriber=arrow.target)
    return found


@pytest.mark.parametrize(
    ("name", "diagram"),
    [("happy-path", HAPPY), ("insufficient-stock", INSUFFICIENT_STOCK), ("payment-failure", PAYMENT_FAILURE)],
)
def test_a_flow_runs_as_it_was_drawn(name: str, diagram: list[Step]) -> None:
    assert steps(played(name)) == diagram


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name.startswith("cancellation-")])
def test_a_cancellation_runs_as_it_was_drawn_in_each_state(name: str) -> None:
    whole = steps(played(name))
    cancelled = whole.index(Step("Orders", "OrderCancelled", "Inventory"))
    assert [step for step in whole[cancelled:] if step in CANCELLATION] == CANCELLATION
    before = [step for step in whole if step not in CANCELLATION]
    assert before == HAPPY[: len(before)], "what had happened by then is the beginning of a happy order"


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("cancellation-pending", 2),
        ("cancellation-confirmed", 3),
        ("cancellation-paid", 5),
        ("cancellation-crossing-shipment", 6),
    ],
)
def test_a_cancellation_comes_in_the_state_that_it_is_named_after(name: str, events: int) -> None:
    assert len([step for step in steps(played(name)) if step not in CANCELLATION]) == events


def test_what_is_ours_is_marked() -> None:
    ours = {(arrow.kind, arrow.text, arrow.target) for arrow in played("cancellation-paid") if arrow.ours}
    assert ("delivered", "OrderCancelled", "Payments") in ours
    assert ("published", "PaymentRefunded", BUS) in ours
    assert ("delivered", "OrderCancelled", "Inventory") not in ours


def test_operations_and_commands_are_part_of_the_sequence() -> None:
    arrows = played("happy-path")
    assert Arrow("command", "API", "Orders", "PlaceOrder") in arrows
    assert Arrow("begun", "Payments", "Payments", "PaymentProcessingStarted") in arrows
    assert Arrow("begun", "Payments", "Payments", "RefundingStarted", ours=True) in played("cancellation-paid")


def test_timeouts_and_late_answers_stand_over_their_owner() -> None:
    notes = [(arrow.source, arrow.text) for arrow in played("late-capture") if arrow.kind == "note"]
    assert notes == [("Payments", "TimeoutFired"), ("Payments", "LateSuccess")]


def test_the_diagram_is_mermaid() -> None:
    result = CliRunner().invoke(cli, ["scenario", "run", "happy-path", "--mermaid"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "sequenceDiagram"
    assert "    Orders->>EventBus: OrderPlaced" in lines
    assert "    EventBus->>Inventory: OrderPlaced" in lines
    assert "    EventBus-->>Inventory: OrderShipped (ours)" in lines
    declared = [line.split()[1] for line in lines if line.startswith("    participant ")]
    named: set[Any] = {name for line in lines if "->>" in line for name in line.strip().split(":")[0].replace("-->>", "->>").split("->>")}
    assert set(declared) == named
