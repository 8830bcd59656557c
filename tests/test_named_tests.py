"""Every test that a page names is there: in the file that is named with it, and otherwise anywhere; or the page itself has it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *(str(page.relative_to(ROOT)) for folder in ("docs", "scenarios") for page in (ROOT / folder).rglob("*.md")))
DEFINED = {
    str(path.relative_to(ROOT)): set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text("utf-8"), flags=re.MULTILINE))
    for path in (ROOT / "tests").rglob("*.py")
}
FILE = re.compile(r"\btests/[\w/]+\.py\b")
IN_FILE = re.compile(r"\b(tests/[\w/]+\.py)(?:::|` `)(test_\w+)")
TEST = re.compile(r"(?:::|`)(test_\w+)(?!\w|\.py)")
BLOCK = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


def unknown(text: str) -> list[str]:
    """What a page names and is not there. Blocks of code are what its reader writes and runs."""
    written = re.findall(r"^ *(?:async )?def (test_\w+)\(", "\n".join(BLOCK.findall(text)), flags=re.MULTILINE)
    text = BLOCK.sub("", text)
    everywhere = set(written).union(*DEFINED.values())
    files = [file for file in FILE.findall(text) if file not in DEFINED]
    misplaced = [f"{file} {test}" for file, test in IN_FILE.findall(text) if test not in DEFINED.get(file, ())]
    return [*files, *misplaced, *(test for test in TEST.findall(text) if test not in everywhere)]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_tests_that_a_page_names_are_there(page: str) -> None:
    assert unknown((ROOT / page).read_text("utf-8")) == []


def test_what_is_not_there_is_found() -> None:
    here = f"| `tests/{Path(__file__).name}` `test_what_is_not_there_is_found`"
    assert unknown(here) == []
    lost = [*("tests/test_lost.py", "tests/test_docs.py test_what_is_not_there_is_found"), *("test_lost_too", "test_lost_again")]
    text = "`tests/test_lost.py`, `tests/test_docs.py::test_what_is_not_there_is_found`, `test_lost_too`, `::test_lost_again[1]`"
    assert unknown(f"| {text} |") == unknown(f"Shown by: {text}.") == lost
    assert unknown("```python\n# test_trips.py\ndef test_a_trip() -> None: ...\n```\n`test_a_trip` passes.") == []
