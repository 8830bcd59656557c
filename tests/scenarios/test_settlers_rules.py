"""The colony's plain rules: the land, its paths, rising needs, agendas and jobs. None of it needs a system."""

from collections import deque
from datetime import UTC, datetime

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from tallystick.scenarios.settlers.agenda import Agenda
from tallystick.scenarios.settlers.fate import arrivals, befalls
from tallystick.scenarios.settlers.jobs import TREE_WOOD, Job, JobKind, Offers, Task, target
from tallystick.scenarios.settlers.land import MOVES, Land, Tile, neighbours, reachable
from tallystick.scenarios.settlers.levels import FULL, RULES, SECOND_US, Level, Need, micros
from tallystick.scenarios.settlers.lots import Lots
from tallystick.scenarios.settlers.navigation import BlockTile, ClearTile
from tallystick.scenarios.settlers.paths import FAR, Paths

LAND = Land.generated(1, 20)
PATHS = Paths(LAND)
TILES = st.sampled_from(sorted(reachable(LAND.stockpile, LAND.side, LAND.rocks)))


def followed(start: Tile, way: str) -> list[Tile]:
    tiles = [start]
    for move in way:
        dx, dy = MOVES[move]
        tiles.append(Tile(tiles[-1].x + dx, tiles[-1].y + dy))
    return tiles


def breadth_first(start: Tile, goal: Tile, blocked: frozenset[Tile]) -> int | None:
    """How many moves it takes, found from the other end than `Paths` does."""
    far = {start: 0}
    front = deque([start])
    while front:
        tile = front.popleft()
        if tile == goal:
            return far[tile]
        for _, there in neighbours(tile):
            if there not in far and LAND.is_open(there) and there not in blocked:
                far[there] = far[tile] + 1
                front.append(there)
    return None


# Lots and land


def test_lots_are_those_of_split_mix() -> None:
    lots = Lots(1234567)
    assert [lots.next() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_land_follows_from_its_seed() -> None:
    assert Land.generated(5, 50) == Land.generated(5, 50) != Land.generated(6, 50)


@pytest.mark.parametrize("seed", range(5))
def test_every_place_can_be_walked_to_and_stands_alone(seed: int) -> None:
    land = Land.generated(seed, 60)
    places = [land.stockpile, *land.trees, *land.houses, *land.bushes, *land.beds]
    assert len(set(places)) == len(places)
    assert set(places) <= reachable(land.stockpile, land.side, land.rocks)


# Paths


@drawn(start=TILES, goal=TILES, blocked=st.frozensets(TILES, max_size=60))
@settings(deadline=None)
def test_a_way_is_as_short_as_any_and_meets_nothing(start: Tile, goal: Tile, blocked: frozenset[Tile]) -> None:
    way = PATHS.way(start, goal, blocked)
    if way is None:
        assert breadth_first(start, goal, blocked) is None
        return
    tiles = followed(start, way)
    assert tiles[-1] == goal
    assert all(LAND.is_open(tile) and tile not in blocked for tile in tiles[1:])
    assert len(way) == breadth_first(start, goal, blocked)


@drawn(start=TILES, goal=TILES)
def test_without_hindrance_the_distance_is_the_length_of_the_way(start: Tile, goal: Tile) -> None:
    assert len(PATHS.way(start, goal, frozenset()) or "") == PATHS.distance(start, goal) < FAR


def test_a_way_around_does_not_lead_over_what_it_goes_around() -> None:
    goal, before = Tile(12, 4), Tile(12, 3)
    way = PATHS.way(Tile(0, 0), goal, frozenset({before}))
    assert way is not None
    assert before not in followed(Tile(0, 0), way)


def test_a_goal_that_is_walled_in_cannot_be_reached() -> None:
    wall = frozenset(tile for _, tile in neighbours(LAND.trees[0]))
    assert PATHS.way(LAND.stockpile, LAND.trees[0], wall) is None


def test_whoever_stands_on_a_blocked_tile_can_leave_it() -> None:
    here, there = LAND.stockpile, next(tile for _, tile in neighbours(LAND.stockpile) if LAND.is_open(tile))
    assert PATHS.way(here, there, frozenset({here})) is not None
    assert PATHS.way(there, here, frozenset({here})) is None


# Needs


@pytest.mark.parametrize("need", Need)
def test_a_level_rises_by_a_point_in_each_of_its_times(need: Need) -> None:
    level, every_us = Level(points=10, at_us=1_000), RULES[need].rises_every_us
    assert [level.at(need, 1_000 + us) for us in (0, every_us - 1, every_us, 5 * every_us)] == [10, 10, 11, 15]
    assert level.at(need, 1 << 60) == FULL


@drawn(points=st.integers(0, FULL), at_us=st.integers(0, 1 << 50), threshold=st.integers(1, FULL), need=st.sampled_from(Need))
def test_a_level_is_there_when_it_was_foretold_and_not_before(points: int, at_us: int, threshold: int, need: Need) -> None:
    level = Level(points=points, at_us=at_us)
    reaches_us = level.reaches_us(need, threshold)
    assert level.at(need, reaches_us) >= threshold
    assert reaches_us == at_us or level.at(need, reaches_us - 1) < threshold


def test_a_need_is_urgent_before_it_is_critical() -> None:
    for need in Need:
        level = Level(points=0, at_us=0)
        assert level.urgent_us(need) < level.critical_us(need)


def test_a_need_cools_sixty_seconds_after_success_and_fifteen_after_failure() -> None:
    level, now_us = Level(points=900, at_us=0), 7 * SECOND_US
    assert level.urgent_us(Need.HUNGER) == level.critical_us(Need.HUNGER) == 0
    met, not_met = level.relieved(Need.HUNGER, now_us, 1), level.not_met(now_us)
    assert met.urgent_us(Need.HUNGER) == met.critical_us(Need.HUNGER) == now_us + 60 * SECOND_US
    assert not_met.urgent_us(Need.HUNGER) == not_met.critical_us(Need.HUNGER) == now_us + 15 * SECOND_US


def test_relief_lowers_a_need_and_failure_leaves_it_rising() -> None:
    level = Level(points=700, at_us=0)
    assert level.relieved(Need.HUNGER, 0, 200).at(Need.HUNGER, 0) == 500
    assert level.relieved(Need.HUNGER, 0, FULL).at(Need.HUNGER, 0) == 0
    assert level.not_met(60 * SECOND_US).at(Need.HUNGER, 60 * SECOND_US) == level.at(Need.HUNGER, 60 * SECOND_US) == 800


def test_time_is_counted_in_microseconds_since_1970() -> None:
    assert micros(datetime(1970, 1, 2, microsecond=7, tzinfo=UTC)) == 86_400_000_007


# Agendas


@drawn(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), max_size=40),
    st.integers(0, 10),
)
def test_an_agenda_is_a_dictionary_that_knows_who_is_due(changes: list[tuple[str, int | None]], now_us: int) -> None:
    agenda, model = Agenda(), dict[str, int]()
    for settler, due_us in changes:
        if due_us is None:
            agenda = agenda.without(settler)
            model.pop(settler, None)
        else:
            agenda = agenda.with_(settler, due_us)
            model[settler] = due_us
    assert agenda.due(now_us) == [name for due_us, name in sorted((due_us, name) for name, due_us in model.items()) if due_us <= now_us]
    assert {name for name in "abcdef" if name in agenda} == set(model)
    assert [agenda.is_due(name, now_us) for name in "abcdef"] == [model.get(name, 99) <= now_us for name in "abcdef"]


def test_whoever_was_entered_before_the_clock_was_put_back_is_due() -> None:
    agenda = Agenda().with_("ann", 1_000).with_("bob", 40).with_("cid", 60)
    assert agenda.due(50) == ["bob"]
    assert agenda.due(50, longest_us=30) == ["bob", "ann"]
    assert agenda.due(10, longest_us=30) == ["cid", "ann"]
    assert agenda.due(10, longest_us=50) == ["ann"]


# Jobs


def test_while_there_is_wood_the_lowest_house_is_built() -> None:
    offers = Offers([2], [TREE_WOOD] * len(LAND.trees), [3, 1, 1, 2])
    assert offers.choose(LAND.stockpile, LAND, PATHS) == Job(kind=JobKind.HOUSE, house=1)


def test_without_wood_it_is_fetched_from_the_nearest_tree_that_has_some_left() -> None:
    near = sorted(range(len(LAND.trees)), key=lambda tree: PATHS.distance(LAND.stockpile, LAND.trees[tree]))
    offers = Offers([0], [0 if tree == near[0] else 1 for tree in range(len(LAND.trees))], [0])
    job = offers.choose(LAND.stockpile, LAND, PATHS)
    assert job is not None
    assert job.kind is JobKind.WOOD
    assert PATHS.distance(LAND.stockpile, LAND.trees[job.tree]) == PATHS.distance(LAND.stockpile, LAND.trees[near[1]])


def test_what_is_taken_is_not_offered_twice() -> None:
    offers = Offers([1], [0] * len(LAND.trees), [0])
    first = offers.choose(LAND.stockpile, LAND, PATHS)
    assert first is not None
    offers.take(first)
    assert offers.choose(LAND.stockpile, LAND, PATHS) is None


def test_a_job_leads_through_its_tasks() -> None:
    wood, house = Job(kind=JobKind.WOOD, tree=2), Job(kind=JobKind.HOUSE, house=1)
    places = {
        (wood, 0): (Task.FELL, LAND.trees[2]),
        (wood, 1): (Task.STORE, LAND.stockpile),
        (house, 0): (Task.FETCH, LAND.stockpile),
        (house, 1): (Task.CARRY, LAND.houses[1]),
        (house, 2): (Task.BUILD, LAND.houses[1]),
    }
    for (job, done), (task, place) in places.items():
        here = Job(kind=job.kind, tree=job.tree, house=job.house, done=done)
        assert (here.task, target(here, LAND)) == (task, place)
        assert here.is_last == (task in {Task.STORE, Task.BUILD})


# Fate


def test_whatever_is_blocked_is_cleared_again_and_never_the_stockpile() -> None:
    blocked: set[Tile] = set()
    most = 0
    for second in range(600):
        for command in befalls(LAND, 20, second):
            if isinstance(command, BlockTile):
                blocked.add(command.tile)
            elif isinstance(command, ClearTile):
                blocked.discard(command.tile)
        most = max(most, len(blocked))
        assert LAND.stockpile not in blocked
        assert all(LAND.is_open(tile) for tile in blocked)
        if second % 30 == 29:
            assert blocked == set()
    assert most > 0


def test_settlers_arrive_by_name_and_number() -> None:
    names = [arrival.settler for arrival in arrivals(LAND, 12)]
    assert names == sorted(names)
    assert len(set(names)) == 12
