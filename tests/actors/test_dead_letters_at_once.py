"""Several dead letters at once: found by what they are, decided on together."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.testing import check_invariants
from tests.actors.kiln import Fire, KilnStage
from tests.actors.outside import StillRunning
from tests.actors.workshop import Order


@pytest.fixture
def kiln() -> Iterator[KilnStage]:
    stage = KilnStage()
    yield stage
    stage.idle()
    check_invariants(stage.system)


def letters(kiln: KilnStage) -> None:
    for job_id in ("a", "b"):
        kiln.fails(job_id)
    kiln.provider.answers("c", *(StillRunning() for _ in range(3)))
    kiln.system.ask(Fire(job_id="c"))
    kiln.advance(3600)


@pytest.mark.parametrize(
    ("query", "jobs"),
    [
        (ts.DeadLetterQuery(), ["a", "b", "c"]),
        (ts.DeadLetterQuery(code="OSError"), ["a", "b"]),
        (ts.DeadLetterQuery(code="TIMED_OUT"), ["c"]),
        (ts.DeadLetterQuery(owner="ledger"), []),
        (ts.DeadLetterQuery(kind="reaction"), []),
        (ts.DeadLetterQuery(event_type="FiringStarted", kind="actions", owner="kiln"), ["a", "b", "c"]),
    ],
)
def test_letters_are_found_by_what_they_are(kiln: KilnStage, query: ts.DeadLetterQuery, jobs: list[str]) -> None:
    letters(kiln)
    assert [json.loads(bytes(each.payload))[0]["jobId"] for each in kiln.system.dead_letters(query)] == jobs


def test_letters_are_found_by_how_long_they_have_waited(kiln: KilnStage) -> None:
    letters(kiln)
    second = kiln.system.dead_letters()[1]
    before = ts.DeadLetterQuery(before=second.since)
    assert [each.position < second.position for each in kiln.system.dead_letters(before)] == [True]
    assert len(kiln.system.dead_letters(ts.DeadLetterQuery(before=second.since + timedelta(microseconds=1)))) == 2


def test_several_are_redriven_or_discarded_at_once_and_counted(kiln: KilnStage) -> None:
    letters(kiln)
    assert kiln.system.redrive_all(ts.DeadLetterQuery(code="OSError"), who="Ann", why="swept").done == 2
    kiln.idle()
    assert sorted(kiln.results) == ["a is done", "b is done"]
    assert kiln.system.discard_all(ts.DeadLetterQuery(), who="Ann", why="enough").done == 1
    assert kiln.system.dead_letters() == ()
    assert {event.who for event in (*kiln.events("ExecutionRedriven"), *kiln.events("PersonActed"))} == {"Ann"}


def test_one_that_refuses_keeps_no_other_back(kiln: KilnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    letters(kiln)
    found = kiln.system.dead_letters()
    kiln.system.discard(found[0])
    monkeypatch.setattr(kiln.system, "dead_letters", lambda _query: found)
    done = kiln.system.redrive_all(ts.DeadLetterQuery())
    assert done.done == 2
    assert [(each.id, "NOT_OPEN" in each.error) for each in done.refused] == [(found[0].id, True)]


def test_reactions_and_actions_stand_in_one_list(kiln: KilnStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_given: object) -> ts.Effects:
        raise ValueError

    kiln.fails()
    order = next(kind for kind in kiln.engine.owners["ledger"]._reactions if kind == "Ordered")
    monkeypatch.setitem(kiln.engine.owners["ledger"]._reactions, order, failing)
    kiln.system.ask(Order(order_id="x", text="one"))
    kiln.advance(600)
    actions, reaction = kiln.system.dead_letters()
    assert (actions.kind, reaction.kind, reaction.event_type) == ("actions", "reaction", "Ordered")
    assert json.loads(bytes(reaction.payload)) == {"orderId": "x", "text": "one"}
    assert (reaction.code, reaction.token, reaction.attempts) == ("ValueError", None, 4)
    assert reaction.since == kiln.of_type("ReactionFailed")[-1].occurred_at
