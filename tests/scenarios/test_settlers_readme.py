"""The colony's README: every test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "scenarios" / "settlers" / "README.md").read_text(encoding="utf-8")


def named() -> list[tuple[str, str]]:
    """Files and tests, as the table names them; `::test` alone is in the file that was named before it."""
    found: list[tuple[str, str]] = []
    file = ""
    for path, test in re.findall(r"`((?:tests/\w+/)?test_\w+\.py)?(?:::(test_\w+))?`", README):
        file = path or file
        if file:
            found.append((file if "/" in file else f"tests/scenarios/{file}", test))
    return found


def test_the_table_names_tests_that_there_are() -> None:
    tests = named()
    assert len([test for _, test in tests if test]) > 30
    missing = [
        f"{file}::{test}"
        for file, test in tests
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_every_file_of_the_scenario_has_its_place_in_the_readme() -> None:
    files = {path.name for path in (ROOT / "scenarios" / "settlers").glob("*.py")} - {"__init__.py"}
    assert {name for name in files if f"`{name}`" not in README} == set()
