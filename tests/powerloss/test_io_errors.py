"""The SQLite log while each call of its disk fails: a typed error, nothing acknowledged after it, nothing lost (P18, P19)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tallystick.domain.errors import LogPoisoned
from tallystick.store.sqlite.log import SqliteLog
from tests.powerloss.cutting import room
from tests.powerloss.failing import CALLS, Fault, Life, life

FAULTS = {
    "once": Fault(0, sticky=False),
    "from then on": Fault(0, sticky=True),
    "disk full": Fault(0, sticky=True, error=apsw.FullError),
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with room() as folder:
        yield folder


@pytest.fixture(scope="module")
def calls(folder: Path) -> list[str]:
    """The calls of a life in which nothing fails."""
    undisturbed = life(folder / "undisturbed")
    assert (undisturbed.error, undisturbed.problems) == (None, [])
    return undisturbed.calls


def lives(folder: Path, calls: list[str], fault: Fault) -> Iterator[Life]:
    """A life for each call, in which that one fails."""
    for at in range(len(calls)):
        yield life(folder / f"{fault.error.__name__}-{fault.sticky}-{at}", fault._replace(at=at))


@pytest.mark.parametrize("name", FAULTS)
def test_every_call_that_fails_is_a_typed_error_after_which_nothing_is_acknowledged_or_lost(
    folder: Path, calls: list[str], name: str
) -> None:
    problems: list[str] = []
    failed, poisoned = Counter[str](), Counter[str]()
    for at, one in enumerate(lives(folder, calls, FAULTS[name])):
        call, file = one.failed[0]
        failed[call] += 1
        poisoned[call] += isinstance(one.error, LogPoisoned)
        problems += [f"call {at}, {call} of {file}: {each}" for each in one.problems]
    assert problems == []
    assert failed == Counter(calls)
    assert set(failed) == set(CALLS)
    assert (poisoned["write"], poisoned["sync"]) > (100, 20), "most of them must have been seen"


def test_an_error_in_closing_is_not_raised_and_lets_go_of_the_log(folder: Path, calls: list[str]) -> None:
    last = life(folder / "closing", Fault(len(calls) - 1, sticky=False))
    assert (last.failed, last.error, last.problems) == ([("delete", "log.db-wal")], None, [])


def test_a_store_that_goes_on_after_an_error_is_found_out(folder: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def go_on(log: SqliteLog, cause: BaseException) -> None:
        del log, cause

    monkeypatch.setattr(SqliteLog, "_poison", go_on)
    middle = calls.index("sync", len(calls) // 2)
    found = [life(folder / f"unpoisoned-{at}", Fault(at, sticky=False)) for at in range(middle, middle + 20)]
    assert [each.problems for each in found if each.problems] != []
