"""Any number of damaged logs: `python -m tests.powerloss.rot --cases 10000 --seed 7`.

One of them again: `--only 123 --seed 7 --keep FILE`.
"""

import argparse
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

import tallystick as ts
from tallystick.host.kept_head import KeptHead
from tallystick.host.verify import BadLog, verify
from tests.powerloss.cutting import room
from tests.powerloss.rotting import NEEDS_THE_HEAD, Case, content_of, damaged, files_in, first_bad, new_log

SHOWN = 20


def cases(folder: Path, numbers: Iterable[int], seed: int) -> Iterator[Case]:
    """Damage a log, have it verified, and look at it without the library; once for each number."""
    path = folder / "whole.db"
    whole = new_log(path)
    pristine, kept = path.read_bytes(), KeptHead.from_text(verify(path).head)
    path.unlink()
    for number in numbers:
        path, damage = damaged(pristine, folder, number, seed)
        before = files_in(folder)
        error = _error(path, kept if damage in NEEDS_THE_HEAD else None)
        touched = files_in(folder) != before
        yield Case(number, damage.__name__, first_bad(whole, content_of(path)), error, touched)
        for each in folder.iterdir():
            each.unlink()


def _error(path: Path, kept: KeptHead | None) -> ts.TallystickError | None:
    try:
        verify(path, kept=kept)
    except (ts.LogError, BadLog) as error:
        return error
    return None


def problems(found: Iterable[Case], counts: Counter[str]) -> Iterator[str]:
    """What a check has missed, misnamed or changed; all are counted on the way."""
    for case in found:
        counts["cases"] += 1
        counts[case.damage] += 1
        counts["content changed"] += case.bad is not None
        counts["found"] += case.bad is not None and case.error is not None
        counts["found in the structure"] += case.bad is None and case.error is not None
        counts["position exact"] += case.bad is not None and case.named == case.bad
        counts["before any position"] += case.error is not None and case.named is None and case.bad is not None
        if case.touched:
            yield f"{case.number} {case.damage}: the check has changed the file"
        if case.bad is not None and case.error is None:
            yield f"{case.number} {case.damage}: {case.bad} is bad, and nothing was found"
        if case.bad is not None and case.named is not None and case.named > case.bad:
            yield f"{case.number} {case.damage}: {case.bad} is bad, {case.named} was named: {case.error}"


def main() -> int:
    """The exit code: 1 if anything was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.powerloss.rot", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this case and no other")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="with --only: put the damaged log there")
    given = parser.parse_args()
    began_s, counts = time.perf_counter(), Counter[str]()
    with room() as folder:
        if given.only is not None and given.keep:
            new_log(folder / "log.db")
            path, _ = damaged((folder / "log.db").read_bytes(), folder, given.only, given.seed)
            shutil.copy(path, given.keep)
            path.unlink()
        numbers = range(given.cases) if given.only is None else (given.only,)
        missed = list(problems(cases(folder, numbers, given.seed), counts))
    sys.stdout.writelines(f"{each}\n" for each in missed[:SHOWN])
    counts["missed"] = len(missed)
    sys.stdout.write(msgspec.json.encode({**counts, "seconds": round(time.perf_counter() - began_s, 1)}).decode() + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
