"""`tallystick catalogue`."""

import click

from tallystick.host.catalogue import Mentioned, catalogue
from tallystick.host.output import print_json, print_table
from tallystick.host.programs import TINY_STORE


@click.command("catalogue")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def command(*, as_json: bool) -> None:
    """List the store's events, as its code has them.

    Each with its payload, its publisher and its subscribers. What the store has beyond the event flows that it was drawn from is
    marked "(ours)".
    """
    entries = catalogue(TINY_STORE.modules(), TINY_STORE.additions)
    if as_json:
        print_json([entry.as_json() for entry in entries])
        return
    rows = [
        (marked(entry.event, ours=entry.ours), listed(entry.payload), entry.published_by, listed(entry.subscribers) or "none")
        for entry in entries
    ]
    print_table(("Event", "Payload", "Published by", "Subscribers"), rows)


def marked(name: str, *, ours: bool) -> str:
    """The name, and whether it is an addition."""
    return f"{name} (ours)" if ours else name


def listed(names: tuple[Mentioned, ...]) -> str:
    """The names, with the additions marked."""
    return ", ".join(marked(each.name, ours=each.ours) for each in names)
