"""The outside world of a replay: a gateway and a carrier that answer when the records say so. What time it is the driver says."""

from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

import tallystick as ts
from tallystick.host.orders_file import RecordedOrder
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recall, Recalled, RequestShipment, Waybill

CUSTOMER_HESITATES: Final = timedelta(hours=1)
"""How long after the last thing that is known of an order its customer cancels it."""

Answer = Literal["payment", "shipment"]


class Known(NamedTuple):
    """When what happened to an order, as its record has it."""

    placed_at: datetime
    approved_at: datetime | None
    handed_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None

    @property
    def answered_at(self) -> datetime:
        """When the last answer of gateway and carrier was due: later ones are never asked for."""
        return max(moment for moment in (self.placed_at, self.approved_at, self.handed_at) if moment is not None)

    @property
    def ended_at(self) -> datetime:
        """When the last thing that the record knows was due."""
        return max(moment for moment in self if moment is not None)


def known_of(order: RecordedOrder) -> Known:
    """The moments of a recorded order."""
    known = Known(order.placed_at, order.approved_at, order.handed_to_carrier_at, order.delivered_at, None)
    return known._replace(cancelled_at=known.answered_at + CUSTOMER_HESITATES) if order.final_status == "canceled" else known


class World:
    """Gateway and carrier in one. An answer that is due is given at once; for the others the token is kept, for the driver to answer.

    After a crash it is probed for the calls in doubt and says the same of them; so nothing needs to be kept on disk.
    """

    def __init__(self, clock: ts.ManualClock) -> None:
        self._clock = clock
        self.orders: dict[str, Known] = {}
        self.tokens: dict[tuple[Answer, str], ts.Token] = {}
        self.taken: list[str] = []
        """Orders whose parcels the carrier has taken since somebody looked."""

    def receipt(self, order_id: str) -> Receipt:
        """The gateway's word for an order."""
        return Receipt(payment_id=f"pay-{order_id}")

    def waybill(self, order_id: str) -> Waybill:
        """The carrier's word for an order."""
        self.taken.append(order_id)
        return Waybill(shipment_id=f"ship-{order_id}", tracking_number=f"TN-{order_id}")

    def charge(self, charge: Charge, call: ts.Call) -> Receipt | ts.Later:
        """Answered at `approved_at`."""
        self.tokens["payment", charge.order_id] = call.token
        return self.receipt(charge.order_id) if self._paid(charge.order_id) else ts.Later()

    def find_charge(self, charge: Charge, call: ts.Call) -> ts.Done[Receipt] | ts.Later:
        """Done from `approved_at` on, on its way before."""
        self.tokens["payment", charge.order_id] = call.token
        return ts.Done(result=self.receipt(charge.order_id)) if self._paid(charge.order_id) else ts.Later()

    def refund(self, refund: Refund, call: ts.Call) -> RefundReceipt:
        """At once."""
        del call
        return RefundReceipt(refund_id=f"refund-{refund.payment_id}")

    def find_refund(self, refund: Refund, call: ts.Call) -> ts.Done[RefundReceipt]:
        """At once."""
        return ts.Done(result=self.refund(refund, call))

    def request(self, request: RequestShipment, call: ts.Call) -> Waybill | ts.Later:
        """Answered at `handed_to_carrier_at`."""
        self.tokens["shipment", request.order_id] = call.token
        return self.waybill(request.order_id) if self._handed(request.order_id) else ts.Later()

    def find_request(self, request: RequestShipment, call: ts.Call) -> ts.Done[Waybill] | ts.Later:
        """Done from `handed_to_carrier_at` on, on its way before."""
        self.tokens["shipment", request.order_id] = call.token
        return ts.Done(result=self.waybill(request.order_id)) if self._handed(request.order_id) else ts.Later()

    def recall(self, recall: Recall, call: ts.Call) -> Recalled:
        """At once."""
        del call
        return Recalled(shipment_id=recall.shipment_id)

    def find_recall(self, recall: Recall, call: ts.Call) -> ts.Done[Recalled]:
        """At once."""
        return ts.Done(result=self.recall(recall, call))

    def forget(self, order_id: str) -> None:
        """Nothing will be asked of that order any more."""
        self.orders.pop(order_id, None)
        self.tokens.pop(("payment", order_id), None)
        self.tokens.pop(("shipment", order_id), None)

    def _paid(self, order_id: str) -> bool:
        known = self.orders.get(order_id)
        return known is not None and known.approved_at is not None and known.approved_at <= self._clock.now

    def _handed(self, order_id: str) -> bool:
        known = self.orders.get(order_id)
        return known is not None and known.handed_at is not None and known.handed_at <= self._clock.now
