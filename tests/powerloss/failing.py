"""A short life of a log on a disk of which one call fails, or all from that call on; and what is left of the log then."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import apsw

import tallystick as ts
from tallystick.store.log import Snapshot
from tallystick.testing.recording_disk import nothing_fails
from tallystick.testing.storage import Storage
from tests.powerloss.disk import TracedDisk
from tests.powerloss.judging import Verdict, judged, written
from tests.powerloss.noted import NotedLog, frequent_upkeep, records
from tests.powerloss.stories import LOG
from tests.powerloss.trace import Trace, content_of

BATCHES: Final = (1, 2, 5, 1, 12, 1, 1)
CALLS: Final = ("open", "write", "truncate", "sync", "delete")


class Fault(NamedTuple):
    """The call that fails, counted from 0; when it is `sticky`, all that follow fail too until the disk is mended."""

    at: int
    sticky: bool
    error: type[apsw.Error] = apsw.IOError


class Planted:
    """Counts the calls, and fails where it should."""

    def __init__(self, fault: Fault | None) -> None:
        self.calls: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._fault = fault

    def __call__(self, call: str, file: str) -> BaseException | None:
        """A call of the disk."""
        number = len(self.calls)
        self.calls.append(call)
        fault = self._fault
        if fault is None or not (number == fault.at or (fault.sticky and number > fault.at)):
            return None
        self.failed.append((call, file))
        return fault.error("planted")


class Life(NamedTuple):
    """What one life came to: the calls, those that failed, the error that the program saw, and what is wrong, which should be nothing."""

    calls: list[str]
    failed: list[tuple[str, str]]
    error: ts.LogError | None
    problems: list[str]


def life(folder: Path, fault: Fault | None = None) -> Life:
    """Live, on a disk with that fault, until an error is seen or the end is reached; then mend the disk and look."""
    folder.mkdir()
    planted = Planted(fault)
    with TracedDisk() as disk, frequent_upkeep(pages=25, lag=6):
        logs = [NotedLog.on(disk, folder / LOG)]
        disk.fault = planted
        error: ts.LogError | None = None
        try:
            _live(logs)
        except ts.LogError as raised:
            error = raised
        problems = list(_after(logs[-1], error, planted))
        problems += _after_a_power_cut(disk.trace, folder / "cut")
        disk.fault = nothing_fails
        problems += _mended(logs[-1], disk.trace)
    return Life(planted.calls, planted.failed, error, problems)


def _live(logs: list[NotedLog]) -> None:
    """Batches, snapshots, checkpoints, an index filled, reading in between; closed and opened once in the middle, as `logs` says."""
    end = logs[-1].open().position
    for number, size in enumerate(BATCHES):
        log = logs[-1]
        end = log.write(records(end + 1, size)).position
        if number in {1, 5}:
            log.save_snapshot(Snapshot(owner="things", position=end, hash=log.head().hash, format=1, body=bytes(6_000)))
        assert len(list(log.read())) == end
        if number == len(BATCHES) // 2:
            logs.append(log.reopened())
            logs[-1].open()
    logs[-1].close()


def _after(log: NotedLog, error: ts.LogError | None, planted: Planted) -> Iterator[str]:
    """With the error seen: it says what it is, and if it was in writing, nothing is acknowledged any more, whatever the disk does."""
    if error is None:
        return
    if not planted.failed or not isinstance(error.__cause__, apsw.Error):
        yield f"{error!r} does not say what caused it"
    if not isinstance(error, ts.LogPoisoned):
        return
    for _ in range(2):
        answer: object = "acknowledged"
        try:
            ts.SqliteLog.write(log, records(1_000, 1))
        except ts.LogError as refused:
            answer = refused
        if not isinstance(answer, ts.LogPoisoned) and "not open" not in str(answer):
            yield f"a batch after an error: {answer}"


def _after_a_power_cut(trace: Trace, folder: Path) -> Iterator[str]:
    """Were the power cut now: any of the images that may be left."""
    storage = Storage()
    for _, operation in trace.moments():
        if operation is not None:
            storage.take(operation)
    image = storage.image(random.Random(trace.operations).random)  # noqa: S311 - repeatable on purpose
    judgement = judged(written(image, folder), trace.known)
    if judgement.verdict is not Verdict.WHOLE:
        yield f"after a power cut: {judgement}"


def _mended(log: NotedLog, trace: Trace) -> Iterator[str]:
    """With the disk in order again: the log opens, has everything, and goes on."""
    log.close()
    known = trace.known
    with closing(log.reopened()) as again:
        end = again.open().position
        found = [content_of(each) for each in again.verify()]
        if end < known.acknowledged or end not in known.ends or found != known.attempted[:end]:
            yield f"{known.acknowledged} was acknowledged, the log ends at {end}, {len(found)} records"
        again.write(records(end + 1, 3))
        if len(list(again.verify())) != end + 3:
            yield "it does not go on"
