"""Damage to a log at rest: `verify` finds all that changes its content, names the first bad position, and changes nothing."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import tallystick as ts
from tallystick.host.cli import cli
from tallystick.host.kept_head import KeptHead
from tallystick.host.verify import BadLog, verify
from tallystick.testing.storage import BEST, Image, Storage, Sync
from tests.powerloss.cutting import room
from tests.powerloss.judging import written
from tests.powerloss.rot import cases, problems
from tests.powerloss.rotting import DAMAGES, content_of, damaged, files_in, first_bad, new_log
from tests.powerloss.stories import recorded, store

CASES = 1_000
FLIPS = 150
SEED = 1


@pytest.fixture
def folder() -> Iterator[Path]:
    with room() as folder:
        yield folder


def test_all_damage_that_changes_content_is_found_and_nothing_is_changed_in_finding_it(folder: Path) -> None:
    counts = Counter[str]()
    assert list(problems(cases(folder, range(CASES), SEED), counts)) == []
    assert {each.__name__ for each in DAMAGES} <= set(counts)
    assert counts["found"] == counts["content changed"] > CASES // 3
    assert counts["position exact"] > 0.97 * counts["found"], "others name one before it, or nothing of the file can be read"


def test_the_command_says_the_same(folder: Path) -> None:
    whole = new_log(folder / "whole.db")
    pristine = (folder / "whole.db").read_bytes()
    kept = verify(folder / "whole.db").head
    codes = Counter[int]()
    for number in range(60):
        path, _ = damaged(pristine, folder, number, SEED)
        before = files_in(folder)
        result = CliRunner().invoke(cli, ["verify", str(path), "--head", kept, "--json"])
        assert files_in(folder) == before
        bad = first_bad(whole, content_of(path))
        codes[result.exit_code] += 1
        if result.exit_code == 1:
            answer = json.loads(result.stdout)
            assert answer["ok"] is False
            assert bad is None or answer["position"] is None or answer["position"] <= bad
        else:
            assert result.exit_code == 2 or bad is None
    assert codes[1] > 20


def image_of_a_log_in_use(folder: Path) -> Image:
    """What there is of a working store when its write-ahead log is at its longest."""
    trace, storage = recorded(store, folder / "recorded"), Storage()
    longest: Image = {}
    for _, operation in trace.moments():
        if operation is not None:
            storage.take(operation)
        if isinstance(operation, Sync):
            image = storage.image(random.Random().random, BEST)  # noqa: S311 - nothing is left to chance here
            longest = max(longest, image, key=lambda each: len(each.get("log.db-wal", b"")))
    return longest


def test_damage_to_the_write_ahead_log_is_a_tail_that_is_cut_off_and_only_a_kept_head_shows_all_of_it(folder: Path) -> None:
    pristine = image_of_a_log_in_use(folder)
    path = written(pristine, folder / "whole")
    whole, kept = content_of(path), KeptHead.from_text(verify(path).head)
    lots = random.Random(SEED)  # noqa: S311 - repeatable on purpose
    changed = missed_without = 0
    for number in range(FLIPS):
        content = bytearray(pristine["log.db-wal"])
        content[lots.randrange(len(content))] ^= 1 << lots.randrange(8)
        path = written({**pristine, "log.db-wal": bytes(content)}, folder / str(number))
        before = files_in(path.parent)
        without, with_head = (found(path, each) for each in (None, kept))
        assert files_in(path.parent) == before
        if (bad := first_bad(whole, content_of(path))) is not None:
            changed += 1
            missed_without += without is None
            assert with_head is not None, number
            assert getattr(with_head, "position", None) == bad, number
    assert changed > FLIPS // 10
    assert missed_without > 0, "then the head would not be needed"


def found(path: Path, kept: KeptHead | None) -> ts.TallystickError | None:
    """What the check finds."""
    try:
        verify(path, kept=kept)
    except (ts.LogError, BadLog) as error:
        return error
    return None
