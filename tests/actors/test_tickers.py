"""Tickers: actions that go on step by step."""

from datetime import timedelta

import pytest

import tallystick as ts
from tests.actors.village import NOON, Elders, Needs, Village, Villagers, Walk, Walking, Works, ticked


@pytest.fixture
def village() -> Village:
    return Village()


def test_an_action_takes_its_ticks_one_a_step_and_then_its_result_is_heard(village: Village) -> None:
    village.work("walk", walks=(3,))
    for steps in range(3):
        assert len(ticked) == steps
        assert village.told == []
        village.step()
    assert (village.told, village.system.health().queues_ticking) == (["walk: walk has walked"], 0)
    village.step()
    assert len(ticked) == 3
    assert village.nothing_left


def test_the_next_action_takes_its_first_tick_in_the_next_step(village: Village) -> None:
    village.work("walk", walks=(1, 1))
    village.step()
    assert [event.index for event in village.events("ActionsAdvanced")] == [1]
    assert village.told == []
    village.step()
    assert village.told == ["walk: walk has walked"]


@pytest.mark.parametrize(
    ("fails", "heard", "retried"),
    [
        ("raises", "ZeroDivisionError", True),
        ("rejects", "NO_WAY", False),
        ("says nonsense", "TypeError", True),
        ("LOST", "LOST", True),
    ],
)
def test_what_a_ticker_raises_or_says_fails_that_action_only(village: Village, fails: str, heard: str, retried: bool) -> None:
    village.work("lost", walks=(2,), fails=fails)
    village.work("other", who="bob", walks=(3,))
    village.step(3)
    assert [event.code for event in village.events("RetryScheduled")] == ([heard] if retried else [])
    village.advance(10)
    village.step(2)
    assert village.told == ["other: other has walked", f"lost: {heard}"] if retried else [f"lost: {heard}", "other: other has walked"]
    assert village.system.health().restarts == 0
    assert village.nothing_left


def test_a_tick_knows_the_time_and_may_look_at_residents() -> None:
    class Look(ts.Action[str]):
        pass

    seen: list[tuple[object, ...]] = []

    class Looking(ts.Ticker[Look, str]):
        key: str = ""

        @classmethod
        def begin(cls, _action: Look, call: ts.Call) -> "Looking":
            return cls(key=call.key)

        def tick(self, _action: Look, step: ts.Step) -> ts.Done[str]:
            seen.append((self.key, step.delta, step.now, step.delta_us, step.resident(Villagers).who))
            with pytest.raises(LookupError):
                step.resident(ts.Resident)
            return ts.Done(result="seen")

    class Watch(ts.Intent[str]):
        pass

    class Begin(ts.Command[ts.Token]):
        pass

    class Watchers(ts.Module):
        name = "watchers"

        @ts.handles(Begin)
        def begin(self, turn: ts.Turn, _command: Begin) -> ts.Decision[ts.Token]:
            token = turn.new_token()
            yield ts.Begin(intent=Watch(), actions=(Look(),), token=token)
            return token

        @Watch.settled
        def settle(self, _turn: ts.Turn, _watch: Watch, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

    runtime = ts.SteppedRuntime(ts.ManualClock(NOON))
    with ts.System([Elders(), Watchers()], performers=[Look.ticked_by(Looking)], runtime=runtime) as system:
        token = system.ask(Begin())
        system.step(timedelta(seconds=2))
        assert seen == [(token, timedelta(seconds=2), NOON + timedelta(seconds=2), 2_000_000, frozenset())]
        assert system.open_executions() == ()


def test_after_a_crash_the_action_starts_again_but_not_those_before_it(village: Village) -> None:
    village.work("walk", walks=(2, 3))
    village.step(4)
    village.crash()
    village.step(2)
    assert village.told == []
    village.step()
    assert village.told == ["walk: walk has walked"]


def test_a_deadline_ends_it_and_it_takes_no_more_ticks(village: Village) -> None:
    village.work("walk", walks=(10_000,))
    village.step()
    village.advance(60)
    village.step()
    assert len(ticked) == 1
    village.advance(10 + 60)
    assert (village.told, village.nothing_left) == (["walk: timed out"], True)


def test_many_tick_in_the_order_in_which_they_began(village: Village) -> None:
    for number in range(20):
        village.work(f"{number}", who=f"villager {number}", walks=(3,))
    village.step()
    assert [name for name, _ in ticked] == [str(number) for number in range(20)]
    assert village.system.health().queues_ticking == 20


def test_a_ticker_whose_progress_has_no_default_is_refused() -> None:
    class Half(ts.Ticker[Walk, str]):
        left: int

    with pytest.raises(ts.DefinitionError, match="Half"):
        Walk.ticked_by(Half)


def test_an_action_is_either_performed_or_ticked() -> None:
    performers = [Walk.ticked_by(Walking), Walk.performed_by(lambda _walk, _call: "")]
    with pytest.raises(ts.DefinitionError, match="Two performers for Walk"):
        ts.System([Works(), Needs()], performers=performers, lines=[ts.Line("villagers")], runtime=ts.SteppedRuntime())


def test_a_ticker_without_a_tick_says_so_in_its_failure(village: Village) -> None:
    with pytest.raises(NotImplementedError, match="has no tick"):
        ts.Ticker[Walk, str]().tick(Walk(name="a", ticks=1), ts.Step(delta_us=1))
    assert village.nothing_left
