"""Sagas that cannot work are refused when they are composed, and those that can have types as strict as any."""

# ruff: noqa: ARG002 - a step is given what it may use
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
import pytest

import tallystick as ts
from tallystick.domain.sagas.composition import saga_modules
from tallystick.domain.sagas.definition import plan_of


class Given(ts.Record):
    what: str


class Do(ts.Action[int]):
    what: str


class Say(ts.Action[str]):
    what: str


class Undo(ts.Action[None]):
    what: str


class Fine(ts.Saga[Given, int]):
    @ts.step
    def first(self, given: Given, done: ts.Results) -> Do:
        return Do(what=given.what)

    @first.undone_by
    def undo_first(self, given: Given, result: int) -> Undo:
        return Undo(what=str(result))

    @ts.step(after=())
    def second_step(self, given: Given, done: ts.Results) -> Say:
        return Say(what=given.what)

    @ts.step(pivot=True, after=(first, second_step))
    def third(self, given: Given, done: ts.Results) -> Do:
        return Do(what=done[Fine.second_step])

    def result(self, given: Given, done: ts.Results) -> int:
        return done[Fine.third]


def refused(saga: type[ts.Saga[Any, Any]], because: str) -> None:
    with pytest.raises(ts.DefinitionError, match=because):
        saga_modules(saga())


def test_a_plan_has_the_steps_in_order_with_what_each_waits_for() -> None:
    plan = plan_of(Fine)
    assert [(step.name, step.after, step.pivot, step.undoable) for step in plan.steps] == [
        ("first", (), False, True),
        ("second_step", (), False, False),
        ("third", (0, 1), True, False),
    ]
    assert [step.result for step in plan.steps] == [int, str, int]


def test_its_events_are_named_by_saga_step_and_what_happened_and_are_strict() -> None:
    (owner,) = saga_modules(Fine())
    done = owner.types.steps["second_step"].done
    assert done.__name__ == "FineSecondStepDone"
    assert done.aggregate_type == "Fine"
    assert msgspec.json.encode(done(saga_id="1", result="x")) == b'{"sagaId":"1","result":"x"}'
    for wrong in (b'{"sagaId":"1","result":3}', b'{"sagaId":"1"}', b'{"sagaId":"1","result":"x","more":1}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=done, strict=True)
    assert owner.types.steps["first"].intent.started_name() == "FineFirstStarted"
    assert owner.types.attention.started_name() == "FineNeedsPerson"


def test_types_are_made_once_for_a_class() -> None:
    assert saga_modules(Fine())[0].types is saga_modules(Fine())[0].types


def test_a_saga_without_steps_is_refused() -> None:
    class Empty(ts.Saga[Given, int]):
        pass

    refused(Empty, "no step")


def test_a_saga_that_does_not_say_its_types_is_refused() -> None:
    class Vague(ts.Saga):  # type: ignore[type-arg]
        @ts.step
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

    refused(Vague, "what it is given")


def test_a_promised_result_must_be_there() -> None:
    class Silent(ts.Saga[Given, int]):
        @ts.step
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

    refused(Silent, "promises a result")


def test_a_step_must_say_its_action() -> None:
    class Mute(ts.Saga[Given, None]):
        @ts.step
        def first(self, given: Given, done: ts.Results):  # type: ignore[no-untyped-def]  # noqa: ANN202 - which is what is tried
            return Do(what="")

    refused(Mute, "which action")


def test_actions_of_one_step_must_have_one_result() -> None:
    class Torn(ts.Saga[Given, None]):
        @ts.step  # type: ignore[misc]
        def first(self, given: Given, done: ts.Results) -> Do | Say:
            return Do(what="")

    refused(Torn, "one result")


def test_a_step_can_only_be_after_steps_that_stand_before_it() -> None:
    class Knot(ts.Saga[Given, None]):
        @ts.step(after=(Fine.third,))
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

    refused(Knot, "no step that is defined before it")


def test_nothing_runs_beside_a_pivot() -> None:
    class Beside(ts.Saga[Given, None]):
        @ts.step
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

        @ts.step(pivot=True, after=())
        def second(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

    refused(Beside, "beside second, which is a pivot")


def test_a_pivot_has_no_compensation() -> None:
    class Back(ts.Saga[Given, None]):
        @ts.step(pivot=True)
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

        @first.undone_by
        def undo_first(self, given: Given, result: int) -> Undo:
            return Undo(what="")

    refused(Back, "no way back")


def test_a_saga_with_a_pivot_is_a_step_that_is_one() -> None:
    class Child(ts.Saga[Given, None]):
        @ts.sub_saga(Fine)
        def first(self, given: Given, done: ts.Results) -> Given:
            return given

    refused(Child, "say pivot=True")


def test_a_saga_that_is_a_step_must_be_given_too() -> None:
    class Child(ts.Saga[Given, None]):
        @ts.sub_saga(Fine, pivot=True)
        def first(self, given: Given, done: ts.Results) -> Given:
            return given

    refused(Child, "give the system that saga, too")
    assert len(saga_modules(Child(), Fine())) == 2


def test_a_step_has_one_compensation() -> None:
    with pytest.raises(ts.DefinitionError, match="two compensations"):

        class Twice(ts.Saga[Given, None]):
            @ts.step
            def first(self, given: Given, done: ts.Results) -> Do:
                return Do(what="")

            @first.undone_by
            def undo_first(self, given: Given, result: int) -> Undo:
                return Undo(what="")

            @first.undone_by
            def undo_again(self, given: Given, result: int) -> Undo:
                return Undo(what="")


def test_a_compensation_in_doubt_alone_is_refused() -> None:
    class Half(ts.Saga[Given, None]):
        @ts.step
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

        @first.undone_in_doubt
        def undo_first(self, given: Given, key: str) -> Undo:
            return Undo(what=key)

    refused(Half, "undone_by, too")


def test_names_that_would_be_the_same_in_the_log_are_refused() -> None:
    class Same(ts.Saga[Given, None]):
        @ts.step
        def one_two(self, given: Given, done: ts.Results) -> Do:
            return Do(what="")

        @ts.step
        def oneTwo(self, given: Given, done: ts.Results) -> Do:  # noqa: N802 - which is what is tried
            return Do(what="")

    refused(Same, "same names in the log")


@pytest.mark.parametrize(("name", "version", "because"), [("book trip", 1, "must be a word"), ("Book", 0, "count from 1")])
def test_name_and_version_are_checked(name: str, version: int, because: str) -> None:
    made: type[ts.Saga[Any, Any]] = type("Made", (Fine,), {"name": name, "version": version})
    refused(made, because)


def test_a_result_that_is_not_there_yet_names_the_mend() -> None:
    class Early(ts.Saga[Given, None]):
        name: ClassVar[str] = "Early"

        @ts.step
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what=str(done[Fine.first]))

    with pytest.raises(ts.EffectError, match="after="):
        Early().first.act(Early(), Given(what=""), ts.Results({}))


def test_a_subclass_keeps_its_bases_steps_in_their_places() -> None:
    class Longer(Fine):
        name: ClassVar[str] = "Longer"

        @ts.step(after=())
        def first(self, given: Given, done: ts.Results) -> Do:
            return Do(what="another")

        @ts.step
        def fourth(self, given: Given, done: ts.Results) -> Say:
            return Say(what="")

    assert [step.name for step in plan_of(Longer).steps] == ["first", "second_step", "third", "fourth"]
    assert not plan_of(Longer).steps[0].undoable


def test_what_the_page_says_of_a_step_that_says_nothing_is_so() -> None:
    step, intent = plan_of(Fine).steps[0], ts.Intent
    waits = [
        [each.retry.delay(retry, 0.0) for retry in range(each.retry.max_retries)]
        for each in (step.patience, step.undo_patience)
        if each.retry
    ]
    assert step.patience.timeout == step.undo_patience.timeout == timedelta(minutes=5)
    assert waits[0] == [timedelta(seconds=seconds) for seconds in (1, 2, 4)]
    assert (len(waits[1]), round(sum(waits[1], timedelta()) / timedelta(minutes=1))) == (10, 17)
    assert (intent.timeout, intent.retry) == (None, None)
