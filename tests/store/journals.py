"""What the tests of the journal share: drafts without a program, a clock that may run backwards, a log that fails or stalls, outputs."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

import tallystick as ts
from tallystick.domain.envelope import Recorded, Settles
from tallystick.store import journal
from tallystick.store.codec import Form
from tallystick.store.journal import Draft, Fate, Journal, Origin
from tallystick.store.log import Head

PATIENCE_S = 30.0
"""How long a wait on a condition may take at most; only a failing test waits so long."""


class Clock:
    """Shows what it is set to, also if that is earlier than before."""

    def __init__(self, now_us: int = 1_000) -> None:
        self.us = now_us

    def now_us(self) -> int:
        return self.us

    def sleeping_us(self, until_us: int) -> float:
        del until_us
        return 0.0


class Log(ts.MemoryLog):
    """A log in memory whose writes can be watched, stalled and failed."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []
        self.failing: tuple[str, BaseException] | None = None
        self.at_disk: Callable[[], None] = lambda: None
        self.version_reads = 0

    def write(self, records: Sequence[Recorded]) -> Head:
        self.at_disk()
        if self.failing is not None:
            when, error = self.failing
            if when == "after":
                super().write(records)
            raise error
        self.batches.append([record.position for record in records])
        return super().write(records)

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        self.version_reads += 1
        return super().version(aggregate_type, aggregate_id)

    def reopened(self) -> Self:
        fresh = super().reopened()
        fresh.open()
        return fresh


class Output:
    """Writes down what becomes of it: when it is released, with the watermark at that time."""

    def __init__(self, name: str, journal: Journal, book: list[tuple[str, Any]]) -> None:
        self.name = name
        self.heard: list[int | Fate] = []
        self._journal = journal
        self._book = book

    def release(self) -> None:
        self.heard.append(self._journal.watermark)
        self._book.append((self.name, self._journal.watermark))

    def lost(self, fate: Fate) -> None:
        self.heard.append(fate)
        self._book.append((self.name, fate))


class Desk:
    """A journal on a log, and short words for using it."""

    def __init__(self, log: Log | None = None, clock: Clock | None = None) -> None:
        self.log = log or Log()
        if not self.log.epoch:
            self.log.open()
        self.clock = clock or Clock()
        self.journal = Journal(self.log, self.clock)
        for recorded in self.log.read():
            self.journal.known_streams.add(recorded.aggregate_type, recorded.aggregate_id)
        self.book: list[tuple[str, Any]] = []

    def output(self, name: str) -> Output:
        return Output(name, self.journal, self.book)

    def append(self, *drafts: Draft, outputs: Sequence[journal.Output] = (), owner: str = "things") -> list[Recorded]:
        return self.journal.append(Origin(owner), drafts or (draft("a"),), outputs)

    def gate(self, name: str) -> Output:
        output = self.output(name)
        self.journal.gate(output)
        return output

    def reopened(self) -> "Desk":
        """As after a crash: the next generation, on what was written."""
        return Desk(self.log.reopened(), self.clock)


FORMS = {name: Form(name, 1, object, bytes, {}) for name in ("Happened", "Noted", "Settled")}


def draft(
    key: str,
    expected: int | None = None,
    *,
    kind: str = "Thing",
    event_type: str = "Happened",
    of: str | None = None,
    settles: Settles | None = None,
) -> Draft:
    return Draft(FORMS[event_type], (kind, key), expected, b"{}", None, None if of is None else ts.Token(of), settles)


def during_the_next_write(desk: Desk, do: Callable[[], Any]) -> None:
    """Have it done once, while the next batch is on its way to the disk."""

    def once() -> None:
        desk.log.at_disk = lambda: None
        do()

    desk.log.at_disk = once


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run it in so many threads at once, each with its number; an error in one is raised here."""
    errors: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait(PATIENCE_S)
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a thread does not come to its end"
    for error in errors:
        raise error
