"""Any number of power cuts: `python -m tests.powerloss --images 20000 --seed 7`.

One of them again: `--only store:512:3 --seed 7 --keep DIR`.
"""

import argparse
import sys
import time
from pathlib import Path

import msgspec

from tests.powerloss.cutting import Cut, image_of, judge, room, tallied
from tests.powerloss.judging import Verdict, written
from tests.powerloss.stories import STORIES, recorded

SHOWN = 20


def say(line: str) -> None:
    """A line for whoever has called."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """The exit code: 1 if anything was lost or corrupt."""
    parser = argparse.ArgumentParser(prog="python -m tests.powerloss", description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="STORY:MOMENT:DRAW", help="this image and no other")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --only: put its files there")
    given = parser.parse_args()
    with room() as folder:
        if given.only:
            return again(_cut(given.only), given.seed, folder, given.keep)
        began_s = time.perf_counter()
        traces = {name: recorded(story, folder / name) for name, story in STORIES.items()}
        tally = tallied(traces, given.images, given.seed, folder)
    for each in tally.bad[:SHOWN]:
        say(f"{each.judgement.verdict.value} --only {each.cut.name} --seed {given.seed}: {each.judgement.reason}")
    operations = {f"operations_{name}": trace.operations for name, trace in traces.items()}
    say(msgspec.json.encode({**tally.summary, **operations, "seconds": round(time.perf_counter() - began_s, 1)}).decode())
    return 1 if tally.bad else 0


def again(cut: Cut, seed: int, folder: Path, keep: Path | None) -> int:
    """Judge one image once more."""
    image, known = image_of(recorded(STORIES[cut.story], folder / cut.story), cut, seed)
    if keep is not None:
        say(str(written(image, keep)))
    judgement = judge(image, known, folder, whole_system=cut.story == "store")
    say(f"{cut.name}: {judgement.verdict.value} {judgement.reason}; {known.acknowledged} was acknowledged")
    return 1 if judgement.verdict is not Verdict.WHOLE else 0


def _cut(name: str) -> Cut:
    story, moment, draw = name.split(":")
    return Cut(story, int(moment), int(draw))


if __name__ == "__main__":
    sys.exit(main())
