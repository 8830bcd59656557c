"""What a saga says: the kinds of its events. Each saga has types of its own made from these, with its name in front: see `types_in_log`."""

from typing import Any, ClassVar

from tallystick.domain.event import Event
from tallystick.domain.record import Record


class Parent(Record):
    """Whose step a saga is: the parent's name and id, and the step."""

    saga: str
    saga_id: str
    step: str


class SagaEvent(Event):
    """Something that happened to one instance."""

    saga_id: str

    @property
    def aggregate_id(self) -> str:
        """The instance."""
        return self.saga_id


class Started(SagaEvent):
    """It was asked for. `definition_version` is the version of the definition that it keeps for life."""

    definition_version: int
    input: Any
    parent: Parent | None = None


class CancelRequested(SagaEvent):
    """Somebody wants it undone."""

    reason: str


class Completed(SagaEvent):
    """All steps are done; `result` is what they come to."""

    result: Any
    parent: Parent | None = None


class Compensated(SagaEvent):
    """All that was done is undone. `step` is the one that failed, empty where it was cancelled; `code` says why."""

    step: str
    code: str
    message: str = ""
    parent: Parent | None = None


class Redriven(SagaEvent):
    """A person let it go on. `by_hand`: what was to be undone has been, by hand."""

    step: str
    who: str = ""
    why: str = ""
    by_hand: bool = False
    may_ask: bool = False


class Resolved(SagaEvent):
    """Nobody need look at a step any more: what it waited for has come by itself."""

    step: str


class StepEvent(SagaEvent):
    """Something that happened to one step of it."""

    step: ClassVar[str] = ""


class StepDone(StepEvent):
    """It is done."""

    result: Any


class StepFailed(StepEvent):
    """The outside world said no for good: it had no effect."""

    code: str
    message: str = ""


class StepInDoubt(StepEvent):
    """It ended, and nobody knows whether it had its effect. `key` is the idempotency key under which it was asked for.

    `may_ask`: its performer had a probe then.
    """

    key: str
    code: str
    message: str = ""
    may_ask: bool = False


class StepDoneAfterAll(StepEvent):
    """It was in doubt; the outside world was asked, and had done it."""

    result: Any


class StepNotDone(StepEvent):
    """It was in doubt; the outside world was asked, and had not done it."""


class StepDoubtRemains(StepEvent):
    """It was in doubt, and the outside world could not tell."""

    code: str
    message: str = ""


class StepDoneLate(StepEvent):
    """A success came when nobody waited for it any more. `round` says of which time that it was begun."""

    round: int
    result: Any


class StepUndone(StepEvent):
    """It is undone."""


class StepUndoFailed(StepEvent):
    """It could not be undone, for good."""

    code: str
    message: str = ""


class StepRequested(StepEvent):
    """It is a saga of its own, which is to start."""

    child_id: str
    child_version: int
    input: Any


class StepUndoRequested(StepEvent):
    """The saga that it is, is to be undone, however far it came."""

    child_id: str
