"""Evidence of exceptions: what of one may be written down. Its message may hold what was revealed where it was raised, and then may not."""

from typing import Final

WITHHELD: Final = "(withheld: personal data was revealed where this was raised)"
_MARK: Final = "tallystick_withheld"


def withhold(error: BaseException) -> None:
    """Have nobody write down this exception's message: it was raised where something had been revealed."""
    BaseException.__setattr__(error, _MARK, True)


def is_withheld(error: BaseException) -> bool:
    """Whether its message may not be written down; also that of one which was raised from such a one."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if getattr(each, _MARK, False):
            return True
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return False


def message_of(error: BaseException) -> str:
    """What may be written down of what it says."""
    return WITHHELD if is_withheld(error) else str(error)


def said_by(error: BaseException) -> str:
    """Its type, and what may be written down of what it says."""
    return f"{type(error).__name__}: {message_of(error)}"
