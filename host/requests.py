"""What a second process may ask of the host that has a log: requests as data. How they travel is the control socket's business."""

from typing import Final, Literal

import msgspec

import tallystick as ts
from tallystick.host.settling import How

NOT_EDITED: Final = msgspec.Raw(b"null")


class Asked(ts.Record, tag_field="request"):
    """A request; `who` and `why` are recorded with what was decided."""

    who: str
    why: str


class Redrive(Asked, tag="redrive"):
    """Have one letter tried again, with these actions if they are given."""

    letter: str
    edited: msgspec.Raw = NOT_EDITED


class Discard(Asked, tag="discard"):
    """Give one letter up."""

    letter: str


class RedriveAll(Asked, tag="redrive_all"):
    """Have all letters tried again that the query means."""

    query: ts.DeadLetterQuery


class DiscardAll(Asked, tag="discard_all"):
    """Give all letters up that the query means."""

    query: ts.DeadLetterQuery


class Settle(Asked, tag="settle"):
    """End an execution that waits for a person: with this result, with this failure, or abandoned."""

    letter: str
    ends: Literal["completed", "failed", "abandoned"]
    result: msgspec.Raw = NOT_EDITED
    code: str = ""
    message: str = ""


class SettleOperation(Asked, tag="settle_operation"):
    """End an open operation by hand, or have it go on."""

    operation: str
    how: How
    message: str = ""
    code: str = ""


class ForgetPerson(Asked, tag="forget"):
    """Forget a person of whom something sensitive is kept."""

    person: str


class Archive(Asked, tag="archive"):
    """Have closed work leave the live log by a policy, one archive at most; or (`dry_run`) only count the records that would leave."""

    policy: ts.Retention
    dry_run: bool = False


Request = Redrive | Discard | RedriveAll | DiscardAll | Settle | SettleOperation | ForgetPerson | Archive
