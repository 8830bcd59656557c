"""A trip: a hotel first, then a flight and a car at once. When one of them cannot be had, those that were booked are cancelled."""

from typing import Literal

import tallystick as ts

What = Literal["hotel", "flight", "car"]


class Trip(ts.Record):
    """Who goes where, for how long."""

    traveller: str
    city: str
    nights: int = 2


class Booking(ts.Record):
    """An agency's word that it is booked."""

    reference: str


class Itinerary(ts.Record):
    """What a traveller takes along."""

    hotel: str
    flight: str
    car: str


class BookHotel(ts.Action[Booking]):
    """A room."""

    traveller: str
    city: str
    nights: int


class BookFlight(ts.Action[Booking]):
    """There and back."""

    traveller: str
    city: str


class BookCar(ts.Action[Booking]):
    """A car that waits in front of the hotel."""

    traveller: str
    hotel: str
    nights: int


class CancelBooking(ts.Action[None]):
    """Give a booking back; harmless where that was done before."""

    what: What
    reference: str


class CallOff(ts.Action[None]):
    """Give back whatever was booked, or still will be, under that key."""

    what: What
    key: str


class BookTrip(ts.Saga[Trip, Itinerary]):
    """All three bookings, or none."""

    @ts.step
    def hotel(self, trip: Trip, done: ts.Results) -> BookHotel:
        """First, since the rest depends on it."""
        del done
        return BookHotel(traveller=trip.traveller, city=trip.city, nights=trip.nights)

    @hotel.undone_by
    def cancel_hotel(self, trip: Trip, booking: Booking) -> CancelBooking:
        """The room is free again."""
        del trip
        return CancelBooking(what="hotel", reference=booking.reference)

    @hotel.undone_in_doubt
    def call_off_hotel(self, trip: Trip, key: str) -> CallOff:
        """Hotels know what was asked for under which key, so that nobody need ask first."""
        del trip
        return CallOff(what="hotel", key=key)

    @ts.step(after=(hotel,))
    def flight(self, trip: Trip, done: ts.Results) -> BookFlight:
        """With the car, at once."""
        del done
        return BookFlight(traveller=trip.traveller, city=trip.city)

    @flight.undone_by
    def cancel_flight(self, trip: Trip, booking: Booking) -> CancelBooking:
        """The seats are free again."""
        del trip
        return CancelBooking(what="flight", reference=booking.reference)

    @ts.step(after=(hotel,))
    def car(self, trip: Trip, done: ts.Results) -> BookCar:
        """With the flight, at once."""
        return BookCar(traveller=trip.traveller, hotel=done[BookTrip.hotel].reference, nights=trip.nights)

    @car.undone_by
    def cancel_car(self, trip: Trip, booking: Booking) -> CancelBooking:
        """The car stays where it is."""
        del trip
        return CancelBooking(what="car", reference=booking.reference)

    def result(self, given: Trip, done: ts.Results) -> Itinerary:
        """All three."""
        del given
        return Itinerary(hotel=done[BookTrip.hotel].reference, flight=done[BookTrip.flight].reference, car=done[BookTrip.car].reference)
