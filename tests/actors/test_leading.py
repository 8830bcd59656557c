"""A caller that is alone takes the turn and makes the commit itself; whoever comes meanwhile is served as ever."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import FrameType
from typing import Self

import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tallystick.actors.actor import EngineActor
from tallystick.domain.operations.owner import RecordAudit
from tallystick.store.log import Head
from tallystick.testing import check_invariants
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, wait_until
from tests.actors.strikes import Strikes
from tests.actors.workshop import Do, Workshop

NAME = "Billing.Invoice.Generate"
WRITER = "tallystick-writer"
STRIKES = 150


class WatchedLog(FaultyLog):
    """Knows which threads wrote it, and has the test's own hook run in the midst of a write."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: list[str] = []
        self.hooks: list[Callable[[], object]] = []

    def write(self, records: Sequence[ts.Recorded]) -> Head:
        self.writers.append(threading.current_thread().name)
        head = super().write(records)
        if self.hooks:
            self.hooks.pop()()
        return head

    def reopened(self) -> Self:
        fresh = super().reopened()
        fresh.writers, fresh.hooks = self.writers, self.hooks
        return fresh


@pytest.fixture
def log() -> WatchedLog:
    return WatchedLog()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def system(log: WatchedLog, provider: Provider) -> Iterator[ts.System]:
    with ts.System([Workshop()], performers=provider.performers(), log=log) as system:
        with system.bracket(NAME):  # all that has to be said at a start is said
            pass
        log.writers.clear()
        yield system
        log.disk.goes_on()


def bracketed(system: ts.System) -> str:
    with system.bracket(NAME) as operation:
        return operation.id


def statuses(system: ts.System) -> list[str]:
    return [each.status.value for each in system.operations.find()]


def appended(system: ts.System, event_type: str) -> int:
    """How many there are, durable or not."""
    return [record.event_type for record in system._life.engine.journal.after(0, 10_000)].count(event_type)


def in_a_thread(run: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=run, name="caller", daemon=True)
    thread.start()
    return thread


def has_ended(thread: threading.Thread) -> bool:
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def test_a_caller_that_is_alone_commits_in_its_own_thread(system: ts.System, log: WatchedLog) -> None:
    bracketed(system)
    assert log.writers == [threading.current_thread().name] * 2
    check_invariants(system)


def test_handlers_of_the_program_never_run_in_a_callers_thread(log: WatchedLog, provider: Provider) -> None:
    threads: set[str] = set()
    workshop = Workshop(lambda _what, _job_id: threads.add(threading.current_thread().name))
    with ts.System([workshop], performers=provider.performers(), log=log) as system:
        log.writers.clear()
        system.ask(Do(job_id="a", steps=0))
        assert log.writers[0] == WRITER
    assert threads == {"tallystick-dispatcher"}


def test_what_is_asked_for_a_limited_time_is_not_led(system: ts.System, log: WatchedLog) -> None:
    log.disk.stalls()
    with pytest.raises(ts.TimedOutWaiting):
        system.ask(RecordAudit(name="seen"), timeout_s=0.01)
    log.disk.goes_on()
    bracketed(system)
    assert log.writers[0] == WRITER


def test_a_caller_that_is_not_alone_goes_by_the_threads(system: ts.System, log: WatchedLog) -> None:
    log.disk.stalls()
    job = system.submit(Do(job_id="a", steps=0))
    assert log.disk.reached.wait(PATIENCE_S)
    caller = in_a_thread(lambda: bracketed(system))
    wait_until(lambda: system.health().commands_in_flight == 2)
    log.disk.goes_on()
    assert has_ended(caller)
    assert job.result(PATIENCE_S) == "a"
    assert log.writers[:2] == [WRITER, WRITER]


def test_a_caller_that_meets_a_commit_leaves_its_own_to_the_writer(system: ts.System, log: WatchedLog) -> None:
    answered = threading.Event()
    log.hooks = [log.disk.stalls]
    system.ask(Do(job_id="a"))  # the next write is that of the call's answer: nobody waits for it
    assert log.disk.reached.wait(PATIENCE_S)
    assert system.health().commands_in_flight == 0

    def call() -> None:
        bracketed(system)
        answered.set()

    caller = in_a_thread(call)
    wait_until(lambda: appended(system, "OperationStarted") == 2)
    assert not answered.is_set()
    log.disk.goes_on()
    assert has_ended(caller)
    assert log.writers[:3] == [WRITER] * 3
    check_invariants(system)


def test_while_a_caller_commits_the_dispatcher_serves_others(system: ts.System, log: WatchedLog) -> None:
    log.disk.stalls()
    caller = in_a_thread(lambda: bracketed(system))
    assert log.disk.reached.wait(PATIENCE_S)
    jobs = [system.submit(Do(job_id=job_id, steps=0)) for job_id in "ab"]
    wait_until(lambda: appended(system, "JobBegun") == 2)
    log.disk.goes_on()
    assert [job.result(PATIENCE_S) for job in jobs] == ["a", "b"]
    assert has_ended(caller)
    assert log.writers[:2] == ["caller", WRITER], "what gathered meanwhile is the writer's"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
def test_a_signal_waits_until_the_commit_is_through(system: ts.System, log: WatchedLog, number: signal.Signals) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, handler)
    try:
        log.hooks = [lambda: signal.raise_signal(number)]
        with pytest.raises(KeyboardInterrupt):
            bracketed(system)
    finally:
        signal.signal(number, before)
    assert system.health().restarts == 0
    bracketed(system)
    assert sorted(statuses(system)) == ["Pending", "Succeeded", "Succeeded"], "what was interrupted had been begun"
    check_invariants(system)


def test_wherever_a_signal_strikes_the_threads_go_on() -> None:
    def work(system: ts.System) -> None:
        bracketed(system)
        system.operations.succeed(system.operations.start(NAME))

    with ts.System() as system:
        bracketed(system)
        places = Strikes()
        places.during(lambda: work(system))
        interrupted = 0
        for strike in range(1, places.passed, max(places.passed // STRIKES, 1)):
            try:
                Strikes(strike).during(lambda: work(system))
            except KeyboardInterrupt:
                interrupted += 1
            before = appended(system, "OperationSucceeded")
            bracketed(system)
            assert appended(system, "OperationSucceeded") == before + 1, f"struck at place {strike} of {places.passed}"
            assert system.health().commands_in_flight == 0
            assert system.health().restarts == 0
        assert interrupted > STRIKES // 2
        check_invariants(system)


def test_a_caller_near_the_limit_of_recursion_does_not_lead(system: ts.System, log: WatchedLog) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
            return
        bracketed(system)

    deep(sys.getrecursionlimit() - 300)
    assert log.writers == [WRITER] * 2
    for left in range(60, 110):  # wherever it is too much for the caller, nobody else notices
        with suppress(RecursionError):
            deep(sys.getrecursionlimit() - left)
    bracketed(system)
    assert log.writers[-1] == threading.current_thread().name
    assert system.health().restarts == 0


def test_a_log_that_fails_under_a_caller_is_opened_anew(system: ts.System, log: WatchedLog) -> None:
    log.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        bracketed(system)
    wait_until(lambda: system.health().restarts == 1 and system.health().status == "running")
    bracketed(system)
    check_invariants(system)


def test_a_stop_waits_for_a_caller_that_commits(system: ts.System, log: WatchedLog) -> None:
    order: list[str] = []
    log.disk.stalls()
    log.hooks = [lambda: order.append("written")]
    caller = in_a_thread(lambda: system.operations.start(NAME))
    assert log.disk.reached.wait(PATIENCE_S)

    def stop() -> None:
        system.stop()
        order.append("stopped")

    stopping = in_a_thread(stop)
    wait_until(lambda: system.health().status == "stopping")
    log.disk.goes_on()
    assert has_ended(caller)
    assert has_ended(stopping)
    assert order == ["written", "stopped"]


def test_many_callers_and_the_programs_own_commands_together(system: ts.System) -> None:
    done: list[str] = []

    def call(number: int) -> None:
        for turn in range(20):
            done.append(bracketed(system))
            system.ask(Do(job_id=f"{number}-{turn}", steps=0))

    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    assert all(has_ended(caller) for caller in callers)
    assert len(set(done)) == 160
    assert appended(system, "OperationSucceeded") == 161
    check_invariants(system)


# The runtime alone.


class Clock:
    """Real for waiting, but its time is the test's."""

    us = 0

    def now_us(self) -> int:
        return self.us

    def sleeping_us(self, until_us: int) -> float:
        return max(until_us - self.us, 0) / 1e6


class Say:
    """A message."""


class Plain(EngineActor):
    def __init__(self, runtime: ts.DispatcherRuntime) -> None:
        super().__init__("plain", runtime, lambda _actor, _error: None)
        self.entered, self.may_end = threading.Event(), threading.Event()
        self.threads: list[str] = []
        self.handlers = {Say: self.dawdle}

    def dawdle(self, _message: Say) -> None:
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        assert self.may_end.wait(PATIENCE_S)


@pytest.fixture
def runtime() -> Iterator[ts.DispatcherRuntime]:
    runtime = ts.DispatcherRuntime(Clock())
    runtime.start()
    yield runtime
    runtime.stop()


@pytest.fixture
def plain(runtime: ts.DispatcherRuntime) -> Iterator[Plain]:
    plain = Plain(runtime)
    plain.begin()
    wait_until(runtime._ready.empty)
    yield plain
    plain.may_end.set()


def test_nobody_leads_while_the_dispatcher_is_at_work(runtime: ts.DispatcherRuntime, plain: Plain) -> None:
    plain.post.tell(Say())
    assert plain.entered.wait(PATIENCE_S)
    assert not runtime.lead(plain, Say())
    assert plain.threads == ["tallystick-dispatcher"]


def test_nobody_leads_before_the_start_or_after_the_stop() -> None:
    runtime = ts.DispatcherRuntime(Clock())
    plain = Plain(runtime)
    plain.may_end.set()
    assert not runtime.lead(plain, Say())
    plain.begin()
    runtime.start()
    wait_until(lambda: runtime.lead(plain, Say()))
    runtime.stop()
    assert not runtime.lead(plain, Say())
    assert plain.threads == [threading.current_thread().name]


def test_a_message_that_was_there_before_comes_first(runtime: ts.DispatcherRuntime, plain: Plain) -> None:
    with runtime._turns:
        plain.post.tell(Say())
        assert not runtime.lead(plain, Say())
    assert plain.entered.wait(PATIENCE_S)


def test_a_long_turn_of_a_caller_is_reported_with_the_callers_stack(runtime: ts.DispatcherRuntime, plain: Plain) -> None:
    caller = in_a_thread(lambda: runtime.lead(plain, Say()))
    assert plain.entered.wait(PATIENCE_S)
    with capture_logs() as lines:
        runtime._watch.look()
        Clock.us += 200_000
        runtime._watch.look()
    plain.may_end.set()
    assert has_ended(caller)
    assert plain.threads == ["caller"]
    assert [line["actor"] for line in lines] == ["plain"]
    assert "dawdle" in lines[0]["stack"]
