"""The protocol's page and the rest of the repository speak of the same rules: what is named is stated, and what is stated is named."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "protocol.md"
KEEPERS = ("domain", "store", "actors", "host")
WATCHERS = ("testing", "scenarios", "tests")
CODE = (*KEEPERS, *WATCHERS, "benchmarks")
TEXTS = ("*.md", "docs/**/*.md", "scenarios/**/*.md", "store/**/*.sql", "tests/**/*.toml", "pyproject.toml", "Makefile")
NUMBERED = {"P": 27, "S": 16, "L": 4}

NAMED = re.compile(r"\b[PSL]\d{1,2}\b")
IN_TEST_NAME = re.compile(r"^\s*(?:async )?def test_(?:\w*_)?([psl]\d{1,2})(?=_|\()", flags=re.MULTILINE)


def named_in(text: str) -> set[str]:
    """The rules that a file names, in words or in the names of its tests."""
    return set(NAMED.findall(text)) | {name.upper() for name in IN_TEST_NAME.findall(text)}


def sections() -> dict[str, str]:
    """What the page says of each rule."""
    found = re.split(r"^### ([PSL]\d+)\. ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return {number: re.split(r"^## ", text, flags=re.MULTILINE)[0] for number, text in zip(found[::2], found[1::2], strict=True)}


def python_files(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_the_page_states_every_rule_once_and_in_order() -> None:
    headings = re.findall(r"^### ([PSL]\d+)\. \S", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert headings == [f"{letter}{number}" for letter, last in NUMBERED.items() for number in range(1, last + 1)]


@pytest.mark.parametrize("number", sorted(sections()))
def test_a_rule_says_what_would_go_wrong_and_which_tests_show_it(number: str) -> None:
    text = sections()[number]
    rule, _, rest = text.partition("*Without it:*")
    without, _, shown = rest.partition("*Shown by:*")
    assert len(rule.split()) > 10
    assert len(without.split()) > 3
    assert re.search(r"`test_\w+`|`tests/[\w/]+\.py`", shown)


def test_no_rule_is_named_that_the_page_does_not_state() -> None:
    files = [*python_files(CODE), *ROOT.glob("*.py"), *(path for pattern in TEXTS for path in ROOT.glob(pattern))]
    stated = set(sections())
    unknown = {path.relative_to(ROOT).as_posix(): named_in(path.read_text("utf-8")) - stated for path in files if path != Path(__file__)}
    assert {name: rules for name, rules in unknown.items() if rules} == {}


def test_every_rule_of_the_protocol_is_named_where_it_is_kept() -> None:
    kept = set[str]().union(*(named_in(path.read_text("utf-8")) for path in python_files(KEEPERS)))
    assert {number for number in sections() if number.startswith("P")} - kept == set()


def test_every_rule_is_named_where_it_is_watched() -> None:
    watched = set[str]().union(*(named_in(path.read_text("utf-8")) for path in python_files(WATCHERS) if path != Path(__file__)))
    assert set(sections()) - watched == set()


@pytest.mark.parametrize(
    "text", ['"""Nobody keeps this (P28)."""', "as S17 says", "def test_it_ends_l5() -> None:", "async def test_p99_is_kept():"]
)
def test_a_rule_that_is_not_stated_is_found(text: str) -> None:
    assert len(named_in(text) - set(sections())) == 1


@pytest.mark.parametrize("text", ["x = 1  # noqa: S603 - our own", "p50 of an order", "PLR2004, SLF001", "def test_caps1(): ..."])
def test_what_is_no_rule_is_left_alone(text: str) -> None:
    assert named_in(text) == set()
