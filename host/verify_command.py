"""`tallystick verify`."""

from pathlib import Path

import click

import tallystick as ts
from tallystick.host.kept_head import KeptHead
from tallystick.host.output import Name, counted, print_json, progress_bar, visible
from tallystick.host.parameters import EXISTING_LOG
from tallystick.host.programs import PROGRAMS
from tallystick.host.verify import BadLog, Verified, verify


def kept_head(ctx: click.Context, param: click.Parameter, value: str | None) -> KeptHead | None:
    """An option's value as a head."""
    try:
        return None if value is None else KeptHead.from_text(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


@click.command("verify")
@click.argument("file", type=EXISTING_LOG)
@click.option("--scenario", type=Name(sorted(PROGRAMS)), metavar="NAME", help="Decode and fold everything with this scenario's code.")
@click.option("--head", "kept", callback=kept_head, metavar="HEAD", help="A head that the log once had, as an earlier run has printed it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(*, file: Path, scenario: str | None, kept: KeptHead | None, as_json: bool) -> None:
    """Check a log from its first record to its last.

    The chain, gaps and versions; that nothing was settled twice, or without having been begun; and with a scenario's code that every event
    can be read and folded, and that its stock adds up. Exit code 1, and the first bad position, if something is wrong.

    Keep the head that is printed somewhere else: given again with --head it shows whether the log's last events were cut off, which
    nothing in the file itself can.
    """
    try:
        with progress_bar("Verifying") as progress:
            verified = verify(file, None if scenario is None else PROGRAMS[scenario], progress, kept=kept)
    except (BadLog, ts.LogCorrupt, ts.UnreadableEvent) as error:
        if as_json:
            print_json({"ok": False, "position": getattr(error, "position", None), "problem": str(error)})
        else:
            click.echo(f"BAD: {visible(str(error))}", err=True)
        raise click.exceptions.Exit(1) from error
    if as_json:
        print_json({"ok": True, **_fields(verified)})
        return
    owners = ", ".join(f"{name} {count}" for name, count in verified.owners.items())
    click.echo(f"OK: {counted(verified.events, 'event')} ({owners}); the chain is whole.")
    click.echo(f"Head: {verified.head}")
    ended = f"{verified.succeeded} succeeded, {verified.failed} failed, {verified.abandoned} abandoned, {verified.open} open"
    beyond = f"retries: {verified.retried}, late successes: {verified.late_successes}"
    click.echo(f"{counted(verified.begun, 'operation')} begun: {ended}; {beyond}.")
    if verified.dead_letters:
        click.echo(f"{counted(verified.dead_letters, 'dead letter')} left to a person.")
    if verified.begins_after:
        click.echo(
            f"It goes on from a save: what happened up to position {verified.begins_after} is not in it, but for what was still open."
        )
    if verified.scenario is not None:
        adds_up = "" if verified.begins_after else "; its stock adds up"
        click.echo(f"Every event was read and folded by {verified.scenario}{adds_up}.")


def _fields(verified: Verified) -> dict[str, object]:
    return {
        name: getattr(verified, field) for name, field in zip(Verified.__struct_encode_fields__, Verified.__struct_fields__, strict=True)
    }
