"""The story of an import that is killed on its way, and goes on where it stood; checked at its end line by line."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import tallystick as ts
from tallystick.scenarios.mortal import Mortal
from tallystick.scenarios.nightly_import.importing import NAME as OPERATION
from tallystick.scenarios.nightly_import.importing import BadLine, Checkpoint, converted, import_lines
from tallystick.scenarios.telling import Audience, must_be

NAME: Final = "nightly-import"
SUMMARY: Final = "A file of 20,000 lines is imported with checkpoints, killed on its way, and goes on: no line is lost or doubled."
EVENING: Final = datetime(2026, 1, 5, 22, tzinfo=UTC)
LINES: Final = 20_000
DIES_AT: Final = 10_000


class Play(Mortal):
    """One telling: a process that dies, and the next. The files outlive both."""

    def __init__(self, log: ts.EventLog, audience: Audience, folder: Path) -> None:
        super().__init__(log, audience, EVENING)
        self.source, self.target = folder / "orders.csv", folder / "orders.txt"
        self._dies_at = DIES_AT

    def run(self, source: Path) -> int:
        """Import a file in the process that there is now."""
        return import_lines(self.system, source, self.target, self._tell)

    def _tell(self, checkpoint: Checkpoint, size: int) -> None:
        self.clock.advance(timedelta(seconds=1))
        self.show(self.system)
        self.say(f"{checkpoint.lines} lines, {100 * checkpoint.source_bytes // max(size, 1)} %.")
        if checkpoint.lines == self._dies_at:
            self._dies_at = -1
            with self.target.open("ab") as target:  # more than the checkpoint says, as a crash leaves it
                target.write(b"10001;half a li")
            self.die()


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        PlayedWrong: it goes another way.
    """
    with tempfile.TemporaryDirectory() as folder:
        _tell(Play(log, audience, Path(folder)))


def _tell(telling: Play) -> None:
    say = telling.say
    lines = [b"customer-%d,item-%d,%d\n" % (number % 977, number % 31, number % 7 + 1) for number in range(LINES)]
    telling.source.write_bytes(b"".join(lines))
    say(f"{LINES} lines are to be imported. After {DIES_AT} the process dies, in the middle of a line.")
    telling.die_of(lambda: telling.run(telling.source), f"It was to die after {DIES_AT} lines.")
    telling.begin_again(timedelta(hours=1))
    with telling.system:
        say("Another process goes on from the last checkpoint: the target is cut back to it.")
        done = telling.run(telling.source)
        telling.show(telling.system)
        _check(telling, lines, done)
        say(f"{done} lines are done, each of them once. Run again, it does nothing and says so.")
        must_be(telling.run(telling.source), LINES, "An import that was done was not found to be done.")
        _fails(telling)


def _check(telling: Play, lines: list[bytes], done: int) -> None:
    wanted = b"".join(converted(line, number) for number, line in enumerate(lines, 1))
    otherwise = f"{done} lines were imported; the target is not what {LINES} lines make."
    must_be((done, telling.target.read_bytes()), (LINES, wanted), otherwise)


def _fails(telling: Play) -> None:
    """Another file has a bad line: that is a failed operation, with its evidence."""
    bad = telling.source.with_name("returns.csv")
    bad.write_bytes(b"customer-1,item-1,1\ncustomer-2\n")
    telling.say("Another file has a bad line: its import fails, and says which.")
    said = ""
    try:
        telling.run(bad)
    except BadLine as error:
        said = f"{error}."
    telling.show(telling.system)
    telling.say(said)
    ends = [each.status for each in telling.system.operations.find(name_prefix=OPERATION)]
    must_be(ends, [ts.OperationStatus.FAILED, ts.OperationStatus.SUCCEEDED], f"The imports ended {ends}.")
