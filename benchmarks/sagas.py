"""Sagas of three steps on a durable log, in turn with the order flow, which has as many events and calls; and sagas that wait for weeks.

Each side runs in a process of its own. The waiting ones are begun by one process, which holds them in memory if it must, and then opened
by another: what that holds, and how long it takes until it has answered its first question, and until all are taken up.

Run: python -m benchmarks.sagas --sagas 8000 --in-flight 512
     python -m benchmarks.sagas --waiting 100000
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

import tallystick as ts
from benchmarks.figures import Figures, Stopwatch, stored_bytes
from benchmarks.order_flow import measure as measure_orders
from benchmarks.peak_memory import peak_rss_bytes

RUNS = 3
WARM_UP_SAGAS = 200


class Trip(ts.Record):
    """Who goes where."""

    traveller: str
    city: str


class Book(ts.Action[str]):
    """A hotel, a flight or a car."""

    what: str
    traveller: str


class Cancel(ts.Action[None]):
    """Give it back."""

    what: str
    reference: str


class BookTrip(ts.Saga[Trip, str]):
    """Hotel, flight, car, one after the other."""

    @ts.step
    def hotel(self, trip: Trip, done: ts.Results) -> Book:
        """First."""
        del done
        return Book(what="hotel", traveller=trip.traveller)

    @hotel.undone_by
    def cancel_hotel(self, trip: Trip, reference: str) -> Cancel:
        """Not needed here."""
        del trip
        return Cancel(what="hotel", reference=reference)

    @ts.step
    def flight(self, trip: Trip, done: ts.Results) -> Book:
        """Second."""
        del done
        return Book(what="flight", traveller=trip.traveller)

    @flight.undone_by
    def cancel_flight(self, trip: Trip, reference: str) -> Cancel:
        """Not needed here."""
        del trip
        return Cancel(what="flight", reference=reference)

    @ts.step
    def car(self, trip: Trip, done: ts.Results) -> Book:
        """Third."""
        del done
        return Book(what="car", traveller=trip.traveller)

    @car.undone_by
    def cancel_car(self, trip: Trip, reference: str) -> Cancel:
        """Not needed here."""
        del trip
        return Cancel(what="car", reference=reference)

    def result(self, given: Trip, done: ts.Results) -> str:
        """The last booking."""
        del given
        return done[BookTrip.car]


class Approve(ts.Action[str]):
    """Somebody says yes, some day."""

    traveller: str


class WaitForApproval(ts.Saga[Trip, str]):
    """A step that waits for a month."""

    @ts.step(timeout=timedelta(days=30), retry=None)
    def approval(self, trip: Trip, done: ts.Results) -> Approve:
        """Done by a person."""
        del done
        return Approve(traveller=trip.traveller)

    @ts.step
    def hotel(self, trip: Trip, done: ts.Results) -> Book:
        """When it is approved."""
        del done
        return Book(what="hotel", traveller=trip.traveller)

    def result(self, given: Trip, done: ts.Results) -> str:
        """The booking."""
        del given
        return done[WaitForApproval.hotel]


def performers() -> tuple[ts.Performer, ...]:
    """Everybody answers at once, but for who approves."""
    return (
        Book.performed_by(lambda book, call: f"{book.what}-{call.key}"),
        Cancel.performed_by(lambda _cancel, _call: None),
        Approve.performed_by(lambda _approve, _call: ts.Later(), probe=lambda _approve, _call: ts.Later()),
    )


def carry_out(system: ts.System, sagas: int, in_flight: int, prefix: str) -> Sequence[float]:
    """Carry out that many sagas, at most so many at once; each one's latency in seconds."""
    latencies_s, began_s = array("d"), dict[str, float]()
    through = system.subscribe(system.health().tail, event_types=("BookTripCompleted",))
    begun = 0

    def begin() -> None:
        nonlocal begun
        saga_id = f"{prefix}-{begun}"
        begun += 1
        began_s[saga_id] = time.perf_counter()
        system.submit(BookTrip.start_command(Trip(traveller="customer-789", city="Rome"), id=saga_id))

    for _ in range(min(in_flight, sagas)):
        begin()
    for recorded in through:
        latencies_s.append(time.perf_counter() - began_s.pop(recorded.aggregate_id))
        if begun < sagas:
            begin()
        if len(latencies_s) == sagas:
            break
    return latencies_s


def run(sagas: int, in_flight: int, path: Path) -> Figures:
    """Carry out sagas of three steps in the log at `path`; what is called an order in the figures is a saga."""
    with ts.System(sagas=[BookTrip()], performers=performers(), log=ts.SqliteLog(path)) as system:
        carry_out(system, WARM_UP_SAGAS, in_flight, "warm-up")
        before_commits = system.health().commits
        watch = Stopwatch()
        latencies_s = carry_out(system, sagas, in_flight, "trip")
        watch.stop()
        commits = system.health().commits - before_commits
    return watch.figures(latencies_s, stored_bytes=stored_bytes(path) * sagas // (sagas + WARM_UP_SAGAS), commits=commits)


# Waiting.


def begin_waiting(sagas: int, path: Path) -> dict[str, float]:
    """Begin sagas that wait for an approval; what the process holds then."""
    with ts.System(sagas=[WaitForApproval(), BookTrip()], performers=performers(), log=ts.SqliteLog(path)) as system:
        for first in range(0, sagas, 1000):
            trip = Trip(traveller="customer-789", city="Rome")
            futures = [system.submit(WaitForApproval.start_command(trip, id=f"trip-{n}")) for n in range(first, min(first + 1000, sagas))]
            for future in futures:
                future.result()
        rss_mb = peak_rss_bytes() / 1e6
    return {"begun_peak_rss_mb": round(rss_mb, 1)}


def open_waiting(sagas: int, path: Path) -> dict[str, float]:
    """Open a log of waiting sagas, until the first question is answered; then have a trip booked, which comes behind all that waits."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    with ts.System(sagas=[WaitForApproval(), BookTrip()], performers=performers(), log=ts.SqliteLog(path)) as system:
        state = system.saga(WaitForApproval, "trip-0").status().state
        opened_s, opened_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        rss_mb, stored = peak_rss_bytes() / 1e6, stored_bytes(path)
        system.start(BookTrip, Trip(traveller="customer-1", city="Oslo"), id="behind").result()
        taken_up_s, taken_up_rss_mb = time.perf_counter() - began_s, peak_rss_bytes() / 1e6
        found = system.health().owners["WaitForApproval"].open_executions
    if (state, found) != ("running", sagas):
        msg = f"{found} of {sagas} sagas are open, the first is {state}"
        raise AssertionError(msg)
    return {
        "opened_s": round(opened_s, 2),
        "opened_cpu_s": round(opened_cpu_s, 2),
        "opened_peak_rss_mb": round(rss_mb, 1),
        "taken_up_s": round(taken_up_s, 2),
        "taken_up_peak_rss_mb": round(taken_up_rss_mb, 1),
        "bytes_per_saga": round(stored / sagas, 1),
    }


def in_process(*arguments: str) -> dict[str, Any]:
    """One part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sagas", *arguments, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent)  # noqa: S603 - this very program
    figures: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return figures


def waiting(options: argparse.Namespace) -> dict[str, float]:
    """Both parts, one after the other, on one log."""
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        path = str(Path(directory).resolve() / "waiting.db")
        begun = in_process("--waiting", str(options.waiting), "--part", "begin", "--log", path)
        opened = in_process("--waiting", str(options.waiting), "--part", "open", "--log", path)
    return {"waiting": options.waiting, **begun, **opened}


def compared(options: argparse.Namespace) -> dict[str, float]:
    """Medians of both sides, and the ratio of their throughput: sagas to orders."""
    ours: list[dict[str, float]] = []
    orders: list[dict[str, float]] = []
    given = argparse.Namespace(orders=options.sagas, in_flight=options.in_flight, durability="full", directory=options.directory.resolve())
    sagas = ("--sagas", str(options.sagas), "--in-flight", str(options.in_flight), "--directory", str(options.directory.resolve()))
    for _ in range(options.runs):
        orders.append(measure_orders("order_flow", given))
        ours.append(in_process(*sagas, "--part", "run"))
    mine, theirs = ({name: statistics.median(each[name] for each in runs) for name in runs[0]} for runs in (ours, orders))
    named = {name.replace("order", "saga"): value for name, value in mine.items()}
    return {**named, "orders_per_s": theirs["orders_per_s"], "ratio": round(mine["orders_per_s"] / theirs["orders_per_s"], 3)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sagas", description="Sagas against the order flow, and sagas that wait.")
    parser.add_argument("--sagas", type=int, default=8_000)
    parser.add_argument("--in-flight", type=int, default=512)
    parser.add_argument("--waiting", type=int, help="measure so many waiting sagas instead")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each side; medians are printed")
    parser.add_argument("--directory", type=Path, default=Path(".bench"), help="where the logs are made; on a disk, not in memory")
    parser.add_argument("--part", choices=("run", "begin", "open"), help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    if options.sagas < 1 or options.in_flight < 1 or options.runs < 1 or (options.waiting or 1) < 1:
        parser.error("--sagas, --in-flight, --waiting and --runs are at least 1")
    options.directory.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any]
    if options.part == "run":
        with tempfile.TemporaryDirectory(dir=options.directory) as directory:
            figures = msgspec.to_builtins(run(options.sagas, options.in_flight, Path(directory) / "sagas.db"))
    elif options.part is not None:
        figures = (begin_waiting if options.part == "begin" else open_waiting)(options.waiting, options.log)
    else:
        figures = compared(options) if options.waiting is None else waiting(options)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>22} {value:12,.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
