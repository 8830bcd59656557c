"""A caller that is alone takes the turn and makes the commit itself; whoever comes meanwhile is served as ever."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Self

import pytest

import tallystick as ts
from tallystick.actors.actor import EngineActor
from tallystick.domain.operations.commands import RecordAudit
from tallystick.store.log import Head
from tallystick.testing import check_invariants
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, has_ended, in_a_thread, wait_until
from tests.actors.strikes import Strikes
from tests.actors.workshop import Do, Workshop

NAME = "Billing.Invoice.Generate"
WRITER = "tallystick-writer"
STRIKES = 150


class Through(Exception):
    """It was deep enough."""


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


def test_a_caller_that_is_not_alone_goes_by_the_threads(system: ts.System, log: WatchedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    led: list[object] = []

    def lead(*asked: object) -> bool:
        led.append(asked)
        return False

    monkeypatch.setattr(system._runtime, "lead", lead)
    log.disk.stalls()
    job = system.submit(Do(job_id="a", steps=0))
    assert log.disk.reached.wait(PATIENCE_S)
    caller = in_a_thread(lambda: bracketed(system))
    wait_until(lambda: appended(system, "OperationStarted") == 2)
    assert led == []
    log.disk.goes_on()
    assert has_ended(caller)
    assert job.result(PATIENCE_S) == "a"
    assert log.writers[:2] == [WRITER, WRITER]


def test_a_caller_that_meets_a_commit_leaves_its_own_to_the_writer(
    system: ts.System, log: WatchedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    led: list[bool] = []
    runtime = system._runtime
    assert isinstance(runtime, ts.DispatcherRuntime)
    lead = runtime.lead

    def watched(actor: EngineActor, message: object) -> bool:
        led.append(lead(actor, message))
        return led[-1]

    monkeypatch.setattr(runtime, "lead", watched)
    log.hooks = [log.disk.stalls]
    system.ask(Do(job_id="a"))  # the next write is that of the call's answer: nobody waits for it
    assert log.disk.reached.wait(PATIENCE_S)
    wait_until(lambda: system.health().commands_in_flight == 0)
    wait_until(lambda: runtime._ready.empty() and not runtime._turns.locked())

    def meanwhile() -> None:
        wait_until(lambda: appended(system, "OperationStarted") == 2)
        log.disk.goes_on()

    going_on = in_a_thread(meanwhile)
    bracketed(system)
    assert has_ended(going_on)
    assert led[0], "the turn was the caller's"
    assert log.writers[:3] == [WRITER] * 3
    check_invariants(system)


def test_while_a_caller_commits_the_dispatcher_serves_others(system: ts.System, log: WatchedLog) -> None:
    jobs: list[Future[str]] = []

    def meanwhile() -> None:
        jobs.extend(system.submit(Do(job_id=job_id, steps=0)) for job_id in "ab")
        wait_until(lambda: appended(system, "JobBegun") == 2)

    log.hooks = [meanwhile]
    system.operations.start(NAME)
    assert [job.result(PATIENCE_S) for job in jobs] == ["a", "b"]
    assert log.writers[:2] == [threading.current_thread().name, WRITER], "what gathered meanwhile is the writer's"


def test_in_other_threads_than_the_main_one_nobody_leads(system: ts.System, log: WatchedLog) -> None:
    assert has_ended(in_a_thread(lambda: bracketed(system)))
    assert log.writers == [WRITER] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM, signal.SIGXCPU])
def test_nobody_leads_in_a_program_that_handles_signals(system: ts.System, log: WatchedLog, number: signal.Signals) -> None:
    before = signal.signal(number, lambda _number, _frame: None)
    try:
        bracketed(system)
    finally:
        signal.signal(number, before)
    assert log.writers == [WRITER] * 2


def test_ctrl_c_waits_until_the_commit_is_through(system: ts.System, log: WatchedLog) -> None:
    log.hooks = [lambda: signal.raise_signal(signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt):
        bracketed(system)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert system.health().restarts == 0
    bracketed(system)
    assert sorted(statuses(system)) == ["Pending", "Succeeded", "Succeeded"], "what was interrupted had been begun"
    assert log.writers == [threading.current_thread().name] * 3
    check_invariants(system)


def test_who_asks_in_the_midst_of_a_led_commit_is_told_that_no_reply_can_come(system: ts.System, log: WatchedLog) -> None:
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(ts.TimedOutWaiting) as raised:
            system.operations.start(NAME)
        said.append(str(raised.value.__cause__))

    log.hooks = [ask]
    bracketed(system)
    assert "in the midst of a turn or a commit" in said[0]
    wait_until(lambda: system.health().commands_in_flight == 0)
    assert statuses(system).count("Pending") == 1, "it is begun afterwards"
    check_invariants(system)


def test_a_handler_that_asks_its_own_system_is_told_so_too(log: WatchedLog, provider: Provider) -> None:
    workshop = Workshop()
    with ts.System([workshop], performers=provider.performers(), log=log) as system:

        def ask(_what: str, _job_id: str) -> None:
            system.operations.start(NAME)

        workshop.hook = ask
        with pytest.raises(ts.TimedOutWaiting):
            system.ask(Do(job_id="a", steps=0))


def test_wherever_a_signal_strikes_the_threads_go_on() -> None:
    def work(system: ts.System) -> None:
        bracketed(system)
        system.operations.succeed(system.operations.start(NAME))

    system = ts.System().__enter__()  # not in a `with`: a lock that nobody lets go of would hold up its end
    bracketed(system)
    places = Strikes()
    places.during(lambda: work(system))
    interrupted = 0
    for strike in range(1, places.passed, max(places.passed // STRIKES, 1)):
        try:
            copy_context().run(Strikes(strike).during, lambda: work(system))  # surroundings may be left behind
        except KeyboardInterrupt:
            interrupted += 1
        before = appended(system, "OperationSucceeded")
        assert has_ended(in_a_thread(lambda: bracketed(system))), f"struck at place {strike} of {places.passed}"
        assert appended(system, "OperationSucceeded") == before + 1
        assert system.health().commands_in_flight == 0
        assert system.health().restarts == 0
    assert interrupted > STRIKES // 2
    check_invariants(system)
    system.stop()


def test_a_caller_near_the_limit_of_recursion_does_not_lead(system: ts.System, log: WatchedLog) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
            return
        bracketed(system)
        raise Through

    with pytest.raises(Through):
        deep(sys.getrecursionlimit() - 300)
    assert log.writers == [WRITER] * 2
    for left in range(60, 110):  # wherever it is too much for the caller, nobody else notices
        with pytest.raises((RecursionError, Through)):
            deep(sys.getrecursionlimit() - left)
    bracketed(system)
    assert log.writers[-1] == threading.current_thread().name
    assert system.health().restarts == 0


def test_a_log_that_fails_under_a_caller_is_opened_anew(system: ts.System, log: WatchedLog) -> None:
    log.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        bracketed(system)
    assert log.writers == [threading.current_thread().name]
    wait_until(lambda: system.health().restarts == 1 and system.health().status == "running")
    bracketed(system)
    check_invariants(system)


def test_a_stop_waits_for_a_caller_that_commits(system: ts.System, log: WatchedLog) -> None:
    order: list[str] = []
    stopping: list[threading.Thread] = []

    def stop() -> None:
        system.stop()
        order.append("stopped")

    def meanwhile() -> None:
        stopping.append(in_a_thread(stop))
        wait_until(lambda: system.health().status == "stopping")
        order.append("written")

    log.hooks = [meanwhile]
    system.operations.start(NAME)
    assert has_ended(stopping[0])
    assert order == ["written", "stopped"]


def test_many_callers_and_the_programs_own_commands_together(system: ts.System) -> None:
    done: list[str] = []

    def call(number: int) -> None:
        for turn in range(20):
            done.append(bracketed(system))
            system.ask(Do(job_id=f"{number}-{turn}", steps=0))

    callers = [in_a_thread(partial(call, number)) for number in range(7)]
    call(7)  # in the main thread, which leads whenever it finds itself alone
    assert all(has_ended(caller) for caller in callers)
    assert len(set(done)) == 160
    assert appended(system, "OperationSucceeded") == 161
    check_invariants(system)
