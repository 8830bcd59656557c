"""The outside world of a traveller, faked: agencies, an office, a bank and a post, each with a ledger that outlives everybody's process."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import tallystick as ts
from tallystick.scenarios.travel_booking.holiday import Approval, Approve, Pay, Payment, SendTickets
from tallystick.scenarios.travel_booking.trip import BookCar, BookFlight, BookHotel, Booking, CallOff, CancelBooking

ACTIONS: Final[tuple[type[ts.Action[Any]], ...]] = (
    BookHotel,
    BookFlight,
    BookCar,
    CancelBooking,
    CallOff,
    Approve,
    Pay,
    SendTickets,
)
"""What is done for these sagas."""


class Moods(Protocol):
    """How the outside world is disposed; called before and after whatever it does, it may raise."""

    def before(self, what: str, action: ts.Action[Any], call: ts.Call) -> ts.Later | None:
        """Before the effect; `Later`: it will be done when somebody gets round to it."""
        ...

    def after(self, what: str, action: ts.Action[Any], call: ts.Call) -> None:
        """After the effect, before the answer."""
        ...


class Friendly:
    """Does what it is asked, at once."""

    def before(self, what: str, action: ts.Action[Any], call: ts.Call) -> ts.Later | None:
        """Nothing is in the way."""
        del what, action, call
        return None

    def after(self, what: str, action: ts.Action[Any], call: ts.Call) -> None:
        """It is said."""
        del what, action, call


class World:
    """All of them. Thread-safe. A key is served once: whoever asks again gets the same answer."""

    def __init__(self, moods: Moods | None = None) -> None:
        self.moods: Moods = moods or Friendly()
        self.entries: dict[str, Any] = {}
        """What was done, by key."""
        self.of: dict[str, str] = {}
        """What that was."""
        self.cancelled: set[str] = set()
        """References that were given back."""
        self.called_off: set[str] = set()
        """Keys under which nothing is booked any more."""
        self.owed: dict[str, tuple[ts.Token, Callable[[], Any]]] = {}
        self.asked: list[tuple[str, str]] = []
        """What was asked for, in order: what, and the reference or key."""
        self._lock = threading.RLock()

    def held(self, what: str) -> set[str]:
        """References of what is booked by now, and not given back."""
        with self._lock:
            return {
                result.reference for key, result in self.entries.items() if self.of[key] == what and result.reference not in self.cancelled
            }

    def performers(self) -> Sequence[ts.Performer]:
        """Who does the work, and is asked whether it was done."""
        return (
            BookHotel.performed_by(self._does("hotel", _booked("H")), probe=self._finds),
            BookFlight.performed_by(self._does("flight", _booked("F")), probe=self._finds),
            BookCar.performed_by(self._does("car", _booked("C")), probe=self._finds),
            CancelBooking.performed_by(self._cancel),
            CallOff.performed_by(self._call_off),
            Approve.performed_by(self._does("approval", lambda _action, _key: Approval(by="the boss")), probe=self._finds),
            Pay.performed_by(self._does("payment", lambda _action, key: Payment(reference=f"P-{key}")), probe=self._finds),
            SendTickets.performed_by(self._does("tickets", lambda _action, _key: None), probe=self._finds),
        )

    def deliver(self, complete: Callable[[ts.Token, Any], Any]) -> None:
        """Do what was promised, and say so to `system.complete`; what cannot be said now stays promised."""
        for key in list(self.owed):
            owed = self.owed.get(key)
            if owed is not None:
                complete(owed[0], owed[1]())
                self.owed.pop(key, None)

    def _does(self, what: str, effect: Callable[[Any, str], Any]) -> Callable[[Any, ts.Call], Any]:
        def run(action: Any, call: ts.Call) -> Any:
            later = self.moods.before(what, action, call) if call.key not in self.entries else None
            if later is not None:
                self.owed[call.key] = (call.token, lambda: self._enter(what, action, call.key, effect))
                return later
            result = self._enter(what, action, call.key, effect)
            self.moods.after(what, action, call)
            return result

        return run

    def _enter(self, what: str, action: Any, key: str, effect: Callable[[Any, str], Any]) -> Any:
        with self._lock:
            self.asked.append((what, key))
            if key in self.called_off:
                code = "CALLED_OFF"
                raise ts.Rejected(code, "It was called off.")
            if key not in self.entries:
                self.entries[key] = effect(action, key)
                self.of[key] = what
            return self.entries[key]

    def _finds(self, action: Any, call: ts.Call) -> ts.Done[Any] | ts.NotDone | ts.Later:
        del action
        with self._lock:
            if call.key in self.entries:
                return ts.Done(result=self.entries[call.key])
            return ts.Later() if call.key in self.owed else ts.NotDone()

    def _cancel(self, action: CancelBooking, call: ts.Call) -> None:
        self.moods.before(f"cancel {action.what}", action, call)
        with self._lock:
            self.asked.append((f"cancel {action.what}", action.reference))
            if action.reference not in {each.reference for key, each in self.entries.items() if self.of[key] == action.what}:
                code = "NO_SUCH_BOOKING"
                raise ts.Rejected(code, f"There is no {action.what} {action.reference!r}.")
            self.cancelled.add(action.reference)
        self.moods.after(f"cancel {action.what}", action, call)

    def _call_off(self, action: CallOff, call: ts.Call) -> None:
        self.moods.before(f"cancel {action.what}", action, call)
        with self._lock:
            self.asked.append((f"call off {action.what}", action.key))
            self.called_off.add(action.key)
            self.owed.pop(action.key, None)
            if action.key in self.entries:
                self.cancelled.add(self.entries[action.key].reference)
        self.moods.after(f"cancel {action.what}", action, call)

    def problems(self, completed: Mapping[str, Any]) -> Iterator[str]:
        """What is booked for no trip, and which trips lack a booking; `completed`: those that were carried out."""
        for what in ("hotel", "flight", "car"):
            held = self.held(what)
            wanted = {getattr(itinerary, what) for itinerary in completed.values()}
            for reference in sorted(held - wanted):
                yield f"{what} {reference} is booked for nobody's trip"
            for reference in sorted(wanted - held):
                yield f"{what} {reference} of a trip is not booked"


def _booked(letter: str) -> Callable[[Any, str], Booking]:
    return lambda _action, key: Booking(reference=f"{letter}-{key}")
