"""Shipments: one parcel for each paid order, from the request to the customer's door, and its way back when it was for nothing."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final, Literal, assert_never

import msgspec

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
from tallystick.scenarios.tiny_store.status import moved

_replace = msgspec.structs.replace

Retry = ts.ExponentialBackoff | ts.LinearBackoff | ts.FixedDelay


class ShipmentStatus(StrEnum):
    """Where a parcel stands."""

    CREATED = "CREATED"
    DISPATCHED = "DISPATCHED"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RECALLED = "RECALLED"
    RECALL_FAILED = "RECALL_FAILED"


_S = ShipmentStatus
_BACK: Final = frozenset({_S.RECALLED, _S.RECALL_FAILED})
SHIPMENT_MOVES: Final = {
    None: frozenset({_S.CREATED, _S.FAILED, _S.CANCELLED}),
    _S.CREATED: _BACK | {_S.DISPATCHED},
    _S.DISPATCHED: _BACK | {_S.DELIVERED},
    _S.FAILED: _BACK,  # created too late
    _S.CANCELLED: _BACK,
    _S.RECALL_FAILED: _BACK,  # a person tries again
}
"""The legal moves. A status that is not a key is final."""


class Shipment(ts.Aggregate):
    """The parcel of one order; `status` is None until the carrier's answer, or the lack of one, is known."""

    closed: ClassVar[bool] = True  # what else happens to it happens days later: it is read back then
    status: ShipmentStatus | None = None
    shipment_id: str = ""
    tracking_number: str = ""
    reason: str = ""


class Waybill(ts.Record):
    """The carrier's word that it takes the parcel."""

    shipment_id: str
    tracking_number: str


class Recalled(ts.Record):
    """The carrier's word that it brings the parcel back."""

    shipment_id: str


class RequestShipment(ts.Action[Waybill]):
    """Have the carrier take a parcel."""

    order_id: str
    address: str


class Recall(ts.Action[Recalled]):
    """Have the carrier bring a parcel back."""

    order_id: str
    shipment_id: str


class ShipmentCreation(ts.Intent[Waybill]):
    """To have an order sent. An unanswered request is not made again."""

    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    retry: ClassVar[Retry | None] = ts.ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(seconds=30), max_retries=3)
    on_timeout: ClassVar[Literal["retry", "abandon"]] = "abandon"
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (ShipmentCreated, ShipmentFailed, ShipmentCancelled)

    order_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class Recalling(ts.Intent[Recalled]):
    """To have a parcel brought back: the carrier is asked for about a day before somebody has to look."""

    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    retry: ClassVar[Retry | None] = ts.ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(hours=4), max_retries=18)
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (ShipmentRecalled, ShipmentRecallFailed)

    order_id: str
    shipment_id: str

    @property
    def subject(self) -> str:
        """The order."""
        return self.order_id


class Dispatch(ts.Command[None]):
    """The carrier reports that it has taken the parcel."""

    order_id: str
    at: datetime


class Deliver(ts.Command[None]):
    """The carrier reports that the customer has the parcel."""

    order_id: str
    at: datetime


class RecallAgain(ts.Command[None]):
    """For a person: try a recall once more that has failed for good."""

    order_id: str


class Shipments(ts.Module):
    """The owner of parcels. `timeout` and `retry` stand in for those of `ShipmentCreation`."""

    name: ClassVar[str] = "shipments"

    def __init__(self, *, timeout: timedelta | None = None, retry: Retry | None = None) -> None:
        self._timeout = timeout
        self._retry = retry

    @ts.reacts_to(OrderPaid)
    def begin(self, turn: ts.Turn, event: OrderPaid) -> ts.Effects:
        """One parcel for each order, however often it is paid."""
        if turn.get(Shipment, event.order_id) is not None or turn.open(ShipmentCreation, event.order_id):
            return
        yield ts.Begin(
            intent=ShipmentCreation(order_id=event.order_id),
            actions=(RequestShipment(order_id=event.order_id, address=event.address),),
            timeout=self._timeout,
            retry=self._retry,
        )

    @ShipmentCreation.settled
    def settle(self, turn: ts.Turn, creation: ShipmentCreation, outcome: ts.Outcome[Waybill]) -> ts.Effects:
        """Say what became of the request."""
        del turn
        order_id = creation.order_id
        match outcome:
            case ts.Succeeded(result=waybill):
                yield ShipmentCreated(order_id=order_id, shipment_id=waybill.shipment_id, tracking_number=waybill.tracking_number)
            case ts.Failed(code=code):
                yield ShipmentFailed(order_id=order_id, reason=code)
            case ts.TimedOut():
                yield ShipmentFailed(order_id=order_id, reason="NO_ANSWER")
            case ts.Refused(cause=cause):
                yield ShipmentFailed(order_id=order_id, reason=cause.upper())
            case ts.Cancelled(reason=reason):
                yield ShipmentCancelled(order_id=order_id, reason=reason)
            case _:
                assert_never(outcome)

    @ShipmentCreation.late
    def recall_late(self, turn: ts.Turn, creation: ShipmentCreation, waybill: Waybill) -> ts.Effects:
        """The carrier took it after the request was given up: back with it."""
        del turn
        yield _recall(creation.order_id, waybill.shipment_id)

    @ts.reacts_to(OrderCancelled)
    def undo(self, turn: ts.Turn, event: OrderCancelled) -> ts.Effects:
        """Call off a request that is out, call back a parcel that was created: the cancel may have crossed its creation."""
        for execution in turn.open(ShipmentCreation, event.order_id):
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="ORDER_CANCELLED"))
        shipment = turn.get(Shipment, event.order_id)
        on_its_way = shipment is not None and shipment.status in {_S.CREATED, _S.DISPATCHED}
        if shipment is not None and on_its_way and not turn.open(Recalling, event.order_id):
            yield _recall(event.order_id, shipment.shipment_id)

    @Recalling.settled
    def settle_recall(self, turn: ts.Turn, recall: Recalling, outcome: ts.Outcome[Recalled]) -> ts.Effects:
        """Say what became of the recall."""
        del turn
        match outcome:
            case ts.Succeeded():
                yield ShipmentRecalled(order_id=recall.order_id, shipment_id=recall.shipment_id)
            case ts.Failed(code=reason) | ts.Refused(cause=reason) | ts.Cancelled(reason=reason):
                yield ShipmentRecallFailed(order_id=recall.order_id, shipment_id=recall.shipment_id, reason=reason)
            case ts.TimedOut():
                yield ShipmentRecallFailed(order_id=recall.order_id, shipment_id=recall.shipment_id, reason="NO_ANSWER")
            case _:
                assert_never(outcome)

    @Recalling.late
    def recalled_late(self, turn: ts.Turn, recall: Recalling, recalled: Recalled) -> ts.Effects:
        """The carrier brought it back after all; not news if somebody has tried again meanwhile."""
        del recalled
        shipment = turn.get(Shipment, recall.order_id)
        if shipment is not None and shipment.status is _S.RECALL_FAILED and not turn.open(Recalling, recall.order_id):
            yield ShipmentRecalled(order_id=recall.order_id, shipment_id=recall.shipment_id)

    @ts.handles(Dispatch, emits=[ShipmentDispatched])
    def dispatch(self, turn: ts.Turn, command: Dispatch) -> ts.Decision[None]:
        """Rejects with UNKNOWN_SHIPMENT, SHIPMENT_RECALLED, SHIPMENT_DISPATCHED and so on."""
        shipment = _to_move(turn, command.order_id, _S.DISPATCHED)
        yield ShipmentDispatched(order_id=command.order_id, shipment_id=shipment.shipment_id, dispatched_at=command.at)

    @ts.handles(Deliver, emits=[ShipmentDelivered])
    def deliver(self, turn: ts.Turn, command: Deliver) -> ts.Decision[None]:
        """Rejects with UNKNOWN_SHIPMENT, SHIPMENT_RECALLED, SHIPMENT_CREATED and so on."""
        shipment = _to_move(turn, command.order_id, _S.DELIVERED)
        yield ShipmentDelivered(order_id=command.order_id, shipment_id=shipment.shipment_id, delivered_at=command.at)

    @ts.handles(RecallAgain)
    def recall_again(self, turn: ts.Turn, command: RecallAgain) -> ts.Decision[None]:
        """Rejects with NOTHING_TO_RECALL, RECALL_RUNNING."""
        shipment = turn.get(Shipment, command.order_id)
        if shipment is None or shipment.status is not _S.RECALL_FAILED:
            code = "NOTHING_TO_RECALL"
            raise ts.Rejected(code, f"The parcel of order {command.order_id!r} has no recall that failed.")
        if turn.open(Recalling, command.order_id):
            code = "RECALL_RUNNING"
            raise ts.Rejected(code, f"The parcel of order {command.order_id!r} is being recalled already.")
        yield _recall(command.order_id, shipment.shipment_id)

    @ts.folds(ShipmentCreated, Shipment)
    def created(self, shipment: Shipment, event: ShipmentCreated) -> Shipment:
        """Requested."""
        return Shipment(status=_moved(shipment, _S.CREATED), shipment_id=event.shipment_id, tracking_number=event.tracking_number)

    @ts.folds(ShipmentFailed, Shipment)
    def failed(self, shipment: Shipment, event: ShipmentFailed) -> Shipment:
        """Not created, as far as anyone knows."""
        return Shipment(status=_moved(shipment, _S.FAILED), reason=event.reason)

    @ts.folds(ShipmentCancelled, Shipment)
    def cancelled(self, shipment: Shipment, event: ShipmentCancelled) -> Shipment:
        """Not created, as far as anyone knows."""
        return Shipment(status=_moved(shipment, _S.CANCELLED), reason=event.reason)

    @ts.folds(ShipmentDispatched, Shipment)
    def dispatched(self, shipment: Shipment, event: ShipmentDispatched) -> Shipment:
        """On its way."""
        del event
        return _replace(shipment, status=_moved(shipment, _S.DISPATCHED))

    @ts.folds(ShipmentDelivered, Shipment)
    def delivered(self, shipment: Shipment, event: ShipmentDelivered) -> Shipment:
        """Final."""
        del event
        return _replace(shipment, status=_moved(shipment, _S.DELIVERED))

    @ts.folds(ShipmentRecalled, Shipment)
    def recalled(self, shipment: Shipment, event: ShipmentRecalled) -> Shipment:
        """Final."""
        return _replace(shipment, status=_moved(shipment, _S.RECALLED), shipment_id=event.shipment_id)

    @ts.folds(ShipmentRecallFailed, Shipment)
    def recall_failed(self, shipment: Shipment, event: ShipmentRecallFailed) -> Shipment:
        """Waits for a person."""
        return _replace(shipment, status=_moved(shipment, _S.RECALL_FAILED), shipment_id=event.shipment_id, reason=event.reason)


def _moved(shipment: Shipment, to: ShipmentStatus) -> ShipmentStatus:
    return moved("Shipment", SHIPMENT_MOVES, shipment.status, to)


def _to_move(turn: ts.Turn, order_id: str, to: ShipmentStatus) -> Shipment:
    """The parcel, if it may go there; one that is being called back goes nowhere else."""
    shipment = turn.get(Shipment, order_id)
    if shipment is None:
        code = "UNKNOWN_SHIPMENT"
        raise ts.Rejected(code, f"There is no parcel of order {order_id!r}.")
    if turn.open(Recalling, order_id):
        code = f"SHIPMENT_{_S.RECALLED}"
        raise ts.Rejected(code, f"The parcel of order {order_id!r} is being called back.")
    if to not in SHIPMENT_MOVES.get(shipment.status, ()):
        code = f"SHIPMENT_{shipment.status}"
        raise ts.Rejected(code, f"The parcel of order {order_id!r} is {shipment.status} and cannot become {to}.")
    return shipment


def _recall(order_id: str, shipment_id: str) -> ts.Begin:
    return ts.Begin(
        intent=Recalling(order_id=order_id, shipment_id=shipment_id),
        actions=(Recall(order_id=order_id, shipment_id=shipment_id),),
    )
