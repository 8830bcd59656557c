"""The host of a simulated program that is driven in steps, as the loop of a game is. Where a program has no steps, it does nothing."""

from tallystick.actors.system import System
from tallystick.domain.errors import StepFailed
from tallystick.testing.handlers import PlantedFailure
from tallystick.testing.processes import REFUSED, Processes
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.world import World


class Host:
    """Takes steps, process after process, for as long as it is told to."""

    def __init__(self, world: World, program: SimulatedProgram, processes: Processes) -> None:
        self._world = world
        self._program = program
        self._processes = processes
        self._until_us = 0
        self._is_mended = False

    def goes_on(self, until_us: int, *, mended: bool = False) -> None:
        """Have it take steps until that time. `mended`: nothing disturbs them any more, so the program may look at what came of them."""
        self._until_us = until_us
        self._is_mended = mended

    @property
    def is_undisturbed(self) -> bool:
        """Whether it takes steps of which the program looks at each: no time passes between them."""
        return self._is_mended and bool(self._program.step) and self._world.now_us < self._until_us

    def step(self) -> bool:
        """Take a step; False when there is none to take any more.

        Raises:
            InvariantViolation: what the program says does not hold.
            StepFailed: a module failed by itself.
        """
        if not self._program.step or self._world.now_us >= self._until_us:
            return False
        system, runtime, _ = self._processes.running
        try:
            system.step(self._program.step)
        except StepFailed as failed:
            if not isinstance(failed.__cause__, PlantedFailure):
                raise
        except REFUSED:
            self._gave_up(system)
        else:
            self._gave_up(system)
            if self._is_mended:
                self._program.stepped(system, runtime.clock.now)
        return True

    def _gave_up(self, system: System) -> None:
        customers = self._processes.customers
        if customers is not None and system.health().status == "failed":
            customers.turned_away = True
