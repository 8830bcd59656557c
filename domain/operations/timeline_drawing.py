"""Timelines as Mermaid: a sequence of who told whom, and a chart of how long everything took. Text only."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tallystick.domain.envelope import to_micros
from tallystick.domain.operations.timeline import Entry, Span, Timeline

_UNFIT: Final = re.compile(r"[^\w .,=()/+-]")
OUTSIDE: Final = "outside"


def _plain(text: str) -> str:
    """Text that Mermaid takes for text."""
    return _UNFIT.sub(" ", text).strip() or "-"


def _party(owner: str) -> str:
    return re.sub(r"\W", "_", owner) or "nobody"


def sequence(timeline: Timeline) -> Iterator[str]:
    """The lines of a sequence diagram: an arrow from the owner whose record led to an entry, a note for what is beside the story."""
    owners = dict.fromkeys(entry.owner for entry in timeline.entries)
    owner_of = {entry.position: entry.owner for entry in timeline.entries}
    yield "sequenceDiagram"
    yield f"    participant {OUTSIDE}"
    for owner in owners:
        yield f"    participant {_party(owner)} as {_plain(owner)}"
    for entry in timeline.entries:
        here = _party(entry.owner)
        if entry.kind in {"evidence", "audit", "timer", "engine"}:
            yield f"    Note over {here}: {_plain(_line(entry))}"
            continue
        cause = owner_of.get(entry.causation) if entry.causation is not None else None
        source = OUTSIDE if cause is None else _party(cause)
        yield f"    {source}->>{here}: {_plain(_line(entry))}"


def _line(entry: Entry) -> str:
    return f"{entry.event} {entry.detail}" if entry.detail and entry.kind != "event" else entry.event


def gantt(timeline: Timeline, now: datetime) -> Iterator[str]:
    """The lines of a gantt chart: a bar for each execution, a section for each owner; what goes on goes on until `now`."""
    yield "gantt"
    yield f"    title {_plain(timeline.correlation)}"
    yield "    dateFormat x"
    yield "    axisFormat %H:%M:%S"
    for owner in dict.fromkeys(span.owner for span in timeline.spans):
        yield f"    section {_plain(owner)}"
        for span in timeline.spans:
            if span.owner == owner:
                yield f"    {_bar(span, now)}"


def _bar(span: Span, now: datetime) -> str:
    tag = {"succeeded": "done", "failed": "crit", "abandoned": "crit", None: "active"}[span.settles]
    began_ms = to_micros(span.began) // 1000
    ended_ms = max(began_ms + 1, to_micros(span.ended or now) // 1000)  # a bar of no length is not drawn
    attempts = f" ({len(span.attempts)} attempts)" if len(span.attempts) > 1 else ""
    return f"{_plain(span.title + attempts).replace(',', ' ')} :{tag}, {began_ms}, {ended_ms}"
