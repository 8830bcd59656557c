"""Mutants: small changes that nobody has thought of, made by cosmic-ray in a copy of the tree, and whether the tests see them.

Run: python -m tests.planted.mutants domain|engine [--sample N] [--seed S]

A whole run takes hours, so a sample is drawn. What survives is printed, to be looked at: most are settings that only cost time or memory.
"""

import argparse
import random
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.planted.planting import garden

SAMPLE = 200
PATIENCE_S = 30.0


class Part(NamedTuple):
    """Modules to be changed, and the tests that should see it."""

    modules: Sequence[str]
    tests: Sequence[str]


PARTS = {
    "domain": Part(("domain",), ("tests/domain", "tests/actors")),
    "engine": Part(
        ("actors/owner/owner.py", "actors/router.py", "actors/timer.py", "actors/writer.py", "store/journal.py"),
        ("tests/store/test_journal.py", "tests/store/test_journal_commit.py", "tests/actors", "tests/store/test_journal_machine.py"),
    ),
}


def configured(folder: Path, part: Part) -> Path:
    """The configuration for a copy of the tree."""
    tests = " ".join(f"tallystick/{each}" for each in part.tests)
    command = f"{sys.executable} -m pytest -x -q -p no:randomly -p no:cacheprovider --import-mode=importlib {tests}"
    modules = ", ".join(f'"tallystick/{each}"' for each in part.modules)
    path = folder / "mutants.toml"
    path.write_text(
        f"""[cosmic-ray]
module-path = [{modules}]
timeout = {PATIENCE_S}
excluded-modules = []
test-command = "{command}"
[cosmic-ray.distributor]
name = "local"
""",
        "utf-8",
    )
    return path


def sampled(session: Path, sample: int, seed: int) -> tuple[int, int]:
    """Leave a sample of the mutants in a session; how many there were, and are."""
    with sqlite3.connect(session) as connection:
        jobs = sorted(job for (job,) in connection.execute("SELECT job_id FROM work_items"))
        random.Random(seed).shuffle(jobs)  # noqa: S311 - a sample that can be drawn again
        for table in ("mutation_specs", "work_items"):
            left_out = [(job,) for job in jobs[sample:]]
            connection.executemany(f"DELETE FROM {table} WHERE job_id = ?", left_out)  # noqa: S608 - two fixed names
    return len(jobs), min(sample, len(jobs))


def survivors(session: Path) -> tuple[int, list[str]]:
    """How many mutants were killed, and the changes of those that were not."""
    with sqlite3.connect(session) as connection:
        ended = connection.execute("SELECT test_outcome, diff FROM work_results").fetchall()
    changes = [
        "\n".join(line for line in diff.splitlines() if line.startswith(("-", "+"))) for outcome, diff in ended if outcome == "SURVIVED"
    ]
    return len(ended) - len(changes), changes


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted.mutants", description="Count the mutants that the tests kill.")
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--sample", type=int, default=SAMPLE)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with garden(None) as folder:
        config, session = configured(folder, PARTS[options.part]), folder / "session.sqlite"
        tool = [str(Path(sys.executable).with_name("cosmic-ray"))]
        environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        for step in ("init", "exec"):
            subprocess.run([*tool, step, str(config), str(session)], cwd=folder, env=environment, check=True)  # noqa: S603 - of the same environment
            if step == "init":
                made, left = sampled(session, options.sample, options.seed)
                sys.stderr.write(f"{left} of {made} mutants\n")
        killed, changes = survivors(session)
    sys.stdout.write("\n\n".join([*changes, f"{killed} of {killed + len(changes)} were killed."]) + "\n")


if __name__ == "__main__":
    main()
