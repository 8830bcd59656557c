"""Money: whole minor units with their currency, so that no cent is lost in a float and no euro is added to a dollar."""

import tallystick as ts


class Money(ts.Record):
    """An amount. `cents` are the currency's minor units; negative amounts are not refused here."""

    cents: int
    currency: str

    def plus(self, other: "Money") -> "Money":
        """The sum.

        Raises:
            Rejected: MIXED_CURRENCIES.
        """
        if other.currency != self.currency:
            code = "MIXED_CURRENCIES"
            raise ts.Rejected(code, f"{self.currency} and {other.currency} cannot be added; give all prices in one currency.")
        return Money(cents=self.cents + other.cents, currency=self.currency)

    def times(self, count: int) -> "Money":
        """The amount, `count` times."""
        return Money(cents=self.cents * count, currency=self.currency)

    def __str__(self) -> str:
        return f"{self.cents // 100}.{self.cents % 100:02d} {self.currency}"
