"""Import a file: `python -m tallystick.scenarios.nightly_import SOURCE.csv TARGET LOG.db`. Kill it, and run it again."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

import tallystick as ts
from tallystick.scenarios.nightly_import.importing import Checkpoint, import_lines


def main(source: str, target: str, log: str) -> None:
    """The bar on stderr begins where the import stands; each checkpoint is a line on stdout."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with ts.System(log=log) as system, Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(Path(source).name, total=None)

        def tell(checkpoint: Checkpoint, size: int) -> None:
            bar.update(task, completed=checkpoint.source_bytes, total=size)
            sys.stdout.write(f"{checkpoint.lines}\n")
            sys.stdout.flush()

        sys.stdout.write(f"done: {import_lines(system, Path(source), Path(target), tell)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
