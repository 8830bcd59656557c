"""The envelope: what the log knows of an event besides its payload. Not the event itself, which is the program's own type."""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from tallystick.domain.token import Token

Settles = Literal["succeeded", "failed", "abandoned"]
"""How a completion event ended its execution."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
"""What stands for a moment that no calendar has: the last day of all but one, so that it is a moment in every zone."""
MICROSECOND = timedelta(microseconds=1)
LONGEST = timedelta(days=1_000_000)
"""The longest time that a caller may ask for: some 2,700 years; calendars end in the year 9999."""


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC; exact, since it does not pass through a float.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        msg = f"{moment!r} has no time zone; use datetime(..., tzinfo=UTC)"
        raise ValueError(msg)
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The moment in UTC, from microseconds since 1970-01-01 UTC; `LATEST` if no calendar has it, so that no time to wait is an error."""
    try:
        return EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return LATEST


def event_id_of(log_tag: int, position: int, occurred_at_us: int) -> str:
    """The id of an event: a UUID of version 7 that says when, where in its log and in which log it stands, so it is derived, not stored.

    48 bits of milliseconds, 44 of position, 30 of the log's tag. Since time and position never decrease together, neither does the id
    (P23), and who has an id has the position.
    """
    high = (occurred_at_us // 1000 << 16) | 0x7000 | (position >> 32)
    low = (1 << 63) | ((position & 0xFFFFFFFF) << 30) | log_tag
    return f"{high >> 32:08x}-{high >> 16 & 0xFFFF:04x}-{high & 0xFFFF:04x}-{low >> 48:04x}-{low & 0xFFFFFFFFFFFF:012x}"


def position_in(event_id: str) -> int | None:
    """The position that an event's id names; None if it is no event's id."""
    digits = event_id.replace("-", "")
    if len(digits) != 32 or digits[12] != "7":  # noqa: PLR2004 - as above
        return None
    try:
        number = int(digits, 16)
    except ValueError:
        return None
    return ((number >> 64 & 0xFFF) << 32) | (number >> 30 & 0xFFFFFFFF)


def log_tag_of(identity: str) -> int:
    """The 30 bits of a log's identity that its events' ids carry."""
    return zlib.crc32(identity.encode()) & 0x3FFFFFFF


_tags_in = msgspec.json.Decoder(dict[str, str]).decode
_encode_tags = msgspec.json.Encoder(order="deterministic").encode


def tags_text(tags: Mapping[str, str]) -> str | None:
    """Tags as an envelope has them: a JSON object whose keys are sorted, the same for the same tags; None where there are none."""
    return _encode_tags(dict(tags)).decode() if tags else None


class Recorded(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One record of the log: a numbered, immutable event.

    `occurred_at_us` is in microseconds since 1970 UTC. `causation` is the position of the record that the append answered, `tags_json` are
    the tags of what it answered, None where there are none, and `seen` is the appending owner's cursor (P1). `payload` is UTF-8 JSON.
    `event` is the decoded payload where the record comes from a running system, else None; `hash` is empty until the record is written
    (the log links the chain); `log_tag` is the same for a whole log.
    """

    position: int
    event_type: str
    schema_version: int
    aggregate_type: str
    aggregate_id: str
    aggregate_version: int
    occurred_at_us: int
    owner: str
    correlation: str
    payload: bytes
    token: Token | None = None
    settles: Settles | None = None
    causation: int | None = None
    seen: int | None = None
    tags_json: str | None = None
    log_tag: int = 0
    event: Any = None
    hash: bytes = b""

    @property
    def event_id(self) -> str:
        """The event's own id."""
        return event_id_of(self.log_tag, self.position, self.occurred_at_us)

    @property
    def occurred_at(self) -> datetime:
        """When it occurred, UTC."""
        return from_micros(self.occurred_at_us)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of what its append answered; empty where there are none. Decoded anew each time."""
        return {} if self.tags_json is None else _tags_in(self.tags_json)
