"""Shipments by specification: one parcel for each paid order, to the customer's door or back."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    OrderCancelled,
    OrderPaid,
    ShipmentCancelled,
    ShipmentCreated,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentFailed,
    ShipmentRecalled,
    ShipmentRecallFailed,
)
from tallystick.scenarios.tiny_store.shipments import (
    Deliver,
    Dispatch,
    Recall,
    RecallAgain,
    Recalled,
    Recalling,
    RequestShipment,
    Shipment,
    ShipmentCreation,
    Shipments,
    ShipmentStatus,
    Waybill,
)
from tallystick.scenarios.tiny_store.status import IllegalTransition
from tallystick.testing import Happening, given, late_success, settled, timed_out

NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)

PAID: Final = OrderPaid(order_id="o1", payment_id="p1", address="1 High Street")
ORDER_CANCELLED: Final = OrderCancelled(order_id="o1", reason="CUSTOMER_REQUEST")

CREATION: Final = ShipmentCreation(order_id="o1")
RECALL: Final = Recalling(order_id="o1", shipment_id="s1")
REQUESTING: Final = ts.Begin(intent=CREATION, actions=(RequestShipment(order_id="o1", address="1 High Street"),))
RECALLING: Final = ts.Begin(intent=RECALL, actions=(Recall(order_id="o1", shipment_id="s1"),))

CREATED: Final = ShipmentCreated(order_id="o1", shipment_id="s1", tracking_number="TN")
DISPATCHED: Final = ShipmentDispatched(order_id="o1", shipment_id="s1", dispatched_at=NOW)
DELIVERED: Final = ShipmentDelivered(order_id="o1", shipment_id="s1", delivered_at=NOW)
FAILED: Final = ShipmentFailed(order_id="o1", reason="NO_ANSWER")
CALLED_OFF: Final = ShipmentCancelled(order_id="o1", reason="ORDER_CANCELLED")
RECALLED: Final = ShipmentRecalled(order_id="o1", shipment_id="s1")
NOT_RECALLED: Final = ShipmentRecallFailed(order_id="o1", shipment_id="s1", reason="DECLINED")

TAKEN: Final = Waybill(shipment_id="s1", tracking_number="TN")
BROUGHT_BACK: Final = Recalled(shipment_id="s1")

PASTS: Final[dict[str, tuple[ts.Event, ...]]] = {
    "CREATED": (CREATED,),
    "DISPATCHED": (CREATED, DISPATCHED),
    "DELIVERED": (CREATED, DISPATCHED, DELIVERED),
    "FAILED": (FAILED,),
    "CANCELLED": (CALLED_OFF,),
    "RECALLED": (CREATED, RECALLED),
    "RECALL_FAILED": (CREATED, NOT_RECALLED),
}
ON_ITS_WAY: Final = ("CREATED", "DISPATCHED")
DISPATCH: Final = Dispatch(order_id="o1", at=NOW)
DELIVER: Final = Deliver(order_id="o1", at=NOW)


# Requesting


def test_an_order_that_is_paid_is_sent() -> None:
    given(Shipments()).when(PAID).then(REQUESTING).then_open(CREATION)


def test_a_request_has_the_time_and_the_retries_that_the_store_was_set_up_with() -> None:
    retry = ts.FixedDelay(interval=timedelta(seconds=1))
    expected = ts.Begin(intent=CREATION, actions=REQUESTING.actions, timeout=timedelta(minutes=1), retry=retry)
    given(Shipments(timeout=timedelta(minutes=1), retry=retry)).when(PAID).then(expected)


def test_an_order_is_sent_once_however_often_it_is_paid() -> None:
    given(Shipments(), PAID).when(PAID).then_nothing()


@pytest.mark.parametrize("status", PASTS)
def test_an_order_that_has_its_parcel_gets_no_second_one(status: str) -> None:
    given(Shipments(), *PASTS[status]).when(PAID).then_nothing()


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (ts.Succeeded(result=TAKEN), CREATED),
        (ts.Failed(code="DECLINED"), ShipmentFailed(order_id="o1", reason="DECLINED")),
        (ts.TimedOut(attempts=1), FAILED),
        (ts.Refused(cause="busy"), ShipmentFailed(order_id="o1", reason="BUSY")),
        (ts.Cancelled(reason="BY_HAND"), ShipmentCancelled(order_id="o1", reason="BY_HAND")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_became_of_a_request_is_said_once(outcome: ts.Outcome[Waybill], event: ts.Event) -> None:
    given(Shipments(), PAID).when(settled(CREATION, outcome)).then(event).then_open()


def test_a_parcel_keeps_what_the_carrier_said() -> None:
    given(Shipments(), PAID).when(settled(CREATION, ts.Succeeded(result=TAKEN))).then_state(
        Shipment, "o1", Shipment(status=ShipmentStatus.CREATED, shipment_id="s1", tracking_number="TN")
    )


def test_a_request_that_is_not_answered_is_given_up_and_not_made_again() -> None:
    given(Shipments(), PAID).when(timed_out(CREATION)).then(FAILED)


# To the door


def test_a_parcel_is_dispatched_and_then_delivered() -> None:
    given(Shipments(), CREATED).when(DISPATCH).then(DISPATCHED, reply=None).when(DELIVER).then(DELIVERED, reply=None).then_state(
        Shipment, "o1", Shipment(status=ShipmentStatus.DELIVERED, shipment_id="s1", tracking_number="TN")
    )


@pytest.mark.parametrize("status", [each for each in PASTS if each != "CREATED"])
def test_only_a_parcel_that_was_created_is_dispatched(status: str) -> None:
    given(Shipments(), *PASTS[status]).when(DISPATCH).then_rejected(f"SHIPMENT_{status}")


@pytest.mark.parametrize("status", [each for each in PASTS if each != "DISPATCHED"])
def test_only_a_parcel_that_was_dispatched_is_delivered(status: str) -> None:
    given(Shipments(), *PASTS[status]).when(DELIVER).then_rejected(f"SHIPMENT_{status}")


@pytest.mark.parametrize("command", [DISPATCH, DELIVER], ids=["dispatch", "deliver"])
def test_a_parcel_that_nobody_asked_for_does_not_move(command: ts.Command[None]) -> None:
    given(Shipments()).when(command).then_rejected("UNKNOWN_SHIPMENT")


def test_a_parcel_that_is_being_called_back_goes_nowhere_else() -> None:
    given(Shipments(), CREATED, RECALL).when(DISPATCH).then_rejected("SHIPMENT_RECALLED")
    given(Shipments(), CREATED, DISPATCHED, RECALL).when(DELIVER).then_rejected("SHIPMENT_RECALLED")


# Undoing


def test_a_cancel_calls_a_request_off_that_is_out() -> None:
    given(Shipments(), PAID).when(ORDER_CANCELLED).then(settled(CREATION, ts.Cancelled(reason="ORDER_CANCELLED")), CALLED_OFF).then_open()


@pytest.mark.parametrize("status", ON_ITS_WAY)
def test_a_cancel_calls_a_parcel_back_that_is_on_its_way(status: str) -> None:
    given(Shipments(), *PASTS[status]).when(ORDER_CANCELLED).then(RECALLING)
    given(Shipments(), *PASTS[status], RECALL).when(ORDER_CANCELLED).then_nothing()


@pytest.mark.parametrize("past", [(), *(PASTS[status] for status in PASTS if status not in ON_ITS_WAY)])
def test_a_cancel_has_nothing_to_do_where_no_parcel_is_on_its_way(past: tuple[ts.Event, ...]) -> None:
    given(Shipments(), *past).when(ORDER_CANCELLED).then_nothing()


@pytest.mark.parametrize("given_up", [timed_out(CREATION), ORDER_CANCELLED], ids=["timed out", "cancelled"])
def test_a_parcel_that_is_taken_after_the_end_is_called_back(given_up: Happening) -> None:
    given(Shipments(), PAID, given_up).when(late_success(CREATION, TAKEN)).then(RECALLING)


# Back


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (ts.Succeeded(result=BROUGHT_BACK), RECALLED),
        (ts.Failed(code="DECLINED"), NOT_RECALLED),
        (ts.TimedOut(attempts=1), ShipmentRecallFailed(order_id="o1", shipment_id="s1", reason="NO_ANSWER")),
        (ts.Refused(cause="busy"), ShipmentRecallFailed(order_id="o1", shipment_id="s1", reason="busy")),
        (ts.Cancelled(reason="BY_HAND"), ShipmentRecallFailed(order_id="o1", shipment_id="s1", reason="BY_HAND")),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("status", ["CREATED", "DISPATCHED", "FAILED", "CANCELLED", "RECALL_FAILED"])
def test_what_became_of_a_recall_is_said_once(outcome: ts.Outcome[Recalled], event: ts.Event, status: str) -> None:
    given(Shipments(), *PASTS[status], RECALL).when(settled(RECALL, outcome)).then(event).then_open()


def test_a_recall_that_is_not_answered_for_a_day_waits_for_a_person() -> None:
    given(Shipments(), CREATED, RECALL).when(timed_out(RECALL)).then(
        ShipmentRecallFailed(order_id="o1", shipment_id="s1", reason="NO_ANSWER")
    ).then_state(
        Shipment,
        "o1",
        Shipment(status=ShipmentStatus.RECALL_FAILED, shipment_id="s1", tracking_number="TN", reason="NO_ANSWER"),
    )


def test_a_recall_that_failed_is_tried_again_when_a_person_says_so() -> None:
    given(Shipments(), CREATED, NOT_RECALLED).when(RecallAgain(order_id="o1")).then(RECALLING, reply=None)
    given(Shipments(), CREATED, NOT_RECALLED, RECALL).when(RecallAgain(order_id="o1")).then_rejected("RECALL_RUNNING")


@pytest.mark.parametrize("past", [(), *(PASTS[status] for status in PASTS if status != "RECALL_FAILED")])
def test_what_has_no_recall_that_failed_is_not_recalled_again(past: tuple[ts.Event, ...]) -> None:
    given(Shipments(), *past).when(RecallAgain(order_id="o1")).then_rejected("NOTHING_TO_RECALL")


def test_a_recall_that_is_heard_of_late_is_a_recall_unless_somebody_has_tried_again() -> None:
    late = late_success(RECALL, BROUGHT_BACK)
    given(Shipments(), CREATED, RECALL, timed_out(RECALL)).when(late).then(RECALLED)
    given(Shipments(), CREATED, RECALL, timed_out(RECALL), RecallAgain(order_id="o1")).when(late).then_nothing()


# What cannot have been


@pytest.mark.parametrize("events", [(DISPATCHED,), (CREATED, DELIVERED), (*PASTS["DELIVERED"], RECALLED), (*PASTS["RECALLED"], DISPATCHED)])
def test_a_history_that_cannot_have_been_is_refused(events: tuple[ts.Event, ...]) -> None:
    with pytest.raises(IllegalTransition):
        given(Shipments(), *events)
