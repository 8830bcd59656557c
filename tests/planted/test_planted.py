"""The planted bugs are up to date, and a few of them are planted here; `python -m tests.planted` plants them all."""

import pytest

from tests.planted.bugs import BUGS, Bug
from tests.planted.planting import caught, planted

SAMPLE = ("acknowledge before commit", "a new module takes the whole log", "payment made twice")


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 30


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_what_a_bug_replaces_still_stands_in_the_program(bug: Bug) -> None:
    compile(planted(bug), bug.file, "exec")


@pytest.mark.parametrize("name", SAMPLE)
def test_a_planted_bug_is_caught(name: str) -> None:
    (bug,) = (bug for bug in BUGS if bug.name == name)
    assert caught(bug, seeds=0).caught_by.startswith("tests/")


def test_where_no_bug_is_planted_nothing_is_caught() -> None:
    nothing = BUGS[0]._replace(name="nothing", bad=BUGS[0].good, tests=("tests/store/test_chain.py",))
    assert caught(nothing, seeds=0).caught_by == ""
