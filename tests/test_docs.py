"""What a page tells its reader to write and to run is written and run, in that order, and ends as the page says.

A block of Python that begins with a file's name is written to that file, after what is there already. A block of console input and output
has a command in its first line, which ends well unless a comment says with which exit code; each of its other lines must be found in the
command's output, in that order: `...` stands for anything, and one space for any number of them.
"""

import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "docs/testing.md",
    "docs/queues.md",
    "docs/embedding.md",
    "docs/operating.md",
    "docs/sagas.md",
    "docs/quickstart.md",
    "docs/operations.md",
    "docs/deadlines.md",
    "docs/schedules.md",
    "docs/processes.md",
    "docs/privacy.md",
    "docs/metrics.md",
    "docs/retention.md",
)
PLUGIN = "tallystick.testing.plugin"
INSTALLED = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
PYTEST = ["pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *([] if INSTALLED else ["-p", PLUGIN])]
MODULES = {"pytest": ["-m", *PYTEST], "tallystick": ["-c", "from tallystick.host.cli import main; main()"], "python": []}
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
TIMEOUT_S = 300


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def expected_code(command: str) -> int:
    """The exit code that a command's line says: `$ pytest test_it.py  # exit code 1`."""
    said = re.search(r"  # exit code (\d+)$", command)
    return int(said[1]) if said else 0


def run(command: str, folder: Path) -> tuple[str, int]:
    program, *arguments = shlex.split(command, comments=True)
    done = subprocess.run(  # noqa: S603 - our own page's command
        [sys.executable, *MODULES[program], *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    return done.stdout, done.returncode


def missing(expected: list[str], output: str) -> list[str]:
    """The expected lines that are not found in the output after those before them."""
    rest, lost = " ".join(output.split()), list[str]()
    for line in expected:
        pattern = r".*?".join(map(re.escape, " ".join(line.split()).split("...")))
        found = re.search(pattern, rest)
        if found is None:
            lost.append(line)
        else:
            rest = rest[found.end() :]
    return lost


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_its_reader_to_do_ends_as_it_says(page: str, tmp_path: Path) -> None:
    for kind, text in blocks(page):
        head, _, body = text.partition("\n")
        if kind == "python":
            with (tmp_path / head.removeprefix("# ")).open("a", encoding="utf-8") as file:
                file.write(f"{body}\n")
        else:
            output, code = run(head.removeprefix("$ "), tmp_path)
            assert (missing(body.splitlines(), output), code) == ([], expected_code(head)), f"{head}\n{output}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_says_where_it_belongs(page: str) -> None:
    heads = [(kind, text.partition("\n")[0]) for kind, text in blocks(page)]
    assert {kind for kind, _ in heads} == {"python", "console"}
    assert [head for kind, head in heads if kind == "python" and not re.fullmatch(r"# \w+\.py", head)] == []
    assert [head for kind, head in heads if kind == "console" and head.split()[1] not in MODULES] == []


def test_lines_are_found_in_their_order_only() -> None:
    assert missing(["a", "c...e f"], "xa\nb\ncde   f\n") == []
    assert missing(["c", "a"], "a\nc\n") == ["a"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_program_that_dies_at_once_is_seen_also_where_no_line_is_expected(code: int, tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(f"raise SystemExit({code})")
    assert run("python dies.py  # exit code 1", tmp_path) == ("", code)
    assert (expected_code("$ python dies.py"), expected_code("$ python dies.py  # exit code 1")) == (0, 1)
