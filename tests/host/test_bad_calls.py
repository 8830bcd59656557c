"""What people do to a command line: names that are none, places that cannot be written, streams that are closed, an interrupt."""

import json
import os
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner

import tallystick as ts
from tallystick.host import demo
from tallystick.host.cli import cli
from tallystick.host.demo import Demo

Write = Callable[..., Path]
Orders = list[dict[str, Any]]
Done = subprocess.CompletedProcess[str]

MAIN = "from tallystick.host.cli import main; main()"
NOT_UTF_8 = "\udc80"  # how Python shows a byte of an argument that is none


def refusal(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return str(line).removeprefix("tallystick: ")


def in_a_shell(redirected: str, *arguments: object, **environment: str) -> Done:
    """A command as a shell starts it, with its streams where the shell puts them."""
    command = ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-c", MAIN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})  # noqa: S603 - our own program


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    assert CliRunner().invoke(cli, ["scenario", "run", "happy-path", "--log", str(path)]).exit_code == 0
    return path


# Names and places


@pytest.mark.parametrize(
    ("arguments", "name"), [(["log"], "FILE"), (["verify"], "FILE"), (["scenario", "run", "happy-path", "--log"], "--log")]
)
def test_the_path_of_a_log_is_a_name_in_utf_8(tmp_path: Path, arguments: list[str], name: str) -> None:
    path = tmp_path / NOT_UTF_8
    path.touch()
    assert f"Invalid value for '{name}': {str(path)!r} is not UTF-8." in refusal(*arguments, path)
    assert f"Invalid value for '{name}': the name of a file is missing." in refusal(*arguments, "")


@pytest.mark.parametrize("option", ["--type", "--aggregate-type", "--aggregate-id", "--owner", "--token", "--correlation", "--id"])
def test_what_no_log_can_hold_is_not_looked_for(log: Path, option: str) -> None:
    assert refusal("log", log, option, NOT_UTF_8).startswith(f"Invalid value for '{option}': ")


def test_a_log_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    assert "check that its folder exists" in refusal("scenario", "run", "happy-path", "--log", tmp_path / "none" / "store.db")
    os.mkfifo(tmp_path / "pipe")
    assert "not a plain file" in refusal("scenario", "run", "happy-path", "--log", tmp_path / "pipe")


def test_a_folder_for_the_demonstration_that_exists_already_is_named_before_anything_is_told(tmp_path: Path) -> None:
    assert refusal("demo", "--keep", tmp_path).startswith(f"{tmp_path} exists already;")


@pytest.mark.slow
def test_the_demonstrations_folder_may_have_a_longer_name_than_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    assert Demo(folder, orders=30, seed=7).run().disagreements == ()


def test_an_unknown_option_of_the_program_is_refused_in_one_line_as_any_other() -> None:
    assert refusal("--none").endswith("'--none'. See cli --help.")


def test_what_is_wrong_with_a_call_is_a_sentence_of_its_own() -> None:
    assert ", settlers. See cli scenario run --help." in refusal("scenario", "run")


# What a terminal would obey


def test_json_has_no_character_that_a_terminal_obeys_and_says_the_same(tmp_path: Path) -> None:
    path, told = tmp_path / "ops.db", "café \x1b]0;owned\x07\x1b[2J\x7f\x9b31m\x80\x9f\u00a0"
    with ts.System(log=path) as system:
        system.operations.start("Import.Lines", correlation="night", tags={"of": told})
    for command in (["operations", "list", str(path), "--json"], ["log", str(path), "--type", "OperationStarted", "--json"]):
        (line,) = CliRunner().invoke(cli, command).stdout.splitlines()
        assert [each for each in line if unicodedata.category(each) == "Cc"] == []
        assert json.loads(line)["tags"] == {"of": told}


def test_a_refusal_quotes_it_as_it_can_be_seen(log: Path) -> None:
    said = refusal("replay", "/dev/null", "--log", log.parent / "a\x1b]0;owned\x07\x9b31m\u202e" / "store.db")
    assert "a\\x1b]0;owned\\x07\\x9b31m\\u202e/store.db" in said


def test_so_does_verify_of_what_is_bad(log: Path) -> None:
    connection = apsw.Connection(str(log))
    connection.execute("ALTER TABLE snapshot RENAME TO 'a\x1b[2J'")
    connection.close()
    done = CliRunner().invoke(cli, ["verify", str(log)])
    assert (done.exit_code, "a\\x1b[2J" in done.stderr, "\x1b" in done.stderr) == (1, True, False)


# Streams


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", [["log"], ["verify"]])
def test_a_stream_that_is_closed_is_no_error(log: Path, command: list[str], closed: str) -> None:
    done = in_a_shell(closed, *command, log)
    assert (done.returncode, done.stderr) == (0, "")


def test_characters_that_the_output_does_not_have_are_replaced(log: Path) -> None:
    done = in_a_shell("", "scenario", "run", "happy-path", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "OrderPlaced ? Inventory" in done.stdout
    assert in_a_shell("", "log", log, PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
@pytest.mark.parametrize("command", [["--help"], ["log", "--help"], ["catalogue"], ["scenario", "list", "--json"]])
def test_a_disk_that_is_full_is_said_to_be_so(command: list[str]) -> None:
    done = in_a_shell(">/dev/full", *command)
    assert (done.returncode, done.stderr) == (2, "tallystick: [Errno 28] No space left on device\n")


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_has_seen_enough_is_no_error(log: Path, options: list[str]) -> None:
    done = in_a_shell("| head -n 1", "log", log, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("command", [["verify"], ["log", "--json"], ["log"], ["operations", "list"]])
def test_a_reader_that_has_gone_is_not_told_from_success_or_a_bad_log_by_chance(log: Path, command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody_reads:
        given = [sys.executable, "-c", MAIN, *command, str(log)]
        done = subprocess.run(given, stdout=nobody_reads, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own program
    assert (done.returncode, done.stderr) == (141, "")


def test_the_version_is_said_also_where_the_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str) -> str:
        return versions[name]

    def not_found(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    versions = {"tallystick": "1.2.3"}
    for version, said in ((found, "1.2.3"), (not_found, "of a folder, not installed")):
        monkeypatch.setattr(metadata, "version", version)
        done = CliRunner().invoke(cli, ["--version"])
        assert (done.exit_code, done.stdout) == (0, f"tallystick {said}\n")


# An interrupt from the keyboard

INTERRUPTED = """
import os, signal, sys
from tallystick.host.cli import main
from tallystick.store.sqlite.log import SqliteLog

write, left = SqliteLog.write, 20

def interrupted(self, records):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGINT)
    return write(self, records)

SqliteLog.write = interrupted
main()
"""


def test_an_interrupt_ends_a_replay_between_two_turns_and_it_can_be_gone_on_with(
    tmp_path: Path, written: Write, every_path: Orders, result: dict[str, Any]
) -> None:
    replay = ["replay", str(written(every_path)), "--log", str(tmp_path / "store.db"), "--json"]
    before = signal.getsignal(signal.SIGINT)
    stopped = subprocess.run([sys.executable, "-c", INTERRUPTED, *replay], capture_output=True, text=True, check=False)  # noqa: S603 - our own text
    assert (stopped.returncode, stopped.stdout, stopped.stderr.strip()) == (1, "", "Aborted!")
    gone_on = json.loads(CliRunner().invoke(cli, replay).stdout)
    assert {key: gone_on[key] for key in result} == result
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_does_not_reach_the_processes_of_the_demonstration_which_are_killed_by_it() -> None:
    with demo._started([sys.executable, "-c", "import os; print(os.getpgrp() == os.getpid())"], listen=True) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"True\n"
