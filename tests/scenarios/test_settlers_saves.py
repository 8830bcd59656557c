"""A colony that was saved and loaded, and the one that was never saved, are the same colony: record by record, hash by hash."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.protocol import EXECUTION
from tallystick.host.programs import SETTLERS as PROGRAM
from tallystick.host.verify import verify
from tallystick.scenarios.settlers.colony import STEP, STEPS_A_SECOND, Colony
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
    """Another colony, from the save of one."""
    colony.system.save(path)
    return Colony(colony.land.seed, colony.settlers, save=path).__enter__()


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


def test_no_token_of_before_a_save_is_begun_again_after_it(tmp_path: Path) -> None:
    with Colony(1, SETTLERS) as colony:
        for _ in range(333):
            colony.step()
        saved_at = colony.system._life.log.head().position
        used = {each.token for each in colony.system.events() if each.token is not None}
        other = loaded(colony, tmp_path / "colony.save")
        for _ in range(600):
            other.step()
        new = other.system.events(after=saved_at)
        begun = [each.token for each in new if each.aggregate_type == EXECUTION and each.aggregate_version == 1]
        assert len(set(begun)) == len(begun) > SETTLERS
        assert used.isdisjoint(begun)
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


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(1, 10_000), settlers=st.integers(1, 20), points=st.sets(st.integers(1, 800), min_size=1, max_size=4))
def test_wherever_whatever_colony_is_saved_and_loaded_it_is_still_the_same(seed: int, settlers: int, points: set[int]) -> None:
    with Colony(seed, settlers) as never_left, tempfile.TemporaryDirectory() as folder:
        colony = Colony(seed, settlers).__enter__()
        for step in range(1, 801):
            colony.step()
            never_left.step()
            assert standing(colony) == standing(never_left), f"step {step}"
            if step in points:
                before, colony = colony, loaded(colony, Path(folder) / "colony.save")
                before.system.stop()
        colony.system.stop()


def test_a_colony_saved_in_the_midst_of_an_interruption_lives_on_as_the_one_that_was_never_saved(tmp_path: Path) -> None:
    with Colony(1, 20) as colony:
        while not colony.system.health().queues_parked:
            assert colony.steps < 4_000, "somebody's work is interrupted by then"
            colony.step()
        other = loaded(colony, tmp_path / "colony.save")
        assert other.system.health().queues_parked == colony.system.health().queues_parked
        parked_for = 0
        for _ in range(20 * STEPS_A_SECOND):
            for each in (colony, other):
                each.step()
            assert standing(other) == standing(colony), f"step {colony.steps}"
            parked_for += colony.system.health().queues_parked > 0
        assert 0 < parked_for < 20 * STEPS_A_SECOND, "and what was interrupted went on"
        other.system.stop()


def test_tickers_and_timers_are_in_those_saves() -> None:
    """The property says little unless something is under way at the points at which it is saved."""
    with Colony(1, SETTLERS) as colony:
        for at in range(1, max(SAVED_AT) + 1):
            colony.step()
            health = colony.system.health()
            assert at not in SAVED_AT[1:] or (health.queues_ticking > 0 and health.timers > 0), f"step {at}"


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(1, 10_000), settlers=st.integers(1, 20), at=st.integers(1, 800))
def test_a_save_lives_on_in_a_file_as_it_does_in_memory(seed: int, settlers: int, at: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Colony(seed, settlers) as colony:
        save, log = Path(folder) / "colony.save", Path(folder) / "colony.db"
        for _ in range(at):
            colony.step()
        colony.system.save(save)
        with Colony(seed, settlers, save=save) as in_memory, Colony(seed, settlers, log, save=save) as in_file:
            for _ in range(150):
                in_memory.step()
                in_file.step()
                assert standing(in_file) == standing(in_memory), f"step {in_memory.steps}"
            open_executions = len(in_file.system.open_executions())
        assert verify(log, PROGRAM).open == open_executions
        runtime = ts.SteppedRuntime(ts.ManualClock(in_file.clock.now))
        with ts.System(modules(colony.land), performers=performers(), lines=LINES, log=log, runtime=runtime) as again:
            assert len(again.open_executions()) == open_executions
            again.step(STEP)
        verify(log, PROGRAM)


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
        colony.system.save(path)
        picture = colony.picture().hash
    path.write_bytes(framed(msgspec.json.encode(as_version_1(msgspec.json.decode(read_save(path))))))
    with Colony(1, SETTLERS, save=path) as other:
        assert other.picture().hash == picture
        contexts = msgspec.json.decode(msgspec.json.encode(other.system._life.engine.queue.saved()))["lines"]
        assert {tuple(sorted(line["active"]["context"])) for line in contexts if line.get("active")} == {("owner", "token")}
        ended = other.system.health().tail
        for _ in range(30 * STEPS_A_SECOND):
            other.step()
        assert sum(1 for each in other.system.events(after=ended) if each.settles == "succeeded") > SETTLERS
        assert not other.system.health().counters.get("stale_queue_tokens")
