"""Values that a program did not foresee: traceparents of others, totals that nobody knows, numbers that JSON does not have."""

import enum
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

import tallystick as ts

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def system() -> Iterator[ts.System]:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        yield system


@pytest.mark.parametrize("traceparent", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what.comes"])
@pytest.mark.parametrize("correlation", [None, "webhook 1"])
def test_a_traceparent_is_passed_on_also_of_later_versions(traceparent: str, correlation: str | None, system: ts.System) -> None:
    with system.bracket("Import", traceparent=f" {traceparent}\n", correlation=correlation):
        assert ts.surroundings().traceparent == traceparent
        assert ts.surroundings().correlation == (correlation or TRACE)


@pytest.mark.parametrize(
    "malformed",
    [
        "x\r\nEvil: 1",
        f"00-{TRACE}-{SPAN}-01\r\nEvil: 1",
        f"cc-{TRACE}-{SPAN}-01-\r\nEvil: 1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
@pytest.mark.parametrize("correlation", [None, "webhook 1"])
def test_a_malformed_traceparent_is_left_out(malformed: str, correlation: str | None, system: ts.System) -> None:
    with system.bracket("Import", traceparent=malformed, correlation=correlation):
        assert ts.surroundings().traceparent is None
        assert ts.surroundings().correlation != TRACE
    assert "traceparent" not in str([each.tags for each in system.events()])


@pytest.mark.parametrize("total", [-1, 0, float("nan"), float("inf")])
def test_a_total_that_nobody_knows_is_none(total: Any, system: ts.System) -> None:
    with system.bracket("Import") as operation:
        assert list(operation.track("abc", total=total)) == ["a", "b", "c"]
    (found,) = system.operations.find()
    assert (found.status, found.percent) == (ts.OperationStatus.SUCCEEDED, None)
    assert " of " not in found.message


@pytest.mark.parametrize("percent", [Decimal("12.5"), Fraction(25, 2)])
def test_progress_is_any_number(percent: Any, system: ts.System) -> None:
    with system.bracket("Import") as operation:
        operation.progress(percent)
    assert system.operations.find()[0].percent == 12.5


def test_yes_is_no_percentage(system: ts.System) -> None:
    with system.bracket("Import") as operation, pytest.raises(ts.InvalidOperation, match="True per cent"):
        operation.progress(True)


class Colour(enum.StrEnum):
    RED = "red"


class Size(enum.IntEnum):
    LARGE = 3


class Metres(float): ...


def test_evidence_is_plain_whatever_its_types_are(system: ts.System) -> None:
    odd: dict[str, Any] = {
        "colour": Colour.RED,
        "size": Size.LARGE,
        "length": Metres(1.5),
        "said": "nice \ud83d",
        "yes": True,
        "none": None,
    }
    plain = {"colour": "red", "size": 3, "length": 1.5, "said": "nice \\ud83d", "yes": True, "none": None}
    with system.bracket("Import") as operation:
        operation.note("line", data=odd)
        operation.data = odd
        noted = operation.last_note("line")
        assert noted is not None
        assert (noted.data, operation.data) == (plain, plain)
    assert system.operations.find()[0].data == plain


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused_and_not_kept_as_nothing(number: float, system: ts.System) -> None:
    with system.bracket("Import") as operation:
        for data in ({"loss": number}, {"loss": Metres(number)}):
            with pytest.raises(ts.InvalidPayload, match="JSON has no number for"):
                operation.note("line", data=data)
            with pytest.raises(ts.InvalidPayload, match="'loss'"):
                operation.data = data
