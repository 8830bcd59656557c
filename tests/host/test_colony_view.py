"""`tallystick scenario run settlers`: a summary that is the same for the same colony, and a view of who does what."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tallystick.host import colony_view
from tallystick.host.cli import cli
from tallystick.host.programs import SETTLERS
from tallystick.host.verify import verify
from tallystick.scenarios.settlers.colony import Colony


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["scenario", "run", *arguments])


def test_the_last_line_of_json_is_the_summary_with_the_final_hash() -> None:
    lines = run("settlers", "--settlers", "8", "--minutes", "2", "--headless", "--json").stdout.splitlines()
    summary = json.loads(lines[-1])
    assert summary["ok"] is True
    assert summary["problems"] == []
    assert (summary["settlers"], summary["minutes"], summary["seed"], summary["steps"]) == (8, 2.0, 1, 2_400)
    assert summary["jobsDone"] > 0
    for counts in (summary["reliefs"], summary["openExecutions"]):
        assert list(counts) == sorted(counts), "the same line, byte by byte"
    with Colony(1, 8) as colony:
        colony.live(timedelta(minutes=2))
        assert summary["hash"] == colony.picture().hash


def test_another_seed_is_another_colony() -> None:
    one, other = (run("settlers", "--settlers", "4", "--minutes", "1", "--seed", seed, "--json").stdout for seed in "12")
    assert json.loads(one)["hash"] != json.loads(other)["hash"]


def test_people_are_told_how_it_ended() -> None:
    result = run("settlers", "--settlers", "4", "--minutes", "1")
    assert result.exit_code == 0, result.output
    assert "4 settlers, 1 minute in 1200 steps, " in result.stdout
    assert "Hash    " in result.stdout
    assert run("settlers", "--settlers", "1", "--minutes", "2").stdout.splitlines()[0].startswith("1 settler, 2 minutes in ")


def test_the_log_of_a_colony_stands_up_to_verification(tmp_path: Path) -> None:
    log = tmp_path / "colony.db"
    assert run("settlers", "--settlers", "6", "--minutes", "2", "--log", str(log), "--headless").exit_code == 0
    verified = verify(log, SETTLERS)
    assert verified.open > 0
    assert verified.dead_letters == 0


def test_the_log_of_a_colony_that_was_loaded_stands_up_to_it_from_where_it_was_saved(tmp_path: Path) -> None:
    save, log = tmp_path / "colony.save", tmp_path / "colony.db"
    with Colony(1, 6) as colony:
        colony.live(timedelta(minutes=1))
        colony.system.save(save)
    with Colony(1, 6, log, save=save) as loaded:
        loaded.live(timedelta(seconds=30))
        open_executions = len(loaded.system.open_executions())
    verified = verify(log, SETTLERS)
    assert verified.begins_after > 0
    assert verified.open == open_executions
    result = CliRunner().invoke(cli, ["verify", str(log), "--scenario", "settlers"])
    assert result.exit_code == 0, result.output
    assert f"up to position {verified.begins_after} is not in it" in result.stdout
    assert "adds up" not in result.stdout


def test_the_view_shows_settlers_their_queues_and_owners_open_executions() -> None:
    with Colony(1, 30) as colony:
        colony.live(timedelta(minutes=1))
        console = Console(width=160, record=True, file=None, quiet=False, force_terminal=False)
        with console.capture() as captured:
            console.print(colony_view.rendered(colony, colony_view.Life(settlers=30, minutes=2), 1.0))
        executions = colony.system.open_executions()
    shown = captured.get()
    assert "1.0 of 2 minutes, 60 times as fast as real time" in shown
    for owner in ("needs", "navigation", "work"):
        assert f"│ {owner:10} │ {sum(each.owner == owner for each in executions)}" in shown
    assert "settler-00020" in shown
    assert "settler-00021" not in shown
    assert "work Walk(" in shown


def test_the_view_tells_what_a_settler_does_from_what_was_interrupted() -> None:
    with Colony(1, 20) as colony:
        while not colony.system.health().queues_parked:
            assert colony.steps < 4_000, "somebody's work is interrupted by then"
            colony.step()
        queues = colony.system.queues("settlers")
        owners = {each.execution.token: each.owner for each in colony.system.open_executions()}
        console = Console(width=200, record=True, force_terminal=False)
        with console.capture() as captured:
            console.print(colony_view.rendered(colony, colony_view.Life(settlers=20, minutes=2), 1.0))
    interrupted = {settler: each for settler, each in queues.items() if each.parked}
    assert interrupted
    for settler, each in interrupted.items():
        (line,) = [line for line in captured.get().splitlines() if settler in line]
        assert each.active is not None
        assert re.search(rf"{owners[each.active]} \w+.*; parked: {owners[each.parked[-1]]} \w+", line)
    assert captured.get().count("parked: ") == sum(len(each.parked) for each in queues.values())


@pytest.mark.parametrize(
    "arguments",
    [("happy-path", "--settlers", "3"), ("happy-path", "--headless"), ("settlers", "--mermaid"), ("settlers", "--settlers", "0")],
)
def test_options_that_do_not_fit_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
