"""The dead letters of a log as any process may read them, also while it is written: without the program, by the library's own events."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

import tallystick as ts
from tallystick.actors.dead_letters import NEEDS_PERSON, letter_of_parked
from tallystick.domain import parking
from tallystick.domain.execution import code_of
from tallystick.domain.parking import Parking, Source
from tallystick.domain.protocol import (
    EXECUTION,
    AttemptStarted,
    ExecutionRedriven,
    PersonNeeded,
    ReactionFailed,
    ReactionRedriven,
    ReactionResumed,
    RetryScheduled,
)

_READ: Final[dict[str, Any]] = {
    kind.__name__: msgspec.json.Decoder(kind).decode
    for kind in (AttemptStarted, PersonNeeded, ReactionFailed, ReactionRedriven, ReactionResumed, RetryScheduled)
}
_PARKING: Final = (ReactionFailed.__name__, ReactionRedriven.__name__, ReactionResumed.__name__)


class _Started(msgspec.Struct):
    """What is read of an intent event, of whatever program."""

    actions: msgspec.Raw = msgspec.Raw(b"[]")


class _Redriven(msgspec.Struct):
    """As much of `ExecutionRedriven` as does not depend on the program."""

    attempt: int
    actions: msgspec.Raw = msgspec.Raw(b"null")


_read_started: Final = msgspec.json.Decoder(_Started).decode
_read_redriven: Final = msgspec.json.Decoder(_Redriven).decode


def letters_in(reader: ts.SqliteReader) -> list[ts.DeadLetter]:
    """All dead letters of a log, each owner's in order of position. Reads the log once; what it keeps is what waits.

    Raises:
        LogError: the log cannot be read.
    """
    parked: dict[str, Parking] = {}
    asked: dict[str, str] = {}
    for recorded in reader.read(ts.Query(event_types=(*_PARKING, PersonNeeded.__name__))):
        if recorded.event_type == PersonNeeded.__name__:
            asked[recorded.token or ""] = recorded.owner
        else:
            before = parked.get(recorded.owner, parking.nothing_parked())
            parked[recorded.owner] = parking.folded(before, recorded, _READ[recorded.event_type](recorded.payload))
    found: list[ts.DeadLetter] = []
    for owner, sources in parked.items():
        found.extend(_parked_letters(reader, owner, sources))
    for token, owner in asked.items():
        if Source(EXECUTION, token) not in parked.get(owner, ()):
            found.extend(_waiting_letter(reader, token))
    return sorted(found, key=lambda letter: (letter.owner, letter.position))


def _parked_letters(reader: ts.SqliteReader, owner: str, sources: Parking) -> Iterator[ts.DeadLetter]:
    for source, waits in sources.items():
        if not waits.dead or (waits.role == "settlement" and _settled(reader, source.aggregate_id)):
            continue
        (recorded,) = reader.read(ts.Query(after=waits.position - 1, limit=1))
        yield letter_of_parked(owner, source, waits, recorded)


def _settled(reader: ts.SqliteReader, token: str) -> bool:
    return any(recorded.settles is not None for recorded in reader.read(ts.Query(token=token)))


def _waiting_letter(reader: ts.SqliteReader, token: str) -> Iterator[ts.DeadLetter]:
    """The letter of one execution, if it still waits for a person."""
    begun: ts.Recorded | None = None
    actions, attempt, first_attempt = b"[]", 1, 1
    asked: tuple[ts.Recorded, PersonNeeded] | None = None
    for recorded in reader.read(ts.Query(token=token)):
        if recorded.settles is not None:
            return
        if begun is None:
            begun, actions = recorded, bytes(_read_started(recorded.payload).actions)
        elif recorded.event_type == ExecutionRedriven.__name__:
            redriven = _read_redriven(recorded.payload)
            attempt = first_attempt = redriven.attempt
            actions = actions if bytes(redriven.actions) == b"null" else bytes(redriven.actions)
            asked = None
        elif recorded.event_type == PersonNeeded.__name__:
            asked = recorded, _READ[recorded.event_type](recorded.payload)
        elif recorded.event_type in {AttemptStarted.__name__, RetryScheduled.__name__}:
            attempt = _READ[recorded.event_type](recorded.payload).attempt
            asked = None
    if begun is not None and asked is not None:
        yield _letter(begun, asked, attempt - first_attempt + 1, actions)


def _letter(begun: ts.Recorded, asked: tuple[ts.Recorded, PersonNeeded], attempts: int, actions: bytes) -> ts.DeadLetter:
    recorded, needed = asked
    cause = needed.cause
    code = "" if cause is None else code_of(cause)
    reason = cause.message if isinstance(cause, ts.Failed) else needed.reason
    return ts.DeadLetter(
        owner=begun.owner,
        kind="actions" if code else "person",
        aggregate_type=EXECUTION,
        aggregate_id=begun.aggregate_id,
        position=begun.position,
        event_type=begun.event_type,
        token=begun.token,
        code=code or NEEDS_PERSON,
        error=": ".join(part for part in (code, reason) if part),
        attempts=attempts,
        since=recorded.occurred_at,
        correlation=begun.correlation,
        payload=msgspec.Raw(actions),
    )
