"""A saga's definition changes while instances are open: each keeps the version that it began with."""
# ruff: noqa: ARG002 - a step is given what it may use

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

import tallystick as ts
from tests.actors.travels import Travels


class Order(ts.Record):
    what: str


class Fetch(ts.Action[str]):
    what: str


class Wrap(ts.Action[str]):
    what: str


class Send(ts.Action[str]):
    what: str


class Deliver(ts.Saga[Order, str]):
    @ts.step(timeout=None)
    def fetch(self, order: Order, done: ts.Results) -> Fetch:
        return Fetch(what=order.what)

    @ts.step
    def send(self, order: Order, done: ts.Results) -> Send:
        return Send(what=done[Deliver.fetch])

    def result(self, given: Order, done: ts.Results) -> str:
        return done[Deliver.send]


class DeliverWrapped(ts.Saga[Order, str]):
    name: ClassVar[str] = "Deliver"
    version: ClassVar[int] = 2

    @ts.step(timeout=None)
    def fetch(self, order: Order, done: ts.Results) -> Fetch:
        return Fetch(what=order.what)

    @ts.step
    def wrap(self, order: Order, done: ts.Results) -> Wrap:
        return Wrap(what=done[DeliverWrapped.fetch])

    @ts.step
    def send(self, order: Order, done: ts.Results) -> Send:
        return Send(what=done[DeliverWrapped.wrap])

    def result(self, given: Order, done: ts.Results) -> str:
        return done[DeliverWrapped.send]


class DeliverAtOnce(ts.Saga[Order, str]):
    name: ClassVar[str] = "Deliver"
    version: ClassVar[int] = 3
    former_steps: ClassVar[tuple[str, ...]] = ("fetch", "wrap")

    @ts.step
    def send(self, order: Order, done: ts.Results) -> Send:
        return Send(what=order.what)

    def result(self, given: Order, done: ts.Results) -> str:
        return done[DeliverAtOnce.send]


Made = Callable[[], Sequence[ts.Saga[Any, Any]]]

PERFORMERS = (
    Fetch.performed_by(lambda _fetch, _call: ts.Later()),
    Wrap.performed_by(lambda wrap, _call: f"wrapped {wrap.what}"),
    Send.performed_by(lambda send, _call: f"sent {send.what}"),
)


def made(*kinds: type[ts.Saga[Any, Any]]) -> Made:
    return lambda: [kind() for kind in kinds]


def fetched(travels: Travels) -> None:
    for each in travels.system.open_executions():
        travels.system.complete(each.execution.token, "tea")
    travels.idle()


def test_an_instance_keeps_the_version_that_it_began_with() -> None:
    travels = Travels(made(Deliver), PERFORMERS)
    travels.system.start(Deliver, Order(what="tea"), id="old")
    travels.idle()
    travels.reopen(made(Deliver, DeliverWrapped))
    travels.system.start(DeliverWrapped, Order(what="tea"), id="new")
    travels.idle()
    fetched(travels)
    assert travels.system.saga(Deliver, "old").result() == "sent tea"
    assert travels.system.saga(DeliverWrapped, "new").result() == "sent wrapped tea"
    assert [travels.system.saga(Deliver, each).status().version for each in ("old", "new")] == [1, 2]
    travels.system.start(DeliverWrapped, Order(what="tea"), id="old")  # the same id is the same instance, whatever its version
    assert travels.system.saga(Deliver, "old").status().version == 1
    travels.check()


def test_a_removed_version_with_open_instances_is_refused_with_a_list_of_them() -> None:
    travels = Travels(made(Deliver), PERFORMERS)
    for saga_id in ("a", "b"):
        travels.system.start(Deliver, Order(what="tea"), id=saga_id)
    travels.idle()
    before = len(travels.written)
    with pytest.raises(ts.SagaVersionMissing) as caught:
        travels.reopen(made(DeliverWrapped))
    assert caught.value.instances == (("Deliver", 1, "a"), ("Deliver", 1, "b"))
    assert "Deliver version 1: 'a'" in str(caught.value)
    travels.log = travels.log.reopened()
    travels.sagas = made(Deliver)
    travels._open()
    assert {each.event_type for each in travels.written[before:]} == {"AttemptStarted"}  # by this opening, not by the one that was refused
    fetched(travels)
    assert travels.system.saga(Deliver, "a").result() == "sent tea"


def test_a_version_whose_instances_have_ended_can_be_removed_with_its_steps() -> None:
    travels = Travels(made(Deliver), PERFORMERS)
    travels.system.start(Deliver, Order(what="tea"), id="old")
    travels.idle()
    fetched(travels)
    travels.reopen(made(DeliverAtOnce))
    assert travels.system.saga(DeliverAtOnce, "old").result() == "sent tea"
    assert travels.system.saga(DeliverAtOnce, "old").status().state == "completed"
    travels.system.start(DeliverAtOnce, Order(what="tea"), id="old")
    assert travels.system.start(DeliverAtOnce, Order(what="cup"), id="new").result() == "sent cup"


def test_an_open_instance_at_a_step_that_no_version_has_is_refused_too() -> None:
    travels = Travels(made(Deliver), PERFORMERS)
    travels.system.start(Deliver, Order(what="tea"), id="old")
    travels.idle()
    with pytest.raises(ts.SagaVersionMissing, match="old"):
        travels.reopen(made(DeliverAtOnce))


def test_a_step_that_is_not_named_among_the_former_ones_is_an_unknown_event() -> None:
    travels = Travels(made(DeliverWrapped), PERFORMERS)
    travels.system.start(DeliverWrapped, Order(what="tea"), id="old")
    travels.idle()
    fetched(travels)
    travels.sagas = made(Deliver)
    with pytest.raises(ts.UnknownEventType):
        travels.crash()


def test_two_classes_of_one_version_are_refused() -> None:
    class Another(ts.Saga[Order, str]):
        name: ClassVar[str] = "Deliver"

        @ts.step
        def send(self, order: Order, done: ts.Results) -> Send:
            return Send(what=order.what)

        def result(self, given: Order, done: ts.Results) -> str:
            return ""

    with pytest.raises(ts.DefinitionError, match="both version 1"):
        ts.System(sagas=[Deliver(), Another()], performers=PERFORMERS)
    with pytest.raises(ts.DefinitionError, match="given twice"):
        ts.System(sagas=[Deliver(), Deliver()], performers=PERFORMERS)


def test_versions_that_mean_different_things_by_one_step_are_refused() -> None:
    class Count(ts.Action[int]):
        what: str

    class Counted(ts.Saga[Order, str]):
        name: ClassVar[str] = "Deliver"
        version: ClassVar[int] = 2

        @ts.step
        def send(self, order: Order, done: ts.Results) -> Count:
            return Count(what=order.what)

        def result(self, given: Order, done: ts.Results) -> str:
            return ""

    with pytest.raises(ts.DefinitionError, match="the result of send"):
        ts.System(sagas=[Deliver(), Counted()], performers=[*PERFORMERS, Count.performed_by(lambda _count, _call: 1)])
