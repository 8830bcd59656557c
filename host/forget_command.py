"""`tallystick forget`: a person is forgotten, with who and why, in a log that is free or by the host that has it."""

from pathlib import Path

import click

from tallystick.host.dead_letters_command import login_name
from tallystick.host.operator import Operator
from tallystick.host.parameters import EXISTING_LOG, SAID, TEXT
from tallystick.host.requests import ForgetPerson


@click.command("forget")
@click.argument("file", type=EXISTING_LOG)
@click.argument("person", type=TEXT, metavar="ID")
@click.option("--why", type=SAID, required=True, help="The reason, which is recorded.")
@click.option("--who", type=SAID, default=login_name, metavar="NAME", help="Who decides; your login name by default.")
@click.option("--program", type=TEXT, metavar="NAME", help="MODULE:FUNCTION that makes the system, if its keys are not in FILE.keys.")
@click.option("--control", type=click.Path(path_type=Path), metavar="SOCKET", help="Where the host is asked; FILE.control.")
def command(*, file: Path, person: str, why: str, who: str, program: str | None, control: Path | None) -> None:
    """Forget a person, by deleting their key.

    What was kept sealed for them is unreadable from then on, in this log and in all copies of it; nothing brings it back. Needs
    somebody who writes: this process, if the log is free, or the host that has it, if it serves a control socket.
    """
    done = Operator(file, program, control, default="keys-beside").carry_out([ForgetPerson(person=person, who=who, why=why)])
    click.echo(f"{person}: {'forgotten' if done.done else 'had been forgotten before'}, by {who}.")
