"""The SQLite log after a power cut at any moment: nothing acknowledged is lost (S4), it is a prefix (S5), and a system goes on with it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tallystick.store.sqlite import log as sqlite
from tallystick.store.sqlite.log import Durability
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.testing.storage import Sync, Truncate, Unlink
from tests.powerloss.cutting import Cut, Tally, cuts, image_of, room, tallied
from tests.powerloss.disk import TracedDisk
from tests.powerloss.judging import Verdict, written
from tests.powerloss.noted import NotedLog
from tests.powerloss.rotting import files_in
from tests.powerloss.stories import LOG, STORIES, batches, recorded
from tests.powerloss.trace import Acknowledged, Entered, Snapshotted, Trace, content_of

IMAGES = 2_200
SEED = 1


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with room() as folder:
        yield folder


@pytest.fixture(scope="module")
def traces(folder: Path) -> Mapping[str, Trace]:
    return {name: recorded(story, folder / name) for name, story in STORIES.items()}


def sentences(tally: Tally) -> list[str]:
    """Each bad image with the command that finds it again."""
    return [f"python -m tests.powerloss --only {each.cut.name} --seed {SEED}: {each.judgement.reason}" for each in tally.bad]


def opening(disk: TracedDisk, folder: Path, durability: Durability = "full") -> None:
    """A log that is made, and nothing more."""
    NotedLog.on(disk, folder / LOG, durability).open()


Record = Callable[..., Trace]


@pytest.fixture
def record_batches(tmp_path: Path) -> Record:
    """Records the story of the batches on its own."""
    return lambda durability="full": recorded(batches, tmp_path / "recorded", durability)


# The promise


def test_nothing_acknowledged_is_lost_and_nothing_is_corrupt_after_a_power_cut_at_any_moment_s4(
    traces: Mapping[str, Trace], folder: Path
) -> None:
    tally = tallied(traces, IMAGES, SEED, folder)
    assert sentences(tally) == []
    assert tally.distinct >= 2_000
    assert tally.systems >= 40, "whole systems must have gone on with some of them"


def test_every_moment_is_among_them(traces: Mapping[str, Trace]) -> None:
    moments = sum(trace.operations + 1 for trace in traces.values())
    assert moments <= IMAGES
    for name, trace in traces.items():
        drawn = {cut.moment for cut, _, _ in cuts(trace, name, trace.operations + 1, SEED)}
        assert drawn == set(range(trace.operations + 1))


def test_a_log_whose_making_was_cut_off_is_made_anew_or_was_made(tmp_path: Path, folder: Path) -> None:
    trace = recorded(opening, tmp_path / "opening")
    tally = tallied({"opening": trace}, 25 * (trace.operations + 1), SEED, folder)
    assert [(each.cut.name, each.judgement.reason) for each in tally.bad] == []


def test_a_reader_that_comes_before_any_writer_finds_all_and_changes_nothing(traces: Mapping[str, Trace], folder: Path) -> None:
    for number, (cut, image, known) in enumerate(cuts(traces["batches"], "batches", 250, SEED)):
        if known.identity is None:
            continue  # the log was not made yet
        path = written(image, folder / f"read-{number}")
        before = files_in(path.parent)
        with closing(SqliteReader(path)) as reader:
            found = [content_of(each) for each in reader.verify()]
        assert found == known.attempted[: len(found)], cut.name
        assert len(found) >= known.acknowledged, cut.name
        assert files_in(path.parent) == before, cut.name


def test_the_recorded_runs_have_everything_in_them_that_writes_to_a_disk(traces: Mapping[str, Trace]) -> None:
    kinds = Counter[object]()
    for trace in traces.values():
        kinds.update(type(step) for step in trace.steps)
        kinds.update("failed" for step in trace.steps if isinstance(step, Sync) and step.failed)
    assert all(kinds[kind] >= 8 for kind in (Truncate, Unlink, Snapshotted, Entered))
    assert kinds["failed"] == 1
    assert kinds[Acknowledged] > 100
    names = Counter(step.file for step in traces["batches"].steps if isinstance(step, Sync))
    assert max(names.values()) > 10


def test_an_image_is_found_again_by_its_name(traces: Mapping[str, Trace]) -> None:
    for cut, image, _ in cuts(traces["batches"], "batches", 40, SEED):
        again, _ = image_of(traces["batches"], cut, SEED)
        assert again == image
    with pytest.raises(LookupError):
        image_of(traces["batches"], Cut("batches", 1_000_000, 0), SEED)


# The method finds what it looks for


def test_without_full_durability_acknowledged_records_are_lost_but_nothing_is_corrupt(record_batches: Record, folder: Path) -> None:
    tally = tallied({"batches": record_batches("survives_process_crash_only")}, 400, SEED, folder)
    assert tally.verdicts[Verdict.LOST] > 20
    assert tally.verdicts[Verdict.CORRUPT] == 0


def test_a_store_that_does_not_sync_is_found_corrupt(record_batches: Record, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sqlite._SYNCHRONOUS, "full", "OFF")
    trace = record_batches()
    monkeypatch.undo()
    assert tallied({"batches": trace}, 400, SEED, folder).verdicts[Verdict.CORRUPT] > 20


def test_a_store_that_takes_the_page_cache_for_the_disk_after_a_failed_sync_is_found_to_lose_records_p19(
    record_batches: Record, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def do_nothing(path: str, vfs: str | None) -> None:
        del path, vfs

    monkeypatch.setattr(sqlite, "make_durable", do_nothing)
    trace = record_batches()
    monkeypatch.undo()
    verdicts = tallied({"batches": trace}, 600, SEED, folder).verdicts
    assert verdicts[Verdict.LOST] + verdicts[Verdict.CORRUPT] > 5
