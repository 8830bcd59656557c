"""The colony as it runs: tokens lead from a task to the next, needs interrupt work, and every way in which something ends leaves no token.

After each step of each of these tests `Played.check` holds the open executions against what the owners know of their settlers.
"""

import logging
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.scenarios.settlers.actions import NO_RATIONS, PATH_BLOCKED, TARGET_GONE
from tallystick.scenarios.settlers.events import (
    JobDone,
    JobDropped,
    JobTaken,
    NeedMet,
    NeedNotMet,
    NeedPursued,
    OrderDone,
    TaskBegun,
    TaskDone,
    TaskFailed,
    TaskPutOff,
    TaskTakenUp,
)
from tallystick.scenarios.settlers.jobs import TILE_US, Task
from tallystick.scenarios.settlers.land import Tile, neighbours
from tallystick.scenarios.settlers.levels import COOLS_AFTER_FAILURE_US, RULES, Need
from tallystick.scenarios.settlers.navigation import BlockTile, ClearTile, SendTo
from tallystick.scenarios.settlers.relief import LASTS_US, Relief
from tallystick.scenarios.settlers.work import FellTree, Unassign
from tests.scenarios.settlers_stage import ANN, BOB, HOME, LAND, PATHS, SECOND_US, Meddle, Pause, Played, colony

MEAL_IN_SIGHT = RULES[Need.HUNGER].urgent - 10


def records(played: Played, *names: str) -> list[ts.Recorded]:
    return list(played.system.events(event_types=names))


# Tokens and their routes


def test_a_task_that_ends_leads_to_the_next_by_its_token() -> None:
    with colony() as played:
        played.arrive()
        played.until(JobDone)
        story = [each for each in played.system.events() if each.owner == "work"]
        names = [each.event_type for each in story if each.event_type != "OwnerJoined"]
        task = ["TaskBegun", "WorkingStarted"]
        expected = ["WorkerEnrolled", "JobTaken", *task, "ActionsAdvanced", "TaskDone", *task, "JobDone"]
        assert names[: len(expected)] == expected
        started, ended = records(played, "WorkingStarted")[:2], [*records(played, "TaskDone"), *records(played, "JobDone")]
        assert [each.token for each in started] == [each.token for each in ended]
        assert [each.settles for each in ended] == ["succeeded", "succeeded"]
        assert len({each.token for each in started}) == 2


def test_what_is_enqueued_is_known_outside_its_owner_by_owner_and_token_alone() -> None:
    with colony() as played:
        played.arrive()
        played.steps(2)
        (entry,) = played.system._life.engine.queue._entries.values()
        assert set(type(entry.start.context).__struct_fields__) == {"owner", "token"}
        assert entry.start.context.owner == "work"
        assert not hasattr(entry.start, "intent")


def test_reports_reach_the_owner_that_they_name() -> None:
    with colony() as played:
        played.arrive(hunger=MEAL_IN_SIGHT)
        played.until(NeedMet)
        owners = {each.owner for each in records(played, "NeedMet", "NeedNotMet")}
        assert owners == {"needs"}
        assert {each.owner for each in records(played, "TaskDone", "JobDone", "TaskPutOff")} == {"work"}


def test_a_stale_token_changes_nothing_is_warned_of_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with colony() as played:
        played.arrive()
        played.steps(2)
        (execution,) = played.open("work")
        played.system.ask(Unassign(settler=ANN))
        before = played.works, played.roster, played.wellbeing
        with caplog.at_level(logging.WARNING, "tallystick"):
            assert played.system.fail(execution.execution.token, ts.Failed(code="TOO_LATE")) is False
            assert played.system.complete(ts.Token("no-such-token"), None) is False
        assert (played.works, played.roster, played.wellbeing) == before
        assert "unknown_token" in caplog.text
        assert "stale" in caplog.text
        counters = played.system.health().counters
        assert counters["unknown_tokens"] == 1
        assert any(name.startswith("stale") and count for name, count in counters.items())


# Needs and work


def test_an_urgent_need_gets_the_settler_and_work_is_put_off_until_it_is_met() -> None:
    with colony() as played:
        played.arrive(hunger=MEAL_IN_SIGHT)
        met = played.until(NeedMet)
        assert met.relief is Relief.MEAL
        names = [type(each) for each in played.happened(NeedPursued, TaskBegun, TaskPutOff, NeedMet, TaskTakenUp)]
        at = names.index(NeedPursued)
        assert names[at - 1 : at + 5] == [TaskBegun, NeedPursued, TaskBegun, TaskPutOff, NeedMet, TaskTakenUp]
        refused = next(each for each in records(played, "TaskPutOff"))
        assert refused.settles == "abandoned"
        played.until(TaskDone)


def test_a_critical_need_interrupts_work_which_goes_on_where_it_was() -> None:
    def first_task(hunger: int) -> tuple[int, list[str]]:
        with colony() as played:
            played.arrive(hunger=hunger)
            began_us = played.now_us
            done = played.until(TaskDone)
            return done.at_us - began_us, [each.relief for each in played.happened(NeedMet)]

    # Not urgent yet when the task begins, and critical 18 s later: the tree takes longer.
    calm_us, nothing = first_task(0)
    interrupted_us, reliefs = first_task(RULES[Need.HUNGER].urgent - 1)
    assert (nothing, reliefs) == ([], [Relief.RATION])
    assert interrupted_us == calm_us + LASTS_US[Relief.RATION]


def test_an_empty_pouch_ends_what_was_interrupted_and_the_settler_goes_to_eat() -> None:
    with colony() as played:
        played.arrive(hunger=RULES[Need.HUNGER].urgent - 1)
        walls = [tile for bush in LAND.bushes for _, tile in neighbours(bush) if LAND.is_open(tile) and tile != HOME]
        for tile in walls:  # no bush can be reached, so that only rations are eaten
            played.system.ask(BlockTile(tile=tile))
        while not any(each.reason == NO_RATIONS for each in played.happened(NeedNotMet)):
            played.until(NeedNotMet)
        assert [each.relief for each in played.happened(NeedMet)].count(Relief.RATION) == 2
        assert played.works.is_free(ANN)
        for tile in walls:
            played.system.ask(ClearTile(tile=tile))
        met = played.until(NeedMet)
        while met.relief is not Relief.MEAL:
            met = played.until(NeedMet)


def test_a_settler_that_has_to_eat_is_kept_from_it_neither_by_an_order_nor_by_work() -> None:
    """Else it sets out for ever, and turns back hungry: the way is longer than its hunger leaves it alone."""
    with colony() as played:
        played.arrive(hunger=RULES[Need.HUNGER].urgent - 1)
        walls = [tile for bush in LAND.bushes for _, tile in neighbours(bush) if LAND.is_open(tile) and tile != HOME]
        for tile in walls:
            played.system.ask(BlockTile(tile=tile))
        while not any(each.reason == NO_RATIONS for each in played.happened(NeedNotMet)):
            played.until(NeedNotMet)
        for tile in walls:
            played.system.ask(ClearTile(tile=tile))
        corners = [tile for x in (0, LAND.side - 1) for y in (0, LAND.side - 1) if LAND.is_open(tile := Tile(x, y))]
        corner = max(corners, key=lambda tile: PATHS.distance(played.roster.at[ANN], tile))
        assert PATHS.distance(played.roster.at[ANN], corner) * TILE_US > COOLS_AFTER_FAILURE_US
        played.system.ask(SendTo(settler=ANN, to=corner))
        met = played.until(NeedMet, within=timedelta(minutes=1))
        assert met.relief is Relief.MEAL
        assert played.until(OrderDone).at == corner


def test_a_task_that_fails_with_what_interrupted_it_is_tried_again() -> None:
    with colony(meddled=True) as played:
        played.arrive()
        played.steps(5)
        played.system.ask(
            Meddle(settler=ANN, labels=("in vain",), priority=400, actions=(Pause(steps=3, fails=True),), if_it_fails="fail_parent")
        )
        failed = played.until(TaskFailed)
        assert failed.reason == "INTERRUPTED"
        assert played.meddled() == {"in vain": "failed"}
        assert played.open("work") == []
        played.until(TaskBegun)
        played.until(TaskDone)


def test_a_task_can_be_dropped_with_what_interrupted_it() -> None:
    with colony(meddled=True) as played:
        played.arrive()
        played.steps(5)
        actions = (Pause(steps=3, fails=True),)
        played.system.ask(Meddle(settler=ANN, labels=("in vain",), priority=400, actions=actions, if_it_fails="drop_parent"))
        played.until(TaskPutOff)
        assert played.open("work") == []
        played.until(TaskDone)


# How tasks are interrupted: each class of them


def fetching(played: Played, hunger: int = 0) -> int:
    """Ann sets out from afar for wood that Bob has stored; when she came."""
    played.arrive(BOB)
    played.until(JobDone)
    played.system.ask(Unassign(settler=BOB))
    arrived_us = played.now_us
    played.arrive(ANN, LAND.trees[0], hunger=hunger)
    assert played.until(TaskBegun).task is Task.FETCH
    return arrived_us


def interrupted_after(played: Played, steps: int) -> None:
    """Have Ann kept from what she does, for two steps, after so many of them."""
    played.steps(steps)
    played.system.ask(Meddle(settler=ANN, labels=("now",), priority=400))


def test_who_goes_for_wood_sets_out_once_more_when_it_was_interrupted() -> None:
    def fetched_after_us(interrupted: int | None) -> int:
        with colony(meddled=True) as played:
            began_us = fetching(played)
            if interrupted is not None:
                interrupted_after(played, interrupted)
            return played.until(TaskDone).at_us - began_us

    steps_lost = (fetched_after_us(21) - fetched_after_us(None)) // 50_000
    assert steps_lost == 21 + 1 + 2, "the steps so far, the one in which it was interrupted, and the interruption"


def test_a_beam_is_placed_before_anything_else_is_done() -> None:
    with colony(meddled=True) as played:
        fetching(played)
        while played.until(TaskBegun).task is not Task.BUILD:
            pass
        interrupted_after(played, 10)
        played.steps(1)
        assert played.meddled() == {"now": "refused: busy"}
        played.until(JobDone)


def test_a_critical_need_that_comes_while_a_beam_is_placed_tries_again_later() -> None:
    def building(played: Played, hunger: int) -> int:
        arrived_us = fetching(played, hunger)
        while played.until(TaskBegun).task is not Task.BUILD:
            pass
        return played.now_us - arrived_us

    with colony() as played:
        takes_us = building(played, 0)
    rises_us = RULES[Need.HUNGER].rises_every_us
    with colony() as played:
        building(played, RULES[Need.HUNGER].urgent - takes_us // rises_us - 1)  # urgent when it has just begun, critical before it ends
        refused = played.until(NeedNotMet)
        assert (refused.reason, played.works.jobs[ANN].task) == ("BUSY", Task.BUILD)
        done = played.until(JobDone)
        met = played.until(NeedMet)
        assert met.need is Need.HUNGER
        assert met.at_us >= max(done.at_us, refused.at_us + 15 * SECOND_US)


# Who gets the settler


def test_of_all_who_want_a_settler_in_one_step_one_gets_it_and_the_others_hear_so() -> None:
    def outcome(*wanted: Meddle) -> str:
        with colony(meddled=True) as played:
            played.arrive()
            played.system.ask(Unassign(settler=ANN))
            for each in wanted:
                played.system.ask(each)
            played.steps(1)
            (winner,) = {label for each in wanted for label in each.labels} - set(played.meddled())
            assert set(played.meddled().values()) == {"refused: superseded"}
            played.live(seconds=1)
            assert played.meddled()[winner] == "succeeded"
            assert played.open("behaviour") == []
            return winner

    def want(label: str, priority: int, origin: str) -> Meddle:
        return Meddle(settler=ANN, labels=(label,), priority=priority, origin=origin)

    priorities = [want(priority.name, priority, "needs") for priority in ts.Priority]
    assert outcome(*priorities) == outcome(*reversed(priorities)) == "CRITICAL"
    assert outcome(*[each for each in priorities if each.priority < 400]) == "HIGH"
    assert outcome(*[each for each in priorities if each.priority < 300]) == "NORMAL"
    assert outcome(want("low of needs", 100, "needs"), want("normal of behaviour", 200, "behaviour")) == "normal of behaviour"
    origins = [want(origin, 200, origin) for origin in ("needs", "navigation", "work", "behaviour", "somebody")]
    for first in range(4):
        assert outcome(*origins[first:]) == outcome(*reversed(origins[first:])) == origins[first].origin
    assert outcome(Meddle(settler=ANN, labels=("first", "second", "latest"), priority=200)) == "latest"


@pytest.mark.parametrize(
    ("settler", "actions", "cause"), [("settler-nobody", (Pause(steps=1),), "unknown_subject"), (ANN, (), "no_actions")]
)
def test_what_cannot_be_enqueued_is_refused(settler: str, actions: tuple[Pause, ...], cause: str) -> None:
    with colony(meddled=True) as played:
        played.arrive()
        played.system.ask(Meddle(settler=settler, labels=("it",), priority=400, actions=actions))
        played.steps(1)
        assert played.meddled() == {"it": f"refused: {cause}"}
        assert played.open("behaviour") == []


# Paths and targets


def test_a_way_that_is_blocked_on_the_way_is_found_anew() -> None:
    with colony() as played:
        played.arrive()
        played.steps(1)
        (execution,) = played.open("work")
        walk = execution.execution.started.actions[0]
        third = HOME
        for move in walk.way[:3]:
            third = next(tile for name, tile in neighbours(third) if name == move)
        played.system.ask(BlockTile(tile=third))
        failed = played.until(TaskFailed)
        assert failed.reason == PATH_BLOCKED
        assert played.open("work") == []
        played.until(TaskBegun)
        (again,) = played.open("work")
        assert again.execution.token != execution.execution.token
        assert again.execution.started.actions[0].way != walk.way
        played.until(TaskDone)


def test_a_tree_that_vanishes_ends_the_job_of_whoever_is_at_it() -> None:
    with colony() as played:
        played.arrive()
        job = played.until(JobTaken)
        played.system.ask(FellTree(tree=job.tree))
        dropped = played.until(JobDropped)
        assert dropped.reason == TARGET_GONE
        assert played.open("work") == []
        assert played.works.trees[job.tree].promised == 0
        assert played.until(JobTaken).tree != job.tree


def test_a_job_that_fails_three_times_is_dropped() -> None:
    with colony() as played:
        played.arrive()
        played.steps(1)
        for _, tile in neighbours(HOME):
            if LAND.is_open(tile):
                played.system.ask(BlockTile(tile=tile))
        dropped = played.until(JobDropped)
        reasons = [*(each.reason for each in played.happened(TaskFailed)), dropped.reason]
        assert reasons == [PATH_BLOCKED, "NO_WAY", "NO_WAY"]
        assert played.open("work") == []
