"""States as JSON, and back: residents and aggregates, for snapshots and saves. Persistent collections are written as plain ones."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pyrsistent import PMap, PSet, PVector, pmap, pset, pvector

from tallystick.domain.event import Aggregate


def _plain(value: Any) -> Any:
    """Persistent collections as JSON has them."""
    if isinstance(value, PMap):
        return dict(value)
    if isinstance(value, PVector | PSet):
        return list(value)
    msg = f"{type(value).__name__} cannot be saved in a snapshot; use records, tuples, frozensets and pyrsistent collections."
    raise TypeError(msg)


def _persistent(kind: Any, value: Any) -> Any:
    """JSON as the persistent collections that a state declares: `PMap[str, Level]`, `PVector[int]`, `PSet[str]`."""
    origin, arguments = getattr(kind, "__origin__", kind), getattr(kind, "__args__", ())
    if origin is PMap:
        keys, values = arguments or (Any, Any)
        mapping: Any = dict.__class_getitem__((keys, values))
        return pmap(msgspec.convert(value, mapping, dec_hook=_persistent, str_keys=True))
    if origin in (PVector, PSet):
        sequence: Any = list.__class_getitem__(arguments[0] if arguments else Any)
        items = msgspec.convert(value, sequence, dec_hook=_persistent)
        return pvector(items) if origin is PVector else pset(items)
    msg = f"{kind} cannot be read from a snapshot"
    raise NotImplementedError(msg)


encoder = msgspec.json.Encoder(enc_hook=_plain)
"""For whatever holds states; raises TypeError for a value that cannot be saved."""

UNFIT = (msgspec.MsgspecError, NotImplementedError, KeyError)
"""What reading raises for JSON that does not have the form of the program's states."""


def written(states: Mapping[type[Aggregate], Aggregate]) -> dict[str, msgspec.Raw]:
    """States as JSON, by the names of their types.

    Raises:
        TypeError: one holds what cannot be saved.
    """
    return {kind.__name__: msgspec.Raw(encoder.encode(state)) for kind, state in states.items()}


def read(states: Mapping[str, msgspec.Raw], kinds: Mapping[str, type[Aggregate]]) -> dict[type[Aggregate], Aggregate]:
    """States from JSON; `kinds` are the types by name. Raises one of `UNFIT`."""
    return {kinds[name]: msgspec.json.decode(raw, type=kinds[name], dec_hook=_persistent) for name, raw in states.items()}
