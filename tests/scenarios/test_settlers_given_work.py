"""Work by specification: every settler gets a job, is led through its tasks, and loses it when it must; nothing is promised twice."""

from typing import Any, Literal

import pytest
from pyrsistent import pmap

import tallystick as ts
from tallystick.domain.effect import Interruption
from tallystick.scenarios.settlers.actions import PATH_BLOCKED, TARGET_GONE, Build, Fell, Walk
from tallystick.scenarios.settlers.events import (
    JobDone,
    JobDropped,
    JobTaken,
    NeedMet,
    NeedNotMet,
    NothingToDo,
    OrderDone,
    SettlerArrived,
    SettlerReset,
    TaskBegun,
    TaskDone,
    TaskFailed,
    TaskPutOff,
    TaskTakenUp,
    TreeFelled,
    WorkerEnrolled,
    WorkerUnassigned,
)
from tallystick.scenarios.settlers.jobs import TREE_WOOD, JobKind, Task
from tallystick.scenarios.settlers.land import neighbours
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.relief import Relief
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.work import Assign, FellTree, Unassign, Working, WorkManager
from tallystick.scenarios.settlers.works import Tree, Works
from tallystick.testing import given, settled, timed_out
from tests.scenarios.settlers_stage import ANN, BOB, HOME, LAND, NOON_US, PATHS, SECOND_US, at_step, starving, succeeded, way

NEAREST = min(range(len(LAND.trees)), key=lambda tree: PATHS.distance(HOME, LAND.trees[tree]))
TREE_AT = LAND.trees[NEAREST]
ENROLLED = WorkerEnrolled(settler=ANN, from_us=NOON_US)
WOOD = JobTaken(settler=ANN, kind=JobKind.WOOD, tree=NEAREST)
HOUSE = JobTaken(settler=ANN, kind=JobKind.HOUSE, house=0)
FELLING = Working(settler=ANN, task=Task.FELL)
FELL_BEGUN = TaskBegun(settler=ANN, task=Task.FELL)
AT_WORK = (ENROLLED, WOOD, FELL_BEGUN, FELLING)
CUT = TaskDone(settler=ANN, task=Task.FELL, at=TREE_AT, at_us=NOON_US)


def begun(task: Task, *actions: ts.Action[Any], interruption: Interruption = "deferred") -> ts.Begin:
    return ts.Begin(
        intent=Working(settler=ANN, task=task),
        actions=actions,
        priority=ts.Priority.NORMAL,
        origin="work",
        interruption=interruption,
    )


def work() -> WorkManager:
    return WorkManager(LAND, PATHS)


# Finding a job, and what it takes


def test_whoever_comes_is_enrolled() -> None:
    given(work()).when(SettlerArrived(settler=ANN, at=HOME, at_us=NOON_US, hunger=0, fatigue=0)).then(ENROLLED)


def test_who_came_by_a_clock_that_was_put_back_since_has_work_from_now_on_and_not_in_three_days() -> None:
    later_us = NOON_US + 3 * 86_400 * SECOND_US
    given(work()).when(SettlerArrived(settler=ANN, at=HOME, at_us=later_us, hunger=0, fatigue=0)).then(ENROLLED)


def test_without_wood_the_nearest_tree_is_felled() -> None:
    walk = Walk(start=HOME, way=way(HOME, TREE_AT))
    given(work(), ENROLLED).when(at_step()).then(WOOD, FELL_BEGUN, begun(Task.FELL, walk, Fell(tree=NEAREST, at=TREE_AT)))


def test_whoever_is_not_due_is_left_alone() -> None:
    given(work(), ENROLLED).when(at_step(NOON_US - 1)).then_nothing()
    given(work(), *AT_WORK).when(at_step(NOON_US + 60 * SECOND_US)).then_nothing()


def test_two_who_are_due_at_once_are_not_promised_the_same_wood() -> None:
    last_wood = [TreeFelled(tree=tree, at_us=NOON_US) for tree in range(len(LAND.trees)) if tree != NEAREST]
    before = (ENROLLED, WorkerEnrolled(settler=BOB, from_us=NOON_US), *last_wood)
    happened = given(work(), *before).when(at_step())
    takers = [each for each in happened._story if isinstance(each, JobTaken)]
    assert [(each.settler, each.tree) for each in takers] == [(ANN, NEAREST), (BOB, NEAREST)]
    works = happened._owner.turn().resident(Works)
    assert works.tree(NEAREST, NOON_US) == Tree(wood=TREE_WOOD, promised=2)


def test_where_there_is_nothing_to_do_it_is_looked_for_again() -> None:
    bare = [TreeFelled(tree=tree, at_us=NOON_US) for tree in range(len(LAND.trees))]
    given(work(), ENROLLED, *bare).when(at_step()).then(NothingToDo(settler=ANN, until_us=NOON_US + 10 * SECOND_US))


def test_a_house_gets_wood_from_the_stockpile_and_a_beam() -> None:
    stored = (ENROLLED, WOOD, FELL_BEGUN, CUT, JobDone(settler=ANN, at=HOME, at_us=NOON_US))
    house_at = LAND.houses[0]
    there, then = at_step(), at_step(NOON_US, Roster(at=pmap({ANN: house_at})))
    given(work(), *stored).when(there).then(
        HOUSE, TaskBegun(settler=ANN, task=Task.FETCH), begun(Task.FETCH, Walk(start=HOME, way=""), interruption="replayable")
    ).when(settled(Working(settler=ANN, task=Task.FETCH), succeeded(HOME))).then(
        TaskDone(settler=ANN, task=Task.FETCH, at=HOME, at_us=NOON_US)
    ).when(there).then(TaskBegun(settler=ANN, task=Task.CARRY), begun(Task.CARRY, Walk(start=HOME, way=way(HOME, house_at)))).when(
        settled(Working(settler=ANN, task=Task.CARRY), succeeded(house_at))
    ).then(TaskDone(settler=ANN, task=Task.CARRY, at=house_at, at_us=NOON_US)).when(then).then(
        TaskBegun(settler=ANN, task=Task.BUILD), begun(Task.BUILD, Build(at=house_at), interruption="not_interruptible")
    ).when(settled(Working(settler=ANN, task=Task.BUILD), succeeded(house_at))).then(JobDone(settler=ANN, at=house_at, at_us=NOON_US))


# Ends


def test_a_task_that_is_done_is_followed_by_the_next() -> None:
    there = at_step(NOON_US, Roster(at=pmap({ANN: TREE_AT})))
    given(work(), *AT_WORK).when(settled(FELLING, succeeded(TREE_AT))).then(CUT).then_open().when(there).then(
        TaskBegun(settler=ANN, task=Task.STORE), begun(Task.STORE, Walk(start=TREE_AT, way=way(TREE_AT, HOME)))
    )


def test_a_blocked_way_is_tried_again_after_a_while_by_another_way() -> None:
    failed = TaskFailed(settler=ANN, reason=PATH_BLOCKED, until_us=NOON_US + 5 * SECOND_US)
    step = next(tile for move, tile in neighbours(HOME) if move == way(HOME, TREE_AT)[0])
    around = PATHS.way(HOME, TREE_AT, frozenset({step}))
    assert around is not None
    roster = Roster(at=pmap({ANN: HOME}), blocked=frozenset({step}))
    given(work(), *AT_WORK).when(settled(FELLING, ts.Failed(code=PATH_BLOCKED))).then(failed).then_open().when(
        at_step(NOON_US + 4 * SECOND_US, roster)
    ).then_nothing().when(at_step(NOON_US + 5 * SECOND_US, roster)).then(
        FELL_BEGUN, begun(Task.FELL, Walk(start=HOME, way=around), Fell(tree=NEAREST, at=TREE_AT))
    )


def test_with_the_third_failure_the_job_is_dropped_and_its_promise_with_it() -> None:
    twice = [TaskFailed(settler=ANN, reason=PATH_BLOCKED, until_us=NOON_US)] * 2
    happened = given(work(), ENROLLED, WOOD, *twice, FELL_BEGUN, FELLING).when(settled(FELLING, ts.Failed(code=PATH_BLOCKED)))
    happened.then(JobDropped(settler=ANN, reason=PATH_BLOCKED, until_us=NOON_US + 10 * SECOND_US)).then_open()
    assert happened._owner.turn().resident(Works).tree(NEAREST, NOON_US).promised == 0


def test_no_way_at_all_is_a_failure_too() -> None:
    wall = frozenset(tile for _, tile in neighbours(HOME))
    roster = Roster(at=pmap({ANN: HOME}), blocked=wall)
    given(work(), ENROLLED, WOOD).when(at_step(NOON_US, roster)).then(
        TaskFailed(settler=ANN, reason="NO_WAY", until_us=NOON_US + 5 * SECOND_US)
    )


def test_a_target_that_is_gone_is_not_tried_again() -> None:
    given(work(), *AT_WORK).when(settled(FELLING, ts.Failed(code=TARGET_GONE))).then(
        JobDropped(settler=ANN, reason=TARGET_GONE, until_us=NOON_US + 10 * SECOND_US)
    ).then_open()


def test_silence_is_a_failure() -> None:
    later = NOON_US + 600 * SECOND_US
    given(work(), ENROLLED, WOOD, FELL_BEGUN, begun(Task.FELL, Walk(start=HOME, way=""))).when(timed_out(FELLING)).then(
        TaskFailed(settler=ANN, reason="TIMED_OUT", until_us=later + 5 * SECOND_US)
    )


@pytest.mark.parametrize("cause", ["busy", "superseded", "unknown_subject", "no_actions"])
def test_whoever_does_not_get_the_settler_keeps_the_job_and_no_token(
    cause: Literal["busy", "no_actions", "unknown_subject", "superseded"],
) -> None:
    put_off = TaskPutOff(settler=ANN, until_us=NOON_US + 30 * SECOND_US)
    refused = settled(FELLING, ts.Refused(cause=cause))
    given(work(), *AT_WORK).when(refused).then(put_off).then_open().when(
        NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL, at_us=NOON_US)
    ).then(TaskTakenUp(settler=ANN, from_us=NOON_US))


def test_work_goes_on_after_failed_relief_and_after_an_order_too() -> None:
    taken_up = TaskTakenUp(settler=ANN, from_us=NOON_US)
    waiting = (*AT_WORK, settled(FELLING, ts.Refused(cause="busy")))
    given(work(), *waiting).when(NeedNotMet(settler=ANN, need=Need.HUNGER, reason="BUSY", at_us=NOON_US)).then(taken_up)
    given(work(), *waiting).when(OrderDone(settler=ANN, at=HOME)).then(taken_up)


def test_work_that_was_not_put_off_is_not_taken_up() -> None:
    given(work(), *AT_WORK).when(NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.RATION, at_us=NOON_US)).then_nothing()


def test_whoever_has_to_eat_is_given_nothing_to_do() -> None:
    enrolled = given(work(), ENROLLED)
    enrolled.when(at_step(NOON_US, starving())).then_nothing()
    fell = begun(Task.FELL, Walk(start=HOME, way=way(HOME, TREE_AT)), Fell(tree=NEAREST, at=TREE_AT))
    enrolled.when(at_step(NOON_US, starving(portions=1))).then(WOOD, FELL_BEGUN, fell)


def test_nobody_waits_for_a_meal_that_will_not_come_since_the_clock_was_put_back() -> None:
    enrolled = given(work(), ENROLLED)
    enrolled.when(at_step(NOON_US, starving(cooled_us=NOON_US + 15 * SECOND_US))).then_nothing()
    fell = begun(Task.FELL, Walk(start=HOME, way=way(HOME, TREE_AT)), Fell(tree=NEAREST, at=TREE_AT))
    enrolled.when(at_step(NOON_US, starving(cooled_us=NOON_US + 68 * 86_400 * SECOND_US))).then(WOOD, FELL_BEGUN, fell)


# Unassign and reset: no token is left (a trap of the original)


def test_unassigning_ends_the_task_that_is_under_way() -> None:
    dropped = JobDropped(settler=ANN, reason="UNASSIGNED", until_us=NOON_US + 10 * SECOND_US)
    happened = given(work(), *AT_WORK).when(Unassign(settler=ANN))
    happened.then(settled(FELLING, ts.Cancelled(reason="UNASSIGNED")), dropped, WorkerUnassigned(settler=ANN)).then_open()
    happened.when(at_step(NOON_US + 3_600 * SECOND_US)).then_nothing()


def test_unassigning_drops_a_job_that_waits() -> None:
    waiting = (*AT_WORK, settled(FELLING, ts.Failed(code=PATH_BLOCKED)))
    given(work(), *waiting).when(Unassign(settler=ANN)).then(
        JobDropped(settler=ANN, reason="UNASSIGNED", until_us=NOON_US + 10 * SECOND_US), WorkerUnassigned(settler=ANN)
    )


def test_whoever_was_unassigned_can_be_assigned_again() -> None:
    unassigned = (ENROLLED, WorkerUnassigned(settler=ANN))
    given(work(), *unassigned).when(Unassign(settler=ANN)).then_rejected("NOT_A_WORKER")
    given(work(), *unassigned).when(Assign(settler=ANN)).then(ENROLLED)
    given(work(), ENROLLED).when(Assign(settler=ANN)).then_rejected("NOT_UNASSIGNED")


def test_a_reset_ends_the_task_and_another_job_is_looked_for() -> None:
    happened = given(work(), *AT_WORK).when(SettlerReset(settler=ANN))
    happened.then(
        settled(FELLING, ts.Cancelled(reason="RESET")), JobDropped(settler=ANN, reason="RESET", until_us=NOON_US + 10 * SECOND_US)
    ).then_open()
    assert happened._owner.turn().resident(Works).agenda.is_due(ANN, NOON_US + 10 * SECOND_US)


# Trees


def test_a_felled_tree_is_of_no_use_until_it_has_grown_again() -> None:
    happened = given(work()).when(FellTree(tree=0)).then(TreeFelled(tree=0, at_us=NOON_US))
    works = happened._owner.turn().resident(Works)
    assert works.tree(0, NOON_US + 179 * SECOND_US).wood == 0
    assert works.tree(0, NOON_US + 180 * SECOND_US).wood == TREE_WOOD
    given(work()).when(FellTree(tree=len(LAND.trees))).then_rejected("UNKNOWN_TREE")
