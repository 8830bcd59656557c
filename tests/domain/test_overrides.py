"""Subclasses of modules: a handler is replaced or removed on purpose, and never lost to a method that happens to have its name."""

from typing import Any

import pytest

import tallystick as ts
from tallystick.domain.behaviour import Behaviour


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


class Make(ts.Command[str]):
    thing_id: str


class Making(ts.Intent[str]):
    thing_id: str


class Thing(ts.Aggregate):
    pass


def test_a_subclass_may_replace_a_handler_and_keeps_the_others() -> None:
    class Parent(ts.Module):
        name = "parent"

        @ts.reacts_to(Made)
        def made(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

        @ts.reacts_to(Broken)
        def broken(self, _turn: ts.Turn, _event: Broken) -> ts.Effects:
            return ()

    class Child(Parent):
        name = "child"

        @ts.reacts_to(Made)
        def made(self, _turn: ts.Turn, _event: Made) -> ts.Effects:
            return ()

    reactions = Behaviour(Child()).reactions
    assert set(reactions) == {Made, Broken}
    assert reactions[Made].__qualname__.endswith("Child.made")


@pytest.mark.parametrize(
    ("decorator", "role"),
    [
        (ts.handles(Make), "Make"),
        (ts.reacts_to(Made), "Made"),
        (ts.folds(Made, Thing), "Made"),
        (Making.settled, "Making"),
        (Making.late, "Making"),
    ],
)
def test_an_override_without_the_decorator_is_refused_since_the_handler_would_be_lost(decorator: Any, role: str) -> None:
    class Parent(ts.Module):
        name = "parent"
        work = decorator(lambda *_given: ())

    expected = rf"Child\.work overrides Parent\.work, .* decorator for {role}: .* Repeat the decorator, or rename the method"
    with pytest.raises(ts.DefinitionError, match=expected):

        class Child(Parent):
            name = "child"

            def work(self) -> None:
                pass


class Sending(ts.Intent[str]):
    thing_id: str


class Twice(ts.Module):
    """Ends two operations by one method."""

    name = "twice"

    @Making.settled
    @Sending.settled
    def ended(self, _turn: ts.Turn, _intent: Any, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


def test_an_override_with_only_some_of_the_decorators_is_refused() -> None:
    with pytest.raises(ts.DefinitionError, match=r"Child\.ended overrides Twice\.ended, but not its decorator for Sending"):

        class Child(Twice):
            @Making.settled
            def ended(self, _turn: ts.Turn, _intent: Any, _outcome: ts.Outcome[str]) -> ts.Effects:
                return ()


def test_an_override_may_have_decorators_of_its_own_besides() -> None:
    class Child(Twice):
        @Making.settled
        @Sending.settled
        @Making.late
        def ended(self, _turn: ts.Turn, _intent: Any, _outcome: Any) -> ts.Effects:
            return ()

    behaviour = Behaviour(Child())
    assert set(behaviour.settlements) == {Making, Sending}
    assert set(behaviour.late) == {Making}


def test_a_handler_that_a_class_beside_the_module_would_hide_is_refused() -> None:
    class Beside:
        def ended(self) -> None:
            pass

    with pytest.raises(ts.DefinitionError, match=r"Beside\.ended overrides Twice\.ended"):

        class Child(Beside, Twice):  # type: ignore[misc]  # the two do not fit, which is the point
            pass


def test_a_handler_is_removed_by_assigning_none_to_its_name_and_the_name_is_free_then() -> None:
    class Without(Twice):
        ended: Any = None

    class Other(Without):
        def ended(self) -> str:  # type: ignore[override]  # checkers remember the name
            return "no handler"

    assert Behaviour(Without()).settlements == {}
    assert Behaviour(Other()).settlements == {}
