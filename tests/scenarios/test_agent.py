"""The agent: each call of a tool is bracketed, tried again, can be cancelled, and is not made twice, wherever it is killed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import tallystick as ts
from tallystick.scenarios.agent.loop import Agent, Answer, Arguments, Stopped, ToolCall, TooManySteps

CALLS = 4
PROGRAM = """
import os, sys
from pathlib import Path
import tallystick as ts
from tallystick.scenarios.agent.loop import Agent, Answer, ToolCall

folder, dies_at = Path(sys.argv[1]), sys.argv[2]

def told(file, line):
    with (folder / file).open("a") as out:
        print(line, file=out)

def model(results):
    told("asked", len(results))
    if dies_at == f"asked {len(results)}":
        os._exit(9)
    return Answer(",".join(results)) if len(results) == 4 else ToolCall("look", {"number": len(results)})

def look(arguments, key):
    told("called", f"{arguments['number']} {key}")
    if dies_at == f"called {arguments['number']}":
        os._exit(9)
    return f"r{arguments['number']}"

with ts.System(log=folder / "agent.db") as system:
    answer = Agent(system, model, {"look": look}).run("one")
    if dies_at == "answered":
        os._exit(9)
    print(answer)
"""


def scripted(results: Sequence[str]) -> ToolCall | Answer:
    return Answer(" ".join(results)) if len(results) == CALLS else ToolCall("look", {"number": len(results)})


def test_killed_wherever_it_stands_it_ends_the_same_and_completes_no_call_twice(tmp_path: Path) -> None:
    said = ""
    for dies_at in ("asked 0", "called 0", "asked 2", "called 3", "asked 4", "answered", "never"):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), dies_at]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own program
        assert done.returncode == (0 if dies_at == "never" else 9), done.stderr
        said = done.stdout
    assert said == "r0,r1,r2,r3\n"
    called = (tmp_path / "called").read_text().splitlines()
    cut_off = {"0", "3"}
    assert [number for number in "0123" for line in called if line.split()[0] == number] == [*"00", "1", "2", *"33"]
    assert {line.split()[0] for line in called if called.count(line) > 1} == cut_off, "those that were cut off have the same key again"
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["0", "0", "1", "2", "2", "3", "4", "4"], "what the model has said it is not asked again"


def test_a_tool_that_fails_is_tried_again_and_then_the_model_hears_of_it() -> None:
    attempts: list[Arguments] = []

    def flaky(arguments: Arguments, _key: str) -> str:
        attempts.append(arguments)
        if arguments["number"] == 0 and len(attempts) < 3:
            raise ConnectionError
        if arguments["number"] == 1:
            text = "no"
            raise ValueError(text)
        return "ok"

    with ts.System() as system:
        assert Agent(system, scripted, {"look": flaky}).run("one") == "ok error: ValueError: no ok ok"
        assert len(attempts) == 3 + 3 + 1 + 1
        notes = [each.event_type for each in system.events(event_types=("OperationNoted",))]
        assert len(notes) == 2 + 3
        parents = {each.parent for each in system.operations.find(name_prefix="Agent.ToolCall")}
        assert parents == {system.operations.find(name_prefix="Agent.Run")[0].operation_id}


def test_it_is_cancelled_between_two_steps() -> None:
    with ts.System() as system:

        def look(arguments: Arguments, _key: str) -> str:
            if arguments["number"] == 1:
                run = system.operations.find(name_prefix="Agent.Run")[0]
                system.operations.cancel(run.operation_id, by="ann", why="enough")
            return "ok"

        with pytest.raises(Stopped):
            Agent(system, scripted, {"look": look}).run("one")
        assert len(system.operations.find(name_prefix="Agent.ToolCall")) == 2
        assert system.operations.find(name_prefix="Agent.Run")[0].status == "Canceled"


def test_a_model_that_comes_to_no_end_fails_the_run() -> None:
    with ts.System() as system:
        with pytest.raises(TooManySteps):
            Agent(system, lambda _results: ToolCall("unknown", {}), {}).run("one")
        assert system.operations.find(name_prefix="Agent.Run")[0].status == "Failed"
