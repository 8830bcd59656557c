"""What a checker reads of the engine's own events: the JSON of their payloads, never the decoded event."""

from datetime import datetime
from typing import Any

import msgspec

NOTHING = msgspec.Raw(b"null")


class Payload(msgspec.Struct, rename="camel"):
    """The fields of engine events, of whatever type; each as if it were left out where its event has none."""

    deadline: datetime | None = None
    timeout_us: int | None = None
    retry: dict[str, Any] | None = None
    retry_at: datetime | None = None
    attempt: int = 0
    call: int = 0
    aggregate_type: str = ""
    aggregate_id: str = ""
    position: int = 0
    error: str = ""
    next_position: int | None = None
    start: int = 0
    role: str = "reaction"
    outcome: msgspec.Raw = NOTHING
    intent: msgspec.Raw = NOTHING
    actions: tuple[msgspec.Raw, ...] | None = None
    discarded: bool = False


read = msgspec.json.Decoder(Payload).decode
