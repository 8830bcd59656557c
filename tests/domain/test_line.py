"""Who is served next in a subject's line: the order, what an interruption does, and that nobody is lost or starves."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.line import (
    ARRIVED_LIMIT,
    NOBODY,
    PARKED_LIMIT,
    PATIENCE,
    Candidate,
    Line,
    Move,
    Place,
    Standing,
    arrives,
    decides,
    leaves,
)
from tests.domain.lines import PRIORITIES, candidates_, tokens

AT_ONCE = Line("at once", waiting=3)
EACH_STEP = Line("each step", waiting=3, arbitration="each_step")


def candidate(name: str, number: int, priority: int = 200, **settings_: object) -> Candidate:
    return Candidate(ts.Token(name), number, priority, **settings_)  # type: ignore[arg-type]


def standing_of(line: Line, *candidates: Candidate) -> Standing:
    standing = NOBODY
    for each in candidates:
        standing, _ = arrives(standing, each, line)
    return standing


def names(moves: Iterable[Move]) -> list[str]:
    return [f"{move.what} {move.token}" for move in moves]


# One after another.


def test_the_first_to_come_is_served_and_equals_wait_in_the_order_in_which_they_came() -> None:
    standing = standing_of(AT_ONCE, candidate("a", 1), candidate("b", 2), candidate("c", 3))
    standing, moves = leaves(standing, ts.Token("a"), AT_ONCE)
    assert names(moves) == ["start b"]
    assert names(leaves(standing, ts.Token("b"), AT_ONCE)[1]) == ["start c"]


def test_one_more_than_may_wait_is_refused_as_busy() -> None:
    standing = standing_of(AT_ONCE, *(candidate(name, number) for number, name in enumerate("abcd")))
    after, moves = arrives(standing, candidate("e", 9), AT_ONCE)
    assert (after, moves) == (standing, (Move("refuse", ts.Token("e"), "busy"),))


def test_one_that_was_let_in_before_a_crash_is_not_refused_for_want_of_room() -> None:
    nobody_waits = Line("narrow", waiting=0)
    standing = standing_of(nobody_waits, candidate("a", 1))
    after, moves = arrives(standing, candidate("b", 2, admitted=True), nobody_waits)
    assert (tokens(after), moves) == (["a", "b"], ())


def test_of_those_that_wait_the_higher_priority_goes_first_then_the_better_origin_then_the_older() -> None:
    waiting = [
        candidate("late", 6, 200, rank=0),
        candidate("low", 2, 100),
        candidate("other origin", 3, 200, rank=1),
        candidate("early", 4, 200, rank=0),
    ]
    line = Line("wide")
    standing = standing_of(line, candidate("a", 1, 400), *waiting)
    order = []
    for _ in range(5):
        assert standing.active is not None
        order.append(standing.active.candidate.token)
        standing, _ = leaves(standing, standing.active.candidate.token, line)
    assert order == ["a", "early", "late", "other origin", "low"]


# Interruptions.


def test_a_higher_priority_interrupts_and_what_it_interrupted_goes_on_before_equals_that_wait() -> None:
    standing = standing_of(AT_ONCE, candidate("work", 1), candidate("more work", 2))
    standing, moves = arrives(standing, candidate("hunger", 3, 400), AT_ONCE)
    assert names(moves) == ["interrupt work", "start hunger"]
    assert names(leaves(standing, ts.Token("hunger"), AT_ONCE)[1]) == ["resume work"]


def test_what_is_replayed_again_and_again_goes_on_where_it_was_in_the_end() -> None:
    standing = standing_of(AT_ONCE, candidate("work", 1, interruption="replayable"))
    seen: list[str] = []
    for number in range(2, PATIENCE + 4):
        standing, _ = arrives(standing, candidate(f"hunger {number}", number, 400), AT_ONCE)
        standing, moves = leaves(standing, ts.Token(f"hunger {number}"), AT_ONCE)
        seen += names(moves)
    assert seen == ["replay work"] * PATIENCE + ["resume work"] * 2


def test_what_is_replayable_is_replayed() -> None:
    standing = standing_of(AT_ONCE, candidate("work", 1, interruption="replayable"), candidate("hunger", 2, 400))
    assert names(leaves(standing, ts.Token("hunger"), AT_ONCE)[1]) == ["replay work"]


def test_what_is_not_interruptible_is_waited_for() -> None:
    standing = standing_of(AT_ONCE, candidate("birth", 1, 100, interruption="not_interruptible"))
    standing, moves = arrives(standing, candidate("hunger", 2, 400), AT_ONCE)
    assert moves == ()
    assert names(leaves(standing, ts.Token("birth"), AT_ONCE)[1]) == ["start hunger"]


def test_an_equal_priority_does_not_interrupt() -> None:
    standing = standing_of(AT_ONCE, candidate("a", 1, 400))
    assert arrives(standing, candidate("b", 2, 400), AT_ONCE)[1] == ()


def test_the_latest_interrupted_goes_on_first() -> None:
    standing = standing_of(AT_ONCE, candidate("low", 1, 100), candidate("normal", 2, 200), candidate("critical", 3, 400))
    standing, moves = leaves(standing, ts.Token("critical"), AT_ONCE)
    assert names(moves) == ["resume normal"]
    assert names(leaves(standing, ts.Token("normal"), AT_ONCE)[1]) == ["resume low"]


def test_a_higher_priority_that_waits_goes_before_one_that_was_interrupted() -> None:
    standing = standing_of(AT_ONCE, candidate("low", 1, 100), candidate("critical", 2, 400), candidate("high", 3, 300))
    assert names(leaves(standing, ts.Token("critical"), AT_ONCE)[1]) == ["start high"]


def test_beyond_its_limit_the_stack_grows_no_more_and_whoever_would_interrupt_waits() -> None:
    standing = standing_of(AT_ONCE, *(candidate(str(number), number, number) for number in range(PARKED_LIMIT + 1)))
    assert len(standing.parked) == PARKED_LIMIT
    after, moves = arrives(standing, candidate("more", 1000, 1000), AT_ONCE)
    assert (len(after.waiting), moves) == (1, ())


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("resume_parent", ["resume work"]),
        ("fail_parent", ["fail work", "resume work"]),
        ("drop_parent", ["refuse work", "start next"]),
    ],
)
def test_what_fails_takes_what_it_interrupted_with_it_if_it_was_told_to(policy: str, expected: list[str]) -> None:
    standing = standing_of(AT_ONCE, candidate("work", 1), candidate("need", 2, 400, if_it_fails=policy), candidate("next", 3))
    after, moves = leaves(standing, ts.Token("need"), AT_ONCE, failed=True)
    assert names(moves) == expected
    assert {move.cause for move in moves if move.what == "refuse"} <= {"superseded"}
    assert ("work" in tokens(after)) == (policy != "drop_parent"), "what fails has its turn until its owner has decided"


@pytest.mark.parametrize(("policy", "expected"), [("fail_parent", "fail low"), ("drop_parent", "refuse low")])
def test_what_fails_with_what_interrupted_it_or_times_out_while_it_is_parked_takes_its_own_parent_with_it(
    policy: str, expected: str
) -> None:
    normal = candidate("normal", 2, if_it_fails=policy)
    stack = standing_of(AT_ONCE, candidate("low", 1, 100), normal, candidate("critical", 3, 400, if_it_fails="fail_parent"))
    with_it, moves = leaves(stack, ts.Token("critical"), AT_ONCE, failed=True)
    assert names(moves) == ["fail normal", "resume normal"]
    assert names(leaves(with_it, ts.Token("normal"), AT_ONCE, failed=True)[1])[0] == expected
    assert names(leaves(stack, ts.Token("normal"), AT_ONCE, failed=True)[1]) == [expected]


def test_what_succeeds_or_is_called_off_leaves_what_it_interrupted_alone() -> None:
    standing = standing_of(AT_ONCE, candidate("work", 1), candidate("need", 2, 400, if_it_fails="drop_parent"))
    assert names(leaves(standing, ts.Token("need"), AT_ONCE)[1]) == ["resume work"]


def test_what_fails_after_its_parent_has_left_takes_nobody_else_with_it() -> None:
    work, need, other = candidate("work", 1), candidate("need", 2, 400, if_it_fails="fail_parent"), candidate("other", 3)
    standing, _ = leaves(standing_of(AT_ONCE, work, need, other), ts.Token("work"), AT_ONCE)
    assert names(leaves(standing, ts.Token("need"), AT_ONCE, failed=True)[1]) == ["start other"]


# One decision a step.


def test_of_those_that_come_in_one_step_one_is_served_the_others_wait_or_are_superseded() -> None:
    narrow = Line("narrow", waiting=1, arbitration="each_step", origins=("needs", "work"))
    step = [
        candidate("work", 1, 200, rank=1),
        candidate("first need", 2, 200, rank=0),
        candidate("last need", 3, 200, rank=0),
        candidate("stroll", 4, 100, rank=2),
    ]
    standing = standing_of(narrow, *step)
    assert standing.active is None
    after, moves = decides(standing, narrow)
    assert names(moves) == ["start last need", "refuse work", "refuse stroll"]
    assert {move.cause for move in moves if move.what == "refuse"} == {"superseded"}
    assert tokens(after) == ["last need", "first need"]


def test_between_two_steps_there_is_a_limit_to_those_that_come() -> None:
    standing = standing_of(EACH_STEP, *(candidate(f"{number}", number) for number in range(ARRIVED_LIMIT)))
    after, moves = arrives(standing, candidate("more", 10_000, 400), EACH_STEP)
    assert (after, moves) == (standing, (Move("refuse", ts.Token("more"), "busy"),))


def test_where_the_active_one_stays_those_for_whom_there_is_no_room_hear_that_it_is_busy() -> None:
    nobody_waits = Line("narrow", waiting=0, arbitration="each_step")
    standing, _ = decides(standing_of(nobody_waits, candidate("a", 1)), nobody_waits)
    for each in (candidate("b", 2), candidate("c", 3)):
        standing, _ = arrives(standing, each, nobody_waits)
    after, moves = decides(standing, nobody_waits)
    assert [(str(move.token), move.cause) for move in moves] == [("c", "busy"), ("b", "busy")]
    assert tokens(after) == ["a"]


def test_a_step_decides_between_those_that_come_those_parked_and_those_that_wait() -> None:
    standing, _ = decides(standing_of(EACH_STEP, candidate("low", 1, 100)), EACH_STEP)
    standing, _ = decides(arrives(standing, candidate("critical", 2, 400), EACH_STEP)[0], EACH_STEP)
    standing, moves = leaves(standing, ts.Token("critical"), EACH_STEP)
    assert moves == (), "it is decided in the step"
    after, moves = decides(arrives(standing, candidate("low too", 3, 100), EACH_STEP)[0], EACH_STEP)
    assert names(moves) == ["resume low"]
    after, moves = decides(arrives(standing, candidate("normal", 3, 200), EACH_STEP)[0], EACH_STEP)
    assert (names(moves), tokens(after)) == (["start normal"], ["normal", "low"])


def test_of_equals_on_the_stack_the_top_goes_on_first() -> None:
    parked = tuple(Place(candidate(name, number)) for number, name in enumerate("ab"))
    standing = Standing(Place(candidate("c", 3, 400)), parked)
    assert names(leaves(standing, ts.Token("c"), AT_ONCE)[1]) == ["resume b"]


@pytest.mark.parametrize(("rank", "served"), [(0, "new"), (1, "old"), (2, "old")])
def test_of_one_that_waits_and_one_that_comes_the_better_origin_goes_first_and_of_equals_the_one_that_waits(rank: int, served: str) -> None:
    standing = Standing(waiting=(Place(candidate("old", 1, rank=1)),))
    standing, _ = arrives(standing, candidate("new", 2, rank=rank), EACH_STEP)
    assert names(decides(standing, EACH_STEP)[1]) == [f"start {served}"]


def test_a_line_that_cannot_be_is_refused() -> None:
    class NoContainer(ts.Resident):
        pass

    wrongs: list[dict[str, Any]] = [
        {"name": ""},
        {"name": "a", "waiting": -1},
        {"name": "a", "arbitration": "never"},
        {"name": "a", "subjects": NoContainer},
    ]
    for wrong in wrongs:
        with pytest.raises(ts.DefinitionError):
            Line(**wrong)


# Properties.

many = st.lists(candidates_, min_size=1, max_size=8, unique_by=lambda each: each.number)


@given(many, st.randoms())
def test_who_wins_a_step_does_not_depend_on_the_order_in_which_they_are_listed(step: list[Candidate], chance: object) -> None:
    shuffled = list(step)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    first, moves = decides(standing_of(EACH_STEP, *step), EACH_STEP)
    assert (first, moves) == decides(standing_of(EACH_STEP, *shuffled), EACH_STEP)
    assert [move.what for move in moves].count("start") == 1
    assert moves[0].token == min(step, key=lambda each: (-each.priority, each.rank, -each.number)).token


@given(many)
def test_the_order_of_those_that_wait_is_total(waiting: list[Candidate]) -> None:
    wide = Line("wide")
    first = candidate("first", 20_000, 1000)
    standing = standing_of(wide, first, *waiting)
    served = []
    while standing.active is not None:
        served.append(standing.active.candidate)
        standing, _ = leaves(standing, standing.active.candidate.token, wide)
    assert served[1:] == sorted(waiting, key=lambda each: (-each.priority, each.rank, each.number))


@settings(max_examples=60)
@given(
    victim=candidates_,
    others=st.lists(st.tuples(st.sampled_from(PRIORITIES), st.integers(0, 2)), max_size=400),
    arbitration=st.sampled_from(("at_once", "each_step")),
)
def test_nobody_who_waits_starves(victim: Candidate, others: list[tuple[int, int]], arbitration: str) -> None:
    """Rivals keep coming. It is started after at most `PATIENCE` starts, those of whoever was there before, and their interruptions."""
    line = Line("long", waiting=10_000, arbitration=arbitration)  # type: ignore[arg-type]
    before = [candidate(f"before {number}", number - 100) for number in range(5)]
    standing = standing_of(line, *before, victim)
    if arbitration == "each_step":
        standing, _ = decides(standing, line)
    limit = standing.starts + PATIENCE + (len(before) + PATIENCE + 1) * len(PRIORITIES)
    for number, (priority, leaving) in enumerate(others):
        if standing.active is not None and standing.active.candidate.token == victim.token:
            return
        standing, _ = arrives(standing, candidate(f"rival {number}", 20_000 + number, priority), line)
        if leaving and standing.active is not None:
            standing, _ = leaves(standing, standing.active.candidate.token, line)
        if arbitration == "each_step":
            standing, _ = decides(standing, line)
        started = standing.active is not None and standing.active.candidate.token == victim.token
        assert started or standing.starts <= limit


@pytest.mark.parametrize("line", [Line("at once"), Line("each step", arbitration="each_step")])
@pytest.mark.parametrize("interrupted", [False, True])
def test_the_lowest_goes_first_when_so_many_others_were_started(line: Line, interrupted: bool) -> None:
    """There is always a critical rival that waits when the critical one that is served leaves."""
    victim, rival = candidate("victim", 1, 100), candidate("rival", 2, 400)
    standing, started = NOBODY, list[str]()
    for each in (victim, rival) if interrupted else (rival, victim):
        standing, _ = arrives(standing, each, line)
        standing, _ = decides(standing, line) if line.arbitration == "each_step" else (standing, ())
    assert len(standing.parked) == interrupted
    for number in range(3, 3 + 2 * PATIENCE):
        assert standing.active is not None
        started.append(standing.active.candidate.token)
        standing, _ = arrives(standing, candidate(f"rival {number}", number, 400), line)
        standing, _ = leaves(standing, ts.Token(started[-1]), line)
        standing, _ = decides(standing, line) if line.arbitration == "each_step" else (standing, ())
    others = started.index("victim")
    assert others == PATIENCE if interrupted else others == PATIENCE + 1, "one of them was being served when it came"
