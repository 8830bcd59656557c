"""Questions about operations: which there are, how they stand, which are open, stalled, abandoned, and how long they took."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeVar

from tallystick.actors.admission import WhenFull
from tallystick.domain.clock import Clock
from tallystick.domain.command import Command
from tallystick.domain.envelope import Recorded, from_micros, to_micros
from tallystick.domain.event import Resident
from tallystick.domain.operations.events import OfOperation, OperationAbandoned, OperationNoted, OperationStarted
from tallystick.domain.operations.figures import MOVING, OperationStatistics, read, statistics_of
from tallystick.domain.operations.index import OpenOperations
from tallystick.domain.operations.operation import InvalidOperation, OperationSnapshot, OperationStatus
from tallystick.domain.token import Token

R = TypeVar("R")
G = TypeVar("G", bound=OperationSnapshot)
Re = TypeVar("Re", bound=Resident)

PAGE = 100


class Host(Protocol):
    """What the tracker needs of a system; each as the method of that name there."""

    def ask(self, command: Command[R], *, idempotency_key: str | None = None, timeout_s: float | None = None) -> R:
        """As `System.ask`."""
        ...

    def submit(self, command: Command[R], *, idempotency_key: str | None = None, when_full: WhenFull = "raise") -> Any:
        """As `System.submit`."""
        ...

    def complete_as(self, owner: str, token: Token, result: object) -> bool:
        """As `System.complete`, of an execution whose owner is known."""
        ...

    def retry(self, execution: Any, *, who: str = "", why: str = "") -> None:
        """As `System.retry`."""
        ...

    def open_execution(self, token: Token) -> Any:
        """As `System.open_execution`."""
        ...

    def get(self, kind: type[G], key: str) -> G | None:
        """As `System.get`."""
        ...

    def resident(self, kind: type[Re]) -> Re:
        """As `System.resident`."""
        ...

    def events(self, **filters: Any) -> Iterator[Recorded]:
        """As `System.events`."""
        ...


class OpenIntent(NamedTuple):
    """An open operation, and how long ago it was begun and last gave a sign of life."""

    operation: OperationSnapshot
    since_start: timedelta
    since_sign: timedelta


class OperationPage(NamedTuple):
    """Some operations, newest first; `next` is where the next page begins, None when this was the last."""

    operations: tuple[OperationSnapshot, ...]
    next: int | None


class OperationQueries:
    """What can be asked. Of open operations nothing is read from the log: their index is resident."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self.clock = clock

    def get(self, operation_id: str) -> OperationSnapshot | None:
        """Where it stands, as far as that is durable; None when there is no such operation."""
        return self._host.get(OperationSnapshot, operation_id)

    def index(self) -> OpenOperations:
        """All open ones, as they are now; an immutable value."""
        return self._host.resident(OpenOperations)

    # Open ones.

    def open(self, *, name_prefix: str = "") -> Iterator[OperationSnapshot]:
        """Those that have not ended, oldest first."""
        found = [each for each in self.index() if each.name.startswith(name_prefix)]
        return iter(sorted(found, key=_began))

    def open_intents(self, *, name_prefix: str = "", older_than: timedelta = timedelta(0), limit: int = PAGE) -> list[OpenIntent]:
        """Open ones that were begun at least `older_than` ago, oldest first, with the time since."""
        now = from_micros(self.clock.now_us())
        found: list[OpenIntent] = []
        for each in self.open(name_prefix=name_prefix):
            since = now - (each.started_at or now)
            if len(found) == limit or since < older_than:
                break
            found.append(OpenIntent(each, since, now - (each.alive_at or now)))
        return found

    def find_stalled(self) -> list[OperationSnapshot]:
        """Open ones that were silent for longer than they may be, the longest silent first."""
        return self.index().silent(from_micros(self.clock.now_us()))

    def find_overdue(self) -> list[OperationSnapshot]:
        """Open ones whose time is up, the earliest first."""
        return self.index().overdue(from_micros(self.clock.now_us()))

    # All of them.

    def page(  # noqa: PLR0913 - each has a default and is given by name
        self,
        *,
        size: int = PAGE,
        before: int | None = None,
        status: OperationStatus | None = None,
        name_prefix: str = "",
        tag: tuple[str, str] | None = None,
        parent: str | None = None,
        correlation: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_us: int | None = None,
    ) -> OperationPage:
        """Operations that match, newest first; give `before` the `next` of the page before.

        They were begun at `since` or later, and before `until`, or `before_us` in microseconds since 1970 UTC.

        Raises:
            InvalidOperation: a moment has no time zone.
        """
        index = self.index()
        found: list[OperationSnapshot] = []
        filters: dict[str, Any] = {"event_types": (OperationStarted.__name__,), "newest_first": True}
        filters |= {"since_us": _micros(since), "before_us": before_us if until is None else _micros(until)}
        last = None if before is None else before - 1
        for recorded in self._host.events(**filters, until=last, correlation=correlation):
            operation = index.get(recorded.aggregate_id) or self.get(recorded.aggregate_id)
            if operation is None or not operation.name.startswith(name_prefix) or status not in {None, operation.status}:
                continue
            if (tag is None or operation.tags.get(tag[0]) == tag[1]) and parent in {None, operation.parent}:
                found.append(operation)
                if len(found) == size:
                    return OperationPage(tuple(found), recorded.position)
        return OperationPage(tuple(found), None)

    def find(  # noqa: PLR0913 - each has a default and is given by name
        self,
        *,
        status: OperationStatus | None = None,
        name_prefix: str = "",
        tag: tuple[str, str] | None = None,
        parent: str | None = None,
        correlation: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before_us: int | None = None,
        limit: int = PAGE,
    ) -> list[OperationSnapshot]:
        """As `page`, the first one of that size."""
        found = self.page(
            size=limit,
            status=status,
            name_prefix=name_prefix,
            tag=tag,
            parent=parent,
            correlation=correlation,
            since=since,
            until=until,
            before_us=before_us,
        )
        return list(found.operations)

    def abandoned(self, *, name_prefix: str = "", limit: int = PAGE) -> list[OperationSnapshot]:
        """Those that were given up, the last given up first."""
        found: list[OperationSnapshot] = []
        for recorded in self._host.events(event_types=(OperationAbandoned.__name__,), newest_first=True):
            operation = self.get(recorded.aggregate_id)
            if operation is not None and operation.name.startswith(name_prefix):
                found.append(operation)
            if len(found) == limit:
                break
        return found

    def last_note(self, operation_id: str, kind: str) -> OperationNoted | None:
        """The latest evidence of a kind, such as the checkpoint from which to go on."""
        filters: dict[str, Any] = {"aggregate_type": OfOperation.aggregate_type, "aggregate_id": operation_id, "newest_first": True}
        notes = (read(recorded) for recorded in self._host.events(**filters, event_types=(OperationNoted.__name__,)))
        return next((note for note in notes if note.kind == kind), None)

    def statistics(self, *, name_prefix: str = "") -> OperationStatistics:
        """How many there are by name and status, and how long those took that have ended; read from the log in one pass."""
        return statistics_of(self._host.events(event_types=MOVING), name_prefix=name_prefix)

    def correlation_of(self, operation_id: str) -> str | None:
        """What it, and all that it leads to, have in common: that of its first record, or what a save has kept of that."""
        first = next(iter(self._host.events(aggregate_type=OfOperation.aggregate_type, aggregate_id=operation_id, limit=1)), None)
        if first is not None and first.aggregate_version == 1:
            return first.correlation
        operation = self.get(operation_id)
        return None if operation is None else operation.correlation


def _micros(moment: datetime | None) -> int | None:
    if moment is not None and moment.tzinfo is None:
        msg = f"{moment.isoformat()} has no time zone; say which moment is meant, for instance by tzinfo=UTC."
        raise InvalidOperation(msg)
    return None if moment is None else to_micros(moment)


def _began(operation: OperationSnapshot) -> tuple[Any, str]:
    return operation.started_at, operation.operation_id
