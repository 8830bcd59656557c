"""How an owner ends an execution of its own: by a success too, and never by what a performer could not have said."""

from typing import Any

import pytest

import tallystick as ts

Told = list[ts.Outcome[int]]


class Counting(ts.Intent[int]):
    what: str


class Count(ts.Command[ts.Token]):
    what: str


class End(ts.Command[None]):
    token: str


class Counter(ts.Module):
    name = "counter"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.told: Told = []

    @ts.handles(Count)
    def count(self, turn: ts.Turn, command: Count) -> ts.Decision[ts.Token]:
        token = turn.new_token()
        yield ts.Begin(intent=Counting(what=command.what), token=token)
        return token

    @ts.handles(End)
    def end(self, _turn: ts.Turn, command: End) -> ts.Decision[None]:
        yield ts.Settle(token=ts.Token(command.token), outcome=self.outcome)

    @Counting.settled
    def counted(self, _turn: ts.Turn, _counting: Counting, outcome: ts.Outcome[int]) -> ts.Effects:
        self.told.append(outcome)
        return ()


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (ts.Succeeded(result=7), "Succeeded"),
        (ts.Failed(code="LOST"), "Failed"),
        (ts.Cancelled(reason="nobody wants it"), "Abandoned"),
    ],
)
def test_an_owner_ends_what_is_its_own_by_each_end_that_it_can_know_of(outcome: Any, event: str) -> None:
    counter = Counter(outcome)
    with ts.System([counter], runtime=ts.SteppedRuntime()) as system:
        system.ask(End(token=system.ask(Count(what="sheep"))))
        assert (counter.told, system.open_executions()) == ([outcome], ())
        (ended,) = [each for each in system.events() if each.settles]
    assert ended.event_type == f"Counting{event}"


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (ts.Succeeded(result="not an int"), ts.InvalidPayload),
        (ts.Succeeded(result=object()), ts.InvalidPayload),
        (ts.Failed(code=7), ts.InvalidPayload),  # type: ignore[arg-type]
        (ts.Cancelled(reason=None), ts.InvalidPayload),  # type: ignore[arg-type]
        (ts.TimedOut(attempts=1), ts.EffectError),
        (ts.Refused(cause="busy"), ts.EffectError),
        (7, ts.EffectError),
    ],
    ids=["a wrong result", "no JSON", "a wrong code", "no reason", "a time-out", "a refusal", "no outcome"],
)
def test_what_cannot_be_its_end_fails_the_turn_before_anybody_hears_of_it(outcome: Any, error: type[Exception]) -> None:
    counter = Counter(outcome)
    with ts.System([counter], runtime=ts.SteppedRuntime()) as system:
        token = system.ask(Count(what="sheep"))
        with pytest.raises(error, match=r"^Counting was settled with what it does not promise: |is no end that an owner gives"):
            system.ask(End(token=token))
        assert counter.told == []
        assert [each.execution.token for each in system.open_executions()] == [token]
        assert system.health().restarts == 0
