"""The demonstration: a day of the store is killed with SIGKILL in the middle and gone on with, and the books are compared.

The providers run in a process of their own and keep their own ledgers, so that they can bear witness.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import tallystick as ts
from tallystick.host.programs import TINY_STORE
from tallystick.host.verify import Verified, verify
from tallystick.scenarios.tiny_store.audit import Disagreement, Heard
from tallystick.scenarios.tiny_store.ledger import Entry, read_entries
from tallystick.scenarios.tiny_store.provider_process import RemoteProviders

DAY: Final = "tallystick.scenarios.tiny_store.day"
PROVIDERS: Final = "tallystick.scenarios.tiny_store.provider_process"
LATENCY_S: Final = 0.02
SLOW_S: Final = 4.0
LOOKS_EVERY_S: Final = 0.005
ENDS_WITHIN_S: Final = 90.0
_WORDS: Final = {
    "OrderPlaced": "pending",
    "OrderConfirmed": "confirmed",
    "OrderRejected": "rejected",
    "OrderPaid": "paid, not sent",
    "OrderPaymentFailed": "not paid",
    "OrderShipped": "shipped",
    "OrderCancelled": "cancelled",
}


class DemoFailed(ts.TallystickError):
    """The demonstration did not get to its end."""


class Killed(NamedTuple):
    """What stood in the log when the worker was killed."""

    pid: int
    events: int
    shipped: int
    open: int


class Demonstrated(NamedTuple):
    """How it went."""

    killed: Killed
    recovered_in_s: float
    found_later: int
    verified: Verified
    statuses: Counter[str]
    entries: Counter[str]
    disagreements: tuple[Disagreement, ...]


class Demo:
    """One demonstration, in a folder of its own."""

    def __init__(self, folder: Path, *, orders: int, seed: int) -> None:
        self.log = folder / "store.db"
        self._ledgers = (folder / "gateway.jsonl", folder / "carrier.jsonl")
        self._socket = Path()  # while the providers run
        self._orders = orders
        self._seed = seed

    def run(self) -> Demonstrated:
        """Kill, recover, compare.

        Raises:
            DemoFailed: a process ended where it should not have, or not where it should have.
        """
        with self._providers():
            killed = self._until_killed()
            started_s = time.monotonic()
            self._worked("second")
            recovered_in_s = time.monotonic() - started_s
            heard_late = verify(self.log).late_successes
            # What the first worker had asked for and nobody waited for any more is done by now, unheard.
            RemoteProviders(self._socket).wait_until_idle()
            self._worked("third")
        with closing(ts.SqliteReader(self.log)) as reader:
            heard = Heard.of(reader.read())
            statuses = _statuses(reader)
        verified = verify(self.log, TINY_STORE)
        entries = list(self._entries())
        return Demonstrated(
            killed=killed,
            recovered_in_s=recovered_in_s,
            found_later=verified.late_successes - heard_late,
            verified=verified,
            statuses=statuses,
            entries=Counter(entry.kind for entry in entries),
            disagreements=tuple(heard.compared(entries)),
        )

    def _until_killed(self) -> Killed:
        """Start a worker and kill it when a third of the orders have been shipped."""
        worker = self._worker()
        pause = threading.Event()
        end_s = time.monotonic() + ENDS_WITHIN_S
        try:
            while self._shipped() < self._orders // 3:
                if worker.poll() is not None:
                    msg = f"The first worker ended with exit code {worker.returncode} before it could be killed."
                    raise DemoFailed(msg)
                if time.monotonic() > end_s:
                    msg = f"The first worker has not come to a third of its day within {ENDS_WITHIN_S} s."
                    raise DemoFailed(msg)
                pause.wait(LOOKS_EVERY_S)
        finally:
            worker.kill()
            worker.wait()
        if worker.returncode != -signal.SIGKILL:
            msg = "The first worker had ended before it was killed; give more orders."
            raise DemoFailed(msg)
        verified = verify(self.log)
        return Killed(worker.pid, verified.events, self._shipped(), verified.open)

    def _worked(self, which: str) -> None:
        """Let a worker come to the end of what there is to do."""
        worker = self._worker()
        try:
            code = worker.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired as error:
            msg = f"The {which} worker did not end within {ENDS_WITHIN_S} s."
            raise DemoFailed(msg) from error
        finally:
            worker.kill()
            worker.wait()
        if code != 0:
            msg = f"The {which} worker ended with exit code {code}; its errors are above."
            raise DemoFailed(msg)

    def _shipped(self) -> int:
        if not self.log.exists():
            return 0
        try:
            with closing(ts.SqliteReader(self.log)) as reader:
                return sum(1 for _ in reader.read(ts.Query(event_types=("OrderShipped",))))
        except ts.LogError:
            return 0  # the worker is just making it

    def _worker(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", DAY, "--log", self.log, "--socket", self._socket]
        return _started([*map(str, command), "--orders", str(self._orders), "--seed", str(self._seed)])

    @contextmanager
    def _providers(self) -> Generator[None]:
        # The path of a socket has a limit of about a hundred bytes, which the folder that is to be kept may exceed.
        with tempfile.TemporaryDirectory(prefix="tallystick-") as folder:
            self._socket = Path(folder) / "providers.socket"
            process = self._started_providers()
            try:
                if process.stdout is None or not process.stdout.readline():
                    msg = "The providers' process did not start; its errors are above."
                    raise DemoFailed(msg)
                yield
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    def _started_providers(self) -> "subprocess.Popen[bytes]":
        gateway, carrier = self._ledgers
        command = [sys.executable, "-m", PROVIDERS, "--socket", self._socket, "--gateway-ledger", gateway, "--carrier-ledger", carrier]
        settings = ["--seed", str(self._seed), "--latency-s", str(LATENCY_S), "--slow-s", str(SLOW_S)]
        return _started([*map(str, command), *settings], listen=True)

    def _entries(self) -> Iterator[Entry]:
        for path in self._ledgers:
            yield from read_entries(path.read_bytes())


def _started(command: list[str], *, listen: bool = False) -> "subprocess.Popen[bytes]":
    """A process of ours, out of the reach of an interrupt from the keyboard: that ends this process, which kills it."""
    stdout = subprocess.PIPE if listen else None
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, env=dict(os.environ), process_group=0)  # noqa: S603


def _statuses(reader: ts.SqliteReader) -> Counter[str]:
    """How many orders ended where."""
    last: dict[str, str] = {}
    for recorded in reader.read(ts.Query(aggregate_type="Order")):
        last[recorded.aggregate_id] = _WORDS[recorded.event_type]
    return Counter(last.values())
