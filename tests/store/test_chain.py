"""The hash chain (P23): its bytes are part of the format, and it covers every field that is stored, and the log's identity."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.store.chain import COVERED, link, linked, start

START = start("a log")

CHANGES: dict[str, Any] = {
    "position": 2,
    "event_type": "x",
    "schema_version": 2,
    "aggregate_type": "x",
    "aggregate_id": "x",
    "aggregate_version": 2,
    "occurred_at_us": 2,
    "owner": "x",
    "token": "x",
    "settles": "failed",
    "correlation": "x",
    "causation": 1,
    "seen": 1,
    "tags_json": '{"tenant":"a"}',
    "payload": b"x",
}


def test_the_chain_of_a_known_record_is_known(record: Callable[..., Recorded]) -> None:
    first = link(START, record(1))
    assert first.hex() == "5b4c431662bbc9d325f878591b52ff1b"
    assert link(first, record(2)).hex() == "4397f6492ad7e98296ac8eaceb5e6299"
    assert link(START, record(1, tags_json='{"tenant":"a"}')).hex() == "f7e7ce6274ea7c48ae464970293c6860"


@pytest.mark.parametrize("field", COVERED)
def test_every_field_is_covered(record: Callable[..., Recorded], field: str) -> None:
    changed = msgspec.structs.replace(record(1), **{field: CHANGES[field]})
    assert link(START, changed) != link(START, record(1))


def test_only_what_is_not_stored_and_the_hash_itself_are_not_covered(record: Callable[..., Recorded]) -> None:
    assert {*COVERED, "log_tag", "event", "hash"} == set(Recorded.__struct_fields__)
    assert link(START, record(1, log_tag=7, event=object(), hash=b"x")) == link(START, record(1))


def test_the_first_hash_covers_the_logs_identity(record: Callable[..., Recorded]) -> None:
    assert link(start("another log"), record(1)) != link(START, record(1))


def test_many_records_are_linked_as_one_after_the_other(record: Callable[..., Recorded]) -> None:
    many = [record(position, aggregate_version=position) for position in (1, 2, 3)]
    one_by_one, previous = list[Any](), START
    for each in many:
        previous = link(previous, each)
        one_by_one += [*(getattr(each, name) for name in COVERED), previous]
    assert linked(START, many) == one_by_one


def test_text_that_moves_from_one_field_to_the_next_changes_the_hash(record: Callable[..., Recorded]) -> None:
    one, two = record(1, event_type="ab", aggregate_type="c"), record(1, event_type="a", aggregate_type="bc")
    assert link(START, one) != link(START, two)
