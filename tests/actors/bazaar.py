"""A bazaar of three owners, each of which answers what the one before has said: what is bought is packed, what is packed is booked."""

from collections.abc import Callable
from datetime import timedelta

import tallystick as ts


class OfOrder(ts.Event):
    aggregate_type = "Sale"
    order_id: str

    @property
    def aggregate_id(self) -> str:
        return self.order_id


class Bought(OfOrder): ...


class Packed(OfOrder):
    aggregate_type = "Parcel"


class NotPacked(OfOrder):
    aggregate_type = "Parcel"


class Unpacked(OfOrder):
    aggregate_type = "Parcel"


class Booked(OfOrder):
    aggregate_type = "Entry"


class Buy(ts.Command[None]):
    order_id: str


class Pack(ts.Action[str]):
    order_id: str


class Packing(ts.Intent[str]):
    order_id: str
    timeout = timedelta(minutes=1)
    retry = ts.FixedDelay(interval=timedelta(milliseconds=1), max_retries=1)
    ends_with = (Packed, NotPacked)


class Booking(ts.Intent[None]):
    """Its time runs out, which is its end."""

    order_id: str
    timeout = timedelta(milliseconds=1)
    on_timeout = "abandon"


class Stalls(ts.Module):
    name = "stalls"

    @ts.handles(Buy, emits=[Bought])
    def buy(self, _turn: ts.Turn, command: Buy) -> ts.Decision[None]:
        yield Bought(order_id=command.order_id)


class Packers(ts.Module):
    name = "packers"

    def __init__(self, *, fragile: bool = False) -> None:
        self.fragile = fragile
        self.broken = False
        self.settlements_that_fail = 0
        self.late_ones_that_fail = 0
        self.saw: Callable[[str, ts.Turn], object] = lambda _order_id, _turn: None

    @ts.reacts_to(Bought, emits=[Unpacked])
    def begin(self, turn: ts.Turn, event: Bought) -> ts.Effects:
        if self.broken:
            raise ValueError(event.order_id)
        self.saw(event.order_id, turn)
        tags = {"fragile": "yes"} if self.fragile else {}
        yield ts.Begin(intent=Packing(order_id=event.order_id), actions=(Pack(order_id=event.order_id),), tags=tags)

    @Packing.settled
    def packed(self, _turn: ts.Turn, packing: Packing, outcome: ts.Outcome[str]) -> ts.Effects:
        if self.settlements_that_fail:
            self.settlements_that_fail -= 1
            raise ValueError(packing.order_id)
        done = isinstance(outcome, ts.Succeeded)
        yield Packed(order_id=packing.order_id) if done else NotPacked(order_id=packing.order_id)

    @Packing.late
    def unpack(self, _turn: ts.Turn, packing: Packing, _result: str) -> ts.Effects:
        if self.late_ones_that_fail:
            self.late_ones_that_fail -= 1
            raise ValueError(packing.order_id)
        yield Unpacked(order_id=packing.order_id)


class Books(ts.Module):
    name = "books"

    @ts.reacts_to(Packed, emits=[Booked])
    def book(self, _turn: ts.Turn, event: Packed) -> ts.Effects:
        yield Booked(order_id=event.order_id)
        yield ts.Begin(intent=Booking(order_id=event.order_id))

    @Booking.settled
    def booked(self, _turn: ts.Turn, _booking: Booking, _outcome: ts.Outcome[None]) -> ts.Effects:
        return ()


def bazaar(*, fragile: bool = False) -> tuple[Stalls, Packers, Books]:
    """All three; `fragile` has the packers add a tag of their own to what they begin."""
    return Stalls(), Packers(fragile=fragile), Books()
