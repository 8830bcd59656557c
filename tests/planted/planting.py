"""Planting: a copy of the tree with one bug in it, and those that look for it."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.planted.bugs import Bug

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "store", "actors", "testing", "scenarios", "host")
TREE = (*PACKAGES, "tests", "benchmarks", "__init__.py", "__main__.py", "py.typed", "pyproject.toml", "README.md", "docs")
SEEDS = 60
PATIENCE_S = 600


class Verdict(NamedTuple):
    """Who caught a bug, what was said, and how long it took."""

    bug: str
    caught_by: str
    seconds: float


def planted(bug: Bug) -> str:
    """The file's text with the bug in it.

    Raises:
        ValueError: what it replaces does not stand in the file exactly once.
    """
    text = (ROOT / bug.file).read_text("utf-8")
    if text.count(bug.good) != 1:
        msg = f"{bug.name}: what it replaces stands in {bug.file} {text.count(bug.good)} times; bring the bug up to date."
        raise ValueError(msg)
    return text.replace(bug.good, bug.bad)


@contextmanager
def garden(bug: Bug | None) -> Generator[Path]:
    """A copy of the tree, importable as `tallystick` from the folder that is given, with a bug in it or without."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tallystick"
        tree.mkdir()
        for name in TREE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.exists():
                shutil.copy(source, tree / name)
        if bug is not None:
            (tree / bug.file).write_text(planted(bug), "utf-8")
        yield Path(folder)


def caught(bug: Bug, *, seeds: int = SEEDS) -> Verdict:
    """Let the simulator look for the bug, then the tests; `caught_by` is empty when neither finds it."""
    began_s = time.monotonic()
    with garden(bug) as folder:
        by = _by_simulator(folder, seeds) if seeds else ""
        by = by or _by_tests(folder, bug.tests)
    return Verdict(bug.name, by, round(time.monotonic() - began_s, 1))


def _run(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # Isolated from this tree: what is imported is the copy.
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _FROM_HERE, *arguments]
    try:
        return subprocess.run(  # noqa: S603 - this very interpreter, on a copy of this tree
            command, cwd=folder / "tallystick", env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "FAILED it never came to an end\n", "")


# An editable install has a finder of its own, which would lead to the tree that it was made from.
_FROM_HERE = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", type(finder).__module__)]
module, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def _by_simulator(folder: Path, seeds: int) -> str:
    done = _run(folder, ["tallystick.host", "simulate", "tiny-store", "--seeds", str(seeds), "--json"])
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return ""
    return f"simulator, {seeds} seeds" if result.get("violations") else ""


def _by_tests(folder: Path, tests: Sequence[str]) -> str:
    arguments = ["pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--import-mode=importlib", "--no-header", *tests]
    done = _run(folder, arguments)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != 1 or not failed:
        return ""
    return failed[0].split(" ", 1)[1].split(" - ")[0]
