"""The story of a run as a sequence diagram in Mermaid, and as lines for people."""

from collections.abc import Iterator, Sequence

from tallystick.testing.world import SECOND, Happening

_DASHED = frozenset({"answer", "reply"})


def told(story: Sequence[Happening]) -> Iterator[str]:
    """A line for each thing that happened, with the virtual time since the beginning."""
    for each in story:
        who = each.source if each.source == each.target else f"{each.source} → {each.target}"
        yield f"{each.at_us / SECOND:12.3f} s  {who}: {each.text}"


def diagram(story: Sequence[Happening]) -> Iterator[str]:
    """The lines of a Mermaid sequence diagram; faults are notes over everybody."""
    lines = list(story)
    participants = list(dict.fromkeys(name for each in lines for name in (each.source, each.target) if name != "Fault"))
    yield "sequenceDiagram"
    for name in participants:
        yield f"    participant {_safe(name)}"
    across = ",".join(_safe(name) for name in (participants[:1] + participants[1:][-1:])) or "World"
    for each in lines:
        if each.source == each.target:
            over = across if each.source == "Fault" else _safe(each.source)
            mark = "⚡ " if each.kind == "fault" else ""
            yield f"    Note over {over}: {mark}{_text(each.text)}"
        else:
            yield f"    {_safe(each.source)}{'-->>' if each.kind in _DASHED else '->>'}{_safe(each.target)}: {_text(each.text)}"


def _safe(name: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in name)


def _text(text: str) -> str:
    """What Mermaid takes for the text of a message."""
    return " ".join(text.replace(";", ",").replace("#", "No. ").split())
