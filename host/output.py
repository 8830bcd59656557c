"""How commands write: JSON for programs, tables and progress for people. Rich is imported when something is drawn."""

import errno
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from tallystick.domain.sensitive import redacted

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_A_PIPE: Final = 200

_BARE: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
"""DEL and C1 in UTF-8, which JSON need not escape; in valid UTF-8 these bytes are nothing else."""

Progress = Callable[[int, int | None], None]
"""Told how much is done, and of how much; None where that is not known."""


def counted(number: int, noun: str) -> str:
    """So many of what a regular noun says: "1 archive", "2 archives"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_json(value: Any) -> None:
    """One line of JSON, written at once; of what is sensitive, only whose it is."""
    click.echo(escaped(redacted(msgspec.json.encode(value))))


def escaped(content: bytes) -> bytes:
    """JSON of the same value without control characters, of which it may have some as they are."""
    return _BARE.sub(lambda found: b"\\u00%02x" % found[0][-1], content)


def console() -> "Console":
    """A console that does not break lines to 80 columns where nobody looks at a screen."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms that JSON does not need

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            """Nothing of its own: Rich would say that the command has failed."""
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return Piped(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


@contextmanager
def progress_bar(doing: str) -> Generator[Progress]:
    """A bar on stderr while something takes long, gone when it is done. Nothing at all where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.progress import Progress as Bar  # noqa: PLC0415 - as above

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


_UNSEEN: Final = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")
"""What a terminal obeys and does not show: in a text of somebody else, it could make a table say anything."""


def visible(text: str) -> str:
    """A text of somebody else as a terminal shows all of it."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A table."""
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))  # as text: what looks like markup is not
    console().print(table)


class Name(click.Choice[str]):
    """One of several names; underscores stand for the hyphens in them, as in the names of the modules behind."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is listed; `BadParameter` for one that is not."""
        return super().convert(str(value).replace("_", "-"), param, ctx)
