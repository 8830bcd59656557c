"""What a check that failed says."""

from tallystick.domain.errors import TallystickError


class InvariantViolation(TallystickError, AssertionError):
    """Something does not hold that must hold always: `invariant` is its id, such as S7 or P4.

    `position` or `token` say where, as far as they are known; `seed` is that of the run, None outside of a simulation.
    """

    def __init__(
        self, invariant: str, text: str, *, position: int | None = None, token: str | None = None, seed: int | None = None
    ) -> None:
        super().__init__(text)
        self.invariant = invariant
        self.text = text
        self.position = position
        self.token = token
        self.seed = seed

    def __str__(self) -> str:
        where = [
            f"{name} {value}"
            for name, value in (("position", self.position), ("token", self.token), ("seed", self.seed))
            if value is not None
        ]
        return f"{self.invariant}: {self.text}" + (f" ({', '.join(where)})" if where else "")
