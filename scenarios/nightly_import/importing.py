"""The import: lines of a CSV file, checked and written to another file, as one operation with checkpoints.

A checkpoint says how far both files were, and is in the log only when what it speaks of is on the disk. After a crash the target may have
more than its last checkpoint says, but never less: it is cut back to it, and the source is read on from there.
"""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import tallystick as ts

NAME: Final = "NightlyImport"
LINES_A_CHECKPOINT: Final = 5_000
FIELDS: Final = 3


class BadLine(ValueError):
    """A line of the source does not have the fields that it must have."""


class Checkpoint(NamedTuple):
    """How far it is: lines done, and the bytes of both files that they take."""

    lines: int = 0
    source_bytes: int = 0
    target_bytes: int = 0


Tell = Callable[[Checkpoint, int], None]
"""Told of each checkpoint, once it is durable, and of the source's size in bytes."""


def import_lines(system: ts.System, source: Path, target: Path, tell: Tell = lambda _checkpoint, _of: None) -> int:
    """Import a file, or go on with its import; how many lines it had.

    Called again after it is done, it does nothing and says so. The same file is one operation, by its name.

    Raises:
        BadLine: the import has failed; what was written up to it stays.
    """
    with system.bracket(NAME, idempotency_key=f"{NAME} {source.name}", tags={"file": source.name}) as operation:
        if operation.ended:
            return lines_of(operation.found)
        size = source.stat().st_size
        at = last_checkpoint(operation)
        tell(at, size)
        with source.open("rb") as lines, target.open("r+b" if target.exists() else "w+b") as out:
            out.truncate(at.target_bytes)
            out.seek(at.target_bytes)
            lines.seek(at.source_bytes)
            while batch := list(islice(lines, LINES_A_CHECKPOINT)):
                out.writelines(converted(line, number) for number, line in enumerate(batch, at.lines + 1))
                out.flush()
                os.fsync(out.fileno())
                at = Checkpoint(at.lines + len(batch), at.source_bytes + sum(map(len, batch)), out.tell())
                operation.note("checkpoint", f"{at.lines} lines", at._asdict())
                operation.progress(min(100.0, 100 * at.source_bytes / size), f"{at.lines} lines")
                tell(at, size)
        operation.data = {"lines": at.lines}
        operation.message = f"{at.lines} lines"
        return at.lines


def last_checkpoint(operation: ts.Operation) -> Checkpoint:
    """Where to go on."""
    noted = operation.last_note("checkpoint")
    return Checkpoint() if noted is None else Checkpoint(**{name: int(str(value)) for name, value in noted.data.items()})


def lines_of(operation: ts.OperationSnapshot | None) -> int:
    """How many lines an import had that is done; 0 of one that was given up."""
    return 0 if operation is None else int(str(operation.data.get("lines", 0)))


def converted(line: bytes, number: int) -> bytes:
    """A line as the target has it.

    Raises:
        BadLine: it has another number of fields.
    """
    fields = line.rstrip(b"\n").split(b",")
    if len(fields) != FIELDS:
        msg = f"line {number} has fields: {len(fields)}, where {FIELDS} are wanted"
        raise BadLine(msg)
    customer, item, quantity = fields
    return b"%d;%s;%s;%s\n" % (number, customer, item, quantity)
