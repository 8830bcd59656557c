"""A power cut while a log is begun from a save, and after: there is no log, or all of it, and nothing that was acknowledged is lost."""

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogError
from tallystick.store.log import Beginning, Head, Snapshot, StreamStart
from tallystick.store.memory import MemoryLog
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.testing import RecordingDisk, Storage
from tallystick.testing.storage import Image, Operation
from tests.powerloss.cutting import room
from tests.powerloss.noted import record, records

NAME = "game.db"
IDENTITY = "game"
BEGINS_AT = 40
TAIL_ENDS_AT = 60
DRAWS = 2

Told = Operation | int
"""What the disk was asked to do, and, between, up to where the log was said to be durable."""


def saved() -> tuple[Beginning, list[Recorded]]:
    """A beginning of many pages, and the tail that follows it."""
    whole = MemoryLog(identity=IDENTITY)
    whole.open()
    whole.write(records(1, TAIL_ENDS_AT))
    written = list(whole.read())
    last = written[BEGINS_AT - 1]
    states = {"State": msgspec.Raw(b'"%s"' % (b"s" * 400))}
    streams = {(each.aggregate_type, each.aggregate_id): StreamStart(each.aggregate_version, states) for each in written[:BEGINS_AT]}
    snapshots = {"things": Snapshot(owner="things", position=BEGINS_AT, hash=last.hash, format=1, body=b"b" * 9_000)}
    head = Head(position=BEGINS_AT, hash=last.hash, occurred_at_us=last.occurred_at_us)
    return Beginning(head=head, streams=streams, kept=tuple(written[3:12]), snapshots=snapshots), list(written[BEGINS_AT:])


def story(folder: Path) -> Sequence[Told]:
    """A log is begun, opened and gone on with."""
    told: list[Told] = []
    beginning, tail = saved()
    with RecordingDisk(told.append) as disk:
        log = SqliteLog(folder / NAME, vfs=disk.name)
        log.begin(IDENTITY, beginning, tail, epochs=3)
        told.append(TAIL_ENDS_AT)
        log.open()
        for position in range(TAIL_ENDS_AT + 1, TAIL_ENDS_AT + 6):
            log.write([record(position)])
            told.append(position)
        log.close()
    return told


def judge(image: Image, acknowledged: int, folder: Path) -> str:
    """What is wrong with what a power cut has left; empty if nothing is."""
    for name, data in image.items():
        (folder / name).write_bytes(data)
    try:
        with closing(SqliteLog(folder / NAME)) as log:
            end = log.open().position
            found = [each.position for each in log.verify()]
            if log.beginning is None:
                return "there is a log, and it has no beginning" if acknowledged or end else ""
            if log.identity != IDENTITY or log.epoch <= 3 or found != [*range(BEGINS_AT + 1, end + 1)] or end < TAIL_ENDS_AT:
                return f"epoch {log.epoch} of {log.identity} has {found}"
            return f"{acknowledged} was acknowledged, the log ends at {end}" if end < acknowledged else ""
    except LogError as error:
        return repr(error)


def test_a_power_cut_leaves_no_log_or_all_that_it_begins_with(tmp_path: Path) -> None:
    (tmp_path / "recorded").mkdir()
    storage, acknowledged, looked_at = Storage(), 0, {False: 0, True: 0}
    with room() as folder:
        for number, told in enumerate(story(tmp_path / "recorded")):
            if isinstance(told, int):
                acknowledged = told
                continue
            storage.take(told)
            for draw in range(DRAWS):
                image = storage.image(random.Random(f"{number}:{draw}").random)  # noqa: S311 - repeatable on purpose
                place = folder / f"{number}-{draw}"
                place.mkdir()
                assert judge(image, acknowledged, place) == "", f"operation {number}, draw {draw}"
                looked_at[acknowledged > 0] += 1
    assert min(looked_at.values()) > 20, "while it was begun, and after"


@pytest.mark.parametrize("call", ["write", "sync"])
def test_a_disk_that_fails_while_a_log_is_begun_leaves_none(tmp_path: Path, call: str) -> None:
    beginning, tail = saved()
    failed = 0
    for nth in range(1, 40):
        folder = tmp_path / str(nth)
        folder.mkdir()
        left = nth

        def fault(kind: str, _file: str) -> BaseException | None:
            nonlocal left
            left -= kind == call
            return OSError("planted") if kind == call and left == 0 else None

        with RecordingDisk(lambda _operation: None) as disk:
            disk.fault = fault
            try:
                SqliteLog(folder / NAME, vfs=disk.name).begin(IDENTITY, beginning, tail, epochs=3)
            except LogError:
                failed += 1
            else:
                break
        log = SqliteLog(folder / NAME)
        log.begin(IDENTITY, beginning, tail, epochs=3)
        log.close()
        with closing(SqliteReader(folder / NAME)) as reader:
            assert len(list(reader.verify())) == TAIL_ENDS_AT - BEGINS_AT
    assert failed > 1
