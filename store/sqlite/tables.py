"""The tables that a SQLite log declares: those of its format, or the file is none that this version has made. Not what is in them."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from tallystick.domain.errors import LogCorrupt
from tallystick.store.sqlite.beginning import SCHEMA as BEGINNING_SCHEMA
from tallystick.store.sqlite.file import WITH_ARCHIVES

SCHEMA: Final = Path(__file__).with_name("schema.sql")
ARCHIVE_SCHEMA: Final = Path(__file__).with_name("archive.sql")

_TABLES: Final = "SELECT json_group_array(json_array(name, sql)) FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
_FORMAT: Final = "PRAGMA user_version"

FirstRow = Callable[[str], tuple[Any, ...] | None]
"""How a statement is run that has one row at most."""


def check_tables(first_row: FirstRow, path: str) -> None:
    """Hold the declarations against those that a log of this format is made with.

    Raises:
        LogCorrupt: naming the tables and indexes that differ.
    """
    found = _declared(first_row)
    with closing(apsw.Connection(":memory:")) as pattern:
        pattern.execute(SCHEMA.read_text("utf-8"))
        if first_row(_FORMAT) == (WITH_ARCHIVES,):
            pattern.execute(ARCHIVE_SCHEMA.read_text("utf-8"))
        if any(name == "beginning" for name, _ in found):
            pattern.execute(BEGINNING_SCHEMA.read_text("utf-8"))
        wanted = _declared(lambda sql: pattern.execute(sql).fetchone())
    if found != wanted:
        names = sorted({name for name, _ in found ^ wanted})
        msg = f"{path} does not have the tables of its format: {', '.join(names)} differ. Restore a copy of the log."
        raise LogCorrupt(msg)


def _declared(first_row: FirstRow) -> set[tuple[str, str | None]]:
    row = first_row(_TABLES)
    return msgspec.json.decode(row[0] if row else "[]", type=set[tuple[str, str | None]])
