"""What handlers say that a log cannot hold fails their turn, and nothing else; what callbacks raise fails nobody."""

import enum
import threading
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, FaultyLog, wait_until

NOBODYS, MINE = " ", "mine"


class Named(ts.Event):
    aggregate_type = "Thing"
    thing_id: Any

    @property
    def aggregate_id(self) -> str:
        return self.thing_id  # type: ignore[no-any-return]


class Thing(ts.Aggregate):
    names: int = 0


class Holding(ts.Intent[str]):
    about: Any = ""

    @property
    def subject(self) -> str:
        return self.about  # type: ignore[no-any-return]


class Say(ts.Command[str]):
    thing_id: Any


class Hold(ts.Command[str]):
    token: Any = None
    about: Any = ""


class Stop(ts.Command[None]):
    pass


class Things(ts.Module):
    name = "things"

    @ts.handles(Say, emits=[Named])
    def say(self, _turn: ts.Turn, command: Say) -> ts.Decision[str]:
        yield Named(thing_id=Kind.LARGE if command.thing_id == "an enumeration's" else command.thing_id)
        return "said"

    @ts.handles(Hold)
    def hold(self, _turn: ts.Turn, command: Hold) -> ts.Decision[str]:
        yield ts.Begin(intent=Holding(about=command.about), token=command.token)
        return "held"

    @ts.handles(Stop)
    def stop(self, _turn: ts.Turn, _command: Stop) -> ts.Decision[None]:
        raise StopIteration

    @Holding.settled
    def ended(self, _turn: ts.Turn, _holding: Holding, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()

    @ts.folds(Named, Thing)
    def named(self, thing: Thing, _event: Named) -> Thing:
        return Thing(names=thing.names + 1)


class Kind(enum.StrEnum):
    LARGE = "large"


@pytest.mark.parametrize("thing_id", [7, 1.5, True, None, ["a"], {"a": 1}])
def test_an_id_that_is_no_text_is_refused_before_it_is_written(thing_id: Any, runtime: Runtime) -> None:
    log = ts.MemoryLog()
    with ts.System([Things()], log=log, runtime=runtime) as system:
        before = system.health().tail
        with pytest.raises(ts.InvalidPayload, match="An aggregate's id is"):
            system.ask(Say(thing_id=thing_id))
        assert system.ask(Say(thing_id="a")) == "said"
        assert (system.health().restarts, system.health().tail - before) == (0, 1)


def test_an_id_of_half_a_character_is_refused(runtime: Runtime) -> None:
    with ts.System([Things()], runtime=runtime) as system:
        with pytest.raises(ts.InvalidPayload):
            system.ask(Say(thing_id="\ud83d"))
        assert system.health().restarts == 0


def test_a_member_of_an_enumeration_is_its_text(tmp_path: Any) -> None:
    with ts.System([Things()], log=tmp_path / "things.db") as system:
        assert system.ask(Say(thing_id="an enumeration's")) == "said"
        assert system.ask(Say(thing_id="large")) == "said"
        assert [type(record.aggregate_id) for record in system.events(event_types=("Named",))] == [str, str]
    with ts.System([Things()], log=tmp_path / "things.db") as system:
        assert system.get(Thing, "large") == Thing(names=2)


@pytest.mark.parametrize("hold", [Hold(token=5), Hold(token=NOBODYS), Hold(about=["a"]), Hold(about=3)], ids=str)
def test_a_token_or_a_subject_that_is_no_text_is_refused(hold: Hold, runtime: Runtime) -> None:
    with ts.System([Things()], runtime=runtime) as system:
        with pytest.raises((ts.EffectError, ts.InvalidPayload)):
            system.ask(hold)
        assert system.ask(Hold(token=MINE, about="a")) == "held"
        assert system.health().restarts == 0


def test_what_ends_an_iteration_is_not_for_handlers_to_raise(real_runtime: Runtime) -> None:
    """An event loop has no way to hand it on: who waited there would wait for ever."""
    with ts.System([Things()], runtime=real_runtime) as system, pytest.raises(ts.EffectError, match="StopIteration"):
        system.ask(Stop())


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_what_a_callback_raises_keeps_no_other_from_its_reply(error: BaseException, real_runtime: Runtime, lines: list[Any]) -> None:
    def fail(_future: object) -> None:
        raise error

    with ts.System([Things()], runtime=real_runtime) as system:
        system.submit(Say(thing_id="a")).add_done_callback(fail)
        first = [system.submit(Say(thing_id=f"b{number}")) for number in range(3)]
        assert [each.result(PATIENCE_S) for each in first] == ["said"] * 3
    assert [line["event"] for line in lines if "callback" in line["event"]] == ["reply.callback_failed"]


class Work(ts.Action[str]):
    pass


class Working(ts.Intent[str]):
    pass


class Begin(ts.Command[None]):
    pass


class Workers(ts.Module):
    name = "workers"

    @ts.handles(Begin)
    def begin(self, _turn: ts.Turn, _command: Begin) -> ts.Decision[None]:
        yield ts.Begin(intent=Working(), actions=(Work(),))

    @Working.settled
    def ended(self, _turn: ts.Turn, _working: Working, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


@pytest.mark.parametrize("kind", [ts.DispatcherRuntime, ts.ThreadsRuntime])
def test_p14_an_engine_that_fails_while_it_is_being_started_is_rebuilt_too(kind: "type[ts.DispatcherRuntime | ts.ThreadsRuntime]") -> None:
    log, answer = FaultyLog(), threading.Event()
    disk = log.disk

    class Slow(kind):  # type: ignore[misc, valid-type]
        """Takes its time to start, in which what runs already meets the next failure."""

        def start(self) -> None:
            super().start()
            wait_until(lambda: not disk.failures)

    def work(_action: Work, _call: ts.Call) -> str:
        answer.wait(PATIENCE_S)
        return "done"

    with ts.System([Workers()], performers=[Work.performed_by(work)], log=log, runtime=Slow()) as system:
        system.ask(Begin())
        wait_until(lambda: system.health().calls_running == 1)
        disk.fails(written=False, times=2)
        answer.set()
        wait_until(lambda: not disk.failures and system.health().status == "running")
        wait_until(lambda: not system.open_executions())
        assert system.health().restarts == 2
