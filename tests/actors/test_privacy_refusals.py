"""Where sensitive values have no place: what identifies refuses them by type, what explains shows only whose they are."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import tallystick as ts
from tallystick.host.metrics import SystemCollector
from tests.actors.register import Customer, Enrolled, OfCustomer, ada, compose


class Noted(OfCustomer):
    text: str


class Tagged(ts.Intent[None]):
    customer_id: str
    note: str = ""


class Tag(ts.Command[None]):
    what: str


class Careless(ts.Module):
    """Puts a sensitive value where its types have none."""

    name = "careless"

    @ts.handles(Tag, emits=[Enrolled, Noted])
    def tag(self, _turn: ts.Turn, command: Tag) -> ts.Decision[None]:
        given: Any = ada()
        if command.what == "tag":
            yield ts.Begin(intent=Tagged(customer_id="c-ada"), tags={"email": given})
        elif command.what == "intent":
            yield ts.Begin(intent=Tagged(customer_id="c-ada", note=given))
        elif command.what == "id":
            yield Noted(customer_id=given, text="")
        else:
            yield Noted(customer_id="c-ada", text=given)

    @ts.folds(Enrolled, Customer)
    def enrolled(self, customer: Customer, _event: Enrolled) -> Customer:
        return customer

    @Tagged.settled
    def settled(self, _turn: ts.Turn, _intent: Tagged, _outcome: ts.Outcome[None]) -> ts.Effects:
        return ()


@pytest.fixture(params=["with sensitive fields", "without"])
def system(request: pytest.FixtureRequest) -> Iterator[ts.System]:
    """A program that declares sensitive fields, and one that does not."""
    runtime = ts.SteppedRuntime()
    with compose(runtime=runtime) if request.param == "with sensitive fields" else ts.System(runtime=runtime) as system:
        yield system


def bracketed(name: str) -> Callable[[ts.System, Any], Any]:
    def enter(system: ts.System, value: Any) -> None:
        given: dict[str, Any] = {name: {"email": value} if name == "tags" else value}
        with system.bracket("Import", **given):
            pass

    return enter


IDENTIFIES: Mapping[str, Callable[[ts.System, Any], Any]] = {
    "the tag of a bracket": bracketed("tags"),
    "the traceparent of a bracket": bracketed("traceparent"),
    "the correlation of a bracket": bracketed("correlation"),
    "the key of a bracket": bracketed("idempotency_key"),
    "the name of a bracket": lambda system, value: system.bracket(value),
    "the name of an operation": lambda system, value: system.operations.start(value),
    "the name of a tag": lambda system, value: system.operations.start("Import", tags={value: "email"}),
    "the tag of an operation": lambda system, value: system.operations.start("Import", tags={"email": value}),
    "the correlation of an operation": lambda system, value: system.operations.start("Import", correlation=value),
    "the key of an operation": lambda system, value: system.operations.start("Import", idempotency_key=value),
    "the key of a command": lambda system, value: system.ask(ts.Command(), idempotency_key=value),
    "the name of an audit record": lambda system, value: system.operations.audit(value),
    "who an audit record names": lambda system, value: system.operations.audit("webhook.processed", who=value),
    "the anchor of an audit record": lambda system, value: system.operations.audit("x", anchors=(ts.Anchor(kind="Customer", id=value),)),
    "the label of a metric": lambda system, value: SystemCollector({value: system}),
    "the id of a person": lambda _system, value: ts.sensitive("x", of=value),
    "the code of a failure": lambda system, value: system.operations.fail(system.operations.start("Import"), value),
}


@pytest.mark.parametrize("where", IDENTIFIES)
def test_what_identifies_is_no_place_for_a_sensitive_value(system: ts.System, where: str) -> None:
    with pytest.raises(ts.PersonalDataRefused) as raised:
        IDENTIFIES[where](system, ada())
    assert "lovelace" not in str(raised.value)
    assert b"lovelace" not in b"".join(recorded.payload for recorded in system.events())


@pytest.mark.parametrize(
    ("what", "where"),
    [("tag", "TaggedStarted.tags"), ("intent", "TaggedStarted.intent.note"), ("text", "Noted.text"), ("id", "Noted.customer_id")],
)
def test_a_handler_that_puts_one_where_its_types_have_none_fails_its_turn(what: str, where: str) -> None:
    with ts.System([Careless()], runtime=ts.SteppedRuntime()) as system:
        with pytest.raises(ts.PersonalDataRefused, match=where):
            system.ask(Tag(what=what))
        assert list(system.events(event_types=("Noted", "TaggedStarted"))) == []


def test_what_explains_keeps_only_whose_it_is(system: ts.System) -> None:
    value: Any = ada()
    with system.bracket("Import") as operation:
        operation.progress(10, value)
        operation.note("checkpoint", value, {"line": 7, "email": value})
        operation.message = value
        operation.data = {"email": value}
    system.operations.audit("webhook.processed", value, operation_id=operation.id)
    shown = "<sensitive of 'c-ada'>"
    note = operation.last_note("checkpoint")
    assert note is not None
    assert (note.message, note.data) == (shown, {"line": 7, "email": shown})
    found = system.operations.get(operation.id)
    assert found is not None
    assert (found.message, found.data) == (shown, {"email": shown})
    assert b"lovelace" not in b"".join(recorded.payload for recorded in system.events())


@pytest.mark.parametrize("body", [b"raw", {"nested": {"email": "x"}}, ["a"], object()])
def test_raw_bodies_are_refused_by_type(system: ts.System, body: Any) -> None:
    with system.bracket("Import") as operation:
        with pytest.raises(ts.InvalidPayload, match="keep the body elsewhere"):
            operation.note("checkpoint", "received", {"body": body})
        with pytest.raises(ts.InvalidPayload, match="keep the body elsewhere"):
            operation.data = {"body": body}
        with pytest.raises(ts.InvalidPayload, match="keep the body elsewhere"):
            system.operations.succeed(operation.id, data={"body": body})
    assert operation.last_note("checkpoint") is None
