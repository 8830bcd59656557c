"""How commands write: JSON for programs, tables for people. Rich is imported when a table is drawn."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_A_PIPE: Final = 200


def print_json(value: Any) -> None:
    """One line of JSON, written at once."""
    click.echo(msgspec.json.encode(value))


def console(*, stderr: bool = False) -> "Console":
    """A console that does not break lines to 80 columns where nobody looks at a screen."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms that JSON does not need

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # as text: what looks like markup is not
    console().print(table)
