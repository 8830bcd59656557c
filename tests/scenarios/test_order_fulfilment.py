"""The process that follows the store's orders: its story, and the store's days with all faults."""

import pytest

import tallystick as ts
from tallystick.scenarios.order_fulfilment import script
from tallystick.scenarios.order_fulfilment.fulfilment import FulfilmentAudit, OrderFulfilment
from tallystick.scenarios.order_fulfilment.simulated import SimulatedFulfilment
from tallystick.scenarios.telling import Audience
from tallystick.testing import Simulation


class Listens(Audience):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def sees(self, recorded: ts.Recorded) -> None:
        if recorded.aggregate_type == "OrderFulfilment" and recorded.aggregate_id == "order-1":
            self.seen.append(recorded.event_type.removeprefix("OrderFulfilment"))


def test_the_story_ends_as_it_should_and_the_reservation_is_remembered_until_it_is_paid() -> None:
    audience = Listens()
    script.play(ts.MemoryLog(), audience)
    assert audience.seen == ["Begun", "StepRemembered", *["StepCompleted"] * 4, "Completed"]


@pytest.mark.parametrize("seed", range(8))
def test_with_all_faults_a_process_changes_as_it_may_and_what_is_processing_is_open(seed: int) -> None:
    assert Simulation(SimulatedFulfilment, seed).run().violation is None


def test_the_audit_finds_what_a_process_must_not_do() -> None:
    audit = FulfilmentAudit()
    for event in (
        OrderFulfilment.Begun(process_id="a"),
        OrderFulfilment.StepCompleted(process_id="a", step="shipped"),
        OrderFulfilment.Completed(process_id="a"),
        OrderFulfilment.Failed(process_id="a", reason="timed out"),
    ):
        audit.take(event)
    assert list(audit.problems({})) == [
        "a: its steps are ['shipped']",
        "a: completed after ['shipped']",
        "a: OrderFulfilmentFailed while it is completed",
    ]
