"""What the owner of operations is asked, by trackers and brackets."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import UNSET, UnsetType, structs

from tallystick.domain.command import AskedSomewhere, Command
from tallystick.domain.operations.events import Anchor, AuditOutcome, Json, OnOverdue
from tallystick.domain.operations.operation import check_overdue
from tallystick.domain.retry import AnyRetry


class StartOperation(AskedSomewhere[str]):
    """Begin an operation; the reply is its id. Times are microseconds. The parent and the tags that were not `given` are surroundings."""

    name: str
    parent: str = ""
    tags: Mapping[str, str] = {}
    timeout_us: int | None = None
    on_overdue: OnOverdue = "abandon"
    retry: AnyRetry | None = None
    stalled_after_us: int | None = None
    heartbeat_us: int | None = None
    held: bool = False
    given: Mapping[str, str] | UnsetType = UNSET
    """Of the tags, those that the call names; where that is not said, all of them."""

    def __post_init__(self) -> None:
        """Refuse terms that could never have an effect, with `InvalidOperation`."""
        check_overdue(self.name, self.on_overdue, timed=self.timeout_us is not None, retried=self.retry is not None)

    def contents(self) -> tuple["StartOperation", ...]:
        """Without its surroundings, which a second delivery of a message has others of; former versions took them for content, too."""
        if self.given is UNSET:
            return (self,)
        asked = structs.replace(self, given=UNSET)
        return structs.replace(asked, parent="", tags=self.given), asked


class UpdateProgress(Command[None]):
    """An operation got on."""

    operation_id: str
    percent: float | None = None
    message: str = ""


class Beat(Command[None]):
    """An operation is alive."""

    operation_id: str


class AddEvidence(Command[None]):
    """Something worth keeping happened in an operation; also after its end."""

    operation_id: str
    kind: str
    message: str = ""
    data: Mapping[str, Json] = {}


class MarkStalled(Command[bool]):
    """Say that an operation is stalled, if it is; the reply says whether it was not known to be.

    Of a type that has a threshold of its own, `silent_us` is how long it may go without progress.
    """

    operation_id: str
    silent_us: int | None = None


class Resume(Command[None]):
    """A person says that a stalled operation goes on."""

    operation_id: str
    by: str
    why: str


class GiveUp(Command[bool]):
    """Abandon an orphan: an operation that is older than `started_before` and has not ended; the reply says whether it was one."""

    operation_id: str
    started_before: datetime
    why: str


class RecordAudit(Command[str]):
    """Write an audit record; the reply is its id."""

    name: str
    message: str = ""
    outcome: AuditOutcome = "Success"
    who: str = ""
    operation_id: str = ""
    anchors: tuple[Anchor, ...] = ()
