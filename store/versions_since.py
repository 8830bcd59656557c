"""Versions since a beginning: whether each aggregate's versions follow one another in a log that may not have its first events."""

from collections.abc import Callable, Iterable

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogCorrupt, VersionConflict
from tallystick.store.log import Beginning


class VersionsSince:
    """Takes the records that follow a beginning, in order. A gap is told at the end, when all that a single record shows was looked at."""

    def __init__(self, beginning: Beginning | None) -> None:
        self._versions: dict[tuple[str, str], int] = {}
        self._followed: set[tuple[str, str]] = set()
        self._gap = 0
        if beginning is not None:
            self._versions = {stream: saved.version for stream, saved in beginning.streams.items()}
            for record in beginning.kept:
                stream = (record.aggregate_type, record.aggregate_id)
                self._versions[stream] = max(record.aggregate_version, self._versions.get(stream, 0))

    def take(self, record: Recorded) -> None:
        """One more record. An aggregate's first one may lie behind the version that it was saved at, but not ahead of it."""
        stream = (record.aggregate_type, record.aggregate_id)
        expected = self._versions.get(stream, 0) + 1
        behind = 0 < record.aggregate_version < expected and stream in self._versions and stream not in self._followed
        if record.aggregate_version != expected and not behind:
            self._gap = self._gap or record.position
        self._followed.add(stream)
        self._versions[stream] = record.aggregate_version

    def end(self) -> None:
        """All were taken.

        Raises:
            LogCorrupt: naming the first that did not have its aggregate's next version.
        """
        if self._gap:
            msg = f"The record at position {self._gap} does not have its aggregate's next version."
            raise LogCorrupt(msg, position=self._gap)


def check_not_saved(beginning: Beginning, records: Iterable[Recorded], version: Callable[[str, str], int]) -> None:
    """No record may be of a version that its aggregate had when it was saved; `version` says which it has by now.

    Raises:
        VersionConflict: one is.
    """
    for record in records:
        stream = (record.aggregate_type, record.aggregate_id)
        if record.aggregate_version <= beginning.start_of(*stream).version:
            raise VersionConflict(*stream, expected=record.aggregate_version - 1, actual=version(*stream))
