"""The codec: what is written is what is read, what does not fit its types is refused at the door, and names mean one thing each."""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.protocol import CommandSettled, IntentStarted, ReactionFailed
from tallystick.domain.record import Record
from tallystick.store import codec as codec_module
from tallystick.store.codec import Codec, Encoded


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Money(Record):
    cents: int
    currency: str = "EUR"


class Card(Record, tag=True):
    number: str


class Cash(Record, tag=True):
    coins: tuple[Money, ...] = ()


class OfThing(ts.Event):
    aggregate_type = "Thing"
    thing_id: str = "t"

    @property
    def aggregate_id(self) -> str:
        return self.thing_id


class Happened(OfThing):
    """An event with a field of every sort that may stand in one."""

    text: str
    number: int
    share: float
    flag: bool
    at: datetime
    day: date
    lasts: timedelta
    price: Decimal
    raw: bytes
    colour: Colour
    paid_with: Card | Cash
    lines: tuple[Money, ...]
    labels: frozenset[str]
    counts: Mapping[str, int]
    pair: tuple[int, str]
    perhaps: int | None = None


class Counted(OfThing):
    how_many: int


class Labelled(OfThing):
    labels: frozenset[str] = frozenset()
    counts: Mapping[str, int] = {}


class Doing(ts.Intent[Money]):
    thing_id: str


class Do(ts.Action[Money]):
    thing_id: str


class Undo(ts.Action[str]):
    why: str


class Count(ts.Command[int]):
    labels: frozenset[str] = frozenset()


def codec_of(*events: type[ts.Event], intent: type[ts.Intent[Any]] = Doing, actions: tuple[type[Any], ...] = (Do, Undo)) -> Codec:
    class Things(ts.Module):
        name = "things"

        @ts.handles(Count, emits=events)
        def count(self, _turn: ts.Turn, _command: Count) -> ts.Decision[int]:
            yield from ()
            return 0

        @intent.settled
        def settle(self, _turn: ts.Turn, _intent: Any, _outcome: Any) -> ts.Effects:
            return ()

    return Codec([Behaviour(Things())], actions)


CODEC = codec_of(Happened, Counted, Labelled)


def record_of(encoded: Encoded, position: int = 7, **fields: Any) -> Recorded:
    """As it comes back from a log."""
    form, payload, _ = encoded
    read: dict[str, Any] = {"event_type": form.name, "schema_version": form.version, "payload": payload} | fields
    return Recorded(
        position=position,
        aggregate_type="Thing",
        aggregate_id="t",
        aggregate_version=1,
        occurred_at_us=1,
        owner="things",
        correlation="c",
        **read,
    )


moneys = st.builds(Money, cents=st.integers(), currency=st.text(max_size=3))
words = st.text(st.characters(exclude_categories=["Cs"]))
happenings = st.builds(
    Happened,
    thing_id=words,
    text=words,
    number=st.integers(-(1 << 63), (1 << 63) - 1),
    share=st.floats(allow_nan=False, allow_infinity=False),
    flag=st.booleans(),
    at=st.datetimes(timezones=st.just(UTC)),
    day=st.dates(),
    lasts=st.timedeltas(min_value=timedelta(days=-10_000), max_value=timedelta(days=10_000)),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    raw=st.binary(),
    colour=st.sampled_from(Colour),
    paid_with=st.builds(Card, number=words) | st.builds(Cash, coins=st.lists(moneys, max_size=2).map(tuple)),
    lines=st.lists(moneys, max_size=3).map(tuple),
    labels=st.frozensets(words, max_size=3),
    counts=st.dictionaries(words, st.integers(0, 9), max_size=3),
    pair=st.tuples(st.integers(0, 9), words),
    perhaps=st.none() | st.integers(0, 9),
)


# Round trips


@given(happenings)
def test_an_event_comes_back_as_it_went_in(event: Happened) -> None:
    encoded = CODEC.encode(event)
    assert encoded[2] == event
    assert encoded[2] is not event, "owners get the decoded copy, not what the program holds"
    assert CODEC.decode(record_of(encoded)) == event


@given(happenings)
def test_the_same_event_has_the_same_bytes(event: Happened) -> None:
    _, payload, copy = CODEC.encode(event)
    assert CODEC.encode(copy)[1] == payload


retries: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.builds(ts.FixedDelay, interval=st.timedeltas(timedelta(), timedelta(days=99))),
    st.builds(ts.ExponentialBackoff, initial=st.timedeltas(timedelta(), timedelta(days=99)), jitter=st.floats(0, 1)),
)


@given(st.lists(st.builds(Do, thing_id=words) | st.builds(Undo, why=words), max_size=3), retries, st.dictionaries(words, words, max_size=2))
def test_an_intent_event_comes_back_with_its_actions_its_policy_and_its_tags(actions: list[Any], retry: Any, tags: dict[str, str]) -> None:
    started: IntentStarted[Any, Any] = IntentStarted(intent=Doing(thing_id="t"), actions=tuple(actions), retry=retry, tags=tags)
    encoded = CODEC.encode_started(started)
    assert encoded[0].name == "DoingStarted"
    assert CODEC.decode(record_of(encoded)) == started
    assert CODEC.started(Doing, encoded[1]) == started


outcomes: st.SearchStrategy[Any] = st.one_of(
    st.builds(ts.Succeeded, result=moneys),
    st.builds(ts.Failed, code=words, message=words),
    st.builds(ts.Refused, cause=st.sampled_from(["busy", "no_actions", "unknown_subject", "superseded"])),
    st.builds(ts.TimedOut, attempts=st.integers(1, 9)),
    st.builds(ts.Cancelled, reason=words),
)


@given(outcomes)
def test_an_outcome_comes_back_from_a_completion_event_and_from_a_dead_letter(outcome: Any) -> None:
    assert CODEC.decode(record_of(CODEC.encode_ended(Doing, "failed", outcome))).outcome == outcome
    assert CODEC.outcome(Doing, CODEC.value_bytes(outcome)) == outcome


def test_engine_events_come_back_with_the_raw_content_that_they_carry() -> None:
    settled = CommandSettled(command="Count", content_hash="h", reply=msgspec.Raw(b'{"cents":5}'))
    failed = ReactionFailed(aggregate_type="Thing", aggregate_id="t", position=3, attempt=1, error="E", outcome=msgspec.Raw(b"[1]"))
    assert bytes(CODEC.decode(record_of(CODEC.encode(settled))).reply) == b'{"cents":5}'
    assert bytes(CODEC.decode(record_of(CODEC.encode(failed))).outcome) == b"[1]"


def test_an_event_that_is_decoded_already_is_not_decoded_again() -> None:
    event = Counted(how_many=3)
    assert CODEC.decode(record_of(CODEC.encode(event), event=event)) is event


def test_a_result_or_reply_comes_back_as_a_copy_of_its_type() -> None:
    money = Money(cents=5)
    assert CODEC.checked(money, Money) == money
    assert CODEC.checked(money, Money) is not money
    assert CODEC.checked(None, None) is None
    assert CODEC.checked((1, 2), tuple[int, ...]) == (1, 2)


def test_names_on_the_wire_are_camel_case() -> None:
    assert CODEC.encode(Counted(thing_id="x", how_many=3))[1] == b'{"thingId":"x","howMany":3}'


# Refused at encode


def wrong(**fields: Any) -> Any:
    given_fields: dict[str, Any] = {"how_many": 1} | fields
    return Counted(**given_fields)


@pytest.mark.parametrize(
    "event",
    [
        wrong(how_many="3"),
        wrong(how_many=3.5),
        wrong(how_many=None),
        wrong(how_many=[3]),
        wrong(how_many=float("nan")),
        wrong(how_many=object()),
        wrong(thing_id="\ud800"),
        wrong(thing_id=Money(cents=1)),
        Labelled(labels=("a", 1)),  # type: ignore[arg-type]
        Labelled(counts={"a": "1"}),  # type: ignore[dict-item]
        Labelled(counts={1: 1}),  # type: ignore[dict-item]
    ],
)
def test_values_of_other_types_than_declared_are_refused(event: Any) -> None:
    with pytest.raises(ts.InvalidPayload, match=f"{type(event).__name__} has values that its types do not allow"):
        CODEC.encode(event)


@pytest.mark.parametrize(
    ("event", "becomes"),
    [
        (Labelled(labels=["a", "b"]), Labelled(labels=frozenset({"a", "b"}))),  # type: ignore[arg-type]
        (wrong(thing_id=b"ab"), Counted(thing_id="YWI=", how_many=1)),
        (wrong(thing_id=date(2026, 1, 1)), Counted(thing_id="2026-01-01", how_many=1)),
    ],
)
def test_what_json_writes_alike_has_the_declared_type_before_anybody_sees_it(event: Any, becomes: Any) -> None:
    encoded = CODEC.encode(event)
    assert encoded[2] == becomes == CODEC.decode(record_of(encoded))


@pytest.mark.parametrize(("value", "kind"), [("5", int), (None, Money), (Money(cents=1), str), (object(), int), ({1, "a"}, frozenset[int])])
def test_a_result_of_another_type_than_promised_is_refused(value: Any, kind: Any) -> None:
    with pytest.raises(ts.InvalidPayload):
        CODEC.checked(value, kind)


def test_an_event_that_no_module_declares_is_refused_with_what_to_do() -> None:
    class Stranger(OfThing):
        pass

    with pytest.raises(ts.InvalidPayload, match="Stranger is not declared by any module: fold it, or name it in emits"):
        CODEC.encode(Stranger())


def test_a_subclass_of_a_declared_event_is_not_taken_for_it() -> None:
    class Recounted(Counted):
        pass

    with pytest.raises(ts.InvalidPayload, match="Recounted is not declared"):
        CODEC.encode(Recounted(how_many=1))


def test_an_intent_that_no_module_settles_is_refused() -> None:
    class Forgotten(ts.Intent[str]):
        pass

    with pytest.raises(ts.InvalidPayload, match="No module settles Forgotten"):
        CODEC.encode_started(IntentStarted(intent=Forgotten()))


def test_an_action_that_nobody_performs_does_not_stand_in_an_intent_event() -> None:
    with pytest.raises(ts.InvalidPayload, match="DoingStarted"):
        codec_of(actions=(Do,)).encode_started(IntentStarted(intent=Doing(thing_id="t"), actions=(Undo(why="w"),)))


def test_a_payload_over_the_limit_is_refused_and_one_at_the_limit_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    event = Counted(thing_id="x" * 100, how_many=1)
    size = len(CODEC.encode(event)[1])
    monkeypatch.setattr(codec_module, "PAYLOAD_LIMIT_BYTES", size)
    assert CODEC.encode(event)[2] == event
    monkeypatch.setattr(codec_module, "PAYLOAD_LIMIT_BYTES", size - 1)
    with pytest.raises(ts.InvalidPayload, match=f"Counted has {size} bytes; the limit is {size - 1}"):
        CODEC.encode(event)


def test_the_limit_holds_for_intent_and_completion_events_too() -> None:
    large = "x" * codec_module.PAYLOAD_LIMIT_BYTES
    with pytest.raises(ts.InvalidPayload, match="DoingStarted has"):
        CODEC.encode_started(IntentStarted(intent=Doing(thing_id=large)))
    with pytest.raises(ts.InvalidPayload, match="DoingFailed has"):
        CODEC.encode_ended(Doing, "failed", ts.Failed(code=large))


# The same bytes everywhere

WRITES = """
import sys
from tests.store.test_codec import CODEC, Count, Labelled
names = [f"label-{number}" for number in range(50)]
event = Labelled(labels=frozenset(names), counts={name: 1 for name in {*names}})
sys.stdout.write(CODEC.encode(event)[1].hex() + CODEC.content_hash(Count(labels=frozenset(names))))
"""


def test_bytes_and_content_hashes_do_not_depend_on_the_processes_hash_seed() -> None:
    written = {_written(hash_seed) for hash_seed in ("1", "2")}
    assert len(written) == 1
    assert b"label-49".hex() in written.pop()


def _written(hash_seed: str) -> str:
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(path for path in sys.path if path)}
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(  # noqa: S603 - this very interpreter
        [sys.executable, "-c", WRITES], env=environment, cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout


def test_a_content_hash_tells_contents_and_commands_apart() -> None:
    class Recount(ts.Command[int]):
        labels: frozenset[str] = frozenset()

    one = CODEC.content_hash(Count(labels=frozenset({"a", "b"})))
    assert one == CODEC.content_hash(Count(labels=frozenset({"b", "a"})))
    assert one != CODEC.content_hash(Count(labels=frozenset({"a"})))
    assert one != CODEC.content_hash(Recount(labels=frozenset({"a", "b"})))
