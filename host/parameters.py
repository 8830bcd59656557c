"""Kinds of parameters that several commands have: the path of a log, text that a log can hold, and a tag."""

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


class _Said(_Text):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        text = super().convert(value, param, ctx)
        if not text.strip():
            self.fail("say something: it is recorded, and blank it would tell nobody anything.", param, ctx)
        return text


def tag(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """An option's value as a tag."""
    key, equals, text = (value or "").partition("=")
    if value is not None and not (key and equals):
        msg = f"{value!r} is no tag like KEY=VALUE"
        raise click.BadParameter(msg, ctx, param)
    return None if value is None else (key, text)


TEXT: Final = _Text()
"""Any text; the shell can also give bytes that are none, which no log holds."""
SAID: Final = _Said()
"""Text for people, which must not be blank: who decides, and why."""
EXISTING_LOG: Final = LogPath(exists=True)
LOG_TO_WRITE: Final = LogPath(exists=False)
