"""A colony that was saved and loaded, and the one that was never saved, are the same colony: record by record, hash by hash."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.scenarios.settlers.colony import STEPS_A_SECOND, Colony
from tallystick.scenarios.settlers.migration import SAVES
from tallystick.scenarios.settlers.system import LINES, modules, performers
from tallystick.store.log import Head
from tallystick.store.save_file import framed, read_save

SETTLERS = 12
SECONDS = 60
SAVED_AT = (1, 30, 31, 99, 160, 333, 500, 777, 1000, 1180)

Standing = tuple[Head, Any]


def standing(colony: Colony) -> Standing:
    return colony.system._life.log.head(), colony.picture().hash


def loaded(colony: Colony, path: Path) -> Colony:
    """Another colony, from the save of one; its host counts its steps on."""
    colony.system.save(path)
    other = Colony(1, SETTLERS)
    other.steps = colony.steps
    other.clock = ts.ManualClock()
    runtime = ts.SteppedRuntime(other.clock, seed=1)
    other.system = ts.System.load(path, modules(other.land), performers=performers(), lines=LINES, runtime=runtime)
    other.system.__enter__()
    return other


@pytest.fixture(scope="module")
def never_saved() -> list[Standing]:
    with Colony(1, SETTLERS) as colony:
        standings: list[Standing] = []
        for _ in range(SECONDS * STEPS_A_SECOND):
            colony.step()
            standings.append(standing(colony))
        return standings


@pytest.mark.parametrize("at", SAVED_AT)
def test_a_loaded_colony_lives_on_as_the_one_that_was_never_saved(at: int, never_saved: list[Standing], tmp_path: Path) -> None:
    with Colony(1, SETTLERS) as colony:
        for _ in range(at):
            colony.step()
        other = loaded(colony, tmp_path / "colony.save")
        assert standing(other) == standing(colony) == never_saved[at - 1]
        for step in range(at, len(never_saved)):
            other.step()
            assert standing(other) == never_saved[step], f"step {step}"
        other.system.stop()


def test_a_colony_that_is_saved_and_loaded_again_and_again_is_still_the_same(never_saved: list[Standing], tmp_path: Path) -> None:
    colony = Colony(1, SETTLERS)
    colony.__enter__()
    every = itertools.cycle((7, 40, 111))
    save_at = next(every)
    for step, expected in enumerate(never_saved):
        colony.step()
        assert standing(colony) == expected, f"step {step}"
        if step == save_at:
            before, colony = colony, loaded(colony, tmp_path / "colony.save")
            before.system.stop()
            save_at += next(every)
    colony.system.stop()


def test_interruptions_and_tickers_are_in_those_saves() -> None:
    """The property says little unless something is under way at the points at which it is saved."""
    seen: set[str] = set()
    with Colony(1, SETTLERS) as colony:
        for step in range(max(SAVED_AT)):
            colony.step()
            health = colony.system.health()
            if step + 1 in SAVED_AT:
                seen |= {what for what in ("queues_parked", "queues_ticking", "queues_waiting", "timers") if getattr(health, what)}
    assert {"queues_ticking", "timers"} <= seen


# The version before


def as_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """A colony as it was saved when queues said themselves what they were for, and owners kept no record of it."""
    records = {each["record"]["token"]: each for owner in document["owners"].values() for each in owner["state"].pop("executions")}
    for line in document["queues"]["lines"]:
        queues = [*([line["active"]] if line.get("active") else []), *line.get("parked", ()), *line.get("waiting", ())]
        for queue in queues:
            execution = records.pop(queue["context"]["token"])
            started = execution["started"]
            intent = started["intent"]
            queue["actions"], queue["priority"] = started["actions"], started.get("priority", 200)
            if execution["operation"] == "Working":
                interruption = started.get("interruption", "deferred")
                queue["context"] = {"kind": "Work", "settlerId": intent["settler"], "step": intent["task"], "interruption": interruption}
            else:
                need = {"needType": intent["need"], "relief": intent["relief"]}
                queue["context"] = {"kind": "Need", "settlerId": intent["settler"], **need}
    assert records == {}
    document["queues"]["ticking"] = []
    document["timers"] = []
    document["program"] = {"name": "settlers", "version": 1}
    return document


@pytest.mark.parametrize("at", [30, 160, 500])
def test_a_colony_of_version_1_is_migrated_and_lives_on(at: int, tmp_path: Path) -> None:
    path = tmp_path / "colony.save"
    with Colony(1, SETTLERS) as colony:
        for _ in range(at):
            colony.step()
        colony.system._saves = SAVES
        colony.system.save(path)
        picture = colony.picture().hash
    path.write_bytes(framed(msgspec.json.encode(as_version_1(msgspec.json.decode(read_save(path))))))
    runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
    other = Colony(1, SETTLERS)
    other.steps, other.clock = at, runtime.clock
    other.system = ts.System.load(path, modules(other.land), performers=performers(), lines=LINES, runtime=runtime, saves=SAVES)
    with other.system:
        assert other.picture().hash == picture
        contexts = msgspec.json.decode(msgspec.json.encode(other.system._life.engine.queue.saved()))["lines"]
        assert {tuple(sorted(line["active"]["context"])) for line in contexts if line.get("active")} == {("owner", "token")}
        ended = other.system.health().tail
        for _ in range(30 * STEPS_A_SECOND):
            other.step()
        assert sum(1 for each in other.system.events(after=ended) if each.settles == "succeeded") > SETTLERS
        assert not other.system.health().counters.get("stale_queue_tokens")
