"""Simulations: survived by the library, whatever goes wrong, and the same again for the same seed."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

import tallystick as ts
from tallystick.host.simulate import SIMULATED
from tallystick.scenarios.subscription_renewal.simulated import SimulatedSubscriptions
from tallystick.scenarios.tiny_store.simulated import BusyStore, SimulatedStore
from tallystick.testing import Script, Simulation, check_all_hit, diagram, probabilities, shrink, simulation, told
from tallystick.testing.faults import GROUPS, RECOVERY_PATHS
from tallystick.testing.invariants import EVERYTHING_EVERY_TURNS
from tests.testing.shops import SimulatedWorkshop

PROGRAM = """
import json
from tallystick.host.simulate import SIMULATED
from tallystick.testing import Simulation, told
for name, log, seed in [(name, log, seed) for name in sorted(SIMULATED) for log in ("memory", "sqlite") for seed in (3, 4)]:
    minutes = {"minutes": 1} if name == "settlers" else {}
    result = Simulation(SIMULATED[name], seed, tells=True, log=log, **minutes).run()
    print(json.dumps([name, log, result.steps, result.digest, sorted(result.faults.items()), list(told(result.story))]))
"""


def run_in_a_process(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own command
    return run.stdout.splitlines()


def test_the_same_seed_gives_the_same_run_in_another_process_with_another_hash_seed() -> None:
    one, other = run_in_a_process("0"), run_in_a_process("4711")
    assert one == other
    digests = {json.loads(line)[3] for line in one}
    assert len(digests - {""}) == len(one) == 4 * len(SIMULATED)


def test_another_seed_or_strategy_gives_another_run() -> None:
    runs = [Simulation(SimulatedStore, 5, strategy="uniform").run(), Simulation(SimulatedStore, 5, strategy="priorities").run()]
    runs.append(Simulation(SimulatedStore, 6, strategy="uniform").run())
    assert len({run.digest for run in runs}) == 3


def simulated(faults: str, seeds: range, program: type[SimulatedStore] | type[SimulatedWorkshop] = SimulatedStore) -> Counter[str]:
    """What the faults were, and which paths recovery took."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        result = Simulation(program, seed, faults=faults).check()
        counts += result.faults + result.paths
    return counts


@pytest.mark.parametrize("fault", GROUPS)
def test_each_fault_alone_is_hit_and_survived(fault: str) -> None:
    """Likelier than usual, so that a few seeds suffice."""
    likely = {kind: min(1.0, 8 * probability) for kind, probability in probabilities(fault).items()}
    counts: Counter[str] = Counter()
    for seed in range(1, 9):
        for program in (SimulatedStore, SimulatedWorkshop):
            counts += Simulation(program, seed, faults=likely).check().faults
    check_all_hit(likely, counts)
    assert set(counts) == set(likely)


def test_without_faults_nothing_goes_wrong_and_none_is_counted() -> None:
    assert not set(simulated("none", range(1, 6))) & set(probabilities("all"))


def test_a_long_run_is_held_against_its_log_as_a_whole_now_and_then() -> None:
    result = Simulation(BusyStore, 2, faults="none").check()
    assert result.steps > 5 * EVERYTHING_EVERY_TURNS
    assert result.records > 3000


def test_all_faults_together_are_survived_by_the_store_with_three_hundred_seeds() -> None:
    check_all_hit([*probabilities("all"), *RECOVERY_PATHS], simulated("all", range(1, 301)))


def test_all_faults_together_are_survived_by_a_program_of_another_kind() -> None:
    check_all_hit(probabilities("all"), simulated("all", range(1, 61), SimulatedWorkshop))


def test_a_run_that_is_repeated_from_its_script_is_the_same_run() -> None:
    drawn = Simulation(SimulatedStore, 7).run()
    again = Simulation(SimulatedStore, 7, script=drawn.script).run()
    assert (again.digest, again.faults, again.steps) == (drawn.digest, drawn.faults, drawn.steps)


def test_a_story_is_told_in_lines_and_as_a_diagram() -> None:
    result = Simulation(SimulatedStore, 7, tells=True).run()
    lines, drawn = list(told(result.story)), list(diagram(result.story))
    assert any("OrderPlaced" in line for line in lines)
    assert drawn[0] == "sequenceDiagram"
    assert "    participant orders" in drawn
    assert any("⚡" in line for line in drawn)
    assert not [line for line in drawn[1:] if ";" in line or "#" in line]
    assert Simulation(SimulatedStore, 7).run().digest == result.digest, "telling changes nothing"


def test_a_run_without_violation_does_not_shrink() -> None:
    result = Simulation(SimulatedStore, 7).run()
    assert shrink(lambda _script: pytest.fail("nothing is to be tried"), result) is result


def test_a_script_without_anything_is_a_run_without_anything() -> None:
    result = Simulation(SimulatedStore, 7, script=Script(frozenset(), ())).check()
    assert (result.faults, result.script) == (Counter(), Script(frozenset(), ()))


def test_an_error_that_nobody_handles_is_a_violation_that_names_the_seed() -> None:
    class Broken(SimulatedWorkshop):
        def deliver(self, system: ts.System) -> None:
            del system
            msg = "no provider is that way"
            raise ValueError(msg)

    failing = next(result for seed in range(30) if (result := Simulation(Broken, seed, faults="none").run()).violation is not None)
    assert str(failing.violation) == f"ERROR: ValueError: no provider is that way (seed {failing.seed})"
    assert failing.violation is not None
    assert isinstance(failing.violation.__cause__, ValueError)


def test_what_fails_and_is_tried_again_all_year_has_been_tried_often_enough_at_some_point(monkeypatch: pytest.MonkeyPatch) -> None:
    # A handler that raises until the world heals, which for this program is after 400 days of retries, floods and crashes.
    monkeypatch.setattr(simulation, "STEPS_WITH_FAULTS", 2_000)
    result = Simulation(SimulatedSubscriptions, 895).check()
    assert 2_000 < result.steps < 4_000


def test_a_key_that_was_used_anew_when_its_time_was_over_has_the_new_answer_even_if_the_clock_goes_back() -> None:
    Simulation(SimulatedSubscriptions, 2228).check()  # a flood after 40 days, then a clock that is set back by 20
