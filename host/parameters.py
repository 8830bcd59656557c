"""Kinds of parameters that several commands have: the path of a log, and text that a log can hold."""

import os
from pathlib import Path
from typing import Any, Final

import click


class LogPath(click.Path):
    """Where a log is, or is to be. SQLite names its files in UTF-8, so others are refused."""

    def __init__(self, *, exists: bool) -> None:
        super().__init__(exists=exists, dir_okay=False, path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        if not str(value):
            self.fail("the name of a file is missing.", param, ctx)
        return super().convert(TEXT.convert(value, param, ctx), param, ctx)


class _Text(click.types.StringParamType):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!r} is not UTF-8.", param, ctx)
        return text


TEXT: Final = _Text()
"""Any text; the shell can also give bytes that are none, which no log holds."""
EXISTING_LOG: Final = LogPath(exists=True)
LOG_TO_WRITE: Final = LogPath(exists=False)
