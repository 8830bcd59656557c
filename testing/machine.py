"""The system machine: Hypothesis says who goes on, what goes wrong and what is asked, so that a failure shrinks to a short story."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from tallystick.actors.system import System
from tallystick.domain.command import Command
from tallystick.domain.errors import TallystickError
from tallystick.testing.driven import DrivenSimulation
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.story import told
from tallystick.testing.violations import InvariantViolation


class HypothesisMissing(TallystickError, ImportError):
    """SystemMachine needs Hypothesis, which is not installed: pip install 'tallystick[testing]'."""


try:
    from hypothesis import currently_in_test_context, note
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, rule
except ImportError as error:
    raise HypothesisMissing from error

R = TypeVar("R")

MINUTES = st.sampled_from((1, 10, 100))
FAULT = st.runner().flatmap(lambda machine: st.none() | st.sampled_from(machine.fault_kinds) if machine.fault_kinds else st.none())


class SystemMachine(RuleBasedStateMachine):
    """Runs a program of yours under Hypothesis. Subclass it, say what it `simulates`, and add rules that `ask` for your commands.

    Its own rules let actors take turns in a chosen order, let time pass, and let faults strike; all are drawn by Hypothesis, so that a
    failing run shrinks to the few steps that it takes. After each step what must hold at all times is checked, the program's own
    invariants among it; at the end the world heals, and everything must come to rest (L). A violation is told with its story.

    Run it by `TestShop = ShopMachine.TestCase`, or by `run_state_machine_as_test(ShopMachine)`.
    """

    simulates: ClassVar[type[SimulatedProgram]]
    """The program; its wishes are left out, its modules, performers and invariants are used."""
    faults: ClassVar[str | Iterable[str] | Mapping[str, float]] = "all"
    """Which faults may strike, as for `Simulation`; how likely they are is for Hypothesis to say."""

    def __init__(self) -> None:
        super().__init__()
        self._handled_around = sys.exc_info()[1]
        self._simulation = DrivenSimulation(type(self).simulates, self.faults)
        self.fault_kinds: Sequence[str] = self._simulation.kinds
        self._logger = logging.getLogger("tallystick")
        self._level = self._logger.level
        self._logger.setLevel(logging.CRITICAL + 1)  # it would warn of what is done to it on purpose

    # For your rules.

    def ask(self, command: Command[Any], *, key: str | None = None) -> int:
        """Send a command; with a key it is sent again until it is answered, so a key stands for one content.

        Its number, by which `answers` has the answer once it came.
        """
        return self._simulation.ask(command, key)

    @property
    def answers(self) -> Mapping[int, tuple[str, Any]]:
        """What was answered so far: `("reply", value)`, `("rejected", code)`, or `("unknown", None)` where a crash took the answer."""
        return self._simulation.answers

    @property
    def program(self) -> SimulatedProgram:
        """The program that runs, with its providers."""
        return self._simulation.program

    @property
    def system(self) -> System | None:
        """The running system; None after a crash, until somebody takes a turn."""
        return self._simulation.system

    # Its own rules.

    @rule(order=st.lists(st.integers(0, 7), min_size=1, max_size=20), fault=FAULT)
    def takes_turns(self, order: list[int], fault: str | None) -> None:
        """So many turns, each of one of those who can go on; 0 is the first of them. No time passes. A fault strikes when it can."""
        self._told(lambda: self._simulation.strike(fault))
        self._told(lambda: self._simulation.take_turns(order))

    @rule(minutes=MINUTES, fault=FAULT)
    def goes_on(self, minutes: int, fault: str | None) -> None:
        """Everybody goes on for a while. A fault strikes when it can."""
        self._told(lambda: self._simulation.strike(fault))
        self._told(lambda: self._simulation.go_on(timedelta(minutes=minutes)))

    @rule(minutes=MINUTES)
    def stands_still(self, minutes: int) -> None:
        """Time passes, and nobody gets to run."""
        self._simulation.pass_time(timedelta(minutes=minutes))

    def check_invariants(self, *arguments: Any, **options: Any) -> None:
        """After each step: what must hold at all times does, and what your own `@invariant`s say.

        Overridden, for Hypothesis writes a line for each invariant between the steps of a story.
        """
        self._told(self._simulation.look)
        super().check_invariants(*arguments, **options)

    def teardown(self) -> None:
        """The world heals, and everything must come to rest; unless a step has failed already."""
        try:
            if sys.exc_info()[1] is self._handled_around:  # no step has raised
                self._told(self._simulation.check)
        finally:
            self._simulation.end()
            self._logger.setLevel(self._level)

    def _told(self, deed: Callable[[], R]) -> R:
        try:
            return deed()
        except InvariantViolation as violation:
            say = note if currently_in_test_context() else violation.add_note  # the steps of a story can be run by hand too
            for line in told(self._simulation.story):
                say(line)
            raise
