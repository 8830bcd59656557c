"""What takes long shows on a terminal that it goes on; what is piped and what is JSON stays as clean as before."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tallystick.host.cli import cli

Write = Callable[..., Path]
Orders = list[dict[str, Any]]

MAIN = "from tallystick.host.cli import main; main()"


def on_a_terminal(*arguments: object) -> tuple[str, str]:
    """What a command that ends well writes to stdout, which is a pipe, and to stderr, which is a terminal."""
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its_end, stdin=subprocess.DEVNULL, env=environment) as process:  # noqa: S603 - our own program
        os.close(its_end)
        seen = b"".join(iter(lambda: read(terminal), b""))
        stdout = process.stdout.read() if process.stdout else b""
    os.close(terminal)
    assert process.returncode == 0, seen
    return stdout.decode(), seen.decode()


def read(terminal: int) -> bytes:
    """Some of what came, nothing when the other end is closed."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that nobody has the other end any more
        return b""


def piped(*arguments: object) -> tuple[str, str]:
    """The same with pipes, and with colours asked for, which makes no terminal of a pipe."""
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    environment = {**os.environ, "FORCE_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - our own program
    return done.stdout, done.stderr


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    assert CliRunner().invoke(cli, ["scenario", "run", "happy-path", "--log", str(path)]).exit_code == 0
    return path


def test_a_replay_shows_on_a_terminal_how_far_it_is_and_ends_with_clean_json(tmp_path: Path, written: Write, every_path: Orders) -> None:
    stdout, stderr = on_a_terminal("replay", written(every_path), "--log", tmp_path / "store.db", "--json")
    assert "Replaying" in stderr
    assert "%" in stderr
    assert json.loads(stdout)["orders"] == 21


def test_a_replay_from_a_pipe_shows_that_it_goes_on_though_not_how_far(tmp_path: Path) -> None:
    stdout, stderr = on_a_terminal("replay", "-", "--log", tmp_path / "store.db", "--json")
    assert "Replaying" in stderr
    assert json.loads(stdout)["orders"] == 0


def test_verifying_shows_on_a_terminal_how_far_it_is_and_its_result_is_clean_json(log: Path) -> None:
    stdout, stderr = on_a_terminal("verify", log, "--json")
    assert "Verifying" in stderr
    assert json.loads(stdout)["ok"]


def test_a_simulation_shows_on_a_terminal_how_far_it_is_and_ends_with_clean_json() -> None:
    stdout, stderr = on_a_terminal("simulate", "tiny-store", "--seeds", "12", "--faults", "none", "--json")
    assert "Simulating" in stderr
    assert "%" in stderr
    assert json.loads(stdout)["seeds"] == 12


def test_the_bar_is_gone_when_the_work_is_done(log: Path) -> None:
    stdout, stderr = on_a_terminal("verify", log)
    assert "\x1b[2K" in stderr.rpartition("Verifying")[2], "its line is erased after it was drawn for the last time"
    assert stdout.startswith("OK: ")


@pytest.mark.slow
def test_the_demonstration_shows_on_a_terminal_that_it_goes_on() -> None:
    stdout, stderr = on_a_terminal("demo", "--orders", "90")
    assert "Killing and recovering" in stderr
    assert "\x1b" not in stdout


def test_where_stderr_is_no_terminal_nothing_is_shown(tmp_path: Path, log: Path, written: Write, every_path: Orders) -> None:
    replayed, nothing = piped("replay", written(every_path), "--log", tmp_path / "replay.db", "--json")
    assert nothing == ""
    assert json.loads(replayed)["orders"] == 21
    verified, nothing = piped("verify", log, "--json")
    assert nothing == ""
    assert json.loads(verified)["ok"]
