"""Sequences: who published what and who reacts, as arrows made from a log and a program's code; and the diagram that they make."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import tallystick as ts
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.protocol import CommandSettled, CursorAdvanced, IdempotencyConflicted, OwnerJoined
from tallystick.host.catalogue import Additions, subscribers

API: Final = "API"
BUS: Final = "EventBus"
UNSEEN: Final = frozenset({kind.__name__ for kind in (CommandSettled, CursorAdvanced, IdempotencyConflicted, OwnerJoined)})
"""Book-keeping of the library, which would only hide the story."""


class Arrow(NamedTuple):
    """One line of a sequence. A "note" stands over its source, and goes nowhere."""

    kind: Literal["command", "published", "delivered", "begun", "note"]
    source: str
    target: str
    text: str
    ours: bool = False


class Sequencer:
    """Turns records into arrows, with the subscribers as the code has them."""

    def __init__(self, modules: Sequence[ts.Module], additions: Additions) -> None:
        self._behaviours = [Behaviour(module) for module in modules]
        self._events = {event.__name__: event for behaviour in self._behaviours for event in behaviour.published}
        self._additions = additions
        self._commands = dict(_asked_by(self._behaviours))
        self._begun = {
            intent.started_name(): additions.events.issuperset(intent.ends_with)
            for behaviour in self._behaviours
            for intent in (*behaviour.settlements, *behaviour.late)
        }

    def arrows(self, records: Iterable[ts.Recorded]) -> Iterator[Arrow]:
        """All arrows, in the order of the log."""
        for recorded in records:
            yield from self.arrows_of(recorded)

    def arrows_of(self, recorded: ts.Recorded) -> Iterator[Arrow]:
        """What one record adds to the sequence."""
        name, owner = recorded.event_type, title(recorded.owner)
        event = self._events.get(name)
        if event is None:
            if name in self._begun:
                yield Arrow("begun", owner, owner, name, self._begun[name])
            elif name not in UNSEEN:
                yield Arrow("note", owner, owner, name)
            return
        ours = event in self._additions.events
        if recorded.causation is None and event in self._commands:
            yield Arrow("command", API, owner, self._commands[event], ours)
        yield Arrow("published", owner, BUS, name, ours)
        own = self._additions.subscriptions.get(event, frozenset())
        for subscriber in subscribers(event, self._behaviours):
            yield Arrow("delivered", BUS, title(subscriber), name, ours or subscriber in own)


def _asked_by(behaviours: Iterable[Behaviour]) -> Iterator[tuple[type[ts.Event], str]]:
    """Events with the name of the command that brings them about."""
    for behaviour in behaviours:
        for command, handler in behaviour.commands.items():
            for event in behaviour.emits[handler.__name__]:
                yield event, command.__name__


def title(module: str) -> str:
    """A module's name as a diagram shows it."""
    return "".join(word[:1].upper() + word[1:] for word in module.split("_"))


def mermaid(arrows: Iterable[Arrow]) -> Iterator[str]:
    """The lines of a Mermaid sequence diagram; what is ours is dashed and says so."""
    story = list(arrows)
    yield "sequenceDiagram"
    for participant in dict.fromkeys(name for arrow in story for name in (arrow.source, arrow.target)):
        yield f"    participant {participant}"
    for arrow in story:
        text = f"{arrow.text} (ours)" if arrow.ours else arrow.text
        if arrow.kind == "note":
            yield f"    Note over {arrow.source}: {text}"
        else:
            yield f"    {arrow.source}{'-->>' if arrow.ours else '->>'}{arrow.target}: {text}"
