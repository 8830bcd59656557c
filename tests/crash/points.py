"""Named points at which a worker can be killed: it sends itself SIGKILL at the n-th passage of one, as `CRASH_AT=point:n` says."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import tallystick as ts
from tallystick.domain.envelope import Recorded
from tallystick.store.journal import Journal
from tallystick.store.log import Head, Query

R = TypeVar("R")

LINGERS_S: Final = 0.05
VARIABLE: Final = "CRASH_AT"
POINTS: Final = {
    "opened": 1,
    "reading in recovery": 40,
    "writing in recovery": 1,
    "probing in recovery": 2,
    "before the write": 25,
    "written, before the commit": 25,
    "committed, before the release": 25,
    "released": 25,
    "before a call": 12,
    "answered, before the report": 12,
    "acknowledged": 12,
}
"""Each with the highest number of its passage that is tried: what every run comes by."""


class Points:
    """Counts passages, and dies at the one that was chosen."""

    def __init__(self) -> None:
        self._point, _, number = os.environ.get(VARIABLE, "").partition(":")
        self._left = int(number or 0)
        self.recovering = True

    def passes(self, point: str) -> None:
        """Die here if this is the passage; not before all other threads had the time to let out what they should not."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                threading.Event().wait(LINGERS_S)
                os.kill(os.getpid(), signal.SIGKILL)

    def around_calls(self, run: Callable[[Any, ts.Call], R]) -> Callable[[Any, ts.Call], R]:
        """A performer with points before and behind it."""

        def called(action: Any, call: ts.Call) -> R:
            self.passes("before a call")
            result = run(action, call)
            self.passes("answered, before the report")
            return result

        return called

    def before_probes(self, probe: Callable[[Any, ts.Call], R]) -> Callable[[Any, ts.Call], R]:
        """A probe with a point before it."""

        def asked(action: Any, call: ts.Call) -> R:
            self.passes("probing in recovery")
            return probe(action, call)

        return asked

    def in_commits(self) -> None:
        """Put a point behind the release of outputs, in this process."""
        commit = Journal.commit

        def commit_and_pass(journal: Journal) -> bool:
            committed = commit(journal)
            if committed:
                self.passes("released")
            return committed

        setattr(Journal, "commit", commit_and_pass)  # noqa: B010 - a method is put in the place of another, on purpose


class MortalLog(ts.SqliteLog):
    """A SQLite log with points before, in and behind each write, and in what recovery reads."""

    def __init__(self, path: str, points: Points) -> None:
        super().__init__(path)
        self._points = points

    def open(self) -> Head:
        head = super().open()
        assert self._connection is not None
        self._connection.set_commit_hook(self._before_commit)
        self._points.passes("opened")
        return head

    def _before_commit(self) -> bool:
        self._points.passes("written, before the commit")
        return False

    def write(self, records: Sequence[Recorded]) -> Head:
        if self._points.recovering:
            self._points.passes("writing in recovery")
        self._points.passes("before the write")
        head = super().write(records)
        self._points.passes("committed, before the release")
        return head

    def read(self, query: Query = Query()) -> Iterator[Recorded]:  # noqa: B008 - frozen
        for recorded in super().read(query):
            if self._points.recovering:
                self._points.passes("reading in recovery")
            yield recorded
