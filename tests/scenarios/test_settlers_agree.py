"""The colony as actors on a log and the colony by hand come to the same state; and whatever a player does, it holds together."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

import tallystick as ts
from benchmarks.colony_by_hand import ColonyByHand
from benchmarks.colony_floor import picture
from tallystick.scenarios.settlers.audit import WoodAudit
from tallystick.scenarios.settlers.colony import STEPS_A_SECOND, Colony
from tallystick.scenarios.settlers.events import JobDone, JobDropped, JobTaken, TaskDone
from tallystick.scenarios.settlers.land import neighbours
from tallystick.scenarios.settlers.levels import RULES, Need
from tallystick.scenarios.settlers.navigation import BlockTile, ClearTile, ResetSettler, SendTo
from tallystick.scenarios.settlers.work import Assign, FellTree, Unassign
from tests.scenarios.settlers_stage import ANN, BOB, HOME, LAND, Played, colony


def agree(seed: int, settlers: int, minutes: int) -> None:
    by_hand = ColonyByHand(seed, settlers)
    with Colony(seed, settlers) as actors:
        for second in range(60 * minutes):
            actors.live(timedelta(seconds=1))
            for _ in range(STEPS_A_SECOND):
                by_hand.step()
            if second % 10 == 9:
                assert actors.picture() == picture(by_hand), f"seed {seed}, after {second + 1} s"
        assert actors.picture().hash == picture(by_hand).hash


@pytest.mark.parametrize(("seed", "settlers"), [(1, 10), (2, 1), (3, 25), (4, 6)])
def test_actors_and_a_plain_loop_come_to_the_same_state(seed: int, settlers: int) -> None:
    agree(seed, settlers, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
def test_they_do_so_for_longer_too(seed: int) -> None:
    agree(seed, 40, 15)


def test_the_same_colony_twice_writes_the_same_log() -> None:
    def digest() -> bytes:
        with Colony(1, 6) as played:
            played.live(timedelta(minutes=2))
            return [recorded.hash for recorded in played.system.events()][-1]

    assert digest() == digest()


NEAR = [tile for _, tile in neighbours(HOME) if LAND.is_open(tile)]
COMMANDS = st.one_of(
    st.sampled_from([command(settler=settler) for command in (Unassign, Assign, ResetSettler) for settler in (ANN, BOB)]),
    st.builds(SendTo, settler=st.sampled_from([ANN, BOB]), to=st.sampled_from([*LAND.beds, *LAND.bushes, *LAND.trees])),
    st.builds(BlockTile, tile=st.sampled_from(NEAR)),
    st.builds(ClearTile, tile=st.sampled_from(NEAR)),
    st.builds(FellTree, tree=st.integers(0, len(LAND.trees) - 1)),
)


def told(played: Played, command: ts.Command[Any]) -> None:
    """What a player may not do now is refused, and changes nothing."""
    played.runtime.run_until_idle()
    before = played.system.health().tail
    try:
        played.system.ask(command)
    except ts.Rejected as refusal:
        assert refusal.code in {"NOT_A_WORKER", "NOT_UNASSIGNED", "UNDER_WAY"}  # noqa: PT017 - it depends on what went before
        assert played.system.health().tail == before


@drawn(st.lists(st.tuples(st.integers(0, 300), COMMANDS), max_size=12), st.integers(0, RULES[Need.HUNGER].critical))
@settings(deadline=None, max_examples=10)
def test_whatever_the_player_does_no_token_is_left_nobody_is_stuck_and_wood_is_conserved(
    played_with: list[tuple[int, ts.Command[Any]]], hunger: int
) -> None:
    with colony() as played:
        played.arrive(ANN, hunger=hunger)
        played.arrive(BOB, fatigue=hunger)
        for steps, command in played_with:
            told(played, command)
            played.check()
            played.steps(steps)
        for tile in NEAR:
            played.system.ask(ClearTile(tile=tile))
        done = played.works.jobs_done
        played.live(minutes=4)
        for settler in (ANN, BOB):
            if settler not in played.works.unassigned:
                assert played.works.jobs_done > done, "whoever can act acts"
        audit = WoodAudit()
        for event in played.happened(JobTaken, TaskDone, JobDone, JobDropped):
            audit.take(event)
        assert list(audit.problems(played.works)) == []
        tokens = [each.token for each in played.system.events() if each.settles is not None]
        assert len(tokens) == len(set(tokens))
