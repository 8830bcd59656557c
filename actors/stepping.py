"""Stepping: one step of a system whose time its host drives, from the clock to the log."""

from datetime import timedelta

from tallystick.actors.engine import Engine
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.runtimes.stepped import SteppedRuntime
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import NotStepped, StepFailed


def take_step(runtime: Runtime, engine: Engine, delta: timedelta) -> None:
    """Let time pass, tick, take the modules' turns, write, arbitrate, and run until nothing is left to be done now.

    The disk is written to between the turns and the arbitration: what a module begins in a step competes in that very step, and one commit
    does for all of it, unless something ends at once.

    Raises:
        NotStepped: the runtime's time passes by itself.
        StepFailed: a module's method for each step raised; everything else was done.
    """
    if not isinstance(runtime, SteppedRuntime):
        raise NotStepped
    if delta < timedelta():
        msg = f"A step of {delta} would go back in time; take one that is not negative."
        raise ValueError(msg)
    runtime.advance(delta)
    step = engine.step_of(delta // MICROSECOND)
    engine.step_errors.clear()
    engine.post_ticks(step)
    runtime.run_before_writing()
    engine.post_turns(step)
    runtime.run_before_writing()
    runtime.run_until_idle()
    engine.post_arbitration()
    runtime.run_until_idle()
    if engine.step_errors:
        raise StepFailed from engine.step_errors[0]
