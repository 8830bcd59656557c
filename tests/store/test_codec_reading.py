"""Reading what was written before: schema versions, upcasters, and errors that say where in the log and what to do."""

import re
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.event import Upcaster
from tallystick.store.codec import Codec


class Content(NamedTuple):
    payload: bytes
    version: int = 1
    event_type: str = "Weighed"


def record_of(content: Content, position: int = 41) -> Recorded:
    return Recorded(
        position=position,
        event_type=content.event_type,
        schema_version=content.version,
        aggregate_type="Scales",
        aggregate_id="s",
        aggregate_version=1,
        occurred_at_us=1,
        owner="scales",
        correlation="c",
        payload=content.payload,
    )


class OfScales(ts.Event):
    aggregate_type = "Scales"

    @property
    def aggregate_id(self) -> str:
        return "s"


def in_grams(content: dict[str, Any]) -> dict[str, Any]:
    return {"grams": content["kilos"] * 1000}


def with_unit(content: dict[str, Any]) -> dict[str, Any]:
    return {"weight": content["grams"], "unit": "g"}


class Weighed(OfScales):
    schema_version = 3
    upcasters = {1: in_grams, 2: with_unit}  # noqa: RUF012 - a setting of the class
    weight: int
    unit: str


def codec_of(*events: type[ts.Event], module_name: str = "scales") -> Codec:
    class Scales(ts.Module):
        name = module_name

        @ts.reacts_to(Weighed, emits=events)
        def weighed(self, _turn: ts.Turn, _event: Weighed) -> ts.Effects:
            return ()

    return Codec([Behaviour(Scales())])


CODEC = codec_of(Weighed)


def weighed_with(**upcasters: Upcaster) -> type[ts.Event]:
    """`Heard`, at version 3, with these upcasters: v1=…, v2=…."""

    class Heard(OfScales):
        schema_version = 3
        weight: int

    Heard.upcasters = {int(version[1:]): upcaster for version, upcaster in upcasters.items()}
    return Heard


# Versions


def test_each_older_version_is_led_up_to_the_present_one_step_by_step() -> None:
    contents = [Content(b'{"kilos":2}', 1), Content(b'{"grams":2000}', 2), Content(b'{"weight":2000,"unit":"g"}', 3)]
    assert {CODEC.decode(record_of(content)) for content in contents} == {Weighed(weight=2000, unit="g")}


@pytest.mark.parametrize("version", [0, -1, 4, 99])
def test_a_version_without_a_way_to_the_present_one_is_named(version: int) -> None:
    with pytest.raises(ts.UnknownEventVersion) as caught:
        CODEC.decode(record_of(Content(b'{"weight":1,"unit":"g"}', version)))
    assert (caught.value.position, caught.value.event_type) == (41, "Weighed")
    assert re.search(rf"position 41 of type 'Weighed' has an unknown version: version {version};.*has 3.*\[1, 2\]", str(caught.value))


def test_a_gap_between_the_upcasters_is_an_unknown_version_and_not_a_guess() -> None:
    codec = codec_of(weighed_with(v1=in_grams))
    with pytest.raises(ts.UnknownEventVersion, match=r"has 3 and upcasters from \[1\]"):
        codec.decode(record_of(Content(b'{"kilos":2}', 1, "Heard")))


def raising(_content: dict[str, Any]) -> dict[str, Any]:
    msg = "planted"
    raise ValueError(msg)


def returning(value: Any) -> Upcaster:
    return lambda _content: value


@pytest.mark.parametrize(
    ("upcaster", "says"),
    [
        (raising, r"upcaster from version 2 raised ValueError\('planted'\)"),
        (returning(None), "Expected `object`, got `null`"),
        (returning({"weight": "heavy"}), r"Expected `int`, got `str` - at `\$.weight`"),
        (returning({"weight": 1, "colour": "red"}), "unknown field `colour`"),
        (returning({"weight": object()}), "Encoding objects of type object is unsupported"),
        (returning({"weight": "\ud800"}), "surrogates not allowed"),
    ],
    ids=["raises", "returns nothing", "gives a wrong type", "gives an unknown field", "gives no JSON", "gives no text"],
)
def test_an_upcaster_that_fails_is_a_malformed_payload_that_names_the_event(upcaster: Upcaster, says: str) -> None:
    codec = codec_of(weighed_with(v1=in_grams, v2=upcaster))
    with pytest.raises(ts.MalformedPayload, match=f"position 41 of type 'Heard' has a malformed payload: .*{says}"):
        codec.decode(record_of(Content(b'{"kilos":2}', 1, "Heard")))


# What cannot be read


def test_an_unknown_type_is_named_with_its_position() -> None:
    with pytest.raises(ts.UnknownEventType, match=r"position 41 of type 'Nobody' has an unknown type: .*restore its class") as caught:
        CODEC.decode(record_of(Content(b"{}", 1, "Nobody")))
    assert (caught.value.position, caught.value.event_type) == (41, "Nobody")
    assert not CODEC.knows("Nobody")
    assert CODEC.knows("Weighed")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"weight":1}',
        b'{"weight":"1","unit":"g"}',
        b'{"weight":1,"unit":"g"}x',
        b'{"unit":"\xff"}',
    ],
)
@pytest.mark.parametrize("version", [3, 1])
def test_a_malformed_payload_is_named_with_position_and_type(payload: bytes, version: int) -> None:
    with pytest.raises(ts.MalformedPayload, match="position 41 of type 'Weighed' has a malformed payload") as caught:
        CODEC.decode(record_of(Content(payload, version)))
    assert (caught.value.position, caught.value.event_type) == (41, "Weighed")


@given(st.binary(max_size=40), st.integers(-1, 5), st.sampled_from(["Weighed", "TimeoutFired", "Nobody"]))
def test_whatever_stands_in_a_log_is_read_or_refused_by_name(payload: bytes, version: int, event_type: str) -> None:
    try:
        CODEC.decode(record_of(Content(payload, version, event_type)))
    except ts.UnreadableEvent as refusal:
        named = (refusal.position, refusal.event_type)
    else:
        named = (41, event_type)
    assert named == (41, event_type)


# Names


def event_named(event_name: str) -> type[ts.Event]:
    class Other(OfScales):
        pass

    Other.__name__ = event_name
    return Other


def test_two_event_types_of_one_name_are_refused() -> None:
    with pytest.raises(ts.DefinitionError, match=r"Two types would be written as 'Weighed'.*rename one"):
        codec_of(event_named("Weighed"))


def test_one_event_type_in_two_modules_is_one() -> None:
    class Listening(ts.Module):
        name = "listening"

        @ts.reacts_to(Weighed)
        def weighed(self, _turn: ts.Turn, _event: Weighed) -> ts.Effects:
            return ()

    class Other(Listening):
        name = "other"

    codec = Codec([Behaviour(Listening()), Behaviour(Other())])
    assert codec.encode(Weighed(weight=1, unit="g"))[0].name == "Weighed"


@pytest.mark.parametrize("event_name", ["TimeoutFired", "CommandSettled", "CursorAdvanced", "OwnerJoined", "ReactionFailed"])
def test_an_event_with_the_name_of_an_engine_event_is_refused(event_name: str) -> None:
    with pytest.raises(ts.DefinitionError, match=f"Two types would be written as '{event_name}'"):
        codec_of(event_named(event_name))


class Weighing(ts.Intent[int]):
    pass


def settling(intent: type[ts.Intent[Any]], *events: type[ts.Event]) -> Codec:
    class Settles(ts.Module):
        name = "settles"

        @intent.settled
        def settle(self, _turn: ts.Turn, _intent: Any, _outcome: Any) -> ts.Effects:
            return ()

        @ts.reacts_to(Weighed, emits=events)
        def weighed(self, _turn: ts.Turn, _event: Weighed) -> ts.Effects:
            return ()

    return Codec([Behaviour(Settles())])


@pytest.mark.parametrize("event_name", ["WeighingStarted", "WeighingSucceeded", "WeighingFailed", "WeighingAbandoned"])
def test_an_event_with_the_name_of_an_operations_bracket_is_refused_unless_the_operation_ends_with_it(event_name: str) -> None:
    with pytest.raises(ts.DefinitionError, match=f"Two types would be written as '{event_name}'"):
        settling(Weighing, event_named(event_name))


def test_two_intents_of_one_name_are_refused() -> None:
    class Other(ts.Intent[str]):
        started = "OtherStarted"

    Other.__name__ = "Weighing"

    class Settles(ts.Module):
        name = "settles"

        @Weighing.settled
        def one(self, _turn: ts.Turn, _intent: Weighing, _outcome: ts.Outcome[int]) -> ts.Effects:
            return ()

        @Other.settled
        def other(self, _turn: ts.Turn, _intent: Other, _outcome: ts.Outcome[str]) -> ts.Effects:
            return ()

    with pytest.raises(ts.DefinitionError, match="Two intents are named 'Weighing'"):
        Codec([Behaviour(Settles())])


def test_two_codecs_in_one_process_may_each_have_their_own_event_of_one_name() -> None:
    def own(field_type: type) -> tuple[Codec, Any]:
        class Told(OfScales):
            what: field_type  # type: ignore[valid-type]  # the difference between the two

        return codec_of(Told), Told

    (numbers, number_told), (words, word_told) = own(int), own(str)
    assert numbers.decode(record_of(Content(b'{"what":1}', 1, "Told"))) == number_told(what=1)
    assert words.decode(record_of(Content(b'{"what":"one"}', 1, "Told"))) == word_told(what="one")
    with pytest.raises(ts.MalformedPayload):
        numbers.decode(record_of(Content(b'{"what":"one"}', 1, "Told")))
    with pytest.raises(ts.InvalidPayload, match="Told is not declared"):
        numbers.encode(word_told(what="one"))
