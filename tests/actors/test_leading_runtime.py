"""What the dispatcher's runtime alone does for a caller that would lead, whatever the actors are."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tallystick.actors.actor import EngineActor
from tests.actors.outside import PATIENCE_S, Hands, has_ended, in_a_thread, wait_until


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
def clock() -> Hands:
    return Hands()


@pytest.fixture
def runtime(clock: Hands) -> Iterator[ts.DispatcherRuntime]:
    runtime = ts.DispatcherRuntime(clock)
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
    runtime = ts.DispatcherRuntime(Hands())
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


def test_a_long_turn_of_a_caller_is_reported_with_the_callers_stack(runtime: ts.DispatcherRuntime, plain: Plain, clock: Hands) -> None:
    def look() -> None:
        assert plain.entered.wait(PATIENCE_S)
        runtime._watch.look()
        clock.us += 200_000
        runtime._watch.look()
        plain.may_end.set()

    looking = in_a_thread(look)
    with capture_logs() as lines:
        assert runtime.lead(plain, Say())
    assert has_ended(looking)
    assert plain.threads == [threading.current_thread().name]
    assert [line["actor"] for line in lines] == ["plain"]
    assert "dawdle" in lines[0]["stack"]


def test_who_leads_does_not_lead_again_in_the_midst_of_it(runtime: ts.DispatcherRuntime, plain: Plain) -> None:
    led: list[bool] = []

    class Blocking(EngineActor):
        own_thread = True

        def say(self, _message: Say) -> None:
            led.append(runtime.lead(plain, Say()))

    blocking = Blocking("blocking", runtime, lambda _actor, _error: None)
    blocking.handlers = {Say: blocking.say}
    blocking.begin()
    wait_until(runtime._blocking.empty)
    wait_until(lambda: not runtime._commits.locked())
    plain.may_end.set()
    plain.handlers = {Say: lambda _message: blocking.post.tell(Say())}
    assert runtime.lead(plain, Say())
    assert led == [False]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of newer Pythons: that it has threads is what is tested
def test_a_child_that_was_forked_while_a_caller_led_leads_nothing_and_can_stop(runtime: ts.DispatcherRuntime, plain: Plain) -> None:
    with runtime._turns:
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE_S))
            runtime.stop()
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
    child = os.fork()
    if child == 0:
        os._exit(int(runtime.lead(plain, Say())))
    assert os.waitpid(child, 0) == (child, 0)
