"""A holiday: somebody approves it, the trip is booked, it is paid, and then, with no way back, the tickets are sent."""

from datetime import timedelta

import tallystick as ts
from tallystick.scenarios.travel_booking.trip import BookTrip, Itinerary, Trip


class Holiday(ts.Record):
    """A trip, and what it costs."""

    trip: Trip
    cents: int


class Approval(ts.Record):
    """Who approved it."""

    by: str


class Payment(ts.Record):
    """The bank's word that it is paid."""

    reference: str


class Approve(ts.Action[Approval]):
    """Somebody looks at the request, today or in a week."""

    traveller: str
    cents: int


class Pay(ts.Action[Payment]):
    """For good."""

    traveller: str
    cents: int


class SendTickets(ts.Action[None]):
    """By mail."""

    traveller: str
    itinerary: Itinerary
    payment: str


class BookHoliday(ts.Saga[Holiday, Itinerary]):
    """Approval, trip, payment, tickets."""

    @ts.step(timeout=timedelta(days=7), retry=None)
    def approval(self, holiday: Holiday, done: ts.Results) -> Approve:
        """Done by a person; nothing need be undone of it."""
        del done
        return Approve(traveller=holiday.trip.traveller, cents=holiday.cents)

    @ts.sub_saga(BookTrip)
    def trip(self, holiday: Holiday, done: ts.Results) -> Trip:
        """A saga of its own, which undoes itself."""
        del done
        return holiday.trip

    @ts.step(pivot=True)
    def payment(self, holiday: Holiday, done: ts.Results) -> Pay:
        """When this is done there is no way back."""
        del done
        return Pay(traveller=holiday.trip.traveller, cents=holiday.cents)

    @ts.step
    def tickets(self, holiday: Holiday, done: ts.Results) -> SendTickets:
        """Sooner or later."""
        return SendTickets(traveller=holiday.trip.traveller, itinerary=done[BookHoliday.trip], payment=done[BookHoliday.payment].reference)

    def result(self, given: Holiday, done: ts.Results) -> Itinerary:
        """What the trip comes to."""
        del given
        return done[BookHoliday.trip]
