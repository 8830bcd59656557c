"""Shrinking, on runs that are made up: which wishes and faults it takes is known."""

from collections import Counter
from collections.abc import Callable

from tallystick.testing import Hit, InvariantViolation, Script, SimulationResult, shrink

Fails = Callable[[Script], bool]


def ran(script: Script, *, fails: bool, steps: int = 1) -> SimulationResult:
    violation = InvariantViolation("S1", "twice") if fails else None
    return SimulationResult(1, steps, Counter(), 0.0, 0, "", violation, script, (), Counter())


def shrunk(script: Script, fails: Fails, tries: int = 300) -> Script:
    def run(tried: Script) -> SimulationResult:
        return ran(tried, fails=fails(tried))

    return shrink(run, ran(script, fails=True), tries).script


def test_what_it_does_not_take_is_left_out() -> None:
    script = Script(frozenset(range(20)), (Hit("late", 3), Hit("hung", 1), Hit("late", 7)))
    found = shrunk(script, lambda tried: {4, 11} <= tried.wishes and Hit("hung", 1) in tried.faults)
    assert found == Script(frozenset({4, 11}), (Hit("hung", 1),))


def test_a_fault_comes_sooner_when_what_came_before_it_is_left_out() -> None:
    def fails(tried: Script) -> bool:
        """The answer to wish 4 is late: as many answers as there are other wishes before it come before."""
        return 4 in tried.wishes and Hit("late", len([wish for wish in tried.wishes if wish <= 4])) in tried.faults

    found = shrunk(Script(frozenset(range(6)), (Hit("late", 5), Hit("crash.step", 2))), fails)
    assert found == Script(frozenset({4}), (Hit("late", 1),))


def test_two_faults_of_a_kind_never_fall_together() -> None:
    def fails(tried: Script) -> bool:
        assert len(set(tried.faults)) == len(tried.faults)
        return 2 in tried.wishes and len(tried.faults) == 2

    found = shrunk(Script(frozenset({1, 2}), (Hit("late", 1), Hit("late", 2))), fails)
    assert (found.wishes, found.faults) == (frozenset({2}), (Hit("late", 1), Hit("late", 2)))


def test_it_ends_with_its_tries_or_when_they_take_too_long() -> None:
    script, tried = Script(frozenset(range(6)), (Hit("late", 40),)), list[Script]()

    def never(each: Script) -> SimulationResult:
        tried.append(each)
        return ran(each, fails=False, steps=300_000)

    assert shrink(never, ran(script, fails=True), 5).script == script
    assert len(tried) == 5
    tried.clear()
    assert shrink(never, ran(script, fails=True)).script == script
    assert len(tried) == 7, "two million turns"
