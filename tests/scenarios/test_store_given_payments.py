"""Payments by specification: one charge for each confirmed order, and its way back when it was for nothing."""

from datetime import timedelta
from typing import Final

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store.events import (
    OrderCancelled,
    OrderConfirmed,
    PaymentCancelled,
    PaymentFailed,
    PaymentProcessed,
    PaymentRefunded,
    RefundFailed,
)
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.payments import (
    Charge,
    Payment,
    PaymentProcessing,
    Payments,
    PaymentStatus,
    Receipt,
    Refund,
    RefundAgain,
    Refunding,
    RefundReceipt,
)
from tallystick.scenarios.tiny_store.status import IllegalTransition
from tallystick.testing import Before, Happening, given, late_success, settled, timed_out

TEN: Final = Money(cents=1000, currency="EUR")

CONFIRMED: Final = OrderConfirmed(order_id="o1", amount=TEN)
CANCELLED: Final = OrderCancelled(order_id="o1", reason="CUSTOMER_REQUEST")

PAYMENT: Final = PaymentProcessing(order_id="o1", amount=TEN)
REFUND: Final = Refunding(order_id="o1", payment_id="p1", amount=TEN)
CHARGING: Final = ts.Begin(intent=PAYMENT, actions=(Charge(order_id="o1", amount=TEN),))
REFUNDING: Final = ts.Begin(intent=REFUND, actions=(Refund(order_id="o1", payment_id="p1", amount=TEN),))

PROCESSED: Final = PaymentProcessed(order_id="o1", payment_id="p1", amount=TEN)
FAILED: Final = PaymentFailed(order_id="o1", reason="DECLINED")
CALLED_OFF: Final = PaymentCancelled(order_id="o1", reason="ORDER_CANCELLED")
REFUNDED: Final = PaymentRefunded(order_id="o1", payment_id="p1", refund_id="r1", amount=TEN)
NOT_REFUNDED: Final = RefundFailed(order_id="o1", payment_id="p1", amount=TEN, reason="DECLINED")

CAPTURED: Final = Receipt(payment_id="p1")
GIVEN_BACK: Final = RefundReceipt(refund_id="r1")

ENDS: Final = {"processed": PROCESSED, "failed": FAILED, "cancelled": CALLED_OFF}


# Charging


def test_an_order_that_is_confirmed_is_charged() -> None:
    given(Payments()).when(CONFIRMED).then(CHARGING).then_open(PAYMENT)


def test_a_charge_has_the_time_and_the_retries_that_the_store_was_set_up_with() -> None:
    retry = ts.FixedDelay(interval=timedelta(seconds=1))
    expected = ts.Begin(intent=PAYMENT, actions=CHARGING.actions, timeout=timedelta(minutes=1), retry=retry)
    given(Payments(timeout=timedelta(minutes=1), retry=retry)).when(CONFIRMED).then(expected)


def test_an_order_is_charged_once_however_often_it_is_confirmed() -> None:
    given(Payments(), CONFIRMED).when(CONFIRMED).then_nothing()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_an_order_whose_payment_has_ended_is_not_charged_again(end: ts.Event) -> None:
    given(Payments(), end).when(CONFIRMED).then_nothing()


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (ts.Succeeded(result=CAPTURED), PROCESSED),
        (ts.Failed(code="DECLINED"), FAILED),
        (ts.TimedOut(attempts=1), PaymentFailed(order_id="o1", reason="NO_ANSWER")),
        (ts.Refused(cause="busy"), PaymentFailed(order_id="o1", reason="BUSY")),
        (ts.Cancelled(reason="BY_HAND"), PaymentCancelled(order_id="o1", reason="BY_HAND")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_became_of_a_charge_is_said_once(outcome: ts.Outcome[Receipt], event: ts.Event) -> None:
    given(Payments(), CONFIRMED).when(settled(PAYMENT, outcome)).then(event).then_open()


def test_a_payment_keeps_what_the_gateway_said() -> None:
    given(Payments(), CONFIRMED).when(settled(PAYMENT, ts.Succeeded(result=CAPTURED))).then_state(
        Payment, "o1", Payment(status=PaymentStatus.PROCESSED, payment_id="p1", amount=TEN)
    )


def test_a_charge_that_is_not_answered_is_given_up_and_not_made_again() -> None:
    given(Payments(), CONFIRMED).when(timed_out(PAYMENT)).then(PaymentFailed(order_id="o1", reason="NO_ANSWER")).then_state(
        Payment, "o1", Payment(status=PaymentStatus.FAILED, reason="NO_ANSWER")
    )


# Undoing


def test_a_cancel_calls_a_charge_off_that_is_out() -> None:
    given(Payments(), CONFIRMED).when(CANCELLED).then(settled(PAYMENT, ts.Cancelled(reason="ORDER_CANCELLED")), CALLED_OFF).then_open()


def test_a_cancel_gives_a_capture_back() -> None:
    given(Payments(), PROCESSED).when(CANCELLED).then(REFUNDING).then_open(REFUND)


@pytest.mark.parametrize(
    "past",
    [(), (FAILED,), (CALLED_OFF,), (PROCESSED, REFUND), (PROCESSED, REFUNDED), (PROCESSED, NOT_REFUNDED)],
    ids=["nothing", "not captured", "called off", "on its way back", "given back", "not given back"],
)
def test_a_cancel_has_nothing_to_do_where_nothing_is_captured_or_it_is_seen_to(
    past: tuple[Before, ...],
) -> None:
    given(Payments(), *past).when(CANCELLED).then_nothing()


@pytest.mark.parametrize("given_up", [timed_out(PAYMENT), CANCELLED], ids=["timed out", "cancelled"])
def test_a_capture_that_comes_after_the_end_is_given_back(given_up: Happening) -> None:
    given(Payments(), CONFIRMED, given_up).when(late_success(PAYMENT, CAPTURED)).then(REFUNDING)


def test_a_late_capture_is_given_back_once() -> None:
    given(Payments(), CONFIRMED, CANCELLED, late_success(PAYMENT, CAPTURED)).when(late_success(PAYMENT, CAPTURED)).then_nothing()


# Giving back


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (ts.Succeeded(result=GIVEN_BACK), REFUNDED),
        (ts.Failed(code="DECLINED"), NOT_REFUNDED),
        (ts.TimedOut(attempts=1), RefundFailed(order_id="o1", payment_id="p1", amount=TEN, reason="NO_ANSWER")),
        (ts.Refused(cause="busy"), RefundFailed(order_id="o1", payment_id="p1", amount=TEN, reason="busy")),
        (ts.Cancelled(reason="BY_HAND"), RefundFailed(order_id="o1", payment_id="p1", amount=TEN, reason="BY_HAND")),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_what_became_of_a_refund_is_said_once(outcome: ts.Outcome[RefundReceipt], event: ts.Event, end: ts.Event) -> None:
    given(Payments(), end, REFUND).when(settled(REFUND, outcome)).then(event).then_open()


def test_a_payment_keeps_that_it_was_given_back() -> None:
    given(Payments(), PROCESSED, REFUND).when(settled(REFUND, ts.Succeeded(result=GIVEN_BACK))).then_state(
        Payment, "o1", Payment(status=PaymentStatus.REFUNDED, payment_id="p1", amount=TEN, refund_id="r1")
    )


def test_a_refund_that_is_not_answered_for_a_day_waits_for_a_person() -> None:
    given(Payments(), PROCESSED, REFUND).when(timed_out(REFUND)).then(
        RefundFailed(order_id="o1", payment_id="p1", amount=TEN, reason="NO_ANSWER")
    ).then_state(Payment, "o1", Payment(status=PaymentStatus.REFUND_FAILED, payment_id="p1", amount=TEN, reason="NO_ANSWER"))


def test_a_refund_that_failed_is_tried_again_when_a_person_says_so() -> None:
    given(Payments(), PROCESSED, NOT_REFUNDED).when(RefundAgain(order_id="o1")).then(REFUNDING, reply=None)
    given(Payments(), PROCESSED, NOT_REFUNDED, REFUND).when(RefundAgain(order_id="o1")).then_rejected("REFUND_RUNNING")


@pytest.mark.parametrize("past", [(), (PROCESSED,), (FAILED,), (PROCESSED, REFUNDED)], ids=["nothing", "captured", "failed", "given back"])
def test_what_has_no_refund_that_failed_is_not_refunded_again(past: tuple[ts.Event, ...]) -> None:
    given(Payments(), *past).when(RefundAgain(order_id="o1")).then_rejected("NOTHING_TO_REFUND")


def test_a_refund_that_is_heard_of_late_is_a_refund_unless_somebody_has_tried_again() -> None:
    late = late_success(REFUND, GIVEN_BACK)
    given(Payments(), PROCESSED, REFUND, timed_out(REFUND)).when(late).then(REFUNDED)
    given(Payments(), PROCESSED, REFUND, timed_out(REFUND), RefundAgain(order_id="o1")).when(late).then_nothing()
    again = settled(REFUND, ts.Succeeded(result=GIVEN_BACK))
    given(Payments(), PROCESSED, REFUND, timed_out(REFUND), RefundAgain(order_id="o1"), again).when(late).then_nothing()


# What cannot have been


@pytest.mark.parametrize("events", [(REFUNDED,), (PROCESSED, FAILED), (PROCESSED, REFUNDED, NOT_REFUNDED), (NOT_REFUNDED,)])
def test_a_history_that_cannot_have_been_is_refused(events: tuple[ts.Event, ...]) -> None:
    with pytest.raises(IllegalTransition):
        given(Payments(), *events)
