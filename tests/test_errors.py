"""Every error of the library comes through a pool of processes, a queue or a copy as it was raised."""

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest

import tallystick
import tallystick as ts
from tallystick.domain.evidence import is_withheld, withhold
from tallystick.host.orders_file import MalformedLine
from tallystick.host.replay_orders import WrongLog
from tallystick.host.verify import BadLog
from tallystick.testing.violations import InvariantViolation

FOLDERS: Final = ("domain", "store", "actors", "testing", "scenarios", "host")
MADE: Final[list[ts.TallystickError]] = [
    ts.Rejected("NO", "not today"),
    ts.RetryAfter(timedelta(seconds=5), "later", code="BUSY"),
    ts.InvalidStep(-1),
    ts.VersionConflict("Order", "o-1", expected=2, actual=3),
    ts.AlreadySettled("t-1"),
    ts.LogLocked("log.db", 4711),
    ts.LogCorrupt("not what was written", position=7),
    ts.ArchiveDamaged("cut off", file="1.archive", position=8),
    *(kind(9, "OrderPlaced", "no such field") for kind in (ts.UnreadableEvent, ts.UnknownEventType, ts.UnknownEventVersion)),
    ts.MalformedPayload(9, "OrderPlaced", "no such field"),
    ts.SagaCompensated("BookTrip", "b-1", step="hotel", code="FULL", message="no room"),
    ts.SagaNeedsPerson("BookTrip", "b-1", steps=("hotel", "flight"), reason="nobody knows"),
    ts.SagaVersionMissing((("BookTrip", 1, "b-1"),)),
    ts.SaveVersionError("game.save", "is a save", found=9, read=(1, 2)),
    BadLog(3, "S1", "twice"),
    MalformedLine("orders.jsonl", 3, "placedAt", "is no time"),
    WrongLog("Order o-1 has two lines"),
    InvariantViolation("S1", "twice", position=7, token=ts.Token("t"), seed=3),
]
"""One of each that is made from something else than a message."""


def kinds(of: type[ts.TallystickError] = ts.TallystickError) -> Iterator[type[ts.TallystickError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


def all_kinds() -> list[type[ts.TallystickError]]:
    """Those that the library defines, in whatever module."""
    for folder in FOLDERS:
        package = importlib.import_module(f"tallystick.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = {kind for kind in kinds() if kind.__module__.startswith(f"{tallystick.__name__}.")}
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def takes_a_message(kind: type[ts.TallystickError]) -> bool:
    return kind.__init__ is ts.TallystickError.__init__


PLAIN: Final = [kind for kind in all_kinds() if takes_a_message(kind)]


def assert_same(one: BaseException, other: BaseException) -> None:
    assert type(other) is type(one)
    assert (str(other), other.args, vars(other)) == (str(one), one.args, vars(one))


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_an_error_with_a_message_or_its_own_is_loaded_as_it_was(kind: type[ts.TallystickError]) -> None:
    for error in (kind(), kind("what happened, to which id")):
        assert_same(error, pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_that_is_made_from_facts_is_loaded_with_them(error: ts.TallystickError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301 - our own
        assert_same(error, other)


def test_each_error_that_is_made_from_facts_is_among_these() -> None:
    assert {kind for kind in all_kinds() if not takes_a_message(kind)} == {type(error) for error in MADE}


class OutOfStock(ts.Rejected):
    """One of a program's own, which is made from other things again."""

    def __init__(self, sku: str, left: int) -> None:
        super().__init__("OUT_OF_STOCK", f"{left} of {sku} are left")
        self.sku = sku


class Careless(ts.TallystickError):
    """One that does not call the one above it."""

    def __init__(self, one: str, two: int) -> None:
        self.one, self.two = one, two


@pytest.mark.parametrize("error", [OutOfStock("tea", 0), Careless("a", 2)], ids=lambda error: type(error).__name__)
def test_those_of_programs_are_loaded_as_they_were(error: ts.TallystickError) -> None:
    assert_same(error, pickle.loads(pickle.dumps(error)))  # noqa: S301 - our own


def test_what_may_not_be_written_down_of_one_may_not_be_elsewhere_and_notes_come_along() -> None:
    error: Any = ts.Rejected("NO", "ann@example.org")
    withhold(error)
    error.add_note("while it was sent")
    loaded = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert is_withheld(loaded)
    assert loaded.__notes__ == ["while it was sent"]
