"""How an execution of a saga ends when the saga itself ends it, and why it ended otherwise, in words for the log."""

from typing import Any

from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, TimedOut
from tallystick.domain.sagas import events as said


class Withdrawn(Cancelled):
    """The owner itself ends one of its executions, and has decided already what that means: `event` is what is to be written."""

    event: said.SagaEvent


class Redriving(Cancelled):
    """A person lets an instance go on."""

    event: said.Redriven


def reason_of(outcome: Outcome[Any]) -> tuple[str, str]:
    """A code for programs, and a message for people."""
    match outcome:
        case Failed(code=code, message=message):
            return code, message
        case TimedOut(attempts=attempts):
            return "TIMED_OUT", f"{attempts} attempts"
        case Cancelled(reason=reason):
            return "CANCELLED", reason
        case Refused(cause=cause):
            return cause.upper(), ""
        case _:
            return "", ""
