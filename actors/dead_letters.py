"""Dead letters: what waits for a person, in one list, each with all that is needed to decide on it. What is done with one is not here."""

from datetime import datetime
from typing import Literal

import msgspec

from tallystick.actors.messages import Inspected
from tallystick.domain.envelope import Recorded, from_micros
from tallystick.domain.errors import Rejected
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.parking import Parked, Source
from tallystick.domain.protocol import EXECUTION
from tallystick.domain.record import Record

Kind = Literal["reaction", "settlement", "late", "actions", "person"]
"""What failed: a handler of an event, of an outcome, of a late success; the outside world, until no retry was left; or nothing did, and an
execution goes on only by a person's word."""

NEEDS_PERSON = "NEEDS_PERSON"
"""The code of an execution that waits for a person though no attempt of it was the last."""


class DeadLetter(Record):
    """One thing that waits for a person.

    `aggregate_type` and `aggregate_id` say what is held up in the owner: the event's aggregate with all its later events, or one execution.
    `code` is made for programs: the class of the handler's error, the code of the last failure, TIMED_OUT or NEEDS_PERSON. `payload` is
    JSON: the event that a handler could not take, the outcome that it could not settle, or the actions.
    """

    owner: str
    kind: Kind
    aggregate_type: str
    aggregate_id: str
    position: int
    """Of the event that failed, or of the execution's first."""
    event_type: str
    token: str | None
    code: str
    error: str
    attempts: int
    since: datetime
    correlation: str
    payload: msgspec.Raw

    @property
    def id(self) -> str:
        """What names it as long as it waits: owner and position."""
        return f"{self.owner}:{self.position}"

    @property
    def source(self) -> Source:
        """What is held up."""
        return Source(self.aggregate_type, self.aggregate_id)

    @property
    def of_execution(self) -> bool:
        """Whether it is an execution that waits, and no handler."""
        return self.kind in {"actions", "person"}


class DeadLetterQuery(Record):
    """Which dead letters are meant; every filter that is given must hold. `before`: those that have waited since then, or longer."""

    owner: str | None = None
    kind: Kind | None = None
    code: str | None = None
    event_type: str | None = None
    before: datetime | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether it is one of them."""
        wanted = ((self.owner, letter.owner), (self.kind, letter.kind), (self.code, letter.code), (self.event_type, letter.event_type))
        return all(given in {None, has} for given, has in wanted) and (self.before is None or letter.since < self.before)


EVERY_LETTER = DeadLetterQuery()


class Refusal(Record):
    """A letter with which it could not be done, and why."""

    id: str
    error: str


class Decided(Record):
    """What became of several letters: with how many it was done, and which refused."""

    done: int
    refused: tuple[Refusal, ...] = ()


Waits = tuple[Source, Parked | ExecutionRecord]


def waiting_in(view: Inspected) -> list[Waits]:
    """What waits in one owner, by what it is about. A handler that cannot settle an execution stands for it."""
    found: list[Waits] = [(source, parked) for source, parked in view.parking.items() if parked.dead]
    for record in view.executions.values():
        source = Source(EXECUTION, record.token)
        if record.status == "person" and source not in view.parking:
            found.append((source, record))
    return sorted(found, key=lambda waits: (waits[1].position, waits[0]))


def letter_of_parked(owner: str, source: Source, parked: Parked, recorded: Recorded) -> DeadLetter:
    """The letter of a handler that fails; `recorded` is the event that it is about."""
    reaction = parked.role == "reaction"
    return DeadLetter(
        owner=owner,
        kind=parked.role,
        aggregate_type=source.aggregate_type,
        aggregate_id=source.aggregate_id,
        position=parked.position,
        event_type=recorded.event_type,
        token=recorded.token if reaction else source.aggregate_id,
        code=parked.error.partition(":")[0],
        error=parked.error,
        attempts=parked.attempt,
        since=from_micros(parked.since_us),
        correlation=recorded.correlation,
        payload=msgspec.Raw(recorded.payload) if reaction else parked.outcome,
    )


def letter_of_execution(owner: str, record: ExecutionRecord, actions: bytes) -> DeadLetter:
    """The letter of an execution; `actions` are its actions as JSON."""
    return DeadLetter(
        owner=owner,
        kind="actions" if record.code else "person",
        aggregate_type=EXECUTION,
        aggregate_id=record.token,
        position=record.position,
        event_type=type(record.intent).started_name(),
        token=record.token,
        code=record.code or NEEDS_PERSON,
        error=": ".join(part for part in (record.code, record.reason) if part),
        attempts=record.attempt - record.first_attempt + 1,
        since=from_micros(record.asked_us),
        correlation=record.correlation,
        payload=msgspec.Raw(actions),
    )


def not_editable(letter: DeadLetter) -> Rejected:
    """Why a letter that is about history cannot be edited."""
    what = "An event is history" if letter.kind == "reaction" else "An outcome is what the outside world said"
    msg = (
        f"{what}: redrive {letter.id} as it is, or discard it and have a command add what is missing. "
        "Only the actions of an execution can be edited."
    )
    return Rejected("NOT_EDITABLE", msg)
