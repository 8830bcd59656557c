"""Why the schema refused a batch, in the log's own errors. Asked after the batch was undone; not on the way of a batch that is fine."""

from collections.abc import Sequence
from typing import Final

import apsw

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import AlreadySettled, Fenced, LogError, PositionConflict, VersionConflict

_EPOCH: Final = "SELECT epoch FROM meta"
_HAS_VERSION: Final = "SELECT 1 FROM event WHERE aggregate_id = ? AND aggregate_type = ? AND aggregate_version = ?"
_VERSION: Final = "SELECT coalesce(max(aggregate_version), 0) FROM event WHERE aggregate_id = ? AND aggregate_type = ?"
_SETTLED: Final = "SELECT 1 FROM event WHERE token = ? AND settles IS NOT NULL"


def refusal(connection: apsw.Connection, records: Sequence[Recorded], error: apsw.ConstraintError, *, epoch: int) -> LogError:
    """The rule that the batch breaks; the first one, in the order of its records."""
    code: int = getattr(error, "extendedresult", 0)  # the driver sets it, but its stubs do not have it
    if code == apsw.SQLITE_CONSTRAINT_NOTNULL and connection.execute(_EPOCH).fetchone() != (epoch,):
        return Fenced()
    if code in {apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID}:
        msg = f"Position {records[0].position}, or a later one of the batch, is taken already: another writer was here."
        return PositionConflict(msg)
    conflict = _first_conflict(connection, records) if code == apsw.SQLITE_CONSTRAINT_UNIQUE else None
    if conflict is not None:
        return conflict
    msg = f"A record of the batch from position {records[0].position} holds a value that cannot be stored: {error}"
    return LogError(msg)


def _first_conflict(connection: apsw.Connection, records: Sequence[Recorded]) -> LogError | None:
    versions: dict[tuple[str, str], set[int]] = {}
    settled: set[str] = set()
    for record in records:
        stream = (record.aggregate_id, record.aggregate_type)
        batch = versions.setdefault(stream, set())
        if record.aggregate_version in batch or connection.execute(_HAS_VERSION, (*stream, record.aggregate_version)).fetchone():
            stored: int = connection.execute(_VERSION, stream).get
            expected = record.aggregate_version - 1
            return VersionConflict(record.aggregate_type, record.aggregate_id, expected=expected, actual=max(0, stored, *batch))
        batch.add(record.aggregate_version)
        if record.settles is None or record.token is None:
            continue
        if record.token in settled or connection.execute(_SETTLED, (record.token,)).fetchone():
            return AlreadySettled(record.token)
        settled.add(record.token)
    return None
