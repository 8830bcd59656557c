"""What is recorded: a log written batch by batch, and a Tiny Store at work. The same steps every time."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import apsw

from tallystick.domain.errors import LogPoisoned
from tallystick.scenarios.tiny_store.ledger import Entry, MemoryLedger
from tallystick.scenarios.tiny_store.orders import CancelOrder
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway, Manner, scripted
from tallystick.scenarios.tiny_store.stage import Stage
from tallystick.store.log import Snapshot
from tallystick.store.sqlite.log import Durability
from tallystick.testing.recording_disk import nothing_fails
from tests.powerloss.disk import TracedDisk
from tests.powerloss.noted import NotedLog, frequent_upkeep, records
from tests.powerloss.trace import Entered, Trace

LOG: Final = "log.db"

Story = Callable[[TracedDisk, Path, Durability], None]


def batches(disk: TracedDisk, folder: Path, durability: Durability = "full") -> None:
    """A log by itself: batches of all sizes, snapshots, checkpoints, a sync that fails, closing and opening again."""
    log = NotedLog.on(disk, folder / LOG, durability)
    lots = random.Random(1)  # noqa: S311 - repeatable on purpose
    end = log.open().position
    for number in range(1, 49):
        end = log.write(records(end + 1, lots.choice((1, 1, 2, 3, 5, 8)))).position
        if number % 6 == 0:
            body = lots.randbytes(500 * number).hex().encode()
            log.save_snapshot(Snapshot(owner="things", position=end, hash=log.head().hash, format=1, body=body))
        if number == 24:
            _with_failing_syncs(disk, log, end)
        if number in {12, 24, 36}:
            log = log.reopened()
            end = log.open().position
    log.close()


def _with_failing_syncs(disk: TracedDisk, log: NotedLog, end: int) -> bool:
    """A batch while no sync succeeds: whether there was one, and nobody knows what of the batch the disk has (P19)."""

    def fault(call: str, _file: str) -> BaseException | None:
        return apsw.IOError("planted") if call == "sync" else None

    disk.fault = fault
    failed = False
    try:
        log.write(records(end + 1, 4))
    except LogPoisoned:
        failed = True
    disk.fault = nothing_fails
    return failed


class NotedLedger(MemoryLedger):
    """A ledger whose entries are noted in the trace."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def enter(self, entry: Entry) -> Entry:
        there = super().enter(entry)
        if there is entry:
            self._trace.add(Entered(entry))
        return there


def store(disk: TracedDisk, folder: Path, durability: Durability = "full") -> None:
    """A Tiny Store: orders that are shipped, declined, too large, cancelled at every stage, answered late; two lives."""
    stage = Stage(NotedLog.on(disk, folder / LOG, durability))
    stage.gateway = Gateway(
        NotedLedger(disk.trace),
        charges=scripted({"b": [Manner.DECLINED], "c": [Manner.ERROR_AFTER_EFFECT, Manner.AT_ONCE], "d": [Manner.NEVER]}),
    )
    stage.carrier = Carrier(NotedLedger(disk.trace), requests=scripted({"e": [Manner.LATE], "f": [Manner.ERROR]}))
    stage.open()
    stage.stock(tea=6, cup=3)
    for order_id in "abc":
        stage.place(order_id)
    stage.run()
    stage.place("big", tea=1, cup=9)
    stage.at_once(stage.order("soon", cup=1), CancelOrder(order_id="soon"))
    for order_id in "def":
        stage.place(order_id, tea=1, cup=1)
        stage.run()
    stage.cancel("d")
    stage.wait(timedelta(seconds=10))
    stage.close()
    stage.open()
    stage.stock(tea=5)
    stage.cancel("e")
    stage.carrier.deliver(stage.system.complete)
    stage.run()
    for order_id in "gh":
        stage.place(order_id, tea=2)
    stage.wait(timedelta(hours=1))
    stage.close()


STORIES: Final[Mapping[str, Story]] = {"batches": batches, "store": store}


def recorded(story: Story, folder: Path, durability: Durability = "full") -> Trace:
    """Let it happen in a folder; what the disk was asked to do."""
    folder.mkdir()
    with TracedDisk() as disk, frequent_upkeep():
        story(disk, folder, durability)
    return disk.trace
