"""Ctrl-C while the host's own thread runs the actors: it is the host's, whatever it interrupts, and what it interrupts is not half done."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.actor import Inbox
from tallystick.actors.messages import StartQueue
from tallystick.actors.runtimes import stepped
from tests.actors.stage import Stage
from tests.actors.village import Village, Walking
from tests.actors.workshop import Do, Order

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
    """Ctrl-C, the first time that something comes by there."""

    def __init__(self) -> None:
        self.left = 1

    def __call__(self, *_arguments: Any) -> None:
        if self.left:
            self.left = 0
            raise KeyboardInterrupt


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


def test_what_was_taken_out_of_an_inbox_and_not_handled_is_not_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    strike, hand_over = Once(), stepped.hand_over

    def struck(inbox: Inbox, message: Any) -> None:
        if isinstance(message, StartQueue):
            strike()
        hand_over(inbox, message)

    monkeypatch.setattr(stepped, "hand_over", struck)
    with pytest.raises(KeyboardInterrupt):
        is_asked_for(stage)
    assert stage.system.health().restarts == 1
    is_asked_for(stage)
    assert sorted(stage.entered()) == [("a", "done"), ("o", "done"), ("o", "ordered")]


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
