"""`tallystick demo`."""

import tempfile
from pathlib import Path

import click

from tallystick.host.demo import Demo, Demonstrated
from tallystick.host.output import counted, progress_bar

LISTED = 5


@click.command("demo")
@click.option("--orders", type=click.IntRange(30, 5000), default=300, show_default=True, help="Orders of the day.")
@click.option("--seed", type=int, default=7, show_default=True, help="The day is the same for the same seed.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Keep log and ledgers in this new folder.")
def command(*, orders: int, seed: int, keep: Path | None) -> None:
    """Kill a store in the middle of its day; it recovers.

    Then the books are compared. A few hundred orders on a SQLite log; gateway and carrier run in a process of their own, answer soon,
    slowly, never, with errors, or with an error after they did what they were asked, and keep ledgers. Exit code 1 if a ledger
    disagrees with the log.
    """
    if keep is not None:
        try:
            keep.mkdir(parents=True)
        except FileExistsError as error:
            msg = f"{keep} exists already; the demonstration makes a folder of its own."
            raise click.UsageError(msg) from error
    click.echo(f"A day of {orders} orders; gateway and carrier keep ledgers of their own, in a process of their own.")
    with progress_bar("Killing and recovering"), tempfile.TemporaryDirectory(prefix="tallystick-") as folder:
        shown = Demo(keep or Path(folder), orders=orders, seed=seed).run()
    _tell(shown)
    if keep is not None:
        click.echo(f"Log and ledgers are kept: tallystick log {keep / 'store.db'}")
    if shown.disagreements:
        raise click.exceptions.Exit(1)


def _tell(shown: Demonstrated) -> None:
    killed, log, done = shown.killed, shown.verified, shown.entries
    click.echo(
        f"Killed    worker {killed.pid} with SIGKILL after {killed.events} events: "
        f"{killed.shipped} orders shipped, {killed.open} operations under way."
    )
    click.echo(f"Recovered in a new process, which took up what was open and ended the day after {shown.recovered_in_s:.1f} s.")
    click.echo(f"Reopened  the next morning: answers that nobody had waited for any more, found and undone: {shown.found_later}.")
    click.echo(
        f"Begun     {log.begun} operations: {log.succeeded} completed, {log.failed} failed, {log.abandoned} abandoned, {log.open} open; "
        f"retries: {log.retried}, answers that came too late and were undone: {log.late_successes}."
    )
    click.echo("Orders    " + ", ".join(f"{count} {status}" for status, count in sorted(shown.statuses.items())) + ".")
    click.echo("Ledgers   " + ", ".join(counted(done[kind], kind) for kind in ("capture", "refund", "shipment", "recall")) + ".")
    click.echo(f"Log       {log.events} events; the chain is whole, each operation ended at most once, the stock adds up.")
    if not shown.disagreements:
        click.echo("The ledgers and the log agree in every capture, refund, shipment and recall.")
    for disagreement in shown.disagreements:
        for where, numbers in (("ledger", disagreement.only_in_ledger), ("log", disagreement.only_in_log)):
            if numbers:
                some = ", ".join(sorted(numbers)[:LISTED])
                click.echo(f"DISAGREE  {len(numbers)} {disagreement.kind}s stand in the {where} only: {some}", err=True)
