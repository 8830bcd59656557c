"""The decorators of an operation: what `settled` and `late` hear and may answer, and tokens that a program gives itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.marks import marks_of

Settle = Callable[["Doing", ts.Outcome[int]], ts.Effects]


class OfThing(ts.Event):
    aggregate_type = "Thing"
    thing_id: str

    @property
    def aggregate_id(self) -> str:
        return self.thing_id


class Done(OfThing):
    result: int


class NotDone(OfThing):
    reason: str


class Remarked(OfThing):
    text: str


class Doing(ts.Intent[int]):
    thing_id: str
    timeout = timedelta(minutes=1)
    ends_with = (Done, NotDone)


class Do(ts.Command[None]):
    thing_id: str
    under: str | None = None


class Doers(ts.Module):
    name = "doers"

    def __init__(self, settle: Settle | None = None) -> None:
        self.answer = settle or settled_well
        self.heard: list[tuple[str, Any]] = []

    @ts.handles(Do, emits=[Remarked])
    def do(self, _turn: ts.Turn, command: Do) -> ts.Decision[None]:
        token = None if command.under is None else ts.Token(command.under)
        yield ts.Begin(intent=Doing(thing_id=command.thing_id), token=token, tags={"by": "test"})

    @Doing.settled
    def settle(self, turn: ts.Turn, doing: Doing, outcome: ts.Outcome[int]) -> ts.Effects:
        self.heard.append((f"settled {doing.thing_id} {dict(turn.tags)}", outcome))
        return self.answer(doing, outcome)

    @Doing.late
    def late(self, _turn: ts.Turn, doing: Doing, result: int) -> ts.Effects:
        self.heard.append((f"late {doing.thing_id}", result))
        yield Remarked(thing_id=doing.thing_id, text=f"came late: {result}")


def settled_well(doing: Doing, outcome: ts.Outcome[int]) -> ts.Effects:
    match outcome:
        case ts.Succeeded(result=result):
            yield Done(thing_id=doing.thing_id, result=result)
        case _:
            yield NotDone(thing_id=doing.thing_id, reason=type(outcome).__name__)


def settled_twice(doing: Doing, _outcome: ts.Outcome[int]) -> ts.Effects:
    yield Done(thing_id=doing.thing_id, result=1)
    yield NotDone(thing_id=doing.thing_id, reason="x")


def settled_with_remarks(doing: Doing, _outcome: ts.Outcome[int]) -> ts.Effects:
    yield Remarked(thing_id=doing.thing_id, text="soon")
    yield Done(thing_id=doing.thing_id, result=1)
    yield Remarked(thing_id=doing.thing_id, text="there")


class Running:
    def __init__(self, settle: Settle | None = None) -> None:
        self.module = Doers(settle)
        self.runtime = ts.SteppedRuntime(ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
        self.system = ts.System([self.module], log=ts.MemoryLog(), runtime=self.runtime)
        self.system.__enter__()

    def begin(self, thing_id: str = "t", under: str | None = None) -> ts.Token:
        self.system.ask(Do(thing_id=thing_id, under=under))
        return self.system.open_executions()[-1].execution.token

    def types(self) -> list[str]:
        return [each.event_type for each in self.system.events() if each.event_type not in {"OwnerJoined", "TimeoutFired"}]


@pytest.fixture
def running() -> Running:
    return Running()


def test_the_decorators_leave_the_methods_as_they_are_and_mark_what_they_are_for() -> None:
    assert [(mark.role, mark.kind) for mark in marks_of(Doers.settle)] == [("settled", Doing)]
    assert [(mark.role, mark.kind) for mark in marks_of(Doers.late)] == [("late", Doing)]
    assert Doers.settle.__name__ == "settle"
    behaviour = Behaviour(Doers())
    assert (set(behaviour.settlements), set(behaviour.late)) == ({Doing}, {Doing})
    assert {Done, NotDone} <= set(behaviour.published)


def test_each_outcome_reaches_the_settlement_handler_with_the_intent_and_its_tags(running: Running) -> None:
    running.system.complete(running.begin("a"), 5)
    running.system.fail(running.begin("b"), ts.Failed(code="NO", message="not today"))
    running.begin("c")
    running.system.abandon(running.system.open_executions()[0], "enough")
    running.begin("d")
    running.runtime.advance(timedelta(minutes=1))
    tags = {"by": "test"}
    assert running.module.heard == [
        (f"settled a {tags}", ts.Succeeded(result=5)),
        (f"settled b {tags}", ts.Failed(code="NO", message="not today")),
        (f"settled c {tags}", ts.Cancelled(reason="enough")),
        (f"settled d {tags}", ts.TimedOut(attempts=1)),
    ]
    ends = [(each.event_type, each.settles) for each in running.system.events() if each.settles]
    assert ends == [("Done", "succeeded"), ("NotDone", "failed"), ("NotDone", "abandoned"), ("NotDone", "abandoned")]


def test_a_success_after_the_settlement_is_evidence_once_and_the_late_handler_answers_it_p10(running: Running) -> None:
    token = running.begin()
    running.runtime.advance(timedelta(minutes=1))
    assert [running.system.complete(token, 7), running.system.complete(token, 8)] == [False, False]
    running.runtime.run_until_idle()
    assert running.types() == ["DoingStarted", "NotDone", "LateSuccess", "Remarked"]
    assert running.module.heard[1:] == [("late t", 7)]


def test_a_success_after_a_success_is_no_news_s3(running: Running) -> None:
    token = running.begin()
    assert running.system.complete(token, 7)
    assert not running.system.complete(token, 7)
    running.runtime.run_until_idle()
    assert running.types() == ["DoingStarted", "Done"]


def test_a_failure_after_the_settlement_changes_nothing_s3(running: Running) -> None:
    token = running.begin()
    running.runtime.advance(timedelta(minutes=1))
    assert not running.system.fail(token, ts.Failed(code="NO"))
    running.runtime.run_until_idle()
    assert running.types() == ["DoingStarted", "NotDone"]
    assert running.system.health().counters["stale_failures"] == 1


def test_a_settlement_that_yields_two_ends_is_an_error_of_that_turn_and_is_parked(running: Running) -> None:
    running.module.answer = settled_twice
    running.system.complete(running.begin(), 5)
    running.runtime.advance(timedelta(hours=1))
    (letter,) = running.system.dead_letters()
    assert "second completion event, NotDone" in letter.error
    assert "Done" not in running.types()
    running.module.answer = settled_well
    running.system.redrive(letter, who="me", why="mended")
    running.runtime.run_until_idle()
    assert [each.event_type for each in running.system.events() if each.settles] == ["Done"]


def test_a_settlement_may_yield_other_events_beside_its_end(running: Running) -> None:
    running.module.answer = settled_with_remarks
    running.system.complete(running.begin(), 5)
    assert running.types() == ["DoingStarted", "Remarked", "Done", "Remarked"]
    assert [each.settles for each in running.system.events(event_types=("Remarked", "Done"))] == [None, "succeeded", None]


def test_a_token_that_the_program_gives_is_used_for_the_bracket(running: Running) -> None:
    assert running.begin(under="mine") == "mine"
    assert running.system.complete(ts.Token("mine"), 1)
    assert {each.token for each in running.system.events() if each.token} == {"mine"}


@pytest.mark.parametrize("settled", [False, True], ids=["open", "settled"])
def test_a_token_is_not_begun_with_twice_s1(running: Running, settled: bool) -> None:
    running.begin(under="mine")
    if settled:
        running.system.complete(ts.Token("mine"), 1)
    before = running.types()
    with pytest.raises(ts.EffectError, match="mine"):
        running.system.ask(Do(thing_id="again", under="mine"))
    assert running.types() == before
    running.system.ask(Do(thing_id="other", under="other"))
    assert running.system.complete(ts.Token("other"), 2)
    assert running.system.health().restarts == 0
