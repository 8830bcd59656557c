"""The index of open operations agrees with a plain dictionary, whatever happens; and finds what is due, strictly."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.operations.index import OpenOperations
from tallystick.domain.operations.operation import missed_by

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MOMENTS = st.none() | st.integers(0, 6).map(lambda minutes: NOON + timedelta(minutes=minutes))
CHANGES = st.tuples(st.sampled_from("abcdef"), st.booleans(), MOMENTS, MOMENTS, MOMENTS)


@given(st.lists(CHANGES, max_size=30), st.integers(0, 7))
def test_what_it_finds_is_what_looking_at_each_finds(changes: list[tuple[str, bool, datetime, datetime, datetime]], minutes: int) -> None:
    index, plain = OpenOperations(), dict[str, ts.OperationSnapshot]()
    for operation_id, ends, stalls_at, beat_by, overdue_at in changes:
        operation = ts.OperationSnapshot(operation_id=operation_id, stalls_at=stalls_at, beat_by=beat_by, overdue_at=overdue_at)
        if ends:
            index = index.with_changed(operation_id, lambda _: None)
            plain.pop(operation_id, None)
        else:
            index = index.with_new(operation)  # of an id that is there, the same as a change
            plain[operation_id] = operation
    now = NOON + timedelta(minutes=minutes)
    assert {each.operation_id: each for each in index} == plain
    assert len(index) == len(plain)
    assert {each.operation_id for each in index.silent(now)} == {key for key, each in plain.items() if missed_by(each, now)}
    assert [each.overdue_at for each in index.overdue(now)] == sorted(
        each.overdue_at for each in plain.values() if each.overdue_at and each.overdue_at < now
    )
    assert msgspec.json.decode(msgspec.json.encode(index), type=OpenOperations) == index, "as in a snapshot"
