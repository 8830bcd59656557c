"""The story of an import that is killed on its way, and goes on where it stood; checked at its end line by line."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import tallystick as ts
from tallystick.scenarios.nightly_import.importing import NAME as OPERATION
from tallystick.scenarios.nightly_import.importing import BadLine, Checkpoint, converted, import_lines
from tallystick.scenarios.tiny_store.stage import Audience, PlayedWrong

NAME: Final = "nightly-import"
SUMMARY: Final = "A file of 20,000 lines is imported with checkpoints, killed on its way, and goes on: no line is lost or doubled."
EVENING: Final = datetime(2026, 1, 5, 22, tzinfo=UTC)
LINES: Final = 20_000
DIES_AT: Final = 10_000


class Died(BaseException):
    """The process is gone."""


class Play:
    """One telling: a process that dies, and the next. The files and the log outlive both."""

    def __init__(self, log: ts.EventLog, audience: Audience, folder: Path) -> None:
        self.audience = audience
        self.source, self.target = folder / "orders.csv", folder / "orders.txt"
        self._clock = ts.ManualClock(EVENING)
        self._log = log
        self._shown = 0
        self._dies_at = DIES_AT
        self.system = self._begun()

    def _begun(self) -> ts.System:
        restarts = ts.RestartPolicy(restarts=0)  # what has died does not come back by itself
        return ts.System(log=self._log, runtime=ts.SteppedRuntime(self._clock), restarts=restarts)

    def run(self, source: Path) -> int:
        """Import a file in the process that there is now."""
        return import_lines(self.system, source, self.target, self._tell)

    def _tell(self, checkpoint: Checkpoint, size: int) -> None:
        self._clock.advance(timedelta(seconds=1))
        self.show()
        self.audience.hears(f"{checkpoint.lines} lines, {100 * checkpoint.source_bytes // max(size, 1)} %.")
        if checkpoint.lines == self._dies_at:
            self._dies_at = -1
            with self.target.open("ab") as target:  # more than the checkpoint says, as a crash leaves it
                target.write(b"10001;half a li")
            self._log.close()
            raise Died

    def show(self) -> None:
        """What is new in the log."""
        for recorded in self.system.events(after=self._shown):
            self._shown = recorded.position
            self.audience.sees(recorded)

    def begin_again(self) -> None:
        """Another process, an hour later."""
        self.system.stop()
        self._clock.advance(timedelta(hours=1))
        self._log = self._log.reopened()
        self.system = self._begun()


def play(log: ts.EventLog, audience: Audience) -> PlayedWrong | None:
    """Tell it; what went wrong, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        telling = Play(log, audience, Path(folder))
        try:
            _tell(telling)
        except PlayedWrong as wrong:
            return wrong
    return None


def _tell(telling: Play) -> None:
    say = telling.audience.hears
    lines = [b"customer-%d,item-%d,%d\n" % (number % 977, number % 31, number % 7 + 1) for number in range(LINES)]
    telling.source.write_bytes(b"".join(lines))
    say(f"{LINES} lines are to be imported. After {DIES_AT} the process dies, in the middle of a line.")
    with telling.system:
        try:
            telling.run(telling.source)
        except Died:
            say("It is dead.")
        else:
            msg = f"It was to die after {DIES_AT} lines."
            raise PlayedWrong(msg)
    telling.begin_again()
    with telling.system:
        say("Another process goes on from the last checkpoint: the target is cut back to it.")
        done = telling.run(telling.source)
        telling.show()
        _check(telling, lines, done)
        say(f"{done} lines are done, each of them once. Run again, it does nothing and says so.")
        if telling.run(telling.source) != LINES:
            msg = "An import that was done was not found to be done."
            raise PlayedWrong(msg)
        _fails(telling)


def _check(telling: Play, lines: list[bytes], done: int) -> None:
    wanted = b"".join(converted(line, number) for number, line in enumerate(lines, 1))
    if done != LINES or telling.target.read_bytes() != wanted:
        msg = f"{done} lines were imported; the target is not what {LINES} lines make."
        raise PlayedWrong(msg)


def _fails(telling: Play) -> None:
    """Another file has a bad line: that is a failed operation, with its evidence."""
    bad = telling.source.with_name("returns.csv")
    bad.write_bytes(b"customer-1,item-1,1\ncustomer-2\n")
    telling.audience.hears("Another file has a bad line: its import fails, and says which.")
    try:
        telling.run(bad)
    except BadLine as error:
        telling.audience.hears(f"{error}.")
    telling.show()
    ends = [each.status for each in telling.system.operations.find(name_prefix=OPERATION)]
    if ends != [ts.OperationStatus.FAILED, ts.OperationStatus.SUCCEEDED]:
        msg = f"The imports ended {ends}."
        raise PlayedWrong(msg)
