"""How a person settles an operation, from wherever they ask: by the control socket, or by a command on a log that is free."""

from typing import Literal, NamedTuple

import tallystick as ts

How = Literal["complete", "fail", "abandon", "cancel", "retry", "resume"]


class Words(NamedTuple):
    """What is recorded of it."""

    by: str
    why: str
    message: str = ""
    code: str = ""


def settle_operation(system: ts.System, which: str, how: How, words: Words) -> None:
    """Settle an operation by hand.

    Raises:
        Rejected: it has ended, or is not stalled where it is to be resumed.
    """
    operations, (by, why, message, code) = system.operations, words
    try:
        match how:
            case "complete":
                operations.succeed(which, message, by=by, why=why)
            case "fail":
                operations.fail(which, code, message, by=by, why=why)
            case "abandon":
                operations.abandon(which, message, by=by, why=why)
            case "cancel":
                operations.cancel(which, message, by=by, why=why)
            case "retry":
                operations.retry(which, by=by, why=why)
            case "resume":
                operations.resume(which, by=by, why=why)
    except ts.AlreadyEnded as error:
        not_open = "NOT_OPEN"
        raise ts.Rejected(not_open, str(error)) from error
