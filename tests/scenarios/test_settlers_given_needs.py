"""Needs by specification: what is urgent waits until the settler is free, what is critical does not wait, and both are left to cool."""

import pytest
from pyrsistent import pmap

import tallystick as ts
from tallystick.scenarios.settlers.actions import NO_RATIONS, Relieve, Walk
from tallystick.scenarios.settlers.events import NeedMet, NeedNotMet, NeedPursued, NeedsBegun, SettlerArrived, SettlerReset
from tallystick.scenarios.settlers.land import Tile, neighbours
from tallystick.scenarios.settlers.levels import RULES, Need
from tallystick.scenarios.settlers.needs import NeedsManager, Pursuing
from tallystick.scenarios.settlers.relief import PORTIONS, Relief
from tallystick.scenarios.settlers.roster import Order, Roster
from tallystick.scenarios.settlers.wellbeing import Condition, Wellbeing
from tallystick.scenarios.settlers.works import Works
from tallystick.testing import given, settled
from tests.scenarios.settlers_stage import ANN, HOME, LAND, NOON_US, PATHS, SECOND_US, at_step, succeeded, way

AT_WORK = Works()
"""Ann is not on the agenda: she does something."""
URGENT, CRITICAL = RULES[Need.HUNGER].urgent, RULES[Need.HUNGER].critical
RATION = Pursuing(settler=ANN, need=Need.HUNGER, relief=Relief.RATION)
MEAL = Pursuing(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL)


def needs() -> NeedsManager:
    return NeedsManager(LAND, PATHS)


def feeling(*, hunger: int = 0, fatigue: int = 0) -> NeedsBegun:
    return NeedsBegun(settler=ANN, at_us=NOON_US, hunger=hunger, fatigue=fatigue)


def nearest(spots: tuple[Tile, ...]) -> Tile:
    return min(spots, key=lambda spot: PATHS.distance(HOME, spot))


def trip(need: Need, relief: Relief, spot: Tile, *, critical: bool = False) -> ts.Begin:
    return ts.Begin(
        intent=Pursuing(settler=ANN, need=need, relief=relief),
        actions=(Walk(start=HOME, way=way(HOME, spot)), Relieve(settler=ANN, relief=relief, at=spot)),
        priority=ts.Priority.CRITICAL if critical else ts.Priority.HIGH,
        origin="needs",
        interruption="not_interruptible" if critical else "deferred",
        if_it_fails="fail_parent",
    )


def on_the_spot(need: Need, relief: Relief) -> ts.Begin:
    return ts.Begin(
        intent=Pursuing(settler=ANN, need=need, relief=relief),
        actions=(Relieve(settler=ANN, relief=relief),),
        priority=ts.Priority.CRITICAL,
        origin="needs",
        interruption="not_interruptible",
        if_it_fails="fail_parent",
    )


# When


def test_needs_begin_as_the_settler_brings_them() -> None:
    arrived = SettlerArrived(settler=ANN, at=HOME, at_us=NOON_US, hunger=3, fatigue=4)
    given(needs()).when(arrived).then(feeling(hunger=3, fatigue=4))


def test_nobody_is_looked_after_before_a_need_is_urgent() -> None:
    given(needs(), feeling(hunger=URGENT - 1)).when(at_step(NOON_US + 599_999)).then_nothing()


def test_who_is_free_goes_to_the_nearest_bush_when_it_is_hungry() -> None:
    pursued = NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL)
    given(needs(), feeling(hunger=URGENT - 1)).when(at_step(NOON_US + 600_000)).then(
        pursued, trip(Need.HUNGER, Relief.MEAL, nearest(LAND.bushes))
    )


def test_who_is_free_goes_to_the_nearest_bed_when_it_is_tired() -> None:
    pursued = NeedPursued(settler=ANN, need=Need.FATIGUE, relief=Relief.BED)
    given(needs(), feeling(fatigue=RULES[Need.FATIGUE].urgent)).when(at_step()).then(
        pursued, trip(Need.FATIGUE, Relief.BED, nearest(LAND.beds))
    )


def test_what_is_urgent_waits_for_the_end_of_a_task() -> None:
    given(needs(), feeling(hunger=URGENT)).when(at_step(NOON_US, AT_WORK)).then_nothing()


def test_what_is_urgent_waits_for_the_end_of_an_order() -> None:
    ordered = Roster(at=pmap({ANN: HOME}), orders=pmap({ANN: Order(to=HOME, under_way=True)}))
    given(needs(), feeling(hunger=URGENT)).when(at_step(NOON_US, ordered)).then_nothing()


@pytest.mark.parametrize(
    ("before", "need", "relief"),
    [
        (feeling(hunger=CRITICAL), Need.HUNGER, Relief.RATION),
        (feeling(fatigue=RULES[Need.FATIGUE].critical), Need.FATIGUE, Relief.NAP),
        (feeling(hunger=CRITICAL, fatigue=RULES[Need.FATIGUE].critical), Need.HUNGER, Relief.RATION),
    ],
)
def test_what_is_critical_interrupts_work_and_is_done_on_the_spot(before: NeedsBegun, need: Need, relief: Relief) -> None:
    given(needs(), before).when(at_step(NOON_US, AT_WORK)).then(
        NeedPursued(settler=ANN, need=need, relief=relief), on_the_spot(need, relief)
    )


def test_who_is_free_goes_where_it_helps_most_even_if_it_is_critical() -> None:
    given(needs(), feeling(hunger=CRITICAL)).when(at_step()).then(
        NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL),
        trip(Need.HUNGER, Relief.MEAL, nearest(LAND.bushes), critical=True),
    )


def test_without_a_way_what_is_urgent_has_failed_and_what_is_critical_is_done_on_the_spot() -> None:
    walled = Roster(at=pmap({ANN: HOME}), blocked=frozenset(tile for _, tile in neighbours(HOME)))
    given(needs(), feeling(hunger=URGENT)).when(at_step(NOON_US, walled)).then(
        NeedNotMet(settler=ANN, need=Need.HUNGER, reason="NO_WAY", at_us=NOON_US)
    )
    given(needs(), feeling(hunger=CRITICAL)).when(at_step(NOON_US, walled)).then(
        NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), on_the_spot(Need.HUNGER, Relief.RATION)
    )


def test_while_something_is_done_nothing_else_is() -> None:
    pursued = NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION)
    both = feeling(hunger=CRITICAL, fatigue=RULES[Need.FATIGUE].critical)
    given(needs(), both, pursued, RATION).when(at_step(NOON_US + 60 * SECOND_US)).then_nothing()


# What comes of it


def condition(happened: object) -> Condition:
    wellbeing: Wellbeing = happened._owner.turn().resident(Wellbeing)  # type: ignore[attr-defined]
    return wellbeing.settlers[ANN]


def test_a_meal_stills_the_hunger_and_fills_the_pouch() -> None:
    before = (feeling(hunger=URGENT), NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL), MEAL)
    bush = LAND.bushes[0]
    happened = given(needs(), *before).when(settled(MEAL, succeeded(bush)))
    happened.then(NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL, at_us=NOON_US, at=bush)).then_open()
    assert condition(happened).hunger.at(Need.HUNGER, NOON_US) == 0
    assert condition(happened).portions == PORTIONS


def test_a_ration_helps_a_little_and_is_eaten() -> None:
    before = (feeling(hunger=CRITICAL), NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), RATION)
    happened = given(needs(), *before).when(settled(RATION, succeeded(None)))
    happened.then(NeedMet(settler=ANN, need=Need.HUNGER, relief=Relief.RATION, at_us=NOON_US)).then_open()
    assert condition(happened).hunger.at(Need.HUNGER, NOON_US) == CRITICAL - 200
    assert condition(happened).portions == PORTIONS - 1


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ts.Failed(code=NO_RATIONS), NO_RATIONS),
        (ts.Refused(cause="busy"), "BUSY"),
        (ts.Refused(cause="superseded"), "SUPERSEDED"),
        (ts.Refused(cause="unknown_subject"), "UNKNOWN_SUBJECT"),
        (ts.Refused(cause="no_actions"), "NO_ACTIONS"),
        (ts.Cancelled(reason="RESET"), "RESET"),
        (ts.TimedOut(attempts=1), "TIMED_OUT"),
    ],
)
def test_what_did_not_help_leaves_no_token_and_is_tried_again_after_fifteen_seconds(outcome: ts.Outcome[Tile | None], reason: str) -> None:
    before = (feeling(hunger=CRITICAL), NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), RATION)
    happened = given(needs(), *before).when(settled(RATION, outcome))
    happened.then(NeedNotMet(settler=ANN, need=Need.HUNGER, reason=reason, at_us=NOON_US)).then_open()
    happened.when(at_step(NOON_US + 15 * SECOND_US - 1, AT_WORK)).then_nothing()
    happened.when(at_step(NOON_US + 15 * SECOND_US, AT_WORK)).then(
        NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), on_the_spot(Need.HUNGER, Relief.RATION)
    )


def test_what_has_helped_is_not_done_again_for_sixty_seconds() -> None:
    before = (feeling(hunger=950), NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), RATION)
    happened = given(needs(), *before).when(settled(RATION, succeeded(None)))
    assert condition(happened).hunger.at(Need.HUNGER, NOON_US) > URGENT
    happened.when(at_step(NOON_US + 60 * SECOND_US - 1)).then_nothing()
    happened.when(at_step(NOON_US + 60 * SECOND_US)).then(
        NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.MEAL),
        trip(Need.HUNGER, Relief.MEAL, nearest(LAND.bushes), critical=True),
    )


def test_a_reset_calls_off_what_is_being_done() -> None:
    before = (feeling(hunger=CRITICAL), NeedPursued(settler=ANN, need=Need.HUNGER, relief=Relief.RATION), RATION)
    given(needs(), *before).when(SettlerReset(settler=ANN)).then(
        settled(RATION, ts.Cancelled(reason="RESET")), NeedNotMet(settler=ANN, need=Need.HUNGER, reason="RESET", at_us=NOON_US)
    ).then_open()
    given(needs(), feeling()).when(SettlerReset(settler=ANN)).then_nothing()
