"""Looking for a failing run, as the tests of planted bugs do."""

from typing import Any

from tallystick.testing import Simulation, SimulationResult
from tallystick.testing.options import Faults


def found(program: Any, seeds: int = 120, faults: Faults = "all") -> SimulationResult | None:
    """The first failing run."""
    for seed in range(1, seeds + 1):
        result = Simulation(program, seed, faults=faults).run()
        if result.violation is not None:
            return result
    return None
