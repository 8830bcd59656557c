"""Events and the states that they add up to. What the log knows around an event is the envelope."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tallystick.domain.record import Record

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON object of one schema version into that of the next."""


class Event(Record):
    """An immutable fact, named in the past tense; its class name is its type in the log.

    `aggregate_type` names what it happened to; one aggregate type belongs to one owner. When the form changes, raise `schema_version`
    and give, for each older version, the upcaster that leads to the next: `upcasters = {1: add_currency}`.
    """

    reserved_names: ClassVar[frozenset[str]] = frozenset(
        {"aggregate_type", "aggregate_id", "schema_version", "upcasters", "reserved_names"}
    )

    aggregate_type: ClassVar[str] = ""
    schema_version: ClassVar[int] = 1
    upcasters: ClassVar[Mapping[int, Upcaster]] = {}

    @property
    def aggregate_id(self) -> str:
        """Which one of its aggregate type the event happened to."""
        msg = f"{type(self).__name__} must say which {self.aggregate_type or 'aggregate'} it belongs to: define aggregate_id."
        raise NotImplementedError(msg)


class Aggregate(Record):
    """A state folded from the events of one aggregate, by key; every field needs a default, since a fold starts from the empty one.

    Once `closed` (a class or field value, or a property), durable and without an open execution it is evicted from memory; it is read
    back from the log when somebody asks for it.
    """

    closed: ClassVar[bool] = False


class Resident(Aggregate):
    """A state that stays in memory, folded from any of its owner's events: stock, counters. There is one of each kind.

    It is part of snapshots. When a fold into it changes, or its fields do, raise `fold_version`: then snapshots of the older form are left
    out, and the state is folded from the log once.
    """

    fold_version: ClassVar[int] = 1
