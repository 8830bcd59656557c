"""Declarations that cannot work are refused when a module or system is made, by name and with the mend."""

from collections.abc import Generator
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.engine import ownership
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.protocol import COMMAND, EXECUTION, OWNER


class OfThing(ts.Event):
    aggregate_type = "Thing"
    thing_id: str

    @property
    def aggregate_id(self) -> str:
        return self.thing_id


class Made(OfThing):
    pass


class Broken(OfThing):
    pass


class Weighed(ts.Event):
    aggregate_type = "Scales"
    scales_id: str

    @property
    def aggregate_id(self) -> str:
        return self.scales_id


class Make(ts.Command[str]):
    thing_id: str


class Making(ts.Intent[str]):
    thing_id: str


class Thing(ts.Aggregate):
    count: int = 0


class Total(ts.Resident):
    count: int = 0


# Two handlers


def test_two_handlers_under_one_name_are_refused_since_the_first_would_be_lost() -> None:
    def declared() -> type[ts.Module]:
        class Twice(ts.Module):
            name = "twice"

            @ts.reacts_to(Made)
            def made(self, _turn: ts.Turn, _event: Made) -> ts.Effects:  # pyright: ignore[reportRedeclaration]
                return ()

            @ts.reacts_to(Broken)  # type: ignore[no-redef]
            def made(self, _turn: ts.Turn, _event: Broken) -> ts.Effects:  # noqa: F811 - the mistake that is refused
                return ()

        return Twice

    with pytest.raises(ts.DefinitionError, match="Two methods are named 'made'"):
        declared()


@pytest.mark.parametrize("handler_first", [True, False])
def test_a_plain_method_over_a_handler_is_refused_either_way(handler_first: bool) -> None:
    @ts.reacts_to(Made)
    def handler(_self: ts.Module, _turn: ts.Turn, _event: Made) -> ts.Effects:
        return ()

    def plain(_self: ts.Module) -> None:
        pass

    def declared() -> type[ts.Module]:
        class Mixed(ts.Module):
            name = "mixed"
            made: Any = handler if handler_first else plain
            made = plain if handler_first else handler  # noqa: PIE794 - the mistake that is refused

        return Mixed

    with pytest.raises(ts.DefinitionError, match="at least one is a handler"):
        declared()


def test_names_that_are_no_handlers_may_be_given_twice() -> None:
    class Counting(ts.Module):
        name = "counting"
        limit = 1
        limit = limit + 1

    assert Counting.limit == 2


def test_two_handlers_for_one_event_are_refused() -> None:
    class Both(ts.Module):
        name = "both"

        @ts.reacts_to(Made)
        def one(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

        @ts.reacts_to(Made)
        def other(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match=r"Both\.other reacts to Made, but .*Both\.one does so already"):
        Behaviour(Both())


def test_two_settlement_handlers_for_one_intent_are_refused() -> None:
    class Both(ts.Module):
        name = "both"

        @Making.settled
        def one(self, _turn: ts.Turn, _intent: Making, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

        @Making.settled
        def other(self, _turn: ts.Turn, _intent: Making, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match=r"Both\.other settles Making"):
        Behaviour(Both())


def test_two_late_handlers_for_one_intent_are_refused() -> None:
    class Both(ts.Module):
        name = "both"

        @Making.late
        def one(self, _turn: ts.Turn, _intent: Making, _result: str) -> ts.Effects:
            return ()

        @Making.late
        def other(self, _turn: ts.Turn, _intent: Making, _result: str) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match=r"Both\.other answers late successes of Making"):
        Behaviour(Both())


def test_a_command_handled_by_two_modules_is_refused() -> None:
    class One(ts.Module):
        name = "one"

        @ts.handles(Make)
        def make(self, _turn: ts.Turn, _command: Make) -> ts.Decision[str]:
            yield from ()
            return "made"

    class Other(One):
        name = "other"

    with pytest.raises(ts.DefinitionError, match="Make is handled by one and by other"):
        ts.System([One(), Other()])


# Replies


def test_a_reply_of_another_type_than_the_command_promises_is_refused() -> None:
    class Wrong(ts.Module):
        name = "wrong"

        @ts.handles(Make)
        def make(self, _turn: ts.Turn, _command: Make) -> ts.Decision[int]:
            yield from ()
            return 1

    with pytest.raises(ts.DefinitionError, match=r"Wrong\.make returns <class 'int'>, but Make promises <class 'str'>"):
        Behaviour(Wrong())


class Nothing(ts.Command[None]):
    pass


def test_replies_of_the_promised_type_are_taken_however_they_are_written() -> None:
    class Right(ts.Module):
        name = "right"

        @ts.handles(Nothing)
        def nothing(self, _turn: ts.Turn, _command: Nothing) -> ts.Decision[None]:
            yield from ()

        @ts.handles(Make)
        def make(self, _turn: ts.Turn, _command: Make) -> Generator[ts.Effect, None, str]:
            yield from ()
            return "made"

    assert set(Behaviour(Right()).commands) == {Nothing, Make}


# Names and aggregates


def test_a_module_without_a_name_is_refused() -> None:
    class Anonymous(ts.Module):
        pass

    with pytest.raises(ts.DefinitionError, match="Anonymous has no name"):
        Behaviour(Anonymous())


def test_two_modules_of_one_name_are_refused() -> None:
    class One(ts.Module):
        name = "same"

    class Other(ts.Module):
        name = "same"

    with pytest.raises(ts.DefinitionError, match="Two modules are named 'same'"):
        ts.System([One(), Other()])


def folding(event: type[ts.Event], into: type[ts.Aggregate], module_name: str) -> ts.Module:
    """A module that folds one kind of event."""

    class Folding(ts.Module):
        name = module_name

        @ts.folds(event, into)
        def fold(self, state: Any, _event: Any) -> Any:
            return state

    return Folding()


def test_one_aggregate_type_belongs_to_one_owner_p20() -> None:
    one, other = folding(Made, Thing, "one"), folding(Broken, Thing, "other")
    with pytest.raises(ts.DefinitionError, match="Thing belongs to one, but other declares Broken"):
        ts.System([one, other])


def test_an_owner_owns_the_aggregate_types_that_it_declares_and_no_others() -> None:
    class Emitting(ts.Module):
        name = "emitting"

        @ts.reacts_to(Made, emits=[Weighed])
        def made(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

    assert ownership([Behaviour(folding(Made, Thing, "things")), Behaviour(Emitting())]) == {
        "things": frozenset({"Thing"}),
        "emitting": frozenset({"Scales"}),
    }


@pytest.mark.parametrize("aggregate_type", [EXECUTION, COMMAND, OWNER])
def test_the_streams_of_the_engine_are_closed_to_events_of_the_program_p20(aggregate_type: str) -> None:
    kind = aggregate_type

    class Intruding(OfThing):
        aggregate_type = kind

    with pytest.raises(ts.DefinitionError, match=f"Intruding.*{aggregate_type}.*choose another"):
        ts.System([folding(Intruding, Thing, "intruder")])


def test_an_event_without_an_aggregate_type_is_refused() -> None:
    class Adrift(ts.Event):
        pass

    class Emitting(ts.Module):
        name = "emitting"

        @ts.reacts_to(Made, emits=[Adrift])
        def made(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match="Adrift has no aggregate_type"):
        Behaviour(folding(Adrift, Thing, "folding"))
    with pytest.raises(ts.DefinitionError, match="Adrift has no aggregate_type"):
        ts.System([Emitting()])


def test_an_event_that_does_not_say_which_aggregate_it_belongs_to_fails_with_what_is_missing() -> None:
    class Vague(ts.Event):
        aggregate_type = "Thing"

    with pytest.raises(NotImplementedError, match="Vague must say which Thing it belongs to: define aggregate_id"):
        _ = Vague().aggregate_id


def test_an_aggregate_has_one_stream_so_that_it_can_be_read_back() -> None:
    class Mixed(ts.Module):
        name = "mixed"

        @ts.folds(Made, Thing)
        def made(self, thing: Thing, _event: Made) -> Thing:
            return thing

        @ts.folds(Weighed, Thing)
        def weighed(self, thing: Thing, _event: Weighed) -> Thing:
            return thing

    with pytest.raises(ts.DefinitionError, match=r"Thing is folded from Thing and Scales events; an aggregate has one stream"):
        Behaviour(Mixed())


def test_a_resident_may_be_folded_from_several_streams() -> None:
    class Mixed(ts.Module):
        name = "mixed"

        @ts.folds(Made, Total)
        def made(self, total: Total, _event: Made) -> Total:
            return total

        @ts.folds(Weighed, Total)
        def weighed(self, total: Total, _event: Weighed) -> Total:
            return total

    behaviour = Behaviour(Mixed())
    assert behaviour.residents == (Total,)
    assert behaviour.streams == {}


def test_a_fold_into_what_is_no_state_is_refused() -> None:
    wrong: Any = Made
    with pytest.raises(ts.DefinitionError, match=r"fold folds into .*Made.*, which is no Aggregate"):
        Behaviour(folding(Made, wrong, "wrong"))


def test_a_performer_that_may_run_no_call_is_refused() -> None:
    class Act(ts.Action[str]):
        pass

    with pytest.raises(ts.DefinitionError, match=r"Act\.performed_by: concurrency is 0"):
        Act.performed_by(lambda _action, _call: "", concurrency=0)


def test_two_performers_for_one_action_are_refused() -> None:
    class Act(ts.Action[str]):
        pass

    performer = Act.performed_by(lambda _action, _call: "")
    with pytest.raises(ts.DefinitionError, match="Two performers for Act"):
        ts.System(performers=[performer, performer])


def test_two_actions_of_one_name_are_refused() -> None:
    def acting() -> ts.Performer:
        class Act(ts.Action[str]):
            pass

        return Act.performed_by(lambda _action, _call: "")

    class Begins(ts.Module):
        name = "begins"

        @Making.settled
        def settle(self, _turn: ts.Turn, _intent: Making, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match=r"MakingStarted .* cannot be written and read back: .*unique.*Act"):
        ts.System([Begins()], performers=[acting(), acting()])
