"""Evidence of exceptions: what of one may be written down. Its message may hold what was revealed where it was raised, and then may not."""

from typing import Final, cast

WITHHELD: Final = "(withheld: personal data was revealed where this was raised)"
_MARK: Final = "tallystick_withheld"


class Knower:
    """What code runs as, an operation or a call: it knows what is revealed to that code, and to whatever else is run inside of it."""

    __slots__ = ("around", "told")

    def __init__(self, around: "Knower | None" = None) -> None:
        self.told = False
        self.around = around
        """What its code was begun in, where that is known."""

    def knows_secrets(self) -> None:
        """Something sensitive was revealed to its code, and so to that of whatever is around it."""
        each: Knower | None = self
        while each is not None:
            each.told = True
            each = each.around

    @property
    def revealed(self) -> bool:
        """Whether its code may know something that may not be written down, be it from what is around it."""
        each: Knower | None = self
        while each is not None:
            if each.told:
                return True
            each = each.around
        return False


def withhold(error: BaseException) -> None:
    """Have nobody write down this exception's message: it was raised where something had been revealed."""
    BaseException.__setattr__(error, _MARK, True)


def is_withheld(error: BaseException) -> bool:
    """Whether its message may not be written down; also that of one which was raised from such a one, or has one in its group."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        if getattr(each, _MARK, False):
            return True
        seen.add(id(each))
        waiting += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", each).exceptions
    return False


def message_of(error: BaseException) -> str:
    """What may be written down of what it says."""
    return WITHHELD if is_withheld(error) else str(error)


def said_by(error: BaseException) -> str:
    """Its type, and what may be written down of what it says."""
    return f"{type(error).__name__}: {message_of(error)}"
