"""Power cuts by number: images drawn evenly from all moments of the stories' traces and judged; each has a name that finds it again."""

import itertools
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from tallystick.testing.storage import Image, Storage
from tests.powerloss.judging import Judgement, Verdict, judged, problems_of_the_store, written
from tests.powerloss.trace import Known, Trace

DRAWS: Final = 4
"""How often an image is drawn anew that was drawn before."""

SYSTEM_EVERY: Final = 20
"""On each so many images of a store a whole system is opened; on the others the log alone."""

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a disk that costs no time; only speed hangs on it


class Cut(NamedTuple):
    """The power cut before operation `moment` (from 0), and which of the images that it may leave."""

    story: str
    moment: int
    draw: int

    @property
    def name(self) -> str:
        """For the command line."""
        return f"{self.story}:{self.moment}:{self.draw}"


class Found(NamedTuple):
    """An image that was judged."""

    cut: Cut
    image: Image
    judgement: Judgement


class Tally:
    """What many images came to."""

    def __init__(self) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.bad: list[Found] = []
        self.systems = 0
        self._seen: set[bytes] = set()

    def take(self, found: Found) -> None:
        """One more."""
        self.verdicts[found.judgement.verdict] += 1
        self._seen.add(_digest(found.image))
        if found.judgement.verdict is not Verdict.WHOLE:
            self.bad.append(found)

    @property
    def images(self) -> int:
        """How many were judged."""
        return self.verdicts.total()

    @property
    def distinct(self) -> int:
        """How many of them differ in a byte."""
        return len(self._seen)

    @property
    def summary(self) -> dict[str, int]:
        """For the command line."""
        verdicts = {each.value: self.verdicts[each] for each in Verdict}
        return {"images": self.images, "distinct": self.distinct, **verdicts, "systems": self.systems}


@contextmanager
def room() -> Generator[Path]:
    """A folder for many short-lived files, in memory where there is such a place."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None) as folder:
        yield Path(folder)


def cuts(trace: Trace, story: str, images: int, seed: int) -> Iterator[tuple[Cut, Image, Known]]:
    """Images in the order of their moments: as many of each moment, but for one, as of any other."""
    storage, seen = Storage(), set[bytes]()
    moments = trace.operations + 1
    for moment, (known, operation) in enumerate(trace.moments()):
        names = (Cut(story, moment, draw) for draw in itertools.count())
        for _ in range(images * (moment + 1) // moments - images * moment // moments):
            yield *_fresh(storage, itertools.islice(names, DRAWS), seed, seen), known
        if operation is not None:
            storage.take(operation)


def _fresh(storage: Storage, names: Iterator[Cut], seed: int, seen: set[bytes]) -> tuple[Cut, Image]:
    """The first image by these names that was not seen before; the last of them, if all were: what was known may have changed."""
    cut = next(names)
    image = _drawn(storage, cut, seed)
    for another in names:
        if _digest(image) not in seen:
            break
        cut, image = another, _drawn(storage, another, seed)
    seen.add(_digest(image))
    return cut, image


def _drawn(storage: Storage, cut: Cut, seed: int) -> Image:
    return storage.image(random.Random(f"{seed}:{cut.name}").random)  # noqa: S311 - repeatable on purpose


def image_of(trace: Trace, cut: Cut, seed: int) -> tuple[Image, Known]:
    """The one image with that name."""
    storage = Storage()
    for moment, (known, operation) in enumerate(trace.moments()):
        if moment == cut.moment:
            return _drawn(storage, cut, seed), known
        if operation is not None:
            storage.take(operation)
    msg = f"{cut.story} has {trace.operations} operations; there is no moment {cut.moment}"
    raise LookupError(msg)


def judge(image: Image, known: Known, folder: Path, *, whole_system: bool) -> Judgement:
    """By the log itself, and, `whole_system`, by a store that goes on with it; each on files of its own, which are removed."""
    try:
        judgement = judged(written(image, folder / "log"), known)
        if judgement.verdict is Verdict.WHOLE and whole_system:
            problems = list(problems_of_the_store(written(image, folder / "store"), known))
            return Judgement(Verdict.CORRUPT, "; ".join(problems)) if problems else judgement
        return judgement
    finally:
        for name in ("log", "store"):
            shutil.rmtree(folder / name, ignore_errors=True)


def tallied(traces: Mapping[str, Trace], images: int, seed: int, folder: Path) -> Tally:
    """Judge that many images, shared by the stories according to their lengths."""
    tally = Tally()
    total = sum(trace.operations + 1 for trace in traces.values())
    for story, trace in traces.items():
        share = -(-images * (trace.operations + 1) // total)
        for number, (cut, image, known) in enumerate(cuts(trace, story, share, seed)):
            whole_system = story == "store" and number % SYSTEM_EVERY == 0
            tally.take(Found(cut, image, judge(image, known, folder, whole_system=whole_system)))
            tally.systems += whole_system
    return tally


def _digest(image: Image) -> bytes:
    digest = blake2b(digest_size=16)
    for name, content in image.items():
        digest.update(f"{name}:{len(content)}:".encode() + content)
    return digest.digest()
