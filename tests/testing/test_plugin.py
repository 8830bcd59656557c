"""The pytest plugin, in test sessions of their own."""

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = "tallystick.testing.plugin"
INSTALLED = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
LOADED = () if INSTALLED else ("-p", PLUGIN)  # where the project is on the path without being installed
QUICKER = [f"-pno:{name}" for name in ("randomly", "cacheprovider", "hypothesispytest", "xdist", "pytest_cov")]

SEEDED = """
def test_seeded(tallystick_seed):
    print("seed", tallystick_seed)
    assert tallystick_seed != 7
"""

PROGRAM = """
from datetime import timedelta

import pytest
import tallystick as ts

class Rung(ts.Event):
    aggregate_type = "Bell"
    @property
    def aggregate_id(self):
        return "bell"

class Answering(ts.Intent[str]):
    timeout = timedelta(minutes=5)

class Answer(ts.Action[str]):
    pass

class Ring(ts.Command[str]):
    pass

class Bell(ts.Aggregate):
    rung: int = 0

class House(ts.Module):
    name = "house"

    @ts.handles(Ring)
    def ring(self, turn, command):
        yield Rung()
        yield ts.Begin(intent=Answering(), actions=(Answer(),))
        return turn.new_id()

    @Answering.settled
    def answered(self, turn, answering, outcome):
        return ()

    @ts.folds(Rung, Bell)
    def rung(self, bell, event):
        return Bell(rung=bell.rung + 1)

NOBODY = Answer.performed_by(lambda action, call: ts.Later())
"""


def run(pytester: pytest.Pytester, test: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=test)
    return pytester.runpytest_inprocess(*LOADED, *QUICKER, *arguments)


def test_the_header_says_the_seed_that_was_drawn(pytester: pytest.Pytester) -> None:
    result = run(pytester, SEEDED, "-s")
    (header,) = (line for line in result.outlines if line.startswith("tallystick: "))
    seed = header.rpartition("=")[2]
    result.stdout.fnmatch_lines([f"*seed {seed}"])
    result.assert_outcomes(passed=1)


def test_each_session_draws_another(pytester: pytest.Pytester) -> None:
    headers = {line for _ in range(2) for line in run(pytester, SEEDED).outlines if line.startswith("tallystick: ")}
    assert len(headers) == 2


def test_a_failure_says_the_command_that_repeats_it(pytester: pytest.Pytester) -> None:
    result = run(pytester, SEEDED, "--tallystick-seed=7")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["tallystick: --tallystick-seed=7", "To repeat it: pytest test_it.py::test_seeded --tallystick-seed=7"])


def test_a_failure_of_a_parametrized_test_is_quoted_for_the_shell(pytester: pytest.Pytester) -> None:
    program = "import pytest\n@pytest.mark.parametrize('x', ['a b'])\ndef test_it(tallystick_seed, x):\n    assert not x\n"
    run(pytester, program, "--tallystick-seed=7").stdout.fnmatch_lines(
        ["To repeat it: pytest 'test_it.py::test_it?a b?' --tallystick-seed=7"]
    )


def test_a_failure_without_the_seed_says_nothing(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it():\n    assert False\n")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("To repeat it*")


def test_a_simulation_that_fails_shows_the_test_and_nothing_of_its_own_code(pytester: pytest.Pytester) -> None:
    test = """
from tallystick.testing import InvariantViolation, SimulatedProgram, Simulation

class Never:
    def take(self, recorded, event):
        raise InvariantViolation("NEVER", "something was written")

class Houses(SimulatedProgram):
    def modules(self):
        return [House()]
    def performers(self):
        return [NOBODY]
    def invariants(self):
        return [Never()]

def test_it():
    Simulation(Houses, 1, faults="none").check()
"""
    result = run(pytester, PROGRAM + test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['>*Simulation(Houses, 1, faults="none").check()', "E*NEVER: something was written (seed 1)"])
    result.stdout.no_fnmatch_line("*raise result.violation*")


def test_a_system_runs_in_virtual_time_and_is_stopped(pytester: pytest.Pytester) -> None:
    test = """
opened = []

def test_it(tallystick_system, tallystick_runtime, tallystick_clock):
    system = tallystick_system([House()], performers=[NOBODY])
    opened.append(system)
    system.ask(Ring())
    begun = tallystick_clock.now
    assert len(system.open_executions()) == 1
    tallystick_runtime.advance(timedelta(minutes=6))
    assert tallystick_clock.now - begun >= timedelta(minutes=6)
    assert system.open_executions() == ()
    assert system.get(Bell, "bell") == Bell(rung=1)

def test_it_was_stopped():
    assert opened[0].health().status == "stopped"
"""
    run(pytester, PROGRAM + test, "-W", "error").assert_outcomes(passed=2)


def test_the_same_seed_gives_the_same_ids(pytester: pytest.Pytester) -> None:
    test = "def test_it(tallystick_system):\n    print('id', tallystick_system([House()], performers=[NOBODY]).ask(Ring()))\n"
    lines = [
        line
        for seed in (7, 7, 8)
        for line in run(pytester, PROGRAM + test, "-s", f"--tallystick-seed={seed}").outlines
        if " id " in line or line.startswith("id ")
    ]
    first, second, third = (line.rpartition("id ")[2] for line in lines)
    assert first == second != third


def test_a_stopped_system_is_opened_again_on_its_log(pytester: pytest.Pytester) -> None:
    test = """
def test_it(tallystick_system):
    log = ts.MemoryLog()
    first = tallystick_system([House()], performers=[NOBODY], log=log)
    first.ask(Ring())
    first.stop()
    second = tallystick_system([House()], performers=[NOBODY], log=log.reopened())
    assert second.get(Bell, "bell") == Bell(rung=1)
    assert len(second.open_executions()) == 1
    with pytest.raises(pytest.fail.Exception, match="stop it before"):
        tallystick_system([House()], performers=[NOBODY])
"""
    run(pytester, PROGRAM + test).assert_outcomes(passed=1)


def test_the_fixtures_are_described(pytester: pytest.Pytester) -> None:
    result = run(pytester, SEEDED, "--fixtures")
    described = {line.partition(" ")[0] for line in result.outlines if line.startswith("tallystick_")}
    assert described == {"tallystick_seed", "tallystick_runtime", "tallystick_clock", "tallystick_system"}


def test_the_plugin_is_found_by_pytest() -> None:
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["entry-points"]["pytest11"] == {"tallystick": PLUGIN}


def test_a_project_that_does_not_use_the_plugin_pays_nothing_for_it() -> None:
    program = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert {each for each in done.stdout.split() if not each.startswith("tallystick")} == set()
    assert "tallystick.actors" not in done.stdout
