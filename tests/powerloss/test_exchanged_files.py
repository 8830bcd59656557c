"""Files that are missing, or of another time: a write-ahead log that is gone, an older copy that was put back, both of them mixed.

What is left is a log that ended earlier, or damage that is found. That it ended earlier only a head shows that was kept elsewhere.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

import tallystick as ts
from tallystick.host.kept_head import KeptHead
from tallystick.host.verify import BadLog, verify
from tallystick.testing.storage import BEST, Image, Storage, Sync
from tests.powerloss.cutting import room
from tests.powerloss.judging import written
from tests.powerloss.stories import LOG, recorded, store
from tests.powerloss.trace import Content, content_of

WAL = f"{LOG}-wal"
COPIES = 12


class Copy(NamedTuple):
    """The files as somebody could copy them, and how far the log was acknowledged then."""

    image: Image
    acknowledged: int


class Times(NamedTuple):
    """Copies of a log's files, from different times, and all that was to be written to it."""

    copies: Sequence[Copy]
    attempted: Sequence[Content]


@pytest.fixture
def folder() -> Iterator[Path]:
    with room() as folder:
        yield folder


@pytest.fixture
def times(folder: Path) -> Times:
    """Copies of a working store that have a write-ahead log, evenly spread; the last is the present one."""
    trace, storage, copies = recorded(store, folder / "recorded"), Storage(), list[Copy]()
    for known, operation in trace.moments():
        if operation is not None:
            storage.take(operation)
        if isinstance(operation, Sync) and known.acknowledged:
            image = storage.image(float, BEST)
            if image.get(WAL) and image.get(LOG):
                copies.append(Copy(image, known.acknowledged))
    return Times(copies[:: len(copies) // COPIES], trace.known.attempted)


def found_in(path: Path) -> list[Content] | None:
    """What the log says it holds; None when it says that it is damaged."""
    try:
        with closing(ts.SqliteReader(path)) as reader:
            return [content_of(each) for each in reader.verify()]
    except ts.LogError:
        return None


def head_of(copy: Copy, folder: Path) -> KeptHead:
    return KeptHead.from_text(verify(written(copy.image, folder)).head)


def said(path: Path, times: Times, present: Copy, kept: KeptHead) -> str:
    """What becomes of a log of such files: "whole", "shorter" or "damaged"; and that nobody is deceived about it."""
    found = found_in(path)
    if found is None:
        return "damaged"
    assert found == times.attempted[: len(found)], "a gap-free prefix, or an error"
    with closing(ts.SqliteLog(path)) as log:
        assert log.open().position == len(found), "what is verified can be opened"
    if len(found) >= kept.position:
        assert len(found) >= present.acknowledged
        return "whole"
    with pytest.raises((ts.LogCorrupt, BadLog)):
        verify(path, kept=kept)
    return "shorter"


def test_without_its_write_ahead_log_a_log_ends_where_it_was_copied_to_its_main_file(times: Times, folder: Path) -> None:
    became = Counter[str]()
    for number, present in enumerate(times.copies):
        kept = head_of(present, folder / f"head-{number}")
        left = {name: content for name, content in present.image.items() if name != WAL}
        became[said(written(left, folder / f"left-{number}"), times, present, kept)] += 1
    assert became["shorter"] > 0
    assert not became["damaged"]


def test_an_older_copy_of_all_files_is_the_log_of_that_time(times: Times, folder: Path) -> None:
    *older, present = times.copies
    kept = head_of(present, folder / "head")
    became = Counter(said(written(each.image, folder / f"older-{number}"), times, present, kept) for number, each in enumerate(older))
    assert set(became) == {"shorter"}


def test_files_of_different_times_are_damage_or_a_log_that_ends_earlier_but_never_another_log(times: Times, folder: Path) -> None:
    became = Counter[str]()
    for number, main in enumerate(times.copies):
        for other, ahead in enumerate(times.copies):
            if number != other:
                present = max(main, ahead, key=lambda each: each.acknowledged)
                kept = head_of(present, folder / f"head-{number}-{other}")
                mixed = written({**main.image, WAL: ahead.image[WAL]}, folder / f"mixed-{number}-{other}")
                became[said(mixed, times, present, kept)] += 1
    assert became["damaged"] > 0
    assert became["shorter"] > 0
