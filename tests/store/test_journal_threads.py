"""The journal under real threads: many append while one commits; nothing is lost, doubled, out of order or let out too early."""

import itertools
import sys
import threading
from collections.abc import Iterator

import pytest

import tallystick as ts
from tallystick.store import journal as journal_module
from tallystick.store.journal import Fate
from tests.store.journals import PATIENCE_S, Desk, draft, in_threads

APPENDERS = 6
APPENDS = 300
SHARED = 5


@pytest.fixture(autouse=True)
def switches() -> Iterator[None]:
    """Let the interpreter change threads as often as it can, and the window be trimmed all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(journal_module, "WINDOW_RECORDS", 64)
    return Desk()


class Committer:
    """Commits whatever has gathered, in a thread of its own, until it is told to stop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pending = threading.Semaphore(0)
        self._stopping = False
        self.failure: BaseException | None = None
        desk.journal.on_pending = self._pending.release
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            assert self._pending.acquire(timeout=PATIENCE_S)
            try:
                while self._desk.journal.commit():
                    pass
            except OSError as error:
                self.failure = error

    def stop(self) -> None:
        self._stopping = True
        self._pending.release()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def test_concurrent_appenders_leave_no_gap_and_each_aggregate_its_versions_in_order_s6(desk: Desk) -> None:
    committer = Committer(desk)
    appended: list[list[tuple[int, int]]] = [[] for _ in range(APPENDERS)]

    def work(number: int) -> None:
        for turn in range(APPENDS):
            records = desk.append(draft(f"own-{number}", turn), draft(f"shared-{turn % SHARED}"), owner=f"o{number}")
            appended[number].append((records[0].position, records[1].position))

    in_threads(APPENDERS, work)
    assert desk.journal.wait_durable(desk.journal.tail, PATIENCE_S)
    committer.stop()

    records = list(desk.log.verify())
    assert len(records) == APPENDERS * APPENDS * 2
    assert sorted(itertools.chain.from_iterable(itertools.chain(*appended))) == list(range(1, len(records) + 1))
    assert all(second == first + 1 for first, second in itertools.chain(*appended)), "an append stays together"
    for number in range(APPENDERS):
        own = [(each.position, each.aggregate_version) for each in records if each.aggregate_id == f"own-{number}"]
        assert own == list(zip((first for first, _ in appended[number]), range(1, APPENDS + 1), strict=True)), "a sender's order is kept"
    for number in range(SHARED):
        versions = [each.aggregate_version for each in records if each.aggregate_id == f"shared-{number}"]
        assert versions == list(range(1, APPENDERS * APPENDS // SHARED + 1))
    assert list(itertools.chain(*desk.log.batches)) == list(range(1, len(records) + 1))
    assert len(desk.log.batches) < APPENDERS * APPENDS, "appends are committed in groups"


class Gated:
    """What one sender lets out: it knows up to where the log went when it was sent."""

    def __init__(self, desk: Desk, number: int, tag: int, released: list[tuple[int, int, int]]) -> None:
        self._desk, self._number, self._tag, self._released = desk, number, tag, released

    def release(self) -> None:
        self._released.append((self._number, self._tag, self._desk.journal.watermark))

    def lost(self, fate: Fate) -> None:
        self._released.append((self._number, self._tag, -1 if fate == "never" else -2))


def test_outputs_of_concurrent_senders_are_released_each_once_in_order_and_only_when_durable_s14(desk: Desk) -> None:
    committer = Committer(desk)
    released: list[tuple[int, int, int]] = []

    def work(number: int) -> None:
        for turn in range(APPENDS):
            if turn % 3:
                desk.append(draft(f"own-{number}", None), outputs=[Gated(desk, number, desk.journal.tail, released)])
            else:
                desk.journal.gate(Gated(desk, number, desk.journal.tail, released))

    in_threads(APPENDERS, work)
    assert desk.journal.wait_durable(desk.journal.tail, PATIENCE_S)
    committer.stop()
    while desk.journal.commit():
        pass
    assert len(released) == APPENDERS * APPENDS
    assert all(watermark >= tag for _, tag, watermark in released)
    for number in range(APPENDERS):
        tags = [tag for sender, tag, _ in released if sender == number]
        assert tags == sorted(tags)


def test_look_ups_during_appends_commits_and_trimming_never_miss_what_their_caller_has_appended_p17(desk: Desk) -> None:
    committer = Committer(desk)

    def work(number: int) -> None:
        key = f"own-{number}"
        positions: list[int] = []
        for turn in range(APPENDS // 3):
            positions += [each.position for each in desk.append(draft(key, turn))]
            assert desk.journal.version("Thing", key) == turn + 1
            last = desk.journal.last("Thing", key)
            assert last is not None
            assert last.position == positions[-1]
            if turn % 10 == 0:
                assert [each.position for each in desk.journal.stream("Thing", key)] == positions

    in_threads(APPENDERS, work)
    committer.stop()


def test_readers_that_follow_the_tail_see_every_position_once_and_in_order(desk: Desk) -> None:
    committer = Committer(desk)
    wanted = (APPENDERS - 2) * APPENDS
    seen: list[list[int]] = [[], []]

    def work(number: int) -> None:
        if number > 1:
            for _ in range(APPENDS):
                desk.append(draft(f"own-{number}"))
            return
        follow = desk.journal.after if number == 0 else desk.journal.durable_after
        while len(seen[number]) < wanted:
            after = len(seen[number])
            seen[number] += [each.position for each in follow(after, 7)]
            if len(seen[number]) == after and number == 1:
                desk.journal.wait_durable(after + 1, PATIENCE_S)

    in_threads(APPENDERS, work)
    committer.stop()
    assert seen == [list(range(1, wanted + 1))] * 2


def test_a_failure_under_way_leaves_a_prefix_and_tells_every_output_its_fate_once_p18(desk: Desk) -> None:
    committer = Committer(desk)
    released: list[tuple[int, int, int]] = []
    refused = [0] * APPENDERS
    taken = [0] * APPENDERS

    def work(number: int) -> None:
        for turn in range(APPENDS):
            if number == 0 and turn == APPENDS // 2:
                desk.log.failing = ("before", OSError("planted"))
            try:
                tail = desk.journal.tail
                desk.append(draft(f"own-{number}"), outputs=[Gated(desk, number, tail + 1, released)])
                taken[number] += 1
            except ts.NotAccepted:
                refused[number] += 1

    in_threads(APPENDERS, work)
    committer.stop()
    assert committer.failure is not None
    assert len(released) == sum(taken), "every output of an append that was taken hears once what became of it"
    assert sum(taken) + sum(refused) == APPENDERS * APPENDS
    durable = list(desk.log.verify())
    assert [each.position for each in durable] == list(range(1, len(durable) + 1))
    assert len(durable) == desk.journal.watermark == sum(1 for _, _, fate in released if fate >= 0)
