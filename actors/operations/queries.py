"""Questions about operations: which there are, how they stand, which are open, stalled, abandoned, and how long they took."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar, Unpack

from tallystick.actors.admission import WhenFull
from tallystick.actors.landing import Awaited
from tallystick.actors.supervision import Health
from tallystick.actors.surroundings import Common
from tallystick.domain.clock import Clock
from tallystick.domain.command import Command
from tallystick.domain.envelope import EPOCH, Recorded, from_micros, to_micros
from tallystick.domain.errors import LogError
from tallystick.domain.event import Resident
from tallystick.domain.operations.events import OfOperation, OperationAbandoned, OperationNoted, OperationStarted
from tallystick.domain.operations.figures import MOVING, OperationStatistics, read, statistics_of
from tallystick.domain.operations.index import OpenOperations
from tallystick.domain.operations.operation import InvalidOperation, OperationSnapshot, OperationStatus
from tallystick.domain.operations.saved import SavedOperations
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

    def ask_in_loop(self, command: Command[R], idempotency_key: str | None = None) -> Awaited[R]:
        """As `System.ask_in_loop`."""
        ...

    def complete_as(self, owner: str, token: Token, result: object) -> bool:
        """As `System.complete`, of an execution whose owner is known."""
        ...

    def complete_in_loop(self, owner: str, token: Token, result: object) -> Awaited[bool]:
        """As `System.complete_in_loop`."""
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

    def health(self) -> Health:
        """As `System.health`."""
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


class OperationFilters(TypedDict, total=False):
    """Which operations are meant; whatever is given must hold. Begun at `since` or later, and before `until`."""

    status: OperationStatus | None
    name_prefix: str
    tag: tuple[str, str] | None
    parent: str | None
    correlation: str | None
    since: datetime | None
    until: datetime | None


class OperationQueries:
    """What can be asked. Of open operations nothing is read from the log: their index is resident."""

    def __init__(self, host: Host, clock: Clock, saved: Callable[[], SavedOperations]) -> None:
        self._host = host
        self.clock = clock
        self._saved = saved
        self._unrecorded: tuple[OperationSnapshot, ...] | None = None

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
        """Open ones that were begun at least `older_than` ago, oldest first, with the time since; at most `limit`, and none for 0.

        Raises:
            InvalidOperation: the limit is below zero.
        """
        left = _checked_limit(limit)
        now = from_micros(self.clock.now_us())
        found: list[OpenIntent] = []
        for each in self.open(name_prefix=name_prefix):
            since = now - (each.started_at or now)
            if len(found) == left or since < older_than:
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

    def page(self, *, size: int = PAGE, before: int | None = None, **filters: Unpack[OperationFilters]) -> OperationPage:
        """Operations that match, newest first; give `before` the `next` of the page before.

        Raises:
            InvalidOperation: a moment has no time zone, or the size is below 1: it would never come to the last page.
            TypeError: there is no such filter.
        """
        check_named("page", filters, OperationFilters)
        if size < 1:
            msg = f"A page of {size} operations has none; give a size of 1 or more."
            raise InvalidOperation(msg)
        index = self.index()
        found: list[OperationSnapshot] = []
        for position, operation_id in self._begun(before, filters):
            operation = index.get(operation_id) or self.get(operation_id)
            if operation is not None and _is_meant(operation, filters):
                found.append(operation)
                if len(found) == size:
                    return OperationPage(tuple(found), position)
        return OperationPage(tuple(found), None)

    def _begun(self, before: int | None, filters: OperationFilters) -> Iterator[tuple[int, str]]:
        """Where each was begun, newest first. Those that were saved without their records stand before the log, in places of their own."""
        since_us, until_us = _micros(filters.get("since")), _micros(filters.get("until"))
        correlation, last = filters.get("correlation"), None if before is None else before - 1
        kinds = (OperationStarted.__name__,)
        records = self._host.events(
            event_types=kinds, newest_first=True, until=last, correlation=correlation, since_us=since_us, before_us=until_us
        )
        for recorded in records:
            yield recorded.position, recorded.aggregate_id
        unrecorded = self._saved_without_records()
        for place in range(len(unrecorded) if last is None else min(last, len(unrecorded)), 0, -1):
            each = unrecorded[place - 1]
            began_us = to_micros(each.started_at or EPOCH)
            in_time = (since_us is None or began_us >= since_us) and (until_us is None or began_us < until_us)
            if in_time and correlation in {None, each.correlation}:
                yield place, each.operation_id

    def _saved_without_records(self) -> tuple[OperationSnapshot, ...]:
        """As they were saved, oldest first: always the same ones, fewer than the save has positions. Found out once."""
        if self._unrecorded is None:
            saved = self._saved()
            recorded = self._host.events(event_types=(OperationStarted.__name__,)) if saved else ()
            there = {each.aggregate_id for each in recorded}
            self._unrecorded = tuple(each.operation for operation_id, each in saved.items() if operation_id not in there)
        return self._unrecorded

    def find(self, *, limit: int = PAGE, **filters: Unpack[OperationFilters]) -> list[OperationSnapshot]:
        """As `page`, the first one of that size; none for a limit of 0.

        Raises:
            InvalidOperation: a moment has no time zone, or the limit is below zero.
            TypeError: there is no such filter.
        """
        check_named("find", filters, OperationFilters)
        return list(self.page(size=limit, **filters).operations) if _checked_limit(limit) else []

    def abandoned(self, *, name_prefix: str = "", limit: int = PAGE) -> list[OperationSnapshot]:
        """Those that were given up, the last given up first; at most `limit`, and none for 0.

        Raises:
            InvalidOperation: the limit is below zero.
        """
        found: list[OperationSnapshot] = []
        if not _checked_limit(limit):
            return found
        records = self._host.events(event_types=(OperationAbandoned.__name__,), newest_first=True)
        saved = [each.operation for each in self._saved().values() if each.operation.status is OperationStatus.ABANDONED]
        saved.sort(key=lambda each: each.ended_at or EPOCH, reverse=True)
        given_up = chain((each.aggregate_id for each in records), (each.operation_id for each in saved))
        seen: set[str] = set()
        for operation_id in given_up:
            operation = None if operation_id in seen else self.get(operation_id)
            seen.add(operation_id)
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
        return statistics_of(self._host.events(event_types=MOVING), name_prefix=name_prefix, saved=self._saved())

    def correlation_of(self, operation_id: str) -> str | None:
        """What it, and all that it leads to, have in common: that of its first record, or what a save has kept of that."""
        return self.common_to(operation_id)[0]

    def known_of(self, operation_id: str) -> Common:
        """As `common_to`; nothing where the system has stopped, which refuses what it is asked, and is not there for what others are."""
        try:
            return self.common_to(operation_id)
        except LogError:
            if self._host.health().status in {"stopped", "failed"}:
                return None, {}
            raise

    def common_to(self, operation_id: str) -> Common:
        """The correlation and the tags that it, and all that it leads to, have in common; as `correlation_of`."""
        first = next(iter(self._host.events(aggregate_type=OfOperation.aggregate_type, aggregate_id=operation_id, limit=1)), None)
        if first is not None and first.aggregate_version == 1:
            return first.correlation, first.tags
        operation = self.get(operation_id)
        return (None, {}) if operation is None else (operation.correlation, operation.tags)


def check_named(method: str, given: Mapping[str, object], kind: type[Any]) -> None:
    """Refuse what has no place in a typed dictionary.

    Raises:
        TypeError: there is nothing of that name; what is overlooked is a timeout that never comes, or an answer to another question.
    """
    known = kind.__annotations__.keys()
    if not given.keys() <= known:
        unknown = sorted(given.keys() - known)
        msg = f"{method}() got an unexpected keyword argument {unknown[0]!r}; it takes {', '.join(kind.__annotations__)}."
        raise TypeError(msg)


def _is_meant(operation: OperationSnapshot, filters: OperationFilters) -> bool:
    """Whether the filters hold that its first record cannot tell."""
    tag = filters.get("tag")
    return (
        operation.name.startswith(filters.get("name_prefix", ""))
        and filters.get("status") in {None, operation.status}
        and filters.get("parent") in {None, operation.parent}
        and (tag is None or operation.tags.get(tag[0]) == tag[1])
    )


def _checked_limit(limit: int) -> int:
    """At most so many, as of `Query.limit`."""
    if limit < 0:
        msg = f"limit is {limit}; it cannot be below zero."
        raise InvalidOperation(msg)
    return limit


def _micros(moment: datetime | None) -> int | None:
    if moment is not None and moment.tzinfo is None:
        msg = f"{moment.isoformat()} has no time zone; say which moment is meant, for instance by tzinfo=UTC."
        raise InvalidOperation(msg)
    return None if moment is None else to_micros(moment)


def _began(operation: OperationSnapshot) -> tuple[Any, str]:
    return operation.started_at, operation.operation_id
