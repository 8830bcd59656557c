"""Navigation by specification: where settlers stand, what is in the way, and orders of the player that are followed or given up."""

import pytest
from pyrsistent import pmap

import tallystick as ts
from tallystick.scenarios.settlers.actions import PATH_BLOCKED, Walk
from tallystick.scenarios.settlers.events import (
    JobDone,
    NeedMet,
    OrderBegun,
    OrderDone,
    OrderDropped,
    OrderGiven,
    OrderPutOff,
    SettlerArrived,
    SettlerMoved,
    SettlerReset,
    TaskDone,
    TileBlocked,
    TileCleared,
)
from tallystick.scenarios.settlers.jobs import Task
from tallystick.scenarios.settlers.land import Tile, neighbours
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.navigation import Arrive, BlockTile, ClearTile, Going, NavigationManager, ResetSettler, SendTo
from tallystick.scenarios.settlers.relief import Relief
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.works import Works
from tallystick.testing import given, settled
from tests.scenarios.settlers_stage import ANN, HOME, LAND, NOON_US, PATHS, SECOND_US, at_step, starving, succeeded, way

THERE = LAND.trees[0]
ROCK = min(LAND.rocks)
ARRIVED = SettlerArrived(settler=ANN, at=HOME, at_us=NOON_US, hunger=0, fatigue=0)
ORDERED = OrderGiven(settler=ANN, to=THERE, at_us=NOON_US)
GOING = Going(settler=ANN, to=THERE)
UNDER_WAY = (ARRIVED, ORDERED, OrderBegun(settler=ANN), GOING)
SET_OUT = ts.Begin(
    intent=GOING, actions=(Walk(start=HOME, way=way(HOME, THERE)),), priority=200, origin="navigation", interruption="replayable"
)


def navigation() -> NavigationManager:
    return NavigationManager(LAND, PATHS)


def put_off(reason: str) -> OrderPutOff:
    return OrderPutOff(settler=ANN, reason=reason, until_us=NOON_US + 5 * SECOND_US)


def test_whoever_has_to_eat_is_led_nowhere() -> None:
    ordered = given(navigation(), ARRIVED, ORDERED)
    ordered.when(at_step(NOON_US, starving())).then_nothing()
    ordered.when(at_step(NOON_US, starving(portions=1))).then(OrderBegun(settler=ANN), SET_OUT)


# Who is there, and where


def test_a_settler_arrives_once() -> None:
    given(navigation()).when(Arrive(settler=ANN, at=HOME, hunger=1, fatigue=2)).then(
        SettlerArrived(settler=ANN, at=HOME, at_us=NOON_US, hunger=1, fatigue=2)
    )
    given(navigation(), ARRIVED).when(Arrive(settler=ANN, at=HOME)).then_rejected("ALREADY_THERE")


@pytest.mark.parametrize("nowhere", [ROCK, Tile(-1, 0), Tile(0, LAND.side)])
def test_nobody_stands_on_a_rock_or_outside_the_land(nowhere: Tile) -> None:
    given(navigation()).when(Arrive(settler=ANN, at=nowhere)).then_rejected("NO_SUCH_PLACE")
    given(navigation(), ARRIVED).when(SendTo(settler=ANN, to=nowhere)).then_rejected("NO_SUCH_PLACE")
    given(navigation()).when(BlockTile(tile=nowhere)).then_rejected("NO_SUCH_PLACE")


def test_only_settlers_who_are_there_are_subjects_of_the_line() -> None:
    roster = Roster(at=pmap({ANN: HOME}))
    assert ANN in roster
    assert "nobody" not in roster


@pytest.mark.parametrize(
    "event",
    [
        TaskDone(settler=ANN, task=Task.FELL, at=THERE, at_us=NOON_US),
        JobDone(settler=ANN, at=THERE, at_us=NOON_US),
        NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL, at_us=NOON_US, at=THERE),
    ],
)
def test_whoever_has_done_something_stands_where_it_was_done(event: ts.Event) -> None:
    given(navigation(), ARRIVED).when(event).then(SettlerMoved(settler=ANN, at=THERE)).when(event).then_nothing()


def test_what_is_done_on_the_spot_moves_nobody() -> None:
    given(navigation(), ARRIVED).when(NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.RATION, at_us=NOON_US)).then_nothing()


def test_a_tile_is_blocked_once_and_cleared_once() -> None:
    blocked = given(navigation()).when(BlockTile(tile=THERE)).then(TileBlocked(tile=THERE))
    blocked.then_resident(Roster, Roster(blocked=frozenset({THERE}))).when(BlockTile(tile=THERE)).then_nothing()
    blocked.when(ClearTile(tile=THERE)).then(TileCleared(tile=THERE)).then_resident(Roster, Roster()).when(
        ClearTile(tile=THERE)
    ).then_nothing()


# Orders


def test_an_order_is_followed_when_the_settler_is_free() -> None:
    given(navigation(), ARRIVED).when(SendTo(settler=ANN, to=THERE)).then(ORDERED).when(at_step(NOON_US, Works())).then_nothing().when(
        at_step()
    ).then(OrderBegun(settler=ANN), SET_OUT)


def test_whoever_is_there_has_followed_its_order() -> None:
    happened = given(navigation(), *UNDER_WAY).when(settled(GOING, succeeded(THERE)))
    happened.then(OrderDone(settler=ANN, at=THERE)).then_open().when(at_step(NOON_US + 60 * SECOND_US)).then_nothing()
    assert happened._owner.turn().resident(Roster).at[ANN] == THERE


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ts.Failed(code=PATH_BLOCKED), PATH_BLOCKED),
        (ts.Refused(cause="busy"), "BUSY"),
        (ts.Refused(cause="superseded"), "SUPERSEDED"),
        (ts.Refused(cause="unknown_subject"), "UNKNOWN_SUBJECT"),
        (ts.Refused(cause="no_actions"), "NO_ACTIONS"),
        (ts.TimedOut(attempts=1), "TIMED_OUT"),
    ],
)
def test_an_order_that_came_to_nothing_leaves_no_token_and_is_tried_again(outcome: ts.Outcome[Tile | None], reason: str) -> None:
    given(navigation(), *UNDER_WAY).when(settled(GOING, outcome)).then(put_off(reason)).then_open().when(
        at_step(NOON_US + 5 * SECOND_US)
    ).then(OrderBegun(settler=ANN), SET_OUT)


def test_an_order_is_given_up_in_the_end() -> None:
    walled = Roster(at=pmap({ANN: HOME}), blocked=frozenset(tile for _, tile in neighbours(HOME)))
    blocked = [TileBlocked(tile=tile) for tile in walled.blocked]
    given(navigation(), ARRIVED, *blocked, ORDERED, *[put_off("NO_WAY")] * 18).when(at_step(NOON_US + 5 * SECOND_US)).then(
        OrderPutOff(settler=ANN, reason="NO_WAY", until_us=NOON_US + 10 * SECOND_US)
    ).when(at_step(NOON_US + 10 * SECOND_US)).then(OrderDropped(settler=ANN, reason="NO_WAY")).when(
        at_step(NOON_US + 60 * SECOND_US)
    ).then_nothing()


def test_a_settler_that_is_under_way_takes_no_other_order() -> None:
    given(navigation(), *UNDER_WAY).when(SendTo(settler=ANN, to=HOME)).then_rejected("UNDER_WAY")
    given(navigation(), ARRIVED, ORDERED).when(SendTo(settler=ANN, to=HOME)).then(OrderGiven(settler=ANN, to=HOME, at_us=NOON_US))


# Reset


def test_a_reset_calls_off_an_order_whether_it_was_begun_or_not() -> None:
    dropped = OrderDropped(settler=ANN, reason="RESET")
    given(navigation(), *UNDER_WAY).when(ResetSettler(settler=ANN)).then(
        settled(GOING, ts.Cancelled(reason="RESET")), dropped, SettlerReset(settler=ANN)
    ).then_open()
    given(navigation(), ARRIVED, ORDERED).when(ResetSettler(settler=ANN)).then(dropped, SettlerReset(settler=ANN))
    given(navigation(), ARRIVED).when(ResetSettler(settler=ANN)).then(SettlerReset(settler=ANN))


def test_nobody_unknown_is_sent_or_reset() -> None:
    given(navigation()).when(SendTo(settler=ANN, to=HOME)).then_rejected("UNKNOWN_SETTLER")
    given(navigation()).when(ResetSettler(settler=ANN)).then_rejected("UNKNOWN_SETTLER")
