"""The envelope: what the log knows of an event besides its payload. Not the event itself, which is the program's own type."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

Settles = Literal["succeeded", "failed", "abandoned"]
"""How a completion event ended its execution."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC; exact, since it does not pass through a float.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        msg = f"{moment!r} has no time zone; use datetime(..., tzinfo=UTC)"
        raise ValueError(msg)
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The moment in UTC, from microseconds since 1970-01-01 UTC."""
    return EPOCH + timedelta(microseconds=micros)


class Recorded(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One record of the log: a numbered, immutable event.

    `occurred_at_us` is in microseconds since 1970 UTC. `causation` is the position of the record that the append answered, `seen` the
    appending owner's cursor (P1). `payload` is UTF-8 JSON. `event` is the decoded payload where the record comes from a running
    system, else None; `hash` is empty until the record is written (the log links the chain).
    """

    position: int
    event_id: str
    event_type: str
    schema_version: int = 1
    aggregate_type: str
    aggregate_id: str
    aggregate_version: int
    occurred_at_us: int
    owner: str
    token: str | None = None
    settles: Settles | None = None
    correlation: str
    causation: int | None = None
    seen: int | None = None
    payload: bytes
    hash: bytes = b""
    event: Any = None

    @property
    def occurred_at(self) -> datetime:
        """When it occurred, UTC."""
        return from_micros(self.occurred_at_us)
