"""Stepping: one step of a system whose time its host drives, from the clock to the log."""

from datetime import timedelta
from typing import Protocol

from tallystick.actors.engine import Engine
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.runtimes.stepped import SteppedRuntime
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import InvalidStep, NotStepped, StepFailed


class Living(Protocol):
    """What knows the present engine; another one, if the log fails in the middle of a step."""

    @property
    def engine(self) -> Engine:
        """The one that runs."""
        ...


def take_step(runtime: Runtime, life: Living, delta: timedelta) -> None:
    """Let time pass, tick, take the modules' turns, write, arbitrate, and run until nothing is left to be done now.

    The disk is written to between the turns and the arbitration: what a module begins in a step competes in that very step, and one commit
    does for all of it, unless something ends at once. If the log fails on the way, the rest of the step is taken by the engine rebuilt.

    Raises:
        NotStepped: the runtime's time passes by itself.
        InvalidStep: that is no time that could pass.
        StepFailed: a module's method for each step raised; everything else was done.
    """
    if not isinstance(runtime, SteppedRuntime):
        raise NotStepped
    _check(delta)
    life.engine.step_errors.clear()
    runtime.advance(delta)
    delta_us = delta // MICROSECOND
    life.engine.post_ticks(life.engine.step_of(delta_us))
    runtime.run_before_writing()
    life.engine.post_turns(life.engine.step_of(delta_us))
    runtime.run_before_writing()
    runtime.run_until_idle()
    life.engine.post_arbitration()
    runtime.run_until_idle()
    errors = life.engine.step_errors
    if errors:
        raise StepFailed from errors[0]


def _check(delta: object) -> None:
    """A game has a number of seconds at hand, and may well give that."""
    if not isinstance(delta, timedelta) or delta < timedelta():
        raise InvalidStep(delta)
