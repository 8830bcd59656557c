"""Version steps: whether each aggregate's versions follow one another, over a whole log whose records are in several files.

Not for a log that is in one: its own index says so. What is remembered is in a temporary database, which goes to disk when it grows.
"""

from typing import Final

import apsw

from tallystick.domain.envelope import Recorded

_BATCH: Final = 2_000
_TABLE: Final = "CREATE TABLE step (aggregate_id TEXT, aggregate_type TEXT, version INTEGER, position INTEGER) STRICT"
_INSERT: Final = "INSERT INTO step VALUES (?, ?, ?, ?)"
_FIRST_WRONG: Final = """
SELECT min(position) FROM (
    SELECT position, version != row_number() OVER (PARTITION BY aggregate_id, aggregate_type ORDER BY position) AS wrong FROM step
) WHERE wrong
"""


class VersionSteps:
    """Takes the records of a log in order; to be closed."""

    def __init__(self) -> None:
        self._database = apsw.Connection("")
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")
        self._batch: list[tuple[str, str, int, int]] = []

    def take(self, record: Recorded) -> None:
        """One more record."""
        self._batch.append((record.aggregate_id, record.aggregate_type, record.aggregate_version, record.position))
        if len(self._batch) == _BATCH:
            self._write()

    def first_wrong(self) -> int | None:
        """The first position whose record does not have its aggregate's next version."""
        self._write()
        wrong: int | None = self._database.execute(_FIRST_WRONG).get
        return wrong

    def close(self) -> None:
        """Forget all."""
        self._database.close(True)

    def _write(self) -> None:
        self._database.executemany(_INSERT, self._batch)
        self._batch = []
