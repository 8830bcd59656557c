"""Operations as a log has them, without running anything: for reading beside whoever writes it."""

import re
from collections.abc import Iterable
from datetime import datetime

import tallystick as ts
from tallystick.domain.operations.explanation import Explanation, Here, explained, standing_of, with_last
from tallystick.domain.operations.figures import EVENTS, MOVING, OperationStatistics, snapshots_of, statistics_of
from tallystick.domain.operations.operation import is_stalled
from tallystick.domain.operations.saved import NOTHING_SAVED, Saved, SavedOperations, saved_operations
from tallystick.domain.operations.timeline import Timeline, timeline_of


class NoSuchOperation(ts.TallystickError):
    """The log has no operation or execution of that id."""


def operations_in(reader: ts.SqliteReader) -> Iterable[ts.OperationSnapshot]:
    """All operations, oldest first; one pass over the log."""
    return snapshots_of(reader.read(ts.Query(event_types=tuple(EVENTS))), _saved_in(reader)).values()


def _saved_in(reader: ts.SqliteReader) -> SavedOperations:
    beginning = reader.beginning
    return NOTHING_SAVED if beginning is None else saved_operations(beginning.streams)


def id_of(reader: ts.SqliteReader, named: str) -> str:
    """An id as it is; of an operation's name, the id of the newest that is open, or of the newest where none is.

    Raises:
        NoSuchOperation: the log has none of that name.
    """
    if re.fullmatch(r"[0-9a-f-]{36}", named):
        return named
    found = [each for each in operations_in(reader) if each.name == named]
    if not found:
        msg = f"This log has no operation {named!r}; `tallystick operations list` has the ids and names."
        raise NoSuchOperation(msg)
    return max(found, key=lambda each: (not each.status.ended, each.started_at, each.operation_id)).operation_id


def operation_in(reader: ts.SqliteReader, operation_id: str) -> ts.OperationSnapshot | None:
    """One of them, by its own records, or what a save had of it before them."""
    return snapshots_of(reader.read(ts.Query(aggregate_type="Operation", aggregate_id=operation_id)), _saved_in(reader)).get(operation_id)


def stalled_in(reader: ts.SqliteReader, now: datetime) -> list[ts.OperationSnapshot]:
    """Open ones that are marked as stalled, or were silent for longer than they may be."""
    return [each for each in operations_in(reader) if each.status is ts.OperationStatus.STALLED or is_stalled(each, now)]


def statistics_in(reader: ts.SqliteReader) -> OperationStatistics:
    """How many by name and status, and how long they took."""
    return statistics_of(reader.read(ts.Query(event_types=MOVING)), saved=_saved_in(reader))


def statistics_among(operations: Iterable[ts.OperationSnapshot]) -> OperationStatistics:
    """As `statistics_in`, of some of them."""
    return statistics_of((), saved={each.operation_id: Saved(0, each) for each in operations})


def explained_from(reader: ts.SqliteReader, token: str, now: datetime, *, held: bool) -> Explanation:
    """Why it is stuck, as far as a log can tell, and whether a process has it; threads and queues are that one's to know.

    Raises:
        NoSuchOperation: nothing was begun with that token.
    """
    standing = standing_of(reader.read(ts.Query(token=token)))
    if standing is None:
        msg = f"Nothing was ever begun with {token!r} in this log; `tallystick operations list` has the ids."
        raise NoSuchOperation(msg)
    if standing.operation:
        query = ts.Query(aggregate_type="Operation", aggregate_id=token, newest_first=True, limit=1)
        standing = with_last(standing, next(iter(reader.read(query)), None))
    return explained(standing, operation_in(reader, token) if standing.operation else None, None if held else Here(gone=True), now)


def timeline_from(reader: ts.SqliteReader, named: str) -> Timeline:
    """The timeline of a correlation, or of what an operation or execution of that id, or the newest operation of that name, is a part of.

    Raises:
        NoSuchOperation: there is none of them.
    """
    timeline = _timeline_of(reader, named)
    if not timeline.entries and any(each.name == named for each in operations_in(reader)):
        timeline = _timeline_of(reader, id_of(reader, named))
    if not timeline.entries:
        msg = f"This log has no operation, execution or correlation {named!r}; `tallystick operations list` has the ids and names."
        raise NoSuchOperation(msg)
    return timeline


def _timeline_of(reader: ts.SqliteReader, correlation_or_token: str) -> Timeline:
    first = next(iter(reader.read(ts.Query(token=correlation_or_token, limit=1))), None)
    correlation = correlation_or_token if first is None else first.correlation
    return timeline_of(correlation, reader.read(ts.Query(correlation=correlation)))
