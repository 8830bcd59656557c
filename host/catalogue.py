"""The catalogue: which events there are, what is in them, who publishes them and who reacts, read from a program's code. Not from a log."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

import tallystick as ts
from tallystick.domain.behaviour import Behaviour


class Additions(NamedTuple):
    """What a program has beyond the design that it was built after; it is marked wherever it is shown."""

    events: frozenset[type[ts.Event]] = frozenset()
    fields: Mapping[type[ts.Event], frozenset[str]] = {}
    subscriptions: Mapping[type[ts.Event], frozenset[str]] = {}


class Mentioned(NamedTuple):
    """A field or a subscriber, and whether it is an addition to an event that is none."""

    name: str
    ours: bool


class Entry(NamedTuple):
    """One event of the catalogue."""

    event: str
    published_by: str
    payload: tuple[Mentioned, ...]
    subscribers: tuple[Mentioned, ...]
    ours: bool

    def as_json(self) -> dict[str, object]:
        """The entry for programs."""
        return {
            "event": self.event,
            "publishedBy": self.published_by,
            "payload": [each.name for each in self.payload],
            "subscribers": [each.name for each in self.subscribers],
            "ours": {
                "event": self.ours,
                "payload": [each.name for each in self.payload if each.ours],
                "subscribers": [each.name for each in self.subscribers if each.ours],
            },
        }


def catalogue(modules: Sequence[ts.Module], additions: Additions) -> tuple[Entry, ...]:
    """Every event that a module may publish, module by module; what is ours comes last."""
    behaviours = [Behaviour(module) for module in modules]
    return tuple(
        _entry(behaviour.name, event, behaviours, additions)
        for behaviour in behaviours
        for event in sorted(behaviour.published, key=lambda event: event in additions.events)
    )


def _entry(publisher: str, event: type[ts.Event], behaviours: Iterable[Behaviour], additions: Additions) -> Entry:
    own_fields = additions.fields.get(event, frozenset())
    own_subscribers = additions.subscriptions.get(event, frozenset())
    return Entry(
        event=event.__name__,
        published_by=publisher,
        payload=tuple(Mentioned(name, name in own_fields) for name in payload_fields(event)),
        subscribers=tuple(Mentioned(name, name in own_subscribers) for name in subscribers(event, behaviours)),
        ours=event in additions.events,
    )


def payload_fields(event: type[ts.Event]) -> Iterator[str]:
    """The names of an event's fields as they stand in the log."""
    return (field.encode_name for field in msgspec.structs.fields(event))


def subscribers(event: type[ts.Event], behaviours: Iterable[Behaviour]) -> Iterator[str]:
    """The modules that react to an event."""
    return (behaviour.name for behaviour in behaviours if event in behaviour.reactions)
