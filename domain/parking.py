"""Parking: what a failing handler holds up, and nothing else (P12, P13). As a fold of the owner's own events."""

from datetime import timedelta
from typing import Any, Literal, NamedTuple

import msgspec
from pyrsistent import PMap, pmap

from tallystick.domain.envelope import Recorded, to_micros
from tallystick.domain.protocol import EXECUTION, ReactionFailed, ReactionRedriven, ReactionResumed
from tallystick.domain.record import Record
from tallystick.domain.retry import ExponentialBackoff, RetryPolicy

REACTION_RETRY: RetryPolicy = ExponentialBackoff(initial=timedelta(seconds=1), maximum=timedelta(minutes=1), max_retries=3)
"""Three retries, so four attempts, then the dead letter."""


class Source(NamedTuple):
    """What is parked in an owner: one aggregate whose events it reacts to, or one execution of its own."""

    aggregate_type: str
    aggregate_id: str


class Parked(Record):
    """One parked source. `position` is the event that waits first; dead when `retry_at_us` is None."""

    position: int
    attempt: int
    error: str = ""
    retry_at_us: int | None = None
    role: Literal["reaction", "settlement", "late"] = "reaction"
    outcome: msgspec.Raw = msgspec.Raw(b"null")
    since_us: int = 0
    """When its last attempt failed; microseconds since 1970 UTC."""

    @property
    def dead(self) -> bool:
        """Whether it waits for a person."""
        return self.retry_at_us is None


Parking = PMap[Source, Parked]


def nothing_parked() -> Parking:
    """The empty parking."""
    return pmap()


def folded(parking: Parking, recorded: Recorded, payload: Any) -> Parking:
    """The parking after one more event of its owner; the same when the event does not concern it."""
    match payload:
        case ReactionFailed():
            after = Parked(
                position=payload.position,
                attempt=payload.attempt,
                error=payload.error,
                retry_at_us=None if payload.retry_at is None else to_micros(payload.retry_at),
                role=payload.role,
                outcome=payload.outcome,
                since_us=recorded.occurred_at_us,
            )
            return parking.set(Source(payload.aggregate_type, payload.aggregate_id), after)
        case ReactionResumed(next_position=None):
            return parking.discard(Source(payload.aggregate_type, payload.aggregate_id))
        case ReactionResumed(next_position=int(position)):
            after = Parked(position=position, attempt=0, retry_at_us=recorded.occurred_at_us)
            return parking.set(Source(payload.aggregate_type, payload.aggregate_id), after)
        case ReactionRedriven():
            source = Source(payload.aggregate_type, payload.aggregate_id)
            letter = parking.get(source)
            if letter is not None:
                parking = parking.set(source, msgspec.structs.replace(letter, attempt=0, retry_at_us=recorded.occurred_at_us))
        case _ if recorded.settles is not None and recorded.token is not None:
            return parking.discard(Source(EXECUTION, recorded.token))
        case _:
            pass
    return parking
