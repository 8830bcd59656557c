"""Shrinking: of all the wishes and faults of a failing run, a few that suffice for the same violation (delta debugging)."""

from collections.abc import Callable, Sequence
from typing import Final

from tallystick.testing.faults import Hit
from tallystick.testing.options import Script
from tallystick.testing.simulation import SimulationResult

TRIES_LIMIT: Final = 300
STEPS_LIMIT: Final = 2_000_000
"""So many turns all tries together may take: a run that never comes to rest takes as many as a simulation allows, each time."""

Item = int | Hit
"""A wish, by its number, or a fault."""


def shrink(run: Callable[[Script], SimulationResult], failing: SimulationResult, tries: int = TRIES_LIMIT) -> SimulationResult:
    """A run of as few wishes and faults as can be found in so many tries, and a few minutes, that violates the same invariant.

    Whole halves are left out first, then smaller and smaller parts (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing
    input", 2002). What is left out changes no draw of what stays, though it may come at another moment.
    """
    if failing.violation is None:
        return failing
    best = failing
    items: list[Item] = [*failing.script.faults, *sorted(failing.script.wishes)]
    parts, steps = 2, STEPS_LIMIT
    while len(items) > 1 and tries > 0 and steps > 0:
        size = max(len(items) // parts, 1)
        for start in range(0, len(items), size):
            tries -= 1
            fewer = items[:start] + items[start + size :]
            result = run(_script(fewer))
            steps -= result.steps
            if result.violation is not None and result.violation.invariant == failing.violation.invariant:
                items, best, parts = fewer, result, max(parts - 1, 2)
                break
            if tries <= 0 or steps <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(items))
    return best


def _script(items: Sequence[Item]) -> Script:
    return Script(frozenset(each for each in items if isinstance(each, int)), tuple(each for each in items if isinstance(each, Hit)))
