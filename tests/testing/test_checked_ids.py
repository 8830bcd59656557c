"""The table of what simulations check names every id, and functions that are there."""

import re
from pathlib import Path

from tallystick.actors.recovery import PATHS
from tallystick.testing.faults import GROUPS, KINDS

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ((?:[SLP]\d+(?:, )?)+) \| .* \| (.*) \|$", re.MULTILINE)
NAME = re.compile(r"`((?:[A-Z]\w+\.)?_?[a-zA-Z]\w+)`")
RAISED = re.compile(r'(?:InvariantViolation|violated)\(\s*"([SLP]\d+)"')
NOT_CODE = frozenset({"invariants", *PATHS, *GROUPS, *KINDS})


def rows() -> list[tuple[list[str], str]]:
    text = (ROOT / "docs" / "testing.md").read_text("utf-8")
    return [(found[0].split(", "), found[1]) for found in ROW.findall(text)]


def sources() -> str:
    files = [*(ROOT / "testing").glob("*.py"), *(ROOT / "scenarios").glob("*/simulated.py")]
    return "\n".join(each.read_text("utf-8") for each in files)


def test_every_id_is_in_the_table_once() -> None:
    found = [each for ids, _ in rows() for each in ids]
    wanted = [f"{kind}{number}" for kind, last in (("S", 16), ("L", 4), ("P", 27)) for number in range(1, last + 1)]
    assert sorted(found) == sorted(wanted)


def test_each_function_that_checks_is_there() -> None:
    source, known = sources(), 0
    for ids, where in rows():
        for name in NAME.findall(where):
            owner, _, function = name.rpartition(".")
            if name in NOT_CODE or "test_" in name:
                continue
            assert re.search(rf"^\s*(?:def|class) {function}\b", source, re.MULTILINE), f"{ids}: {name}"
            assert not owner or re.search(rf"^class {owner}\b", source, re.MULTILINE), f"{ids}: {name}"
            known += 1
    assert known > 50


def test_for_each_id_that_a_violation_can_name_a_bug_is_planted_that_it_alone_finds() -> None:
    raised = set(RAISED.findall(sources()))
    planted = "\n".join(each.read_text("utf-8") for each in (ROOT / "tests" / "testing").glob("test_violations*.py"))
    assert raised == set(re.findall(r'"([SLP]\d+)"', planted))


def test_an_id_that_is_checked_says_so_where_it_is_raised() -> None:
    """Those that a violation can name."""
    raised = set(RAISED.findall(sources()))
    in_table = {each for ids, where in rows() for each in ids if not where.startswith(("no", "not"))}
    assert raised <= in_table
