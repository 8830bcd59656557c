"""Timelines: all that one correlation has led to, in order, across operations and owners. A fold of records; nothing is drawn here.

It reads payloads as plain JSON, so that it needs no program: whoever has a log has its timelines.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec

from tallystick.domain.envelope import Recorded, Settles
from tallystick.domain.operations.figures import EVENTS
from tallystick.domain.protocol import COMMAND, EXECUTION, OWNER
from tallystick.domain.sensitive import redacted

Kind = Literal["operation", "evidence", "event", "attempt", "timer", "audit", "engine"]
"""What an entry is: a step of an operation; evidence beside it; an event of the program; an execution's beginning, end or attempt; time
that passed or is to pass; what a person did or an audit record says; the library's own bookkeeping."""

_ATTEMPTS: Final = frozenset({"AttemptStarted", "ActionsAdvanced", "PersonNeeded"})
_TIMERS: Final = frozenset({"TimeoutFired", "RetryScheduled", "OperationOverdue", "OperationExtended"})
_PEOPLE: Final = frozenset(
    {
        "PersonActed",
        "ExecutionRedriven",
        "ReactionRedriven",
        "OperationAudited",
        "OperationResumed",
        "IdempotencyConflicted",
        "SubjectForgotten",
    }
)
_EVIDENCE: Final = frozenset({"OperationNoted", "OperationSucceededLate", "LateSuccess"})
_DETAILS: Final = (
    "kind",
    "message",
    "code",
    "reason",
    "percent",
    "attempt",
    "retryAt",
    "deadline",
    "overdueAt",
    "outcome",
    "who",
    "by",
    "why",
    "name",
    "error",
)
_ENVELOPE: Final = frozenset({"operationId", "auditId", "at"})
DETAIL_CHARS: Final = 120


class Entry(NamedTuple):
    """One record, as a person reads it. `data` is the payload; `detail` what of it is worth a line."""

    position: int
    at: datetime
    kind: Kind
    owner: str
    event: str
    about: str
    token: str
    settles: Settles | None
    causation: int | None
    detail: str
    data: Mapping[str, Any]
    tags: Mapping[str, str]


class Span(NamedTuple):
    """An execution from its beginning to its end, if it has one yet. `attempts` are when each began."""

    token: str
    owner: str
    title: str
    began: datetime
    ended: datetime | None
    settles: Settles | None
    attempts: tuple[datetime, ...]

    @property
    def duration(self) -> timedelta | None:
        """How long it took; None while it goes on."""
        return None if self.ended is None else self.ended - self.began


class Timeline(NamedTuple):
    """What one correlation has led to, in order of the log, and the executions among it, in the order in which they began."""

    correlation: str
    entries: tuple[Entry, ...]
    spans: tuple[Span, ...]

    def as_objects(self) -> dict[str, Any]:
        """For programs, ready to be encoded as JSON."""
        return {
            "correlation": self.correlation,
            "entries": [
                {
                    "position": each.position,
                    "at": each.at,
                    "kind": each.kind,
                    "owner": each.owner,
                    "event": each.event,
                    "about": each.about,
                    "token": each.token or None,
                    "settles": each.settles,
                    "causation": each.causation,
                    "data": each.data,
                    **({"tags": each.tags} if each.tags else {}),
                }
                for each in self.entries
            ],
            "spans": [
                {
                    "token": span.token,
                    "owner": span.owner,
                    "title": span.title,
                    "began": span.began,
                    "ended": span.ended,
                    "settles": span.settles,
                    "attempts": span.attempts,
                }
                for span in self.spans
            ],
        }


def timeline_of(correlation: str, records: Iterable[Recorded]) -> Timeline:
    """The timeline that these records make, which are those of one correlation, in order of position."""
    entries: list[Entry] = []
    spans: dict[str, Span] = {}
    for recorded in records:
        entry = _entry(recorded, msgspec.json.decode(redacted(recorded.payload)))
        entries.append(entry)
        _into_spans(spans, entry, began=recorded.aggregate_type == EXECUTION and recorded.aggregate_version == 1)
    return Timeline(correlation, tuple(entries), tuple(spans.values()))


def _entry(recorded: Recorded, data: Any) -> Entry:
    content: Mapping[str, Any] = data if isinstance(data, dict) else {"value": data}
    return Entry(
        recorded.position,
        recorded.occurred_at,
        kind_of(recorded),
        recorded.owner,
        recorded.event_type,
        f"{recorded.aggregate_type} {recorded.aggregate_id}",
        recorded.token or "",
        recorded.settles,
        recorded.causation,
        detail_of(content),
        content,
        recorded.tags,
    )


def kind_of(recorded: Recorded) -> Kind:
    """What an entry about this record is; people before time before the rest, since that is what is looked for."""
    name = recorded.event_type
    for names, kind in _BY_NAME:
        if name in names:
            return kind
    if recorded.aggregate_type == EXECUTION:
        return "attempt"
    return "engine" if recorded.aggregate_type in {COMMAND, OWNER} else "event"


_BY_NAME: Final[tuple[tuple[frozenset[str], Kind], ...]] = (
    (_PEOPLE, "audit"),
    (_TIMERS, "timer"),
    (_EVIDENCE, "evidence"),
    (_ATTEMPTS, "attempt"),
    (frozenset(EVENTS), "operation"),
)


def detail_of(content: Mapping[str, Any]) -> str:
    """What of a payload is worth a line: the fields that say how it stands, else its plain values; cut."""
    plain = {name: value for name, value in content.items() if isinstance(value, str | int | float) and value != ""}
    told: dict[str, Any] = {name: plain[name] for name in _DETAILS if name in plain}
    if not told:
        told = {name: value for name, value in plain.items() if name not in _ENVELOPE}
    text = ", ".join(f"{name}={round(value, 3)}" if isinstance(value, float) else f"{name}={value}" for name, value in told.items())
    return text if len(text) <= DETAIL_CHARS else f"{text[: DETAIL_CHARS - 1]}…"


def _into_spans(spans: dict[str, Span], entry: Entry, *, began: bool) -> None:
    token = entry.token
    if not token:
        return
    if began:
        spans[token] = Span(token, entry.owner, title_of(entry.event, entry.data), entry.at, None, None, (entry.at,))
    span = spans.get(token)
    if span is None:
        return
    if entry.settles is not None:
        spans[token] = span._replace(ended=entry.at, settles=entry.settles)
    elif entry.event == "AttemptStarted":
        spans[token] = span._replace(attempts=(*span.attempts, entry.at))


def title_of(event_type: str, content: Mapping[str, Any]) -> str:
    """What an execution is called: an operation by its name, another by its intent's."""
    intent = content.get("intent")
    name = intent.get("operationName") if isinstance(intent, dict) else None
    return str(name) if name else event_type.removesuffix("Started")
