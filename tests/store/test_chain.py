"""The hash chain (P23): its bytes are part of the format, and it covers every field."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.store.chain import COVERED, GENESIS, link

CHANGES: dict[str, Any] = {
    "position": 2,
    "event_id": "x",
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
    "payload": b"x",
}


def test_the_chain_of_a_known_record_is_known(record: Callable[..., Recorded]) -> None:
    first = link(GENESIS, record(1))
    assert first.hex() == "06492462f331b501c8f5754268b70e43"
    assert link(first, record(2)).hex() == "745526c879339c78ec8ba5791b6cdb74"


@pytest.mark.parametrize("field", COVERED)
def test_every_field_is_covered(record: Callable[..., Recorded], field: str) -> None:
    changed = msgspec.structs.replace(record(1), **{field: CHANGES[field]})
    assert link(GENESIS, changed) != link(GENESIS, record(1))


def test_only_the_hash_and_the_decoded_event_are_not_covered(record: Callable[..., Recorded]) -> None:
    assert {*COVERED, "hash", "event"} == set(Recorded.__struct_fields__)
    assert link(GENESIS, record(1, hash=b"x", event=object())) == link(GENESIS, record(1))


def test_text_that_moves_from_one_field_to_the_next_changes_the_hash(record: Callable[..., Recorded]) -> None:
    one, two = record(1, event_type="ab", aggregate_type="c"), record(1, event_type="a", aggregate_type="bc")
    assert link(GENESIS, one) != link(GENESIS, two)
