"""The command line as a whole: help, errors, and what it costs."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tallystick.host import cli as cli_module
from tallystick.host.cli import cli

COMMANDS = sorted(cli.list_commands(click.Context(cli)))


def test_help_lists_every_command_with_a_line() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    _, _, commands = result.stdout.partition("Commands:\n")
    for command in COMMANDS:
        (line,) = [line for line in commands.splitlines() if line.startswith(f"  {command} ")]
        assert len(line.split()) > 2
        assert not line.endswith("..."), "the first sentence fits on the line"


@pytest.mark.parametrize("command", [[name] for name in COMMANDS] + [["scenario", "run"], ["scenario", "list"]])
def test_each_command_has_help(command: list[str]) -> None:
    result = CliRunner().invoke(cli, [*command, "-h"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["no-such-command"])
    assert result.exit_code == 2
    assert "no-such-command" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["log"], ["log", "--limit"], ["replay", "none.jsonl", "--log", "x"], ["verify", "none"]]
)
def test_a_wrong_call_is_told_in_one_line(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("tallystick: ")
    assert "--help" in line


@pytest.mark.parametrize("arguments", [[], ["scenario"]])
def test_without_arguments_there_is_help(arguments: list[str]) -> None:
    assert "Commands:" in CliRunner().invoke(cli, arguments).output


def test_an_error_of_many_lines_is_told_in_one() -> None:
    refusal = cli_module.Refusal("first\n  second")
    assert refusal.exit_code == 2
    result = CliRunner().invoke(cli, ["log", "/"])
    assert result.exit_code == 2


def test_help_loads_neither_tables_nor_the_engine() -> None:
    probe = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tallystick.host.cli import cli\n"
        "CliRunner().invoke(cli, ['scenario', 'list', '--json'])\n"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0  # noqa: S603 - our own text
