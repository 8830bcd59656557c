"""A handler that holds the dispatcher up is reported while it does, with the place in the code where it is."""

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tests.actors.outside import Hands


class Ping(ts.Command[None]):
    """Nothing but a turn."""


class Slow(ts.Module):
    name = "slow"
    running = threading.Event()
    may_end = threading.Event()

    @ts.handles(Ping)
    def dawdle(self, _turn: ts.Turn, _command: Ping) -> ts.Decision[None]:
        self.running.set()
        self.may_end.wait(60)
        yield from ()


@pytest.fixture
def clock() -> Iterator[Hands]:
    yield Hands()
    Slow.may_end.set()


def test_a_turn_of_more_than_a_tenth_of_a_second_is_reported_once_with_its_stack(clock: Hands) -> None:
    runtime = ts.DispatcherRuntime(clock)
    with capture_logs() as lines, ts.System([Slow()], runtime=runtime) as system:
        done = system.submit(Ping())
        assert Slow.running.wait(60)
        runtime._watch.look()
        clock.us += 99_000
        runtime._watch.look()
        assert system.health().slow_turns == 0
        clock.us += 2_000
        runtime._watch.look()
        runtime._watch.look()
        assert system.health().slow_turns == 1
        Slow.may_end.set()
        done.result(60)
    (line,) = [line for line in lines if line["event"] == "dispatcher.slow_turn"]
    assert (line["actor"], line["message"]) == ("slow", "Ask")
    assert "in dawdle" in line["stack"]
