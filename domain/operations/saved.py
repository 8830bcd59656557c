"""Operations that a log knows from the save that it goes on from: their snapshots, and of most no records."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from tallystick.domain.envelope import EPOCH, Recorded
from tallystick.domain.operations.events import OfOperation
from tallystick.domain.operations.operation import OperationSnapshot


class Saved(NamedTuple):
    """One of them, and how many of its records are folded into it."""

    version: int
    operation: OperationSnapshot


SavedOperations = Mapping[str, Saved]
"""By id, oldest first."""
NOTHING_SAVED: Final[SavedOperations] = {}


class Start(Protocol):
    """An aggregate as it was saved."""

    @property
    def version(self) -> int:
        """How many of its records are folded into its states."""
        ...

    @property
    def states(self) -> Mapping[str, msgspec.Raw]:
        """As JSON, by name."""
        ...


def saved_operations(streams: Mapping[tuple[str, str], Start]) -> SavedOperations:
    """Those among the aggregates of a save."""
    found: dict[str, Saved] = {}
    for (aggregate_type, operation_id), start in streams.items():
        state = start.states.get(OperationSnapshot.__name__)
        if aggregate_type == OfOperation.aggregate_type and state is not None:
            found[operation_id] = Saved(start.version, msgspec.json.decode(state, type=OperationSnapshot))
    return dict(sorted(found.items(), key=_began))


def _began(each: tuple[str, Saved]) -> tuple[Any, str]:
    return each[1].operation.started_at or EPOCH, each[0]


def beyond(saved: SavedOperations, records: Iterable[Recorded]) -> Iterator[Recorded]:
    """The records that are not folded into what was saved; a log has its last ones all the same."""
    return (each for each in records if each.aggregate_id not in saved or each.aggregate_version > saved[each.aggregate_id].version)
