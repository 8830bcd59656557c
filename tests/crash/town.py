"""The town: it starts the outside world, lets a worker live and kills it, again and again, and writes down what it saw each time."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

import tallystick as ts
from tests.crash.outside import SLOW_S, read_book
from tests.crash.points import POINTS, VARIABLE

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 90.0
POINT_WITHIN_S: Final = 4.0
"""How long a worker may take to come by its point; then it is killed where it is, and the point was missed."""


class Kill(NamedTuple):
    """One kill and its evidence. `found`: how many executions the next recovery will find open, as the log has them."""

    where: str
    exit_code: int
    tail: int
    found: int
    hit: bool


class Town:
    """A folder with a log, a report, a book and two ledgers, and the processes that write them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.kills: list[Kill] = []
        self.locked_out: list[ts.LogLocked] = []
        self.early: list[str] = []
        self.unmade: list[ts.LogError] = []
        self._pause = threading.Event()
        self._lots = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._intents: set[str] = set()
        self._attempts: set[tuple[str, int]] = set()
        self._keys: set[str] = set()
        self._settled: set[str] = set()
        self._read_to = 0

    def __enter__(self) -> Self:
        self._outside = self._spawn("tests.crash.outside", str(self.seed), stdout=subprocess.PIPE)
        assert self._outside.stdout is not None
        assert self._outside.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._outside.kill()
        self._outside.communicate()

    # Killing.

    def plan(self, kills: int) -> Iterator[str]:
        """Where to kill: at every named point in turn, those of a recovery twice in a row, and in between at any moment."""
        round_trip = (each for point in POINTS for each in (point, *([point] if "recovery" in point else []), "any moment"))
        return itertools.islice(itertools.cycle(round_trip), kills)

    def kill(self, where: str) -> Kill:
        """Let a worker live until it dies there, then look at what it leaves behind."""
        at_point = where in POINTS
        environment = {VARIABLE: f"{where}:{self._lots.randint(1, POINTS[where])}"} if at_point else {}
        worker = self._worker("--asked-before", str(self.asked), environment=environment)
        try:
            hit = self._dies_by_itself(worker, POINT_WITHIN_S) if at_point else not self._dies_by_itself(worker, self._moment_s(worker))
        finally:
            worker.kill()
            exit_code = worker.wait(PATIENCE_S)
        self._look()
        kill = Kill(where, exit_code, self._read_to, len(self._intents - self._settled), hit)
        self.kills.append(kill)
        return kill

    def _moment_s(self, worker: "subprocess.Popen[bytes]") -> float:
        """A moment of its life: from its birth, or (mostly) from when its system is open; at first another then tries to open the log."""
        if self._lots.random() < 0.25:
            return self._lots.uniform(0.25, 0.8)
        self._until_open(worker)
        if len(self.locked_out) < 3:
            self.locked_out.append(self._shut_out())
        return self._lots.uniform(0.01, 0.25)

    def _shut_out(self) -> ts.LogLocked:
        with closing(ts.SqliteLog(self.folder / "log.db")) as second:
            try:
                second.open()
            except ts.LogLocked as refusal:
                return refusal
        msg = "a second process could open the log while the first was running"
        raise AssertionError(msg)

    def _until_open(self, worker: "subprocess.Popen[bytes]") -> None:
        for _ in range(int(PATIENCE_S / 0.005)):
            if any(line["pid"] == worker.pid and "open" in line for line in self.report()):
                return
            assert not self._dies_by_itself(worker, 0.005), "the worker ended before its system was open"
        msg = "the worker's system does not open"
        raise AssertionError(msg)

    def _dies_by_itself(self, worker: "subprocess.Popen[bytes]", within_s: float) -> bool:
        try:
            worker.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    # Looking, before anybody else opens the log.

    def _look(self) -> None:
        """Hold what was seen outside against what is durable at this moment (S4, S14)."""
        path = self.folder / "log.db"
        if not path.exists():
            return
        try:
            reader = ts.SqliteReader(path)
        except ts.LogError as error:
            self.unmade.append(error)  # killed before the log was made
            return
        with closing(reader):
            for recorded in reader.read(ts.Query(after=self._read_to)):
                self._read_to = recorded.position
                self._take(recorded)
        for line in read_book(self.folder):
            if not line.done and (
                line.token not in self._intents or (line.attempt > 1 and (line.token, line.attempt) not in self._attempts)
            ):
                self.early.append(f"call of {line.method} for {line.token}, attempt {line.attempt}, whose event is not in the log")
        for said in self.report():
            if "acked" in said and said["key"] not in self._keys:
                self.early.append(f"{said['key']} was acknowledged, and is not in the log")

    def _take(self, recorded: ts.Recorded) -> None:
        token = recorded.token or ""
        if recorded.aggregate_type == "Execution" and recorded.aggregate_version == 1:
            self._intents.add(token)
        if recorded.event_type == "AttemptStarted":
            self._attempts.add((token, msgspec.json.decode(recorded.payload)["attempt"]))
        if recorded.event_type == "CommandSettled":
            self._keys.add(recorded.aggregate_id)
        if recorded.settles is not None:
            self._settled.add(token)

    def report(self) -> list[dict[str, Any]]:
        """What workers have said so far; a last line may still be on its way."""
        path = self.folder / "report.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return [msgspec.json.decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]

    @property
    def asked(self) -> int:
        """How many wishes were asked for by now."""
        return max((line["asked"] for line in self.report() if "asked" in line), default=-1) + 1

    # The end.

    def come_to_rest(self) -> dict[str, Any]:
        """Two lives to their end: the second finds what the outside world did after the first had stopped. What the last one said."""
        for _ in range(2):
            worker = self._worker("--asked-before", str(self.asked), "--until", str(self.asked))
            assert worker.wait(PATIENCE_S) == 0, "a worker that nobody kills must come to its end"
            self._until_outside_is_idle()
        self._look()
        said = self.report()
        assert "stopped" in said[-1]
        return next(line for line in reversed(said) if "rest" in line)

    def _until_outside_is_idle(self) -> None:
        """Wait until every call that came in was carried out; the slow ones take their time."""
        for _ in range(int(PATIENCE_S / SLOW_S)):
            lines = list(read_book(self.folder))
            if 2 * sum(line.done for line in lines) == len(lines):
                return
            self._pause.wait(SLOW_S)
        msg = "the outside world does not come to rest"
        raise AssertionError(msg)

    # Processes.

    def _worker(self, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[bytes]":
        return self._spawn("tests.crash.worker", str(self.seed), *arguments, environment=environment)

    def _spawn(
        self, module: str, *arguments: str, environment: dict[str, str] | None = None, stdout: int | None = None
    ) -> "subprocess.Popen[bytes]":
        with (self.folder / "stderr").open("ab") as errors:
            return subprocess.Popen(  # noqa: S603 - this very interpreter
                [sys.executable, "-m", module, str(self.folder), *arguments],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(each for each in sys.path if each)} | (environment or {}),
                stdout=stdout,
                stderr=errors,
            )


def killed(kill: Kill) -> bool:
    """Whether it died by SIGKILL."""
    return kill.exit_code == -signal.SIGKILL
