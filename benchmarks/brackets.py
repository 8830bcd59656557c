"""What a bracket costs: begin and succeed, durable, against bare SQLite commits; with many callers; in memory; and the look-ups of people.

Run: python -m benchmarks.brackets
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import apsw
import msgspec

import tallystick as ts

STALLED = 10
"""So many of the open operations are stalled."""
NAME = "Billing.Invoice.Generate"
PAYLOAD = b'{"operationId":"0198c0de-0000-7000-8000-000000000001","name":"Billing.Invoice.Generate","startedAt":"2026-01-01T12:00:00Z"}'


class BareCommits:
    """Two commits of one row each, by hand, in the log's own journal mode and durability."""

    def __init__(self, path: Path) -> None:
        self._connection = connection = apsw.Connection(str(path))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE event (position INTEGER PRIMARY KEY, payload BLOB NOT NULL)")

    def __call__(self) -> None:
        """Commit twice."""
        for _ in range(2):
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("INSERT INTO event (payload) VALUES (?)", (PAYLOAD,))
            self._connection.execute("COMMIT")


def brackets(system: ts.System, count: int) -> list[float]:
    """Seconds that each bracket takes, one after another, with nothing in it."""
    return [seconds(lambda: empty(system)) for _ in range(count)]


def empty(system: ts.System) -> None:
    """A bracket around nothing."""
    with system.bracket(NAME):
        pass


def seconds(run: Callable[[], object]) -> float:
    """How long it takes."""
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


def alone(folder: Path, count: int) -> dict[str, float]:
    """One caller on a durable log, each bracket in turn with two bare commits, so that both have the machine's same moods: medians."""
    bare_commits = BareCommits(folder / "bare.db")
    with ts.System(log=folder / "alone.db") as system:
        brackets(system, count // 10)
        pairs = [(seconds(lambda: empty(system)), seconds(bare_commits)) for _ in range(count)]
    ours, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {"one_caller_p50_us": ours * 1e6, "two_bare_commits_p50_us": bare * 1e6, "one_caller_ratio": ours / bare}


def together(folder: Path, callers: int, count: int) -> dict[str, float]:
    """Many callers on a durable log, each in a thread: brackets a second."""
    with ts.System(log=folder / "together.db") as system:
        brackets(system, 100)
        each = count // callers
        threads = [threading.Thread(target=brackets, args=(system, each)) for _ in range(callers)]
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {"callers": callers, "brackets_per_s": each * callers / took_s, "cpu_us_per_bracket": cpu_s / (each * callers) * 1e6}


def in_a_loop(folder: Path, callers: int, count: int) -> dict[str, float]:
    """Many callers on a durable log, each a task of one event loop: brackets a second."""

    async def caller(system: ts.System, count: int) -> None:
        for _ in range(count):
            async with system.bracket(NAME):
                pass

    async def all_of_them(system: ts.System, each: int) -> float:
        began_s = time.perf_counter()
        await asyncio.gather(*(caller(system, each) for _ in range(callers)))
        return time.perf_counter() - began_s

    with ts.System(log=folder / "loop.db") as system:
        asyncio.run(all_of_them(system, 4))
        each = count // callers
        before, began_cpu_s = system.health().commits, time.process_time()
        took_s = asyncio.run(all_of_them(system, each))
        cpu_s, commits = time.process_time() - began_cpu_s, system.health().commits - before
    done = each * callers
    return {
        "tasks": callers,
        "tasks_brackets_per_s": done / took_s,
        "tasks_cpu_us_per_bracket": cpu_s / done * 1e6,
        "tasks_commits_per_bracket": commits / done,
    }


def in_memory(count: int) -> dict[str, float]:
    """One caller on a log in memory: with a thread for the system, and driven by the caller's own."""
    with ts.System() as system:
        brackets(system, count // 10)
        threaded_s = statistics.median(brackets(system, count))
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        brackets(system, count // 10)
        stepped_s = statistics.median(brackets(system, count))
    return {"memory_p50_us": threaded_s * 1e6, "memory_stepped_p50_us": stepped_s * 1e6}


def looked_up(operations: int) -> dict[str, float]:
    """How long looking for stalled and overdue operations takes among many open ones, of which a few are stalled."""
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System(runtime=runtime, limits=ts.Limits(commands=operations + 1)) as system:
        started: list[str] = []
        for number in range(operations):
            silence = timedelta(minutes=1 if number < STALLED else 1_000)
            started.append(system.operations.start(NAME, stalled_after=silence, timeout=timedelta(days=1), on_overdue="alert"))
        runtime.advance(timedelta(minutes=2))
        found_s = median_of(5, lambda: expect(STALLED, len(system.operations.find_stalled())))
        overdue_s = median_of(5, lambda: expect(0, len(system.operations.find_overdue())))
    return {"open_operations": operations, "find_stalled_ms": found_s * 1e3, "find_overdue_ms": overdue_s * 1e3}


def expect(wanted: int, found: int) -> None:
    """Stop where something else is measured than what was meant."""
    if wanted != found:
        msg = f"found {found} instead of {wanted}"
        raise RuntimeError(msg)


def median_of(times: int, run: Callable[[], object]) -> float:
    """The median of so many runs, in seconds."""
    return statistics.median(seconds(run) for _ in range(times))


FILL = """
WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?)
INSERT INTO event
SELECT start.position + number, 'JobNoted', 1, 'Job', 'job-' || (start.position + number), 1, start.occurred_at_us + number, 'jobs',
       'correlation-' || ((start.position + number) / 10), CAST('{"jobId":"job","text":"filled in bulk"}' AS BLOB), NULL, NULL, NULL, NULL,
       NULL, zeroblob(32)
FROM numbers, (SELECT max(position) AS position, max(occurred_at_us) AS occurred_at_us FROM event) AS start
"""
INDEXED = "INSERT OR IGNORE INTO correlation SELECT correlation, position FROM event ORDER BY correlation, position"


def timeline(folder: Path, events: int) -> dict[str, float]:
    """How long a timeline of 1,000 events takes in a log of many, which is filled in bulk and without a chain: for reading only."""
    path = folder / "timeline.db"
    with ts.System(log=path) as system, system.bracket(NAME, correlation="the one") as operation:
        for number in range(997):
            system.operations.note(operation.id, "checkpoint", f"line {number}", {"number": number})
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(FILL, (events,))
    connection.execute(INDEXED)
    connection.execute("UPDATE meta SET correlated = (SELECT max(position) FROM event)")
    connection.execute("COMMIT")
    connection.close()
    from tallystick.domain.operations.timeline import timeline_of  # noqa: PLC0415 - the benchmark's own reader, as the command line's

    reader = ts.SqliteReader(path)
    query = ts.Query(correlation="the one")
    taken_s = median_of(5, lambda: expect(1_000, len(timeline_of("the one", reader.read(query)).entries)))
    reader.close()
    return {"log_events": events, "timeline_events": 1_000, "timeline_ms": taken_s * 1e3}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: each measurement in turn, and its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.brackets", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--brackets", type=int, default=2_000, help="one caller's")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--together", type=int, default=20_000, help="all callers' brackets")
    parser.add_argument("--open", type=int, default=100_000, help="open operations to look among")
    parser.add_argument("--events", type=int, default=10_000_000, help="events of the log that has the timeline: 3 GB")
    parser.add_argument("--only", choices=("alone", "together", "tasks", "memory", "lookups", "timeline"))
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the logs are made; on a disk, not in memory")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if min(options.brackets, options.callers, options.together, options.open, options.events) < 1:
        parser.error("all numbers are at least 1")
    options.directory.mkdir(parents=True, exist_ok=True)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        folder = Path(name)
        measurements: dict[str, Callable[[], dict[str, float]]] = {
            "alone": lambda: alone(folder, options.brackets),
            "together": lambda: together(folder, options.callers, options.together),
            "tasks": lambda: in_a_loop(folder, options.callers, options.together),
            "memory": lambda: in_memory(options.brackets),
            "lookups": lambda: looked_up(options.open),
            "timeline": lambda: timeline(folder, options.events),
        }
        for what, measure in measurements.items():
            if options.only in {None, what}:
                figures |= measure()
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>26} {value:14,.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
