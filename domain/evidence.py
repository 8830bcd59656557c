"""Evidence of exceptions: what of one may be written down, and in a form that certainly can be.

Its message may hold what was revealed where it was raised, and then may not. It is not ours: it may be of any length, no Unicode, or raise.
"""

from typing import Final, cast

from tallystick.domain.text import writable

WITHHELD: Final = "(withheld: personal data was revealed where this was raised)"
_MARK: Final = "tallystick_withheld"
MESSAGE_LIMIT_CHARS: Final = 2_000
"""The longest message of an exception that is written down."""
MEMBERS_LIMIT: Final = 5
"""How many members of a group are told of."""
MEMBER_LIMIT_CHARS: Final = 300
NAME_LIMIT_CHARS: Final = 200
"""The longest name of a type of exception, or code of a failure."""


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
    """Whether its message may not be written down; also that of one which was raised from such a one, or has one in its group.

    It is looked at by `type`: an exception's `__class__` may be code of others, as here and below.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        if BaseException.__getattribute__(each, "__dict__").get(_MARK, False):  # past whatever it may have of its own
            return True
        seen.add(id(each))
        waiting += (each.__cause__, each.__context__)
        if issubclass(type(each), BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", each).exceptions
    return False


def fitted(said: object, limit_chars: int) -> str:
    """What somebody else says as text that any log can hold: no longer than that, and with escapes for what is no Unicode."""
    try:
        text = str.__str__(cast("str", said)) if issubclass(type(said), str) else str(said)
    except Exception as failure:  # noqa: BLE001 - whatever its own code raised
        text = f"(its message raises {type(failure).__name__})"
    text = _cut(text, limit_chars)
    return _cut(writable(text), limit_chars)


def _cut(text: str, limit_chars: int) -> str:
    return text if len(text) <= limit_chars else f"{text[: limit_chars - 1]}…"


def name_of(error: BaseException) -> str:
    """Its type, in a form that can be written down."""
    return fitted(type(error).__name__, NAME_LIMIT_CHARS)


def members_of(error: BaseException) -> list[BaseException]:
    """Of a group of exceptions the first ones that are no groups themselves, in order; of any other exception none."""
    found: list[BaseException] = []
    waiting: list[BaseException] = [error] if issubclass(type(error), BaseExceptionGroup) else []
    while waiting and len(found) < MEMBERS_LIMIT:
        each = waiting.pop(0)
        if issubclass(type(each), BaseExceptionGroup):
            waiting[:0] = cast("BaseExceptionGroup[BaseException]", each).exceptions
        else:
            found.append(each)
    return found


def message_of(error: BaseException, limit_chars: int = MESSAGE_LIMIT_CHARS) -> str:
    """What may be written down of what it says, of a group also what its members say; it certainly can be. Never raises."""
    if is_withheld(error):
        return WITHHELD
    members = "; ".join(f"{name_of(each)}: {fitted(each, MEMBER_LIMIT_CHARS)}" for each in members_of(error))
    return fitted(f"{fitted(error, limit_chars)}: {members}" if members else error, limit_chars)


def said_by(error: BaseException, limit_chars: int = MESSAGE_LIMIT_CHARS) -> str:
    """Its type, and what may be written down of what it says. Never raises."""
    return _cut(f"{name_of(error)}: {message_of(error)}", limit_chars)
