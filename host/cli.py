"""The command line: which commands there are, and what becomes of errors. What each command does is in a module of its own."""

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

import click

import tallystick as ts

_COMMANDS: Final = {
    "archive": "tallystick.host.archive_command",
    "catalogue": "tallystick.host.catalogue_command",
    "dead-letters": "tallystick.host.dead_letters_command",
    "demo": "tallystick.host.demo_command",
    "forget": "tallystick.host.forget_command",
    "log": "tallystick.host.log_command",
    "operations": "tallystick.host.operations_command",
    "replay": "tallystick.host.replay_command",
    "retention": "tallystick.host.retention_command",
    "scenario": "tallystick.host.scenario_command",
    "simulate": "tallystick.host.simulate_command",
    "verify": "tallystick.host.verify_command",
}
"""Each has a `command`; it is imported when it is used, so that `--help` is quick."""

_NO_ARGUMENTS: Final[Any] = getattr(click.exceptions, "NoArgsIsHelpError", ())  # newer versions of click raise it


_READER_GONE: Final = 141
"""As a shell says it of a program that SIGPIPE has ended: 1 is what commands say of what they have found."""


class Refusal(click.ClickException):
    """Bad input: one line on stderr, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """The line."""
        from tallystick.host.output import visible  # noqa: PLC0415 - what it needs is not needed for `--help`

        click.echo(f"tallystick: {visible(' '.join(self.message.split()))}", file=file or sys.stderr)


class _Commands(click.Group):
    """Imports a command when it is asked for, and refuses in one line what is the user's to mend."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = _COMMANDS.get(cmd_name)
        command: click.Command | None = None if module is None else import_module(module).command
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        with _refusing(info_name or ""):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _refusing(ctx.command_path):
            return super().invoke(ctx)


@contextmanager
def _refusing(command_path: str) -> Generator[None]:
    """Turn what is the user's to mend into a refusal."""
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):  # click shows the help
            raise
        message, path = error.format_message().rstrip("."), error.ctx.command_path if error.ctx else command_path
        raise Refusal(f"{message}. See {path} --help.") from error  # noqa: EM102, TRY003 - both are click's
    except ts.TallystickError as error:
        raise Refusal(str(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise _nobody_reads() from error
        raise Refusal(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


def _nobody_reads() -> click.exceptions.Exit:
    """The end of a command whose output nobody reads any more; what is still on its way there has no place, and is no error."""
    with Path(os.devnull).open("wb") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere.fileno(), stream.fileno())
    return click.exceptions.Exit(_READER_GONE)


def _show_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from importlib import metadata  # noqa: PLC0415 - 20 ms that nothing else needs

    try:
        version = metadata.version("tallystick")
    except metadata.PackageNotFoundError:
        version = "of a folder, not installed"
    click.echo(f"tallystick {version}")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version and exit.")
def cli() -> None:
    """Tallystick: long-running operations that must not get lost.

    Whatever was begun is either completed or visible. These commands read and verify logs, show and settle what waits, archive, forget,
    and play the examples.
    """


def main() -> None:
    """The entry point. Output that has no place, or whose characters have none there, is no reason to stop."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - for as long as the process lasts
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    cli(prog_name="tallystick")
