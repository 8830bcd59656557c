"""The outside world as the protocol's tests drive it: a disk that fails or stalls, a provider that answers as it is told, or not yet."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import tallystick as ts
from tallystick.actors.performers.executors import InlineExecutor
from tallystick.actors.performers.performer import Answered, Executor, Report, RunningCall, answer_to
from tallystick.domain.envelope import Recorded
from tallystick.store.log import Head
from tests.actors.workshop import Undo, Work

PATIENCE_S = 10.0
"""How long a wait on a condition may take at most; only a failing test waits so long."""


class Disk:
    """What happens to the next writes. One disk outlives the logs that are opened on it."""

    def __init__(self) -> None:
        self.failures: list[tuple[bool, BaseException | None]] = []
        self.openings_that_fail: list[BaseException] = []
        self.batches: list[tuple[str, ...]] = []
        self.reached = threading.Event()
        self.passable = threading.Event()
        self.passable.set()
        self.openable = threading.Event()
        self.openable.set()

    def fails(self, *, written: bool, times: int = 1) -> None:
        """The next writes raise, after or before their records are there."""
        self.failures += [(written, OSError("planted"))] * times

    def stalls(self) -> None:
        """From now on a write waits, until `goes_on`."""
        self.reached.clear()
        self.passable.clear()

    def goes_on(self) -> None:
        self.passable.set()


class FaultyLog(ts.MemoryLog):
    """A log in memory on a disk that a test governs."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()

    def open(self) -> Head:
        assert self.disk.openable.wait(PATIENCE_S), "a test left the disk closed"
        if self.disk.openings_that_fail:
            raise self.disk.openings_that_fail.pop(0)
        return super().open()

    def write(self, records: Sequence[Recorded]) -> Head:
        self.disk.reached.set()
        assert self.disk.passable.wait(PATIENCE_S), "a test left the disk stalled"
        written, failure = self.disk.failures.pop(0) if self.disk.failures else (True, None)
        head = super().write(records) if written else self.head()
        if failure is not None:
            raise ts.LogPoisoned from failure
        self.disk.batches.append(tuple(record.event_type for record in records))
        return head

    def reopened(self) -> Self:
        fresh = super().reopened()
        fresh.disk = self.disk
        return fresh


class Called(NamedTuple):
    job_id: str
    step: int
    attempt: int
    key: str


Answer = str | ts.Later | BaseException


class StillRunning(BaseException):
    """Raised by a performer of the stepped runtime in place of blocking: the test answers later."""


class Provider:
    """Answers the calls for a job by its script, then by a default; remembers what it was asked.

    What a probe finds is given by job, "a", or by one of its steps, "a/1"; else it finds that nothing was done.
    """

    def __init__(self) -> None:
        self.calls: list[Called] = []
        self.probed: list[str] = []
        self.undone: list[str] = []
        self.scripts: dict[str, list[Answer]] = {}
        self.found: dict[str, ts.Done[str] | ts.NotDone | ts.Unknown | ts.Later | BaseException] = {}
        self.watch: Callable[[], None] = lambda: None

    def answers(self, job_id: str, *answers: Answer) -> None:
        """The answers to the next calls for that job; an exception is raised, `StillRunning` leaves the call open."""
        self.scripts.setdefault(job_id, []).extend(answers)

    def work(self, action: Work, call: ts.Call) -> str | ts.Later:
        self.watch()
        self.calls.append(Called(action.job_id, action.step, call.attempt, call.key))
        script = self.scripts.get(action.job_id)
        answer: Answer = script.pop(0) if script else f"{action.job_id} is done"
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def find(self, action: Work, _call: ts.Call) -> ts.Done[str] | ts.NotDone | ts.Unknown | ts.Later:
        self.probed.append(action.job_id)
        found = self.found.get(f"{action.job_id}/{action.step}") or self.found.get(action.job_id, ts.NotDone())
        if isinstance(found, BaseException):
            raise found
        return found

    def undo(self, action: Undo, _call: ts.Call) -> str:
        self.undone.append(action.job_id)
        return "undone"

    def calls_for(self, job_id: str) -> list[Called]:
        return [call for call in self.calls if call.job_id == job_id]

    def performers(self, *, probes: bool = True) -> list[ts.Performer]:
        work = Work.performed_by(self.work, probe=self.find) if probes else Work.performed_by(self.work)
        return [work, Undo.performed_by(self.undo)]


class OpenCall(NamedTuple):
    """A call that has not answered; it may do so at any later time, as a thread would."""

    call: RunningCall
    report: Report

    def returns(self, result: Any) -> None:
        self.report(Answered(self.call, result))

    def raises(self, error: BaseException) -> None:
        self.report(answer_to(self.call, error))


class ByHandRuntime(ts.SteppedRuntime):
    """The stepped runtime, with calls that can stay open across steps, retries and rebuilt engines."""

    def __init__(self, clock: ts.ManualClock, *, seed: int = 0) -> None:
        super().__init__(clock, seed=seed)
        self.open_calls: list[OpenCall] = []

    def executor(self, performer: ts.Performer, report: Report) -> Executor:
        """Inline, but for calls that do not answer yet."""

        def answered(answer: Answered) -> None:
            if answer.failure is not None and answer.failure.code == StillRunning.__name__:
                self.open_calls.append(OpenCall(answer.call, report))
            else:
                report(answer)

        return InlineExecutor(performer, answered)


class Hands:
    """A clock that the test moves."""

    us = 0

    def now_us(self) -> int:
        return self.us

    def sleeping_us(self, until_us: int) -> float:
        return max(until_us - self.us, 0) / 1e6


def in_a_thread(run: Callable[[], object]) -> threading.Thread:
    """Started already."""
    thread = threading.Thread(target=run, name="caller", daemon=True)
    thread.start()
    return thread


def has_ended(thread: threading.Thread) -> bool:
    """Whether it comes to its end."""
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Let other threads run until the condition holds.

    Raises:
        AssertionError: it did not come to hold.
    """
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    msg = "what the test waits for did not happen"
    raise AssertionError(msg)
