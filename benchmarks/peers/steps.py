"""What each side carries out: reserve, charge, ship. The outside world answers at once, so that what is measured is the library."""


class World:
    """Stock, gateway and carrier. They count, so that a side that left a step out would be seen."""

    def __init__(self) -> None:
        self.reserved = 0
        self.charged = 0
        self.shipped = 0

    def reserve(self, order_id: str) -> str:
        """Take the goods."""
        self.reserved += 1
        return f"reservation-{order_id}"

    def charge(self, order_id: str) -> str:
        """Take the money."""
        self.charged += 1
        return f"payment-{order_id}"

    def ship(self, order_id: str) -> str:
        """Send the goods."""
        self.shipped += 1
        return f"shipment-{order_id}"

    def check(self, orders: int) -> None:
        """Every order took every step once.

        Raises:
            RuntimeError: it did not, so there is nothing to compare.
        """
        if (self.reserved, self.charged, self.shipped) != (orders, orders, orders):
            msg = f"{orders} orders were placed, but the world saw {vars(self)}"
            raise RuntimeError(msg)
