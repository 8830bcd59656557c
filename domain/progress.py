"""Progress: how far the call that is out has said that it is. A fold of what it has reported."""

from datetime import datetime

from tallystick.domain.protocol import ProgressReported
from tallystick.domain.record import Record


class Progress(Record):
    """The last percentage and the last words of one call, and when the later of them came. `percent` is None where it gave none."""

    at: datetime
    percent: float | None = None
    message: str = ""


def progress_after(before: Progress | None, said: ProgressReported, at: datetime) -> Progress:
    """What is known after one more report: of what that leaves out, what an earlier one said."""
    if before is None:
        return Progress(at=at, percent=said.percent, message=said.message)
    percent = before.percent if said.percent is None else said.percent
    return Progress(at=at, percent=percent, message=said.message or before.message)
