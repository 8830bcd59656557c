"""Metering: how much is begun, ended and written, by names that stand in the code. Without a meter nothing here is called, or imported.

A meter stands between the journal and the log, and counts what the log has taken: only what is durable counts, so that no number leaves the
system before its event is safe, and a turn costs nothing for it. How numbers are shown is the host's business (`host/metrics.py`).
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from tallystick.domain import process
from tallystick.domain.clock import Clock
from tallystick.domain.envelope import Recorded
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.process import ProcessEvent
from tallystick.domain.process_module import Processing
from tallystick.domain.protocol import IntentStarted, PersonNeeded, ReactionFailed, RetryScheduled, TimeoutFired
from tallystick.domain.sagas import events as saga_events
from tallystick.domain.sagas.events import SagaEvent
from tallystick.domain.sagas.types_in_log import SagaIntent
from tallystick.store.log import EventLog, Head

DURATION_BUCKETS_S = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0)
COMMIT_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Distribution:
    """How often a time fell into which bucket. `bounds_s` are upper bounds; one more count is of what is beyond the last."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def take(self, seconds: float) -> None:
        """One more time."""
        self.counts[bisect_left(self.bounds_s, seconds)] += 1
        self.sum_s += seconds

    def copy(self) -> "Distribution":
        """As it is now."""
        copy = Distribution(self.bounds_s)
        copy.counts, copy.sum_s = list(self.counts), self.sum_s
        return copy


class Work(NamedTuple):
    """Something that is begun and ends: an execution by its owner and operation, or a process by its own name, which is its owner's too."""

    owner: str
    operation: str


class Measured(NamedTuple):
    """What a meter has counted since its system was made; the numbers of what is under way are those of now."""

    executions: "Tally"
    processes: "Tally"
    happened: Counter[tuple[str, str]]
    """By what it was ("retries", "timeouts", "dead_letters", "persons_needed", "records") and owner."""
    commits: Distribution


class Tally:
    """Works of one sort, begun and ended. What was begun before the system was made counts as under way, not as begun."""

    def __init__(self) -> None:
        self.started: Counter[Work] = Counter()
        self.ended: Counter[tuple[Work, str]] = Counter()
        self.durations: dict[Work, Distribution] = {}
        self._open: dict[str, tuple[Work, int]] = {}

    def reset(self, under_way: Iterable[tuple[str, Work, int]]) -> None:
        """Take up what is under way when an engine begins: key, what it is, and since when."""
        self._open = {key: (work, since_us) for key, work, since_us in under_way}

    def begin(self, key: str, work: Work, now_us: int) -> None:
        """One more is under way."""
        self.started[work] += 1
        self._open[key] = (work, now_us)

    def go_on(self, key: str, work: Work, now_us: int) -> None:
        """One that had ended is under way again; it is not begun a second time."""
        self._open[key] = (work, now_us)

    def end(self, key: str, outcome: str, now_us: int) -> None:
        """One has ended."""
        found = self._open.pop(key, None)
        if found is not None:
            work, since_us = found
            self.ended[work, outcome] += 1
            self.durations.setdefault(work, Distribution(DURATION_BUCKETS_S)).take((now_us - since_us) / 1e6)

    @property
    def active(self) -> Counter[Work]:
        """How many are under way."""
        return Counter(work for work, _ in self._open.values())

    def copy(self) -> "Tally":
        """As it is now."""
        copy = Tally()
        copy.started, copy.ended = Counter(self.started), Counter(self.ended)
        copy.durations = {work: each.copy() for work, each in self.durations.items()}
        copy._open = dict(self._open)
        return copy


class Meter:
    """Counts for one system, which is given it: `System(…, meter=Meter())`. It lives as long as the system, over rebuilt engines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executions = Tally()
        self._processes = Tally()
        self._happened: Counter[tuple[str, str]] = Counter()
        self._commits = Distribution(COMMIT_BUCKETS_S)

    def read(self) -> Measured:
        """All numbers as of now; any thread."""
        with self._lock:
            return Measured(self._executions.copy(), self._processes.copy(), Counter(self._happened), self._commits.copy())

    # The engine's side.

    def between(self, log: EventLog, clock: Clock) -> EventLog:
        """The same log, with this meter counting what it takes."""
        return cast("EventLog", _MeteredLog(log, clock, self))

    def engine_begins(self, opened: Sequence[tuple[str, ExecutionRecord]], first_of: Callable[[str, str], Recorded | None]) -> None:
        """Take up what is under way: executions with their owners, and the sagas and process managers that they are of.

        `first_of` says since when a saga is.
        """
        ids = {(owner, record.intent.saga_id) for owner, record in opened if isinstance(record.intent, SagaIntent)}
        sagas = [first for first in (first_of(*each) for each in sorted(ids)) if first is not None]
        with self._lock:
            self._executions.reset((record.token, Work(owner, record.intent.operation()), record.started_at_us) for owner, record in opened)
            under_way = [(_process_key(first), Work(first.owner, first.owner), first.occurred_at_us) for first in sagas]
            under_way += [
                (f"{record.intent.process}\0{record.intent.process_id}", Work(owner, owner), record.started_at_us)
                for owner, record in opened
                if isinstance(record.intent, Processing)
            ]
            self._processes.reset(under_way)

    def written(self, records: Sequence[Recorded], took_us: int) -> None:
        """A batch is durable. By the thread that commits; it neither blocks nor raises."""
        with self._lock:
            self._commits.take(took_us / 1e6)
            for recorded in records:
                self._happened["records", recorded.owner] += 1
                self._count(recorded, recorded.event)

    def _count(self, recorded: Recorded, event: Any) -> None:
        token, now_us = recorded.token, recorded.occurred_at_us
        if token is not None:
            if recorded.settles is not None:
                self._executions.end(token, recorded.settles, now_us)
            elif type(event) is IntentStarted:
                self._executions.begin(token, Work(recorded.owner, event.intent.operation()), now_us)
        if isinstance(event, SagaEvent | ProcessEvent):
            self._count_process(recorded, event)
        for what in _said(event):
            self._happened[what, recorded.owner] += 1

    def _count_process(self, recorded: Recorded, event: SagaEvent | ProcessEvent) -> None:
        key, work, now_us = _process_key(recorded), Work(recorded.owner, recorded.owner), recorded.occurred_at_us
        match event:
            case saga_events.Started() | process.Begun():
                self._processes.begin(key, work, now_us)
            case process.Retried():
                self._processes.go_on(key, work, now_us)
            case saga_events.Completed() | process.Completed():
                self._processes.end(key, "completed", now_us)
            case saga_events.Compensated() | process.ProcessFailed():
                self._processes.end(key, "failed", now_us)
            case _:
                pass


def _process_key(recorded: Recorded) -> str:
    return f"{recorded.aggregate_type}\0{recorded.aggregate_id}"


def _said(event: Any) -> Iterator[str]:
    """What an engine event adds one to."""
    match event:
        case RetryScheduled():
            yield "retries"
        case TimeoutFired():
            yield "timeouts"
        case ReactionFailed(retry_at=None):
            yield "dead_letters"
        case PersonNeeded(cause=cause):
            yield "persons_needed" if cause is None else "dead_letters"
        case _:
            pass


class _MeteredLog:
    """A log that times its writes and tells what it took. Everything else is the log's own."""

    def __init__(self, log: EventLog, clock: Clock, meter: Meter) -> None:
        self._log = log
        self._clock = clock
        self._meter = meter

    def write(self, records: Sequence[Recorded]) -> Head:
        """As the log's own; what raises is not counted."""
        began_us = self._clock.now_us()
        head = self._log.write(records)
        self._meter.written(records, self._clock.now_us() - began_us)
        return head

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)
