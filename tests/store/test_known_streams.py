"""The filter of known aggregates: "no" is certain, "maybe" seldom wrong, and both outlive the process."""

import subprocess
import sys

import pytest

import tallystick as ts
from tallystick.store.known_streams import BITS_A_KEY, FIRST_BITS, FORMAT, KnownStreams


def known_of(count: int) -> KnownStreams:
    known = KnownStreams()
    for number in range(count):
        known.add("Order", f"0190a5c8-0000-7000-8000-{number:012d}")
    return known


def test_what_was_added_is_never_said_to_be_new() -> None:
    count = 3 * FIRST_BITS // BITS_A_KEY  # so many that it has grown
    known = known_of(count)
    assert all(known.maybe("Order", f"0190a5c8-0000-7000-8000-{number:012d}") for number in range(count))


@pytest.mark.parametrize("share", [0.5, 1, 3])
def test_what_is_new_is_seldom_taken_for_known(share: float) -> None:
    known = known_of(int(share * FIRST_BITS / BITS_A_KEY))
    wrong = sum(known.maybe(kind, f"0190a5c9-1111-7000-8000-{number:012d}") for number in range(5_000) for kind in ("Order", "Payment"))
    assert wrong < 10_000 * 0.06


def test_an_aggregate_of_another_type_with_the_same_id_is_another_one() -> None:
    known = known_of(1_000)
    assert sum(known.maybe("Payment", f"0190a5c8-0000-7000-8000-{number:012d}") for number in range(1_000)) < 10


def test_it_is_the_same_after_a_snapshot_and_in_another_process() -> None:
    known = known_of(2 * FIRST_BITS // BITS_A_KEY)
    again = KnownStreams.restored(FORMAT, known.saved())
    again.add("Order", "later")
    assert again.maybe("Order", "0190a5c8-0000-7000-8000-000000000007")
    assert again.maybe("Order", "later")
    program = """
import sys
from tallystick.store.known_streams import FORMAT, KnownStreams
known = KnownStreams.restored(FORMAT, sys.stdin.buffer.read())
print(known.maybe("Order", "0190a5c8-0000-7000-8000-000000000007"))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=known.saved(), capture_output=True, check=True)  # noqa: S603 - this very interpreter
    assert done.stdout.split() == [b"True"]


@pytest.mark.parametrize(("form", "body"), [(FORMAT, b"nonsense"), (FORMAT, b""), (FORMAT - 1, known_of(1).saved())])
def test_what_is_no_filter_is_refused(form: int, body: bytes) -> None:
    with pytest.raises(ts.SnapshotError):
        KnownStreams.restored(form, body)
