"""`tallystick retention`: what a policy would have leave a log, or has."""

from typing import Any

import click

from tallystick.host.archive_command import archive, dry_run, policy_options


@click.command("retention")
@policy_options
@click.option("--dry-run", "only_told", is_flag=True, help="Only say what would leave, and why the rest would stay.")
@click.option("--list", "list_", is_flag=True, help="With --dry-run: each record that would leave.")
def command(*, as_json: bool, only_told: bool, list_: bool, **given: Any) -> None:
    """Archive what a policy of retention lets go, or only say it.

    Closed work that is old enough leaves for archives. With --dry-run nothing leaves. Without, it is `tallystick archive`.
    """
    if list_ and not only_told:
        msg = "--list goes with --dry-run."
        raise click.UsageError(msg)
    if only_told:
        dry_run(as_json=as_json, list_=list_, **given)
    else:
        archive(as_json=as_json, **given)
