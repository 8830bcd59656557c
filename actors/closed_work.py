"""Closed work: which records of a log are not needed any more by anything that goes on. Not the moving: the log does that.

Work is what has one correlation. A record may leave when all work that was begun in its correlation has ended and is old enough, and
when its own aggregate is closed. So what is open keeps its evidence, its parents and its children with it. What is decided here sways how
quickly something is read, never what is read.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tallystick.actors.owner.commands import KEYS_KEPT_US
from tallystick.actors.owner.state import folded
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded, Settles
from tallystick.domain.event import Aggregate
from tallystick.domain.execution import ExecutionMap
from tallystick.domain.operations.events import OfOperation, OperationStarted
from tallystick.domain.operations.figures import read
from tallystick.domain.parking import Parking, Source
from tallystick.domain.protocol import COMMAND, EXECUTION, OWNER
from tallystick.domain.retention import Retention
from tallystick.store.codec import Codec
from tallystick.store.log import ArchivingLog, Query

REMEMBERED: Final = 50_000
"""So many correlations and aggregates are remembered with what was found out about them."""

STAYS_OPEN: Final = "open work"
STAYS_YOUNG: Final = "not old enough"
STAYS_CURSOR: Final = "cursors and failures of owners"
STAYS_KEY: Final = "idempotency keys in use"
STAYS_PROBED: Final = "calls whose late success is looked for"
STAYS_PARKED: Final = "parked, or a dead letter"
STAYS_STRANGE: Final = "of an owner that this program lacks"
STAYS_FAMILY: Final = "parent or child of open work"


class Standing(NamedTuple):
    """Where an owner stands, as far as it says what is open."""

    owner: str
    joined: bool
    seen: int
    executions: ExecutionMap
    parking: Parking
    abandoned: Mapping[Any, int]


class Remembered:
    """What was found out, the oldest forgotten first."""

    def __init__(self) -> None:
        self._found: OrderedDict[Any, str] = OrderedDict()

    def get(self, key: Any, find: Callable[[], str]) -> str:
        """What is known of a key, or is found out now."""
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = find()
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        return known

    def clear(self) -> None:
        """Forget all."""
        self._found.clear()


class ClosedWork:
    """Says of each record whether it stays, and why. Any thread, one at a time; reads the log, and keeps a bounded part in memory."""

    def __init__(  # noqa: PLR0913 - all that it looks at
        self,
        log: ArchivingLog,
        codec: Codec,
        behaviours: Iterable[Behaviour],
        standings: Sequence[Standing],
        policy: Retention,
        *,
        now_us: int,
        until: int,
    ) -> None:
        self.until = until
        self._log = log
        self._codec = codec
        self._folding = {kind: behaviour for behaviour in behaviours for kind in behaviour.streams.values()}
        self._owners = {standing.owner for standing in standings}
        self._policy = policy
        self._now_us = now_us
        self._open = {str(token): record for standing in standings for token, record in standing.executions.items()}
        self._probed = {str(token) for standing in standings for token in standing.abandoned}
        self._parked = {source for standing in standings for source in standing.parking}
        self._held = {record.correlation: STAYS_OPEN for record in self._open.values()}
        self._correlations = Remembered()
        self._aggregates = Remembered()
        for position in {parked.position for standing in standings for parked in standing.parking.values()}:
            for record in log.read(Query(after=position - 1, until=position)):
                self._held[record.correlation] = STAYS_PARKED
        self._hold_families()

    def why_it_stays(self, record: Recorded) -> str:
        """Why a record stays in the live log; empty when it may leave."""
        if record.position > self.until:
            return STAYS_YOUNG
        if record.owner not in self._owners:
            return STAYS_STRANGE
        return self._stream(record) or self.correlation(record.correlation)

    # The aggregate.

    def _stream(self, record: Recorded) -> str:
        kind, key = record.aggregate_type, record.aggregate_id
        if kind == OWNER:
            return STAYS_CURSOR
        if kind == COMMAND:
            return STAYS_KEY if record.occurred_at_us > self._now_us - KEYS_KEPT_US else ""
        if kind == EXECUTION and key in self._probed:
            return STAYS_PROBED
        if Source(kind, key) in self._parked:
            return STAYS_PARKED
        return self._begun(kind, key)

    def _begun(self, kind: str, key: str) -> str:
        """Whether an execution or an aggregate is open; one that nothing is folded into but residents never is."""
        if kind == EXECUTION:
            return STAYS_OPEN if key in self._open else ""
        behaviour = self._folding.get(kind)
        return "" if behaviour is None else self._aggregates.get((kind, key), lambda: self._folded(behaviour, kind, key))

    def _folded(self, behaviour: Behaviour, kind: str, key: str) -> str:
        states: Mapping[type[Aggregate], Aggregate] = {}
        for record in self._log.read(Query(aggregate_type=kind, aggregate_id=key)):
            if record.position > self.until:
                return STAYS_YOUNG
            event = self._codec.decode(record)
            states = folded(states, behaviour.aggregate_folds.get(type(event), ()), event, record)
        return "" if all(state.closed for state in states.values()) else STAYS_OPEN

    # The correlation.

    def correlation(self, correlation: str) -> str:
        """Why the work of a correlation stays; empty when it is closed, and has been for long enough."""
        held = self._held.get(correlation)
        return held if held is not None else self._correlations.get(correlation, lambda: self._work(correlation))

    def _work(self, correlation: str) -> str:
        last = next(self._log.read(Query(correlation=correlation, newest_first=True, limit=1)), None)
        if last is None or last.position > self.until or last.occurred_at_us > self._now_us - self._policy.kept_for_us((), ()):
            return STAYS_YOUNG
        statuses: set[Settles] = set()
        kinds: set[str] = set()
        for record in self._log.read(Query(correlation=correlation)):
            kinds.add(record.aggregate_type)
            if record.settles is not None:
                statuses.add(record.settles)
            if record.owner not in self._owners:
                return STAYS_STRANGE
            if record.aggregate_version > 1:
                continue
            stays = self._begun(record.aggregate_type, record.aggregate_id) or self._child_of_open(record)
            if stays:
                return stays
        young = last.occurred_at_us > self._now_us - self._policy.kept_for_us(statuses, kinds)
        return STAYS_YOUNG if young else ""

    # Families: operations, which say whose children they are.

    def _child_of_open(self, record: Recorded) -> str:
        open_above = any(parent.aggregate_id in self._open for parent in self._ancestors(record))
        return STAYS_FAMILY if open_above else ""

    def _ancestors(self, record: Recorded) -> Iterator[Recorded]:
        """How an operation's parent began, and its parent, up to one that has none."""
        seen: set[str] = set()
        started: Recorded | None = record
        while started is not None and started.event_type == OperationStarted.__name__:
            parent = read(started).parent
            if not parent or parent in seen:
                return
            seen.add(parent)
            query = Query(aggregate_type=OfOperation.aggregate_type, aggregate_id=parent, limit=1)
            started = next(self._log.read(query), None)
            if started is not None:
                yield started

    def _hold_families(self) -> None:
        """Hold the work that the ancestors of what stays belong to: a parent leaves with its children, or after them."""
        kept: list[tuple[str, str]] = []
        for record in self._log.live(until=self._log.head().position, event_types=(OperationStarted.__name__,)):
            if b'"parent"' in record.payload and (record.position > self.until or self.correlation(record.correlation)):
                kept += [(above.correlation, STAYS_FAMILY) for above in self._ancestors(record) if above.correlation != record.correlation]
        for correlation, why in kept:
            self._held.setdefault(correlation, why)
        self._correlations.clear()
