"""Looking for a failing run, as the tests of planted bugs do."""

import re
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


def assert_found(program: Any, *, seeds: int, faults: Faults, invariant: str, said: str) -> None:
    """Some seed finds a violation of that invariant and no other first, says so in words that match, and repeats it."""
    result = found(program, seeds, faults)
    assert result is not None, "no seed has found it"
    assert result.violation is not None
    assert result.violation.invariant == invariant, str(result.violation)
    assert re.search(said, str(result.violation)), str(result.violation)
    assert str(Simulation(program, result.seed, faults=faults).run().violation) == str(result.violation), "the seed repeats it"
