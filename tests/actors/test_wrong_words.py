"""What people and their tools say in values of the wrong type is refused where it is said: it costs nobody else anything."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

import tallystick as ts
from tests.host import shop

Said = Callable[[ts.System, ts.DeadLetter], object]
SEND = shop.Send(parcel_id="b", street="Elm")
WRONG: Any = 3
NO_TEXT = json.loads('"\\ud800"')
MAYBE: Any = None
WORD: Any = "LOST"


def token(letter: ts.DeadLetter) -> ts.Token:
    return ts.Token(letter.aggregate_id)


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda system, letter: system.settle(letter, WORD), id="an outcome that is a text"),
        pytest.param(lambda system, letter: system.settle(letter, MAYBE), id="no outcome"),
        pytest.param(lambda system, letter: system.settle(letter, ts.TimedOut(attempts=1)), id="an outcome that is nobody's to give"),
        pytest.param(lambda system, letter: system.settle(letter, ts.Failed(code=WRONG)), id="a code that is a number"),
        pytest.param(lambda system, letter: system.settle(letter, ts.Failed(code="LOST"), who=WRONG), id="settled by a number"),
        pytest.param(lambda system, letter: system.fail(token(letter), WORD), id="a failure that is a text"),
        pytest.param(lambda system, letter: system.fail(token(letter), MAYBE), id="no failure"),
        pytest.param(lambda system, letter: system.fail(token(letter), ts.Failed(code="LOST"), who=WRONG), id="failed by a number"),
        pytest.param(lambda system, letter: system.complete(token(letter), "done", why=WRONG), id="completed for a number"),
        pytest.param(lambda system, letter: system.redrive(letter, who=WRONG), id="redriven by a number"),
        pytest.param(lambda system, letter: system.discard(letter, who=WRONG), id="discarded by a number"),
        pytest.param(lambda system, letter: system.discard(letter, why=MAYBE), id="discarded for nothing"),
        pytest.param(lambda system, _letter: system.discard_all(ts.DeadLetterQuery(), who=WRONG), id="all discarded by a number"),
        pytest.param(lambda system, _letter: system.abandon(system.open_executions()[0], MAYBE), id="abandoned for no reason"),
        pytest.param(lambda system, _letter: system.abandon(system.open_executions()[0], "x", who=WRONG), id="abandoned by a number"),
        pytest.param(lambda system, _letter: system.retry(system.open_executions()[0], who=WRONG), id="retried by a number"),
        pytest.param(lambda system, letter: system.redrive(letter, who=NO_TEXT), id="redriven by what is no text"),
        pytest.param(lambda system, letter: system.discard(letter, why=NO_TEXT), id="discarded for what is no text"),
        pytest.param(lambda system, letter: system.fail(token(letter), ts.Failed(code=NO_TEXT)), id="a code that is no text"),
        pytest.param(lambda system, _letter: system.abandon(system.open_executions()[0], NO_TEXT), id="a reason that is no text"),
        pytest.param(lambda system, _letter: system.complete(ts.Token(NO_TEXT), "x"), id="a token that is no text"),
        pytest.param(lambda system, _letter: system.operations.start("A", correlation=NO_TEXT), id="a correlation that is no text"),
        pytest.param(lambda system, _letter: system.operations.start("A", correlation=WRONG), id="a correlation that is a number"),
        pytest.param(lambda system, _letter: system.bracket("A", correlation=NO_TEXT).__enter__(), id="a bracket's correlation"),
        pytest.param(lambda system, _letter: system.get(ts.OperationSnapshot, NO_TEXT), id="a key of an aggregate that is no text"),
        pytest.param(lambda system, _letter: system.why(NO_TEXT), id="asked about what is no text"),
        pytest.param(lambda system, _letter: system.timeline(NO_TEXT), id="the timeline of what is no text"),
        pytest.param(lambda system, _letter: system.schedules.after(timedelta(1), SEND, id=NO_TEXT), id="a schedule that is no text"),
        pytest.param(lambda system, _letter: system.ask(SEND, idempotency_key=NO_TEXT), id="a key that is no text"),
        pytest.param(lambda system, _letter: system.ask(SEND, idempotency_key=WRONG), id="a key that is a number"),
        pytest.param(lambda system, _letter: system.ask(SEND, idempotency_key=" "), id="a key that is blank"),
    ],
)
def test_it_is_refused_and_the_engine_goes_on(say: Said, tmp_path: Path) -> None:
    with shop.stepped(tmp_path / "shop.db") as (system, runtime):
        system.ask(shop.Send(parcel_id="a", street=""))
        runtime.run_until_idle()
        (letter,) = system.dead_letters()
        before = [each.hash for each in system.events()]
        with pytest.raises(ts.InvalidPayload):
            say(system, letter)
        runtime.run_until_idle()
        assert ([each.hash for each in system.events()], system.health().restarts) == (before, 0)
        system.redrive(letter, who="Ann", why="in words")


def test_an_operation_is_begun_by_terms_that_there_are() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        with pytest.raises(TypeError, match="'time_out'; it takes timeout"):
            system.operations.start("Report.Make", time_out=timedelta(seconds=5))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(ts.InvalidOperation, match="give a timedelta"):
            system.operations.start("Report.Make", timeout=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert not list(system.operations.open())
        with pytest.raises(TypeError, match="'name'; it takes status, name_prefix"):
            system.operations.find(name="Report.Make")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"on_overdue": "fail"}, "no timeout, so it would never be overdue"),
        ({"on_overdue": "retry"}, "no timeout, so it would never be overdue"),
        ({"on_overdue": "handler", "heartbeat_within": timedelta(seconds=5)}, "no timeout, so it would never be overdue"),
        ({"timeout": timedelta(seconds=5), "retry": ts.FixedDelay(interval=timedelta(seconds=1))}, 'say on_overdue="retry"'),
        ({"timeout": timedelta(seconds=5), "on_overdue": "forget"}, "it is one of abandon, fail, retry, alert, handler"),
    ],
)
def test_terms_of_an_operation_that_could_never_have_an_effect_are_refused(terms: Any, why: str) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        with pytest.raises(ts.InvalidOperation, match=why):
            system.operations.start("Report.Make", **terms)
        with pytest.raises(ts.InvalidOperation, match=why), system.bracket("Report.Make", **terms):
            pass
        assert system.operations.find() == []
        assert system.operations.start("Report.Make", on_overdue="alert", stalled_after=timedelta(seconds=5)), "which the watcher tells of"


@pytest.mark.parametrize("setting", ["commands", "undurable_records", "lag_records"])
def test_limits_that_let_no_command_in_are_refused(setting: str) -> None:
    with pytest.raises(ts.DefinitionError, match=f"{setting}=0.* let no command in"):
        ts.Limits(**{setting: 0})
    with ts.System(runtime=ts.SteppedRuntime(), limits=ts.Limits(**{setting: 1})) as system:
        assert system.operations.start("Report.Make")


def test_a_watcher_that_would_do_nothing_else_or_calls_everything_stalled_is_refused() -> None:
    with ts.System() as system:
        with pytest.raises(ts.DefinitionError, match="positive interval"), system.watch().every(timedelta(0)):
            pass
        with pytest.raises(ts.DefinitionError, match=r"'Report' leaves no time to get on"):
            system.watch(thresholds={"Import": timedelta(minutes=5), "Report": timedelta(0)})


@pytest.mark.parametrize("act", ["abandon", "resume", "retry"])
@pytest.mark.parametrize(("by", "why"), [("", "it hangs"), ("ann", " ")])
def test_a_person_who_decides_on_an_operation_says_who_and_why(act: str, by: str, why: str) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        token = system.operations.start("Report.Make")
        with pytest.raises(ts.InvalidPayload, match="who decides it and why"):
            getattr(system.operations, act)(token, by=by, why=why)
        with pytest.raises(ts.InvalidPayload, match="no Unicode text"):
            system.operations.cancel(token, by="ann", why="\ud800")
        assert [each.operation_id for each in system.operations.open()] == [token]


def test_an_event_that_nobody_declares_is_said_to_be_undeclared() -> None:
    class Found(ts.Event):
        aggregate_type: ClassVar[str] = "Find"
        find: str

        @property
        def aggregate_id(self) -> str:
            return self.find

    class Find(ts.Command[None]):
        find: str

    class Finds(ts.Module):
        name = "finds"

        @ts.handles(Find)
        def find(self, turn: ts.Turn, command: Find) -> ts.Decision[None]:
            del turn
            yield Found(find=command.find)

    with ts.System((Finds(),), runtime=ts.SteppedRuntime()) as system, pytest.raises(ts.InvalidPayload, match=r"name it in emits="):
        system.ask(Find(find="a coin"))
