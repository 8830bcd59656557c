"""Ctrl-C while the host's own thread runs the actors: it is the host's, whatever it interrupts, and what it interrupts is not half done."""

import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.actor import Inbox, hand_over
from tallystick.actors.interrupts import undisturbed
from tallystick.actors.messages import Ask, StartQueue
from tallystick.actors.runtimes import stepped
from tests.actors.outside import Provider
from tests.actors.stage import Stage
from tests.actors.strikes import Strikes
from tests.actors.village import Village, Walking
from tests.actors.workshop import Do, Order, Workshop

Plant = Callable[[Stage, Callable[..., Any]], None]


def in_a_command(stage: Stage, strike: Callable[..., Any]) -> None:
    stage.workshop.hook = strike


def in_a_reaction(stage: Stage, strike: Callable[..., Any]) -> None:
    stage.ledger.hook = strike


def in_a_performer(stage: Stage, strike: Callable[..., Any]) -> None:
    stage.provider.watch = strike


def in_the_engine(stage: Stage, strike: Callable[..., Any]) -> None:
    def struck(handler: Callable[[Any], None], message: Any) -> None:
        strike()
        handler(message)

    ledger = stage.engine.owners["ledger"]
    ledger.handlers = {kind: partial(struck, handler) for kind, handler in ledger.handlers.items()}


class Once:
    """Ctrl-C, or what else a signal's handler raises, the first time that something comes by there."""

    def __init__(self, raised: type[BaseException] = KeyboardInterrupt) -> None:
        self.left = 1
        self.raised = raised

    def __call__(self, *_arguments: Any) -> None:
        if self.left:
            self.left = 0
            raise self.raised


def is_asked_for(stage: Stage) -> None:
    """An order, which begins a job, and a job; again without effect, for whoever was interrupted cannot know whether it was taken."""
    stage.system.ask(Order(order_id="o"), idempotency_key="o")
    stage.system.ask(Do(job_id="a"), idempotency_key="a")
    stage.idle()


@pytest.mark.parametrize("plant", [in_a_command, in_a_reaction, in_a_performer, in_the_engine])
def test_an_interrupt_reaches_the_host_and_what_it_interrupted_is_done_all_the_same(stage: Stage, plant: Plant) -> None:
    plant(stage, Once())
    with pytest.raises(KeyboardInterrupt):
        is_asked_for(stage)
    assert stage.system.health().restarts == 1
    is_asked_for(stage)
    assert sorted(stage.entered()) == [("a", "done"), ("o", "done"), ("o", "ordered")]
    assert "RetryScheduled" not in stage.types(), "it was nobody's failure"


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_what_was_taken_out_of_an_inbox_and_not_handled_is_not_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    strike = Once(raised)

    def struck(inbox: Inbox, message: Any) -> None:
        if isinstance(message, StartQueue):
            strike()
        hand_over(inbox, message)

    monkeypatch.setattr(stepped, "hand_over", struck)
    with pytest.raises(raised):
        is_asked_for(stage)
    assert stage.system.health().restarts == 1
    is_asked_for(stage)
    assert sorted(stage.entered()) == [("a", "done"), ("o", "done"), ("o", "ordered")]


def test_a_command_whose_caller_was_ended_while_it_was_sent_is_not_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Inbox.tell
    monkeypatch.setattr(Inbox, "tell", lambda inbox, message: Once(SystemExit)() if isinstance(message, Ask) else tell(inbox, message))
    with pytest.raises(SystemExit):
        stage.system.submit(Do(job_id="a"))
    assert stage.system.health().commands_in_flight == 0


def test_an_interrupt_of_a_tick_fails_no_action(monkeypatch: pytest.MonkeyPatch) -> None:
    village, strike, tick = Village(), Once(), Walking.tick

    def struck(self: Walking, action: Any, step: ts.Step) -> Any:
        strike()
        return tick(self, action, step)

    village.work("mow", walks=(2,), tasks=0)
    monkeypatch.setattr(Walking, "tick", struck)
    with pytest.raises(KeyboardInterrupt):
        village.step()
    assert village.told == []
    village.step(2)
    assert village.told == ["mow: mow has walked"]


def test_an_interrupt_of_a_probe_makes_no_call_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.times_out("a")
    strike = Once()

    def find(*_arguments: Any) -> ts.Done[str]:
        strike()
        return ts.Done(result="found")

    monkeypatch.setattr(stage.provider, "find", find)
    with pytest.raises(KeyboardInterrupt):
        stage.crash()
    stage.crash()
    assert stage.of_type("LateSuccess")
    assert len(stage.provider.calls_for("a")) == 3


def test_a_system_that_was_interrupted_stops_cleanly(stage: Stage) -> None:
    stage.ledger.hook = Once()
    with pytest.raises(KeyboardInterrupt):
        is_asked_for(stage)
    stage.system.stop()
    assert stage.system.health().status == "stopped"
    stage.reopen()
    is_asked_for(stage)
    assert sorted(stage.entered()) == [("a", "done"), ("o", "done"), ("o", "ordered")]


def test_who_interrupts_a_stop_waits_no_longer_and_the_log_is_closed(tmp_path: Path) -> None:
    path, runtime = tmp_path / "log.db", ts.SteppedRuntime(ts.ManualClock())
    workshop = Workshop()
    system = ts.System([workshop], performers=Provider().performers(), log=path, runtime=runtime).__enter__()
    system.ask(Do(job_id="before", steps=0))
    workshop.hook = Once()
    replies = [system.submit(Do(job_id=job_id, steps=0)) for job_id in "ab"]
    with pytest.raises(KeyboardInterrupt):
        system.stop()
    assert system.health().status == "stopped"
    assert isinstance(replies[0].exception(0), ts.NotAccepted | ts.NotCommitted)
    with ts.System([Workshop()], performers=Provider().performers(), log=path, runtime=ts.SteppedRuntime()) as system:
        begun = [event.aggregate_id for event in system.events(event_types=("JobBegun",))]
    assert begun == (["before", "b"] if replies[1].exception(0) is None else ["before"])


# Wherever it strikes.

STRIKES = 150


class Work:
    """What a host does: commands that it waits for, and others whose futures it keeps; calls that fail and are retried; time passes."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.stage.provider.answers("d", RuntimeError("no"), RuntimeError("no again"))
        self.replies: dict[str, Future[Any]] = {}

    def begin(self) -> None:
        for job_id in "ab":
            self.replies[job_id] = self.stage.system.submit(Do(job_id=job_id))
        self.stage.system.ask(Do(job_id="c"))
        self.replies["d"] = self.stage.system.submit(Do(job_id="d", steps=2))
        self.stage.advance(100)

    def problems(self) -> list[str]:
        """What went wrong, when all has come to rest."""
        stage = self.stage
        stage.advance(1000)
        begun, done = ([event.job_id for event in stage.events(name)] for name in ("JobBegun", "JobDone"))
        found = [f"{begun} were begun, and {done} done"] if sorted(begun) != sorted(done) else []
        for job_id, reply in self.replies.items():
            error, written = reply.exception(0), begun.count(job_id)
            if error is None and written != 1:
                found.append(f"{job_id} was acknowledged, and is written {written} times")
            elif isinstance(error, ts.NotAccepted | ts.NotCommitted) and written:
                found.append(f"{job_id} is written, and {type(error).__name__} was said of it")
        stage.system.ask(Do(job_id="z"))
        stage.advance(1)
        if stage.entered()[-1] != ("z", "done") or stage.system.health().commands_in_flight or stage.system.open_executions():
            found.append("it does not go on")
        return found


def test_wherever_it_strikes_what_was_said_is_true_and_what_was_begun_is_done() -> None:
    places = Strikes()
    places.during(Work().begin)
    interrupted = 0
    for strike in range(1, places.passed, places.passed // STRIKES):
        work = Work()
        try:
            copy_context().run(Strikes(strike).during, work.begin)  # surroundings may be left behind
        except KeyboardInterrupt:
            interrupted += 1
        assert work.problems() == [], f"struck at place {strike} of {places.passed}"
    assert interrupted > STRIKES // 2


def test_a_commit_is_not_interrupted_and_the_host_hears_of_it_afterwards(stage: Stage) -> None:
    reply = stage.system.submit(Do(job_id="a", steps=0))
    reply.add_done_callback(lambda _reply: signal.raise_signal(signal.SIGINT))
    other = stage.system.submit(Do(job_id="b", steps=0))
    with pytest.raises(KeyboardInterrupt):
        stage.idle()
    assert (reply.result(0), other.result(0)) == ("a", "b"), "whoever comes behind it in the commit is told, too"
    assert stage.system.health().restarts == 0


def test_a_second_interrupt_does_not_keep_the_engine_from_being_rebuilt(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = type(stage.log).open

    def struck(log: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return opened(log)

    monkeypatch.setattr(type(stage.log), "open", struck)
    stage.workshop.hook = Once()
    with pytest.raises(KeyboardInterrupt):
        is_asked_for(stage)
    assert stage.system.health().status == "running"
    is_asked_for(stage)
    assert sorted(stage.entered()) == [("a", "done"), ("o", "done"), ("o", "ordered")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_hosts_own_handler_is_called_once_afterwards_and_stays(number: signal.Signals) -> None:
    heard: list[tuple[int, bool]] = []
    through = False

    def run() -> str:
        nonlocal through
        signal.raise_signal(number)
        signal.raise_signal(number)
        through = True
        return "result"

    def handler(signalled: int, _frame: FrameType | None) -> None:
        heard.append((signalled, through))

    before = signal.signal(number, handler)
    try:
        assert undisturbed(run) == "result"
        assert heard == [(number, True)]
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_who_ignores_signals_goes_on_ignoring_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        undisturbed(lambda: signal.raise_signal(signal.SIGINT))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_was_set_meanwhile_stays() -> None:
    def another(_signalled: int, _frame: FrameType | None) -> None:
        pass

    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda _signalled, _frame: None)
    try:
        undisturbed(lambda: signal.signal(signal.SIGTERM, another))
        assert signal.getsignal(signal.SIGTERM) is another
    finally:
        signal.signal(signal.SIGTERM, before)


def test_of_several_signals_each_is_heard_and_by_then_none_is_held_back() -> None:
    heard: list[tuple[int, bool]] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        heard.append((number, all(signal.getsignal(each) is handler for each in numbers)))
        raise InterruptedError

    def run() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        with pytest.raises(InterruptedError):
            undisturbed(run)
        assert heard == [(signal.SIGTERM, True), (signal.SIGINT, True)]
    finally:
        for number, earlier in before:
            signal.signal(number, earlier)
