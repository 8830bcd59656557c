"""What happened to a disk, in order: operations that change files, and between them what the program knew. Not what a disk makes of it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.scenarios.tiny_store.ledger import Entry
from tallystick.testing.storage import Operation


class Opened(NamedTuple):
    """A log was opened for writing."""

    identity: str
    epoch: int


class Attempted(NamedTuple):
    """A batch was handed to the log."""

    records: tuple[Recorded, ...]


class Acknowledged(NamedTuple):
    """The log said that everything up to here is durable."""

    position: int


class Snapshotted(NamedTuple):
    """The log said that a snapshot is kept."""

    owner: str
    position: int


class Entered(NamedTuple):
    """A provider outside did something, and wrote it into its own ledger, which no power cut here reaches."""

    entry: Entry


Mark = Opened | Attempted | Acknowledged | Snapshotted | Entered
Content = tuple[Any, ...]


def content_of(record: Recorded) -> Content:
    """What was to be stored of a record: everything but its hash, the log's tag and the decoded event."""
    fields = msgspec.structs.asdict(record)
    return tuple(value for name, value in fields.items() if name not in {"hash", "log_tag", "event"})


class Known:
    """What the program, and the world outside, knew at a moment."""

    def __init__(self) -> None:
        self.attempted: list[Content] = []
        self.ends = {0}
        self.acknowledged = 0
        self.identity: str | None = None
        self.epoch = 0
        self.snapshots: dict[str, int] = {}
        self.entries: list[Entry] = []

    def take(self, mark: Mark) -> None:
        """One thing more."""
        match mark:
            case Opened(identity, epoch):
                assert self.identity in {None, identity}
                self.identity, self.epoch = identity, epoch
            case Attempted(records):
                # What was tried before and not written is tried again with the same content.
                first = records[0].position
                self.attempted[first - 1 :] = [content_of(each) for each in records]
                self.ends.add(records[-1].position)
            case Acknowledged(position):
                self.acknowledged = position
            case Snapshotted(owner, position):
                self.snapshots[owner] = position
            case Entered(entry):
                self.entries.append(entry)


class Trace:
    """Operations and marks in the order in which they came."""

    def __init__(self) -> None:
        self.steps: list[Operation | Mark] = []

    def add(self, step: Operation | Mark) -> None:
        """One more."""
        self.steps.append(step)

    @property
    def operations(self) -> int:
        """How many operations there are: a power cut can come before each of them, and after the last."""
        return sum(isinstance(step, Operation) for step in self.steps)

    @property
    def known(self) -> Known:
        """What is known at the end."""
        *_, (known, _) = self.moments()
        return known

    def moments(self) -> Iterator[tuple[Known, Operation | None]]:
        """Before each operation, and after the last: what was known by then, and the operation, None at the end."""
        known = Known()
        for step in self.steps:
            if isinstance(step, Operation):
                yield known, step
            else:
                known.take(step)
        yield known, None
