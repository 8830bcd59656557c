"""The nightly import, killed again and again: no line is lost, none is doubled, and progress goes on where it stood."""

import subprocess
import sys
from pathlib import Path

import pytest

import tallystick as ts
from tallystick.scenarios.nightly_import.importing import BadLine, import_lines

LINES = 200_000
COMMAND = [sys.executable, "-c", "import sys; from tallystick.scenarios.nightly_import.__main__ import main; main(*sys.argv[1:])"]


def source_of(folder: Path, lines: int) -> Path:
    source = folder / "night.csv"
    source.write_text("".join(f"customer{number},item{number % 7},{number % 13}\n" for number in range(1, lines + 1)))
    return source


def run_until(folder: Path, checkpoints: int | None) -> list[str]:
    """Run the import in a process of its own, and kill it after so many further checkpoints; what it said."""
    arguments = [str(folder / name) for name in ("night.csv", "out.txt", "log.db")]
    told: list[str] = []
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line.strip())
            if checkpoints is not None and len(told) > checkpoints:
                process.kill()
                break
    return told


def test_killed_again_and_again_it_loses_no_line_and_doubles_none(tmp_path: Path) -> None:
    source_of(tmp_path, LINES)
    reached = 0
    for checkpoints in (3, 1, 9, 2):
        told = run_until(tmp_path, checkpoints)
        assert int(told[0]) >= reached, "progress goes on where it stood"
        reached = int(told[-1])
    told = run_until(tmp_path, None)
    assert reached <= int(told[0]) < LINES
    assert told[-1] == f"done: {LINES}"
    numbers = [line.split(";", 2)[:2] for line in (tmp_path / "out.txt").read_text().splitlines()]
    assert numbers == [[str(number), f"customer{number}"] for number in range(1, LINES + 1)]
    assert run_until(tmp_path, None) == [f"done: {LINES}"], "once more, it has nothing to do"
    with ts.System(log=tmp_path / "log.db") as system:
        (operation,) = system.operations.find()
        assert (operation.status, operation.percent, operation.data) == ("Succeeded", 100, {"lines": LINES})


def test_a_bad_line_fails_it_and_says_which(tmp_path: Path) -> None:
    source = source_of(tmp_path, 3)
    source.write_text(source.read_text() + "what is this\n")
    with ts.System() as system:
        with pytest.raises(BadLine, match="line 4 has fields: 1"):
            import_lines(system, source, tmp_path / "out.txt")
        (operation,) = system.operations.find()
    assert (operation.status, operation.code) == ("Failed", "BadLine")
