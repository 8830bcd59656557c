"""How an execution ended, as its owner hears it."""

from typing import Any, Generic, Literal, TypeVar

from tallystick.domain.envelope import Settles
from tallystick.domain.record import Record

R = TypeVar("R")


class Succeeded(Record, Generic[R], tag=True):
    """The last action's result, or what `complete` was given."""

    result: R


class Failed(Record, tag=True):
    """The outside world said no for good, or the retries are used up. `code` is for programs, `message` for people.

    `in_doubt`: its last word was no no, but an error; so it may have done it all the same.
    """

    code: str
    message: str = ""
    in_doubt: bool = False


class Refused(Record, tag=True):
    """The queue does not serve it, or not any more.

    Nothing was performed, except with "superseded": one that was interrupted may have performed actions before it was dropped.
    """

    cause: Literal["busy", "no_actions", "unknown_subject", "superseded"]


class TimedOut(Record, tag=True):
    """No answer came before the last attempt's deadline; the outside world may still act, see `late`."""

    attempts: int


class Cancelled(Record, tag=True):
    """The owner or a person ended it."""

    reason: str


Outcome = Succeeded[R] | Failed | Refused | TimedOut | Cancelled
"""Match on it and end with `assert_never`: a forgotten case is then a type error."""


def settlement(outcome: Outcome[Any]) -> Settles:
    """How the completion event of that outcome is marked in the log."""
    match outcome:
        case Succeeded():
            return "succeeded"
        case Failed():
            return "failed"
        case _:
            return "abandoned"
