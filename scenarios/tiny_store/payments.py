"""Payments: one charge for each confirmed order, and its way back when it was for nothing."""

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Final, Literal, assert_never

import msgspec

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
from tallystick.scenarios.tiny_store.status import moved

_replace = msgspec.structs.replace

Retry = ts.ExponentialBackoff | ts.LinearBackoff | ts.FixedDelay


class PaymentStatus(StrEnum):
    """Where a payment stands."""

    PROCESSED = "PROCESSED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"
    REFUND_FAILED = "REFUND_FAILED"


_S = PaymentStatus
_BACK: Final = frozenset({_S.REFUNDED, _S.REFUND_FAILED})
PAYMENT_MOVES: Final = {
    None: frozenset({_S.PROCESSED, _S.FAILED, _S.CANCELLED}),
    _S.PROCESSED: _BACK,
    _S.FAILED: _BACK,  # captured too late
    _S.CANCELLED: _BACK,
    _S.REFUND_FAILED: _BACK,  # a person tries again
}
"""The legal moves. A status that is not a key is final."""


class Payment(ts.Aggregate):
    """The payment of one order; `status` is None until it has ended."""

    closed: ClassVar[bool] = True  # a cancel or a late capture may concern it later, seldom: it is read back then
    status: PaymentStatus | None = None
    payment_id: str = ""
    amount: Money | None = None
    refund_id: str = ""
    reason: str = ""


class Receipt(ts.Record):
    """The gateway's word that the money was captured."""

    payment_id: str


class RefundReceipt(ts.Record):
    """The gateway's word that the money was given back."""

    refund_id: str


class Charge(ts.Action[Receipt]):
    """Capture the amount."""

    order_id: str
    amount: Money


class Refund(ts.Action[RefundReceipt]):
    """Give a capture back, whole."""

    order_id: str
    payment_id: str
    amount: Money


class PaymentProcessing(ts.Intent[Receipt]):
    """To have an order paid. An unanswered charge is not made again: the customer has been waiting for long enough."""

    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    retry: ClassVar[Retry | None] = ts.ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(seconds=30), max_retries=3)
    on_timeout: ClassVar[Literal["retry", "abandon"]] = "abandon"
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (PaymentProcessed, PaymentFailed, PaymentCancelled)

    order_id: str
    amount: Money

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class Refunding(ts.Intent[RefundReceipt]):
    """To give a captured amount back: the gateway is asked for about a day before somebody has to look."""

    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    retry: ClassVar[Retry | None] = ts.ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(hours=4), max_retries=18)
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (PaymentRefunded, RefundFailed)

    order_id: str
    payment_id: str
    amount: Money

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class RefundAgain(ts.Command[None]):
    """For a person: try a refund once more that has failed for good."""

    order_id: str


class Payments(ts.Module):
    """The owner of payments. `timeout` and `retry` stand in for those of `PaymentProcessing`."""

    name: ClassVar[str] = "payments"

    def __init__(self, *, timeout: timedelta | None = None, retry: Retry | None = None) -> None:
        self._timeout = timeout
        self._retry = retry

    @ts.reacts_to(OrderConfirmed)
    def begin(self, turn: ts.Turn, event: OrderConfirmed) -> ts.Effects:
        """One charge for each order, however often it is confirmed."""
        if turn.get(Payment, event.order_id) is not None or turn.open(PaymentProcessing, event.order_id):
            return
        yield ts.Begin(
            intent=PaymentProcessing(order_id=event.order_id, amount=event.amount),
            actions=(Charge(order_id=event.order_id, amount=event.amount),),
            timeout=self._timeout,
            retry=self._retry,
        )

    @PaymentProcessing.settled
    def settle(self, turn: ts.Turn, payment: PaymentProcessing, outcome: ts.Outcome[Receipt]) -> ts.Effects:
        """Say what became of the charge."""
        del turn
        match outcome:
            case ts.Succeeded(result=receipt):
                yield PaymentProcessed(order_id=payment.order_id, payment_id=receipt.payment_id, amount=payment.amount)
            case ts.Failed(code=code):
                yield PaymentFailed(order_id=payment.order_id, reason=code)
            case ts.TimedOut():
                yield PaymentFailed(order_id=payment.order_id, reason="NO_ANSWER")
            case ts.Refused(cause=cause):
                yield PaymentFailed(order_id=payment.order_id, reason=cause.upper())
            case ts.Cancelled(reason=reason):
                yield PaymentCancelled(order_id=payment.order_id, reason=reason)
            case _:
                assert_never(outcome)

    @PaymentProcessing.late
    def give_back_late(self, turn: ts.Turn, payment: PaymentProcessing, receipt: Receipt) -> ts.Effects:
        """The money was captured after the order was given up: back with it."""
        del turn
        yield _refund(payment.order_id, receipt.payment_id, payment.amount)

    @ts.reacts_to(OrderCancelled)
    def undo(self, turn: ts.Turn, event: OrderCancelled) -> ts.Effects:
        """Call off a charge that is out, give back one that was made."""
        for execution in turn.open(PaymentProcessing, event.order_id):
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="ORDER_CANCELLED"))
        payment = turn.get(Payment, event.order_id)
        if payment is None or payment.status is not _S.PROCESSED or payment.amount is None or turn.open(Refunding, event.order_id):
            return
        yield _refund(event.order_id, payment.payment_id, payment.amount)

    @Refunding.settled
    def settle_refund(self, turn: ts.Turn, refund: Refunding, outcome: ts.Outcome[RefundReceipt]) -> ts.Effects:
        """Say what became of the refund."""
        del turn
        match outcome:
            case ts.Succeeded(result=receipt):
                yield _refunded(refund, receipt)
            case ts.Failed(code=reason) | ts.Refused(cause=reason) | ts.Cancelled(reason=reason):
                yield _not_refunded(refund, reason)
            case ts.TimedOut():
                yield _not_refunded(refund, "NO_ANSWER")
            case _:
                assert_never(outcome)

    @Refunding.late
    def refunded_late(self, turn: ts.Turn, refund: Refunding, receipt: RefundReceipt) -> ts.Effects:
        """The gateway did it after all; not news if somebody has tried again meanwhile."""
        payment = turn.get(Payment, refund.order_id)
        if payment is not None and payment.status is _S.REFUND_FAILED and not turn.open(Refunding, refund.order_id):
            yield _refunded(refund, receipt)

    @ts.handles(RefundAgain)
    def refund_again(self, turn: ts.Turn, command: RefundAgain) -> ts.Decision[None]:
        """Rejects with NOTHING_TO_REFUND, REFUND_RUNNING."""
        payment = turn.get(Payment, command.order_id)
        if payment is None or payment.status is not _S.REFUND_FAILED or payment.amount is None:
            code = "NOTHING_TO_REFUND"
            raise ts.Rejected(code, f"The payment of order {command.order_id!r} has no refund that failed.")
        if turn.open(Refunding, command.order_id):
            code = "REFUND_RUNNING"
            raise ts.Rejected(code, f"The payment of order {command.order_id!r} is being refunded already.")
        yield _refund(command.order_id, payment.payment_id, payment.amount)

    @ts.folds(PaymentProcessed, Payment)
    def processed(self, payment: Payment, event: PaymentProcessed) -> Payment:
        """Captured."""
        return Payment(status=_moved(payment, _S.PROCESSED), payment_id=event.payment_id, amount=event.amount)

    @ts.folds(PaymentFailed, Payment)
    def failed(self, payment: Payment, event: PaymentFailed) -> Payment:
        """Not captured, as far as anyone knows."""
        return Payment(status=_moved(payment, _S.FAILED), reason=event.reason)

    @ts.folds(PaymentCancelled, Payment)
    def cancelled(self, payment: Payment, event: PaymentCancelled) -> Payment:
        """Not captured, as far as anyone knows."""
        return Payment(status=_moved(payment, _S.CANCELLED), reason=event.reason)

    @ts.folds(PaymentRefunded, Payment)
    def refunded(self, payment: Payment, event: PaymentRefunded) -> Payment:
        """Final."""
        status = _moved(payment, _S.REFUNDED)
        return _replace(payment, status=status, payment_id=event.payment_id, amount=event.amount, refund_id=event.refund_id)

    @ts.folds(RefundFailed, Payment)
    def refund_failed(self, payment: Payment, event: RefundFailed) -> Payment:
        """Waits for a person."""
        status = _moved(payment, _S.REFUND_FAILED)
        return _replace(payment, status=status, payment_id=event.payment_id, amount=event.amount, reason=event.reason)


def _moved(payment: Payment, to: PaymentStatus) -> PaymentStatus:
    return moved("Payment", PAYMENT_MOVES, payment.status, to)


def _refund(order_id: str, payment_id: str, amount: Money) -> ts.Begin:
    return ts.Begin(
        intent=Refunding(order_id=order_id, payment_id=payment_id, amount=amount),
        actions=(Refund(order_id=order_id, payment_id=payment_id, amount=amount),),
    )


def _refunded(refund: Refunding, receipt: RefundReceipt) -> PaymentRefunded:
    return PaymentRefunded(order_id=refund.order_id, payment_id=refund.payment_id, refund_id=receipt.refund_id, amount=refund.amount)


def _not_refunded(refund: Refunding, reason: str) -> RefundFailed:
    return RefundFailed(order_id=refund.order_id, payment_id=refund.payment_id, amount=refund.amount, reason=reason)
