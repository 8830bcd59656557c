"""Compensations that fail, in the list of dead letters with everything else that waits for a person."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

import tallystick as ts
from tests.actors.errand import Errand, Job, Outside


class Stuck:
    """A saga whose compensation was refused."""

    def __init__(self) -> None:
        self.outside = Outside()
        self.outside.refuses = {"x again", "undo x"}
        self.system, self.runtime = self.outside.system(ts.MemoryLog())

    def begin(self) -> None:
        self.system.start(Errand, Job(what="x"), id="e1")
        self.runtime.advance(timedelta(hours=1))


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    with made.system:
        made.begin()
        yield made


def test_a_compensation_that_fails_is_in_the_list_with_its_cause(stuck: Stuck) -> None:
    (letter,) = stuck.system.dead_letters()
    assert (letter.owner, letter.kind, letter.event_type) == ("Errand", "person", "ErrandNeedsPerson")
    assert "REFUSED" in letter.error
    assert b"undo x" in letter.error.encode()


def test_a_redrive_from_the_list_tries_it_again_and_who_and_why_are_recorded(stuck: Stuck) -> None:
    stuck.outside.refuses.clear()
    (letter,) = stuck.system.dead_letters()
    stuck.system.redrive(letter, who="Ann", why="they answer again")
    stuck.runtime.advance(timedelta(hours=1))
    assert stuck.outside.undone == ["x"]
    assert stuck.system.dead_letters() == ()
    assert [each.event_type for each in stuck.system.events(event_types=("ErrandCompensated",))] == ["ErrandCompensated"]
    (acted,) = stuck.system.events(event_types=("PersonActed",))
    assert b'"did":"redriven","who":"Ann","why":"they answer again"' in acted.payload


def test_one_that_fails_again_is_in_the_list_again(stuck: Stuck) -> None:
    (letter,) = stuck.system.dead_letters()
    stuck.system.redrive(letter)
    stuck.runtime.advance(timedelta(hours=1))
    (again,) = stuck.system.dead_letters()
    assert again.id != letter.id


def test_it_cannot_be_discarded_for_the_saga_would_have_forgotten_what_it_left_behind(stuck: Stuck) -> None:
    (letter,) = stuck.system.dead_letters()
    with pytest.raises(ts.Rejected, match="NOT_DISCARDABLE"):
        stuck.system.discard(letter, who="Ann", why="never mind")
    assert stuck.system.dead_letters() == (letter,)
