"""Plant every bug in turn, and say who caught it.

Run: python -m tests.planted [--only WORDS] [--seeds N] [--table FILE] [--json]
"""

import argparse
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.planted.bugs import BUGS
from tests.planted.planting import SEEDS, Verdict, caught

AT_ONCE = 2


def table(verdicts: Iterable[Verdict]) -> str:
    """The verdicts as a table in Markdown."""
    rows = [f"| {each.bug} | {each.caught_by or '**nobody**'} | {each.seconds:.1f} |" for each in verdicts]
    return "\n".join(["| bug | caught by | seconds |", "| --- | --- | --- |", *rows])


def main() -> int:
    """The command line; 1 when a bug was not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description="Plant bugs, and see whether they are caught.")
    parser.add_argument("--only", default="", help="only bugs with these words in their name")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds the simulator looks at first; 0 leaves it to the tests")
    parser.add_argument("--table", type=Path, help="write the table into this page, in the place of the one that stands in it")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.only in bug.name]
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for verdict in pool.map(lambda bug: caught(bug, seeds=options.seeds), bugs):
            verdicts.append(verdict)
            done = f"{len(verdicts):3}/{len(bugs)} {verdict.seconds:6.1f} s"
            sys.stderr.write(f"{done}  {verdict.bug}: {verdict.caught_by or 'NOT CAUGHT'}\n")
    if options.table is not None:
        page = options.table.read_text("utf-8")
        head, _, _ = page.partition("| bug | caught by | seconds |")
        options.table.write_text(head + table(verdicts) + "\n", "utf-8")
    missed = [verdict.bug for verdict in verdicts if not verdict.caught_by]
    said = f"{len(bugs) - len(missed)} of {len(bugs)} planted bugs were caught." + "".join(f"\nNot caught: {name}" for name in missed)
    counts = {"planted": len(bugs), "caught": len(bugs) - len(missed), "missed": missed}
    sys.stdout.write((json.dumps(counts) if options.json else said) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
