"""A small hotel of three modules, for the tests of the system machine; right as it stands, and with bugs that were planted in it."""

# ruff: noqa: ARG002 - a handler's arguments are the library's, whether it needs them or not
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import tallystick as ts
from tallystick.testing import Chance, FakeProvider, Invariant, InvariantViolation, SimulatedProgram


class BookingEvent(ts.Event):
    aggregate_type: ClassVar[str] = "Booking"
    guest: str

    @property
    def aggregate_id(self) -> str:
        return self.guest


class Booked(BookingEvent):
    pass


class BookingCancelled(BookingEvent):
    pass


class RoomEvent(ts.Event):
    aggregate_type: ClassVar[str] = "Room"
    guest: str

    @property
    def aggregate_id(self) -> str:
        return self.guest


class RoomHeld(RoomEvent):
    pass


class RoomReleased(RoomEvent):
    pass


class ChargeEvent(ts.Event):
    aggregate_type: ClassVar[str] = "Charge"
    guest: str

    @property
    def aggregate_id(self) -> str:
        return self.guest


class Charged(ChargeEvent):
    charge: str


class NotCharged(ChargeEvent):
    pass


class MoneyReturned(ChargeEvent):
    charge: str


class NotReturned(ChargeEvent):
    charge: str


class Booking(ts.Aggregate):
    cancelled: bool = False


class Room(ts.Aggregate):
    held: bool = False


class Book(ts.Command[None]):
    guest: str


class Cancel(ts.Command[None]):
    guest: str


class Bookings(ts.Module):
    name: ClassVar[str] = "bookings"

    @ts.handles(Book, emits=[Booked])
    def book(self, turn: ts.Turn, command: Book) -> ts.Decision[None]:
        if turn.get(Booking, command.guest) is not None:
            code = "BOOKED_ALREADY"
            raise ts.Rejected(code)
        yield Booked(guest=command.guest)

    @ts.handles(Cancel, emits=[BookingCancelled])
    def cancel(self, turn: ts.Turn, command: Cancel) -> ts.Decision[None]:
        booking = turn.get(Booking, command.guest)
        if booking is None or booking.cancelled:
            code = "NOT_BOOKED"
            raise ts.Rejected(code)
        yield BookingCancelled(guest=command.guest)

    @ts.folds(Booked, Booking)
    def booked(self, booking: Booking, event: Booked) -> Booking:
        return Booking()

    @ts.folds(BookingCancelled, Booking)
    def cancelled(self, booking: Booking, event: BookingCancelled) -> Booking:
        return Booking(cancelled=True)


class Rooms(ts.Module):
    name: ClassVar[str] = "rooms"

    @ts.reacts_to(Booked, emits=[RoomHeld])
    def hold(self, turn: ts.Turn, event: Booked) -> ts.Effects:
        yield RoomHeld(guest=event.guest)

    @ts.reacts_to(BookingCancelled, emits=[RoomReleased])
    def release(self, turn: ts.Turn, event: BookingCancelled) -> ts.Effects:
        room = turn.get(Room, event.guest)
        if room is not None and room.held:
            yield RoomReleased(guest=event.guest)

    @ts.folds(RoomHeld, Room)
    def held(self, room: Room, event: RoomHeld) -> Room:
        return Room(held=True)

    @ts.folds(RoomReleased, Room)
    def released(self, room: Room, event: RoomReleased) -> Room:
        return Room(held=False)


class Charge(ts.Aggregate):
    charge: str = ""
    returned: bool = False
    cancelled: bool = False


class TakeMoney(ts.Action[str]):
    guest: str


class GiveBack(ts.Action[str]):
    guest: str
    charge: str


class Charging(ts.Intent[str]):
    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (Charged, NotCharged)
    guest: str

    @property
    def subject(self) -> str:
        return self.guest


class Returning(ts.Intent[str]):
    timeout: ClassVar[timedelta | None] = timedelta(minutes=5)
    retry: ClassVar[ts.FixedDelay] = ts.FixedDelay(interval=timedelta(hours=1), max_retries=18)
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (MoneyReturned, NotReturned)
    guest: str
    charge: str

    @property
    def subject(self) -> str:
        return self.guest


class Charges(ts.Module):
    name: ClassVar[str] = "charges"

    @ts.reacts_to(RoomHeld)
    def begin(self, turn: ts.Turn, event: RoomHeld) -> ts.Effects:
        yield ts.Begin(intent=Charging(guest=event.guest), actions=(TakeMoney(guest=event.guest),))

    @Charging.settled
    def settle(self, turn: ts.Turn, charging: Charging, outcome: ts.Outcome[str]) -> ts.Effects:
        match outcome:
            case ts.Succeeded(result=charge):
                yield Charged(guest=charging.guest, charge=charge)
            case _:
                yield NotCharged(guest=charging.guest)

    @Charging.late
    def return_late(self, turn: ts.Turn, charging: Charging, charge: str) -> ts.Effects:
        yield _returning(charging.guest, charge)

    @ts.reacts_to(RoomReleased)
    def undo(self, turn: ts.Turn, event: RoomReleased) -> ts.Effects:
        for execution in turn.open(Charging, event.guest):
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="CANCELLED"))
        charge = turn.get(Charge, event.guest)
        if charge is not None and charge.charge:
            yield _returning(event.guest, charge.charge)

    @Returning.settled
    def settle_return(self, turn: ts.Turn, returning: Returning, outcome: ts.Outcome[str]) -> ts.Effects:
        match outcome:
            case ts.Succeeded():
                yield MoneyReturned(guest=returning.guest, charge=returning.charge)
            case _:
                yield NotReturned(guest=returning.guest, charge=returning.charge)

    @ts.folds(Charged, Charge)
    def charged(self, charge: Charge, event: Charged) -> Charge:
        return Charge(charge=event.charge)


def _returning(guest: str, charge: str) -> ts.Begin:
    return ts.Begin(intent=Returning(guest=guest, charge=charge), actions=(GiveBack(guest=guest, charge=charge),))


class Hotel(SimulatedProgram):
    """The hotel with a bank that can be trusted."""

    name: ClassVar[str] = "hotel"

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self.bank = FakeProvider(chance)

    def modules(self) -> Sequence[ts.Module]:
        return (Bookings(), Rooms(), Charges())

    def performers(self) -> Sequence[ts.Performer]:
        return (
            self.bank.performs(TakeMoney, lambda _action, key: f"charge-{key}"),
            self.bank.performs(GiveBack, lambda action, _key: action.charge, key=lambda action: action.charge),
        )

    def invariants(self) -> Sequence[Invariant]:
        return (NobodyPaysForNothing(self.bank),)


class NobodyPaysForNothing:
    """Money that was taken for a booking that was cancelled, or twice, is given back."""

    def __init__(self, bank: FakeProvider) -> None:
        self._bank = bank
        self._stays: dict[str, bool] = {}

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        if isinstance(event, RoomHeld | RoomReleased):
            self._stays[event.guest] = isinstance(event, RoomHeld)

    def end(self, system: ts.System) -> None:
        taken = [entry.asked.guest for entry in self._bank.done(TakeMoney)]
        given_back = [entry.asked.guest for entry in self._bank.done(GiveBack)]
        for guest, stays in self._stays.items():
            paid = taken.count(guest) - given_back.count(guest)
            if paid > stays:
                text = f"{guest} has paid {paid} times and {'has a room' if stays else 'has no room'}"
                name = "HOTEL"
                raise InvariantViolation(name, text)


# Bugs that were planted.


class ForgetfulCharges(Charges):
    """Nobody thinks of money that comes after the charge was given up."""

    return_late = None  # type: ignore[assignment]


class ForgetfulHotel(Hotel):
    def modules(self) -> Sequence[ts.Module]:
        return (Bookings(), Rooms(), ForgetfulCharges())


class CarelessHotel(Hotel):
    """The bank is not told the key, and cannot be asked: what it does, it does again when it is asked again."""

    def __init__(self, chance: Chance) -> None:
        super().__init__(chance)
        self._slips = iter(range(1000))

    def performers(self) -> Sequence[ts.Performer]:
        taking = self.bank.performs(TakeMoney, lambda _action, key: f"charge-{key}", key=lambda _action: str(next(self._slips)))
        return (TakeMoney.performed_by(taking.run), self.bank.performs(GiveBack, lambda action, _key: action.charge))
