"""Records: frozen, keyword-only, camelCase on the wire, strict about what they do not know; names of settings are refused as fields."""

import gc
import types
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
import pytest

import tallystick as ts
from tallystick.domain.record import Record, type_argument


class Address(Record):
    street_name: str
    house_number: int = 1


class Moved(ts.Event):
    aggregate_type = "Person"
    person_id: str
    new_address: Address

    @property
    def aggregate_id(self) -> str:
        return self.person_id


class Tell(ts.Action[str]):
    person_id: str


class Telling(ts.Intent[str]):
    person_id: str


class Move(ts.Command[int]):
    person_id: str


class Person(ts.Aggregate):
    moves_so_far: int = 0


ONE_OF_EACH: list[Any] = [
    Address(street_name="High Street"),
    Moved(person_id="p", new_address=Address(street_name="High Street")),
    Tell(person_id="p"),
    Telling(person_id="p"),
    Move(person_id="p"),
    Person(),
]


def kind_of(record: object) -> type[Any]:
    return type(record)


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: type(record).__name__)
def test_records_of_every_kind_are_frozen(record: Any) -> None:
    field: str = kind_of(record).__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(record, field, getattr(record, field))


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: type(record).__name__)
def test_records_of_every_kind_are_camel_case_on_the_wire_and_come_back(record: Any) -> None:
    wire = msgspec.json.encode(record)
    assert not any("_" in key for key in msgspec.json.decode(wire))
    assert msgspec.json.decode(wire, type=kind_of(record)) == record


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: type(record).__name__)
def test_records_of_every_kind_refuse_fields_that_they_do_not_know(record: Any) -> None:
    content = msgspec.json.decode(msgspec.json.encode(record)) | {"unheardOf": 1}
    with pytest.raises(msgspec.ValidationError, match="unheardOf"):
        msgspec.json.decode(msgspec.json.encode(content), type=kind_of(record))


def test_records_take_their_fields_by_keyword_only_also_in_a_subclass_of_a_subclass() -> None:
    class Deeper(Moved):
        why_moved: str = ""

    positional: Any = Deeper
    with pytest.raises(TypeError):
        positional("p", Address(street_name="s"))
    deeper = Deeper(person_id="p", new_address=Address(street_name="s"), why_moved="work")
    assert msgspec.json.decode(msgspec.json.encode(deeper))["whyMoved"] == "work"
    with pytest.raises(AttributeError):
        deeper.why_moved = "play"  # type: ignore[misc]  # what is refused


def test_records_are_equal_by_content_and_can_be_keys() -> None:
    assert Address(street_name="s") == Address(street_name="s", house_number=1) != Address(street_name="s", house_number=2)
    assert len({Address(street_name="s"), Address(street_name="s")}) == 1


def test_records_are_left_alone_by_the_collector() -> None:
    assert not gc.is_tracked(Address(street_name="s"))


RESERVED: dict[type[Any], list[str]] = {
    ts.Event: ["aggregate_type", "aggregate_id", "schema_version", "upcasters", "reserved_names"],
    ts.Intent: ["timeout", "retry", "on_timeout", "started", "ends_with", "subject", "settled", "late", "reserved_names"],
    ts.Action: ["performed_by", "type", "reserved_names"],
}


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in RESERVED.items() for field in fields])
def test_a_field_named_like_a_setting_is_refused_when_the_class_is_made(kind: type[Any], field: str) -> None:
    with pytest.raises(ts.DefinitionError, match=f"Wrong.{field}: .*{kind.__name__}.*choose another name"):
        types.new_class("Wrong", (kind,), {}, lambda namespace: namespace.update({"__annotations__": {field: str}}))


def test_a_field_named_like_a_setting_is_refused_in_a_subclass_of_a_subclass() -> None:
    with pytest.raises(ts.DefinitionError, match="timeout"):
        types.new_class("Slower", (Telling,), {}, lambda namespace: namespace.update({"__annotations__": {"timeout": float}}))


def test_a_field_named_like_a_setting_is_refused_from_wherever_it_comes() -> None:
    """Not only where the namespace has annotations, which in Python 3.14 it has not."""

    class Slow(Record):
        timeout: float

    with pytest.raises(ts.DefinitionError, match=r"Slower\.timeout: .*Intent.*choose another name"):
        types.new_class("Slower", (Slow, ts.Intent))


def test_what_is_no_struct_for_another_reason_says_which() -> None:
    with pytest.raises(TypeError, match="wrong"):
        types.new_class("Wrong", (Telling,), {"wrong": True})


def test_a_setting_may_be_given_with_its_annotation() -> None:
    class Patient(ts.Intent[str]):
        timeout: ClassVar[timedelta | None] = timedelta(days=1)
        person_id: str

    assert Patient.timeout == timedelta(days=1)
    assert Patient.__struct_fields__ == ("person_id",)


def test_a_field_that_is_no_setting_of_its_own_kind_is_free() -> None:
    class Timed(ts.Command[None]):
        timeout: float
        subject: str

    assert msgspec.json.encode(Timed(timeout=1.0, subject="x")) == b'{"timeout":1.0,"subject":"x"}'


def test_the_type_argument_of_a_generic_is_found_through_subclasses() -> None:
    class Louder(Tell):
        volume: int = 1

    class Untyped(ts.Action):  # type: ignore[type-arg]  # what is tried
        pass

    assert type_argument(Louder, ts.Action) is str
    assert type_argument(Telling, ts.Intent) is str
    assert type_argument(Untyped, ts.Action) is Any
