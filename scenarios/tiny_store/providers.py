"""The outside world: a payment gateway and a carrier that answer as a script says, and keep ledgers of what they really did.

Not test doubles of the library: they know nothing of owners or tokens but what a performer is told.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import tallystick as ts
from tallystick.scenarios.tiny_store.ledger import Entry, Ledger, MemoryLedger
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund, RefundReceipt
from tallystick.scenarios.tiny_store.shipments import Recall, Recalled, RequestShipment, Waybill

R = TypeVar("R")


class Manner(Enum):
    """How a provider takes one call."""

    AT_ONCE = auto()
    """Does it, and says so."""
    LATE = auto()
    """Says that the answer will follow; does it, and says so, when `deliver` is called."""
    TWICE = auto()
    """Does it and says so, and says so again when `deliver` is called."""
    NEVER = auto()
    """Says that the answer will follow; does nothing."""
    DECLINED = auto()
    """Says no, for good."""
    ERROR = auto()
    """Fails without having done anything."""
    ERROR_AFTER_EFFECT = auto()
    """Does it, and fails before it has said so."""


Script = Callable[[str, int], Manner]
"""Order id and attempt (from 1) to the manner of the answer."""

Callback = Callable[[ts.Token, object], bool]
"""Where late answers go: `system.complete`."""


class ProviderDown(Exception):
    """No answer could be had; whether the call had its effect is not known."""


def always(manner: Manner) -> Script:
    """The same manner for every call."""
    return lambda _order_id, _attempt: manner


AT_ONCE: Final = always(Manner.AT_ONCE)


def scripted(manners: Mapping[str, Sequence[Manner]], otherwise: Manner = Manner.AT_ONCE) -> Script:
    """For each order its manners by attempt, the last one for all that follow; other orders are answered `otherwise`."""

    def manner(order_id: str, attempt: int) -> Manner:
        script = manners.get(order_id, (otherwise,))
        return script[min(attempt, len(script)) - 1]

    return manner


class _Awaited(NamedTuple):
    token: ts.Token
    key: str
    effect: Callable[[], Any]


class _Desk:
    """Takes calls in the scripted manner, and keeps what is to be said later. Any thread may call anything."""

    def __init__(self) -> None:
        self._awaited: deque[_Awaited] = deque()
        self._promised: set[str] = set()
        self._lock = threading.Lock()

    def serve(self, manner: Manner, call: ts.Call, effect: Callable[[], R]) -> R | ts.Later:
        """The answer. `effect` is idempotent."""
        match manner:
            case Manner.DECLINED:
                code = "DECLINED"
                raise ts.Rejected(code, "The provider said no.")
            case Manner.ERROR:
                raise ProviderDown
            case Manner.NEVER:
                self._promised.add(call.key)
                return ts.Later()
            case Manner.LATE:
                self._promised.add(call.key)
                self._awaited.append(_Awaited(call.token, call.key, effect))
                return ts.Later()
            case Manner.ERROR_AFTER_EFFECT:
                effect()
                raise ProviderDown
            case Manner.TWICE:
                self._awaited.append(_Awaited(call.token, call.key, effect))
                return effect()
            case Manner.AT_ONCE:
                return effect()

    def not_found(self, call: ts.Call) -> ts.NotDone | ts.Later:
        """What to say of a call that had no effect so far: an answer that was promised will come."""
        return ts.Later() if call.key in self._promised else ts.NotDone()

    def deliver(self, callback: Callback) -> int:
        """Say all that is still to be said; how many answers somebody was waiting for."""
        with self._lock:
            awaited, self._awaited = self._awaited, deque()
        return sum(callback(each.token, each.effect()) for each in awaited)


class Gateway:
    """Takes payments: one capture for each key, one refund for each capture."""

    def __init__(self, ledger: Ledger | None = None, *, charges: Script = AT_ONCE, refunds: Script = AT_ONCE) -> None:
        self.ledger = ledger if ledger is not None else MemoryLedger()
        self._charges = charges
        self._refunds = refunds
        self._desk = _Desk()

    def charge(self, charge: Charge, call: ts.Call) -> Receipt | ts.Later:
        """Capture the amount."""
        return self._desk.serve(self._charges(charge.order_id, call.attempt), call, lambda: self._capture(charge, call.key))

    def find_charge(self, charge: Charge, call: ts.Call) -> ts.Probe[Receipt]:
        """Whether a charge was captured."""
        del charge
        entry = self.ledger.find(call.key)
        return self._desk.not_found(call) if entry is None else ts.Done(result=Receipt(payment_id=entry.number))

    def refund(self, refund: Refund, call: ts.Call) -> RefundReceipt | ts.Later:
        """Give a capture back."""
        return self._desk.serve(self._refunds(refund.order_id, call.attempt), call, lambda: self._give_back(refund))

    def find_refund(self, refund: Refund, call: ts.Call) -> ts.Probe[RefundReceipt]:
        """Whether a capture was given back."""
        entry = self.ledger.find(_undoing(refund.payment_id))
        return self._desk.not_found(call) if entry is None else ts.Done(result=RefundReceipt(refund_id=entry.number))

    def deliver(self, callback: Callback) -> int:
        """Say all that is still to be said; how many answers somebody was waiting for."""
        return self._desk.deliver(callback)

    def _capture(self, charge: Charge, key: str) -> Receipt:
        entry = Entry(kind="capture", key=key, number=f"pay-{key}", order_id=charge.order_id, cents=charge.amount.cents)
        return Receipt(payment_id=self.ledger.enter(entry).number)

    def _give_back(self, refund: Refund) -> RefundReceipt:
        entry = Entry(
            kind="refund",
            key=_undoing(refund.payment_id),
            number=f"refund-{refund.payment_id}",
            order_id=refund.order_id,
            cents=refund.amount.cents,
            of=refund.payment_id,
        )
        return RefundReceipt(refund_id=self.ledger.enter(entry).number)


class Carrier:
    """Takes parcels: one shipment for each key, one recall for each shipment."""

    def __init__(self, ledger: Ledger | None = None, *, requests: Script = AT_ONCE, recalls: Script = AT_ONCE) -> None:
        self.ledger = ledger if ledger is not None else MemoryLedger()
        self._requests = requests
        self._recalls = recalls
        self._desk = _Desk()

    def request(self, request: RequestShipment, call: ts.Call) -> Waybill | ts.Later:
        """Take a parcel."""
        return self._desk.serve(self._requests(request.order_id, call.attempt), call, lambda: self._take(request, call.key))

    def find_request(self, request: RequestShipment, call: ts.Call) -> ts.Probe[Waybill]:
        """Whether a parcel was taken."""
        del request
        entry = self.ledger.find(call.key)
        return self._desk.not_found(call) if entry is None else ts.Done(result=_waybill(entry))

    def recall(self, recall: Recall, call: ts.Call) -> Recalled | ts.Later:
        """Bring a parcel back."""
        return self._desk.serve(self._recalls(recall.order_id, call.attempt), call, lambda: self._bring_back(recall))

    def find_recall(self, recall: Recall, call: ts.Call) -> ts.Probe[Recalled]:
        """Whether a parcel was brought back."""
        entry = self.ledger.find(_undoing(recall.shipment_id))
        return self._desk.not_found(call) if entry is None else ts.Done(result=Recalled(shipment_id=entry.of))

    def deliver(self, callback: Callback) -> int:
        """Say all that is still to be said; how many answers somebody was waiting for."""
        return self._desk.deliver(callback)

    def _take(self, request: RequestShipment, key: str) -> Waybill:
        return _waybill(self.ledger.enter(Entry(kind="shipment", key=key, number=f"ship-{key}", order_id=request.order_id)))

    def _bring_back(self, recall: Recall) -> Recalled:
        number = f"recall-{recall.shipment_id}"
        entry = Entry(kind="recall", key=_undoing(recall.shipment_id), number=number, order_id=recall.order_id, of=recall.shipment_id)
        return Recalled(shipment_id=self.ledger.enter(entry).of)


class TakesPayments(Protocol):
    """What the store needs of a gateway."""

    def charge(self, charge: Charge, call: ts.Call) -> Receipt | ts.Later:
        """Capture the amount."""
        ...

    def find_charge(self, charge: Charge, call: ts.Call) -> ts.Probe[Receipt]:
        """Whether a charge was captured."""
        ...

    def refund(self, refund: Refund, call: ts.Call) -> RefundReceipt | ts.Later:
        """Give a capture back."""
        ...

    def find_refund(self, refund: Refund, call: ts.Call) -> ts.Probe[RefundReceipt]:
        """Whether a capture was given back."""
        ...


class TakesParcels(Protocol):
    """What the store needs of a carrier."""

    def request(self, request: RequestShipment, call: ts.Call) -> Waybill | ts.Later:
        """Take a parcel."""
        ...

    def find_request(self, request: RequestShipment, call: ts.Call) -> ts.Probe[Waybill]:
        """Whether a parcel was taken."""
        ...

    def recall(self, recall: Recall, call: ts.Call) -> Recalled | ts.Later:
        """Bring a parcel back."""
        ...

    def find_recall(self, recall: Recall, call: ts.Call) -> ts.Probe[Recalled]:
        """Whether a parcel was brought back."""
        ...


def _waybill(entry: Entry) -> Waybill:
    return Waybill(shipment_id=entry.number, tracking_number=f"TN-{entry.number}")


def _undoing(number: str) -> str:
    """The ledger key of what undoes an entry: by its number, so that two attempts to undo it are one."""
    return f"undo-{number}"
