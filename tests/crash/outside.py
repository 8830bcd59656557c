"""The outside world in a process of its own, which outlives the store's: gateway and carrier with their ledgers, and a book of every call.

The book has a line for each call before it is carried out, and one when it was, so that whoever reads it knows what was ever seen outside.
"""

import argparse
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from tallystick.scenarios.tiny_store.ledger import FileLedger
from tallystick.scenarios.tiny_store.provider_process import Request, answered, moods
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway

LATENCY_S: Final = 0.002
SLOW_S: Final = 0.5
"""Longer than the store waits for an answer: what is done then comes too late."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that came in, or (`done`) the number of one that was answered."""

    number: int
    method: str = ""
    token: str = ""
    key: str = ""
    attempt: int = 0
    done: bool = False


class Outside(socketserver.ThreadingUnixStreamServer):
    """Answers until it is killed; a thread for each call."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, seed: int) -> None:
        gateway = Gateway(FileLedger(folder / "gateway.jsonl"), charges=moods(seed, LATENCY_S, SLOW_S))
        carrier = Carrier(FileLedger(folder / "carrier.jsonl"), requests=moods(seed + 1, LATENCY_S, SLOW_S))
        self.providers = (gateway, carrier)
        self._book = os.open(folder / "book.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._calls = 0
        super().__init__(str(folder / "outside"), Handler)

    def carry_out(self, line: bytes) -> bytes:
        """Write the call down, carry it out, write that down."""
        request = msgspec.json.decode(line, type=Request)
        with self._lock:
            self._calls += 1
            number = self._calls
        self._enter(Line(number=number, method=request.method, token=request.token, key=request.key, attempt=request.attempt))
        try:
            return msgspec.json.encode(answered(self.providers, line))
        finally:
            self._enter(Line(number=number, done=True))

    def _enter(self, line: Line) -> None:
        os.write(self._book, msgspec.json.encode(line) + b"\n")


class Handler(socketserver.StreamRequestHandler):
    """One call."""

    def handle(self) -> None:
        """Answer; whoever asked may have been killed meanwhile."""
        outside = self.server
        assert isinstance(outside, Outside)
        if line := self.rfile.readline():
            reply = outside.carry_out(line)
            with suppress(BrokenPipeError):
                self.wfile.write(reply + b"\n")


def read_book(folder: Path) -> Iterator[Line]:
    """What was ever seen outside, by now."""
    content = (folder / "book.jsonl").read_bytes()
    decoder = msgspec.json.Decoder(Line)
    return (decoder.decode(line) for line in content[: content.rfind(b"\n") + 1].splitlines())


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    given = parser.parse_args()
    with Outside(given.folder, given.seed) as outside:
        os.write(1, b"ready\n")
        outside.serve_forever()


if __name__ == "__main__":
    main()
