"""Shrinking: of all the wishes and faults of a failing run, a few that suffice for the same violation (delta debugging)."""

from collections.abc import Callable, Sequence
from typing import Final

from tallystick.testing.faults import Hit
from tallystick.testing.options import Script
from tallystick.testing.simulation import SimulationResult

TRIES_LIMIT: Final = 300
STEPS_LIMIT: Final = 2_000_000
"""So many turns all tries together may take: a run that never comes to rest takes as many as a simulation allows, each time."""

SOONER_LIMIT: Final = 8
"""So many opportunities earlier a fault is tried, when what came before it is left out."""

Item = int | Hit
"""A wish, by its number, or a fault."""


def shrink(run: Callable[[Script], SimulationResult], failing: SimulationResult, tries: int = TRIES_LIMIT) -> SimulationResult:
    """A run of as few wishes and faults as can be found in so many tries, and a few minutes, that violates the same invariant.

    Whole halves are left out first, then smaller and smaller parts (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing
    input", 2002). What is left out changes no draw of what stays, though it may come at another moment. Then wishes are left out one by one
    while a fault comes so much sooner: "the third answer is late" is the first one's, when two others were never asked for.
    """
    if failing.violation is None:
        return failing
    search = _Search(run, failing, tries)
    _leave_out_parts(search)
    while _leave_out_what_came_before(search):
        pass
    return search.best


class _Search:
    """What was found so far, and how much may still be tried."""

    def __init__(self, run: Callable[[Script], SimulationResult], failing: SimulationResult, tries: int) -> None:
        self.best = failing
        self.items: list[Item] = [*failing.script.faults, *sorted(failing.script.wishes)]
        self._run = run
        self._tries = tries
        self._steps = STEPS_LIMIT

    def is_over(self) -> bool:
        """Whether nothing more may be tried."""
        return self._tries <= 0 or self._steps <= 0

    def suffice(self, items: list[Item]) -> bool:
        """Whether these bring it about, too; then they are what was found."""
        result = self._run(_script(items))
        self._tries -= 1
        self._steps -= result.steps
        if result.violation is None or self.best.violation is None or result.violation.invariant != self.best.violation.invariant:
            return False
        self.items, self.best = items, result
        return True


def _leave_out_parts(search: _Search) -> None:
    parts = 2
    while len(search.items) > 1 and not search.is_over():
        items, size = search.items, max(len(search.items) // parts, 1)
        for start in range(0, len(items), size):
            if search.suffice(items[:start] + items[start + size :]):
                parts = max(parts - 1, 2)
                break
            if search.is_over():
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(items))


def _leave_out_what_came_before(search: _Search) -> bool:
    """Leave out one wish, while one fault comes sooner; False when none can be."""
    for wish in (each for each in search.items if isinstance(each, int)):
        for hit in (each for each in search.items if isinstance(each, Hit)):
            for sooner in range(hit.opportunity - 1, max(hit.opportunity - 1 - SOONER_LIMIT, 0), -1):
                if search.is_over():
                    return False
                moved = Hit(hit.kind, sooner)
                if moved not in search.items and search.suffice([moved if each == hit else each for each in search.items if each != wish]):
                    return True
    return False


def _script(items: Sequence[Item]) -> Script:
    return Script(frozenset(each for each in items if isinstance(each, int)), tuple(each for each in items if isinstance(each, Hit)))
