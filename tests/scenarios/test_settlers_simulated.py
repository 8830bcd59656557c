"""The colony in the simulator: clean through all faults, repeatable, and it finds what it is there to find."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.settlers.events import NeedNotMet, TaskDone
from tallystick.scenarios.settlers.needs import NeedsManager
from tallystick.scenarios.settlers.simulated import ACTS_WITHIN, LAND, PATHS, SimulatedColony
from tallystick.scenarios.settlers.system import modules
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.work import WorkManager
from tallystick.scenarios.settlers.works import Works
from tallystick.testing import Chance, InvariantViolation, Simulation, probabilities
from tallystick.testing.faults import RECOVERY_PATHS


@pytest.mark.parametrize("seed", [8, 11, 1001, 1687])
def test_no_token_is_left_and_nobody_is_stuck_through_all_faults(seed: int) -> None:
    result = Simulation(SimulatedColony, seed).check()
    assert sum(result.faults.values()) > 0
    assert result.records > 100


def test_all_is_looked_at_in_peace_for_longer_than_anybody_may_do_nothing() -> None:
    colonies: list[SimulatedColony] = []

    class Kept(SimulatedColony):
        def __init__(self, chance: Chance) -> None:
            super().__init__(chance)
            colonies.append(self)

    for seed in (0, 5):
        Simulation(Kept, seed).check()
    assert [colony.peace for colony in colonies] == [SimulatedColony.steps_after_healing] * 2
    assert SimulatedColony.steps_after_healing > ACTS_WITHIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2_000, 2_030))
def test_so_it_is_for_many_seeds(seed: int) -> None:
    Simulation(SimulatedColony, seed).check()


def test_a_seed_repeats() -> None:
    assert Simulation(SimulatedColony, 3).run() == Simulation(SimulatedColony, 3).run()


def test_it_meets_none_of_the_faults_of_an_outside_world_that_it_does_not_have() -> None:
    counts: Counter[str] = Counter()
    likely = {kind: min(1.0, 8 * probability) for kind, probability in probabilities("all").items()}
    runs = (
        Simulation(SimulatedColony, 1, faults=likely, log="memory", minutes=5.0),
        Simulation(SimulatedColony, 2, faults=likely, log="sqlite", minutes=5.0),
    )
    for run in runs:
        result = run.check()
        counts += result.faults + result.paths
    assert SimulatedColony.cannot_meet <= {*likely, *RECOVERY_PATHS}
    assert len(counts) > 20
    assert not SimulatedColony.cannot_meet & set(counts)


class NeverAgain(NeedsManager):
    """Forgets that an attempt has ended that came to nothing."""

    @ts.folds(NeedNotMet, Wellbeing)
    def not_met(self, wellbeing: Wellbeing, event: NeedNotMet) -> Wellbeing:
        del event
        return wellbeing


class Forgotten(WorkManager):
    """Forgets to look again at whoever has done a task."""

    @ts.folds(TaskDone, Works)
    def task_done(self, works: Works, event: TaskDone) -> Works:
        done = super().task_done(works, event)
        return done if event.settler != "settler-00002" else works.task_done(event.settler, 1 << 61)


@pytest.mark.parametrize(("bug", "invariant"), [(NeverAgain(LAND, PATHS), "L2"), (Forgotten(LAND, PATHS), "L")])
def test_a_planted_bug_is_found(bug: ts.Module, invariant: str) -> None:
    class Buggy(SimulatedColony):
        def modules(self) -> Sequence[ts.Module]:
            return [bug if each.name == bug.name else each for each in modules(LAND, PATHS)]

    def found(seed: int) -> Any:
        return Simulation(Buggy, seed, faults="none").run().violation

    violations = [violation for seed in range(12) if (violation := found(seed)) is not None]
    assert violations
    assert isinstance(violations[0], InvariantViolation)
    assert violations[0].invariant.startswith(invariant)
