"""Parked sources as the log has them: which wait in an owner, behind what, and what may become of them (P12, P13). Plain dicts."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.testing.payload import NOTHING, Payload
from tallystick.testing.violations import InvariantViolation

REACTION_ATTEMPTS = 4

Source = tuple[str, str]
Parked = dict[Source, dict[str, Any]]
"""What is parked in one owner: the position that waits first, how often it was tried, whether it is dead, its role and outcome."""

Reactions = Collection[str] | None
"""The types of events that an owner reacts to; None of a log that may have been written when it reacted to others."""


class _Kind(msgspec.Struct):
    type: str = ""


_kind_of = msgspec.json.Decoder(_Kind).decode


def take_parking(parked: Parked, recorded: Recorded, payload: Payload, records: Sequence[Recorded], reactions: Reactions) -> None:
    """One more event of an owner's own stream. `records` are all up to it, `reactions` what its owner reacts to.

    Raises:
        InvariantViolation: P12, P13 or S13.
    """
    source, event = (payload.aggregate_type, payload.aggregate_id), recorded.event_type
    letter = parked.get(source)
    if event == "ReactionFailed":
        parked[source] = _failed(letter, recorded, payload)
    elif event == "ReactionResumed":
        _resume(parked, source, recorded, payload, _following(source, recorded, payload, records, reactions))
    elif event == "ReactionRedriven":
        if letter is None or not letter["dead"]:
            raise InvariantViolation("P12", f"{source} is redriven, and is no dead letter: {letter}", position=recorded.position)
        letter |= {"attempt": 0, "dead": False}


def holds_success(letter: dict[str, Any] | None) -> bool:
    """Whether a success waits for its settlement handler (P13)."""
    return letter is not None and letter["role"] == "settlement" and _kind_of(letter["outcome"]).type == "Succeeded"


def _failed(before: dict[str, Any] | None, recorded: Recorded, payload: Payload) -> dict[str, Any]:
    if not payload.error or not 0 < payload.position < recorded.position:
        raise InvariantViolation("S13", "a failed handler's record lacks its cause", position=recorded.position)
    tried = 0 if before is None else before["attempt"]
    dead = payload.retry_at is None
    if payload.attempt != tried + 1 or dead != (payload.attempt == REACTION_ATTEMPTS):
        text = f"attempt {payload.attempt} of a handler follows {tried}, {'dead' if dead else 'again'}"
        raise InvariantViolation("P12", text, position=recorded.position)
    outcome = bytes(payload.outcome)
    if payload.role == "settlement" and (outcome == bytes(NOTHING) or (before is not None and outcome != before["outcome"])):
        text = f"a settlement that failed keeps {outcome.decode()}, where {b'' if before is None else before['outcome']!r} was kept before"
        raise InvariantViolation("P13", text, position=recorded.position, token=payload.aggregate_id)
    return {"position": payload.position, "attempt": payload.attempt, "dead": dead, "role": payload.role, "outcome": outcome}


def _resume(parked: Parked, source: Source, recorded: Recorded, payload: Payload, following: int | None) -> None:
    letter = parked.pop(source, None)
    if letter is None and source[0] == "Execution":
        return  # a settlement that was given up has ended its execution in the same append
    if letter is None or letter["position"] != payload.position or letter["dead"] != payload.discarded:
        text = f"position {payload.position} of {source} is {'given up' if payload.discarded else 'handled'}; what waits is {letter}"
        raise InvariantViolation("P12", text, position=recorded.position)
    if payload.next_position != following:
        text = f"{source} goes on with position {payload.next_position}; of what {recorded.owner} has seen, {following} is next"
        raise InvariantViolation("P12", text, position=recorded.position)
    if following is not None:
        parked[source] = {"position": following, "attempt": 0, "dead": False, "role": "reaction", "outcome": b""}


def _following(source: Source, recorded: Recorded, payload: Payload, records: Sequence[Recorded], reactions: Reactions) -> int | None:
    """The next event of the source that its owner has seen, and reacts to: it has waited behind the one that failed."""
    if source[0] == "Execution":
        return None
    if reactions is None:
        return payload.next_position
    waiting = (each for each in records[payload.position : recorded.seen] if (each.aggregate_type, each.aggregate_id) == source)
    return next((each.position for each in waiting if each.event_type in reactions), None)
