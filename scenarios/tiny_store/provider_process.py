"""Gateway and carrier in a process of their own, with ledgers on disk: what they have done outlives the store's process.

One JSON object a line on a Unix socket, a connection for each call. `python -m` runs the process; `RemoteProviders` is the store's side.
"""

import argparse
import random
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeGuard, TypeVar

import msgspec

import tallystick as ts
from tallystick.scenarios.tiny_store.ledger import FileLedger
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund, RefundReceipt
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway, Manner, ProviderDown, Script
from tallystick.scenarios.tiny_store.shipments import Recall, Recalled, RequestShipment, Waybill

R = TypeVar("R")

ANSWER_WITHIN_S: Final = 10.0
IDLE: Final = b"idle\n"
"""Asks for an answer when no call is being worked on."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A call: which method of gateway or carrier, the action, and what a performer knows of its call."""

    method: str
    action: msgspec.Raw
    token: str
    key: str
    attempt: int


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Its answer: exactly one of these."""

    result: msgspec.Raw = msgspec.Raw()
    later: bool = False
    not_done: bool = False
    rejected: str = ""
    error: str = ""


class RemoteCall(NamedTuple):
    """A performer's call, as the other process sees it."""

    token: ts.Token
    key: str
    attempt: int
    deadline: None = None

    def cancelled(self) -> bool:
        """It cannot know."""
        return False

    def heartbeat(self) -> None:
        """Nobody here would hear it."""

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """Nobody here would hear it."""

    def reveal(self, value: ts.Sensitive[str]) -> str | ts.Forgotten:
        """Nothing that is sensitive comes here.

        Raises:
            KeyMissing: always; the store's keys are the store's.
        """
        msg = f"The providers' process has no key of {value.sealed_for}: have the store reveal what a call needs before it is sent."
        raise ts.KeyMissing(msg)


class Method(NamedTuple):
    """What a method takes, and what it returns."""

    action: type[Any]
    result: type[Any]


METHODS: Final = {
    "charge": Method(Charge, Receipt),
    "find_charge": Method(Charge, Receipt),
    "refund": Method(Refund, RefundReceipt),
    "find_refund": Method(Refund, RefundReceipt),
    "request": Method(RequestShipment, Waybill),
    "find_request": Method(RequestShipment, Waybill),
    "recall": Method(Recall, Recalled),
    "find_recall": Method(Recall, Recalled),
}


# The store's side


class RemoteProviders:
    """Gateway and carrier behind a socket. A provider that cannot be reached raises an OSError, so that the call is tried again."""

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)

    def charge(self, charge: Charge, call: ts.Call) -> Receipt | ts.Later:
        """Capture the amount."""
        return _performed(self._ask("charge", charge, call), Receipt)

    def find_charge(self, charge: Charge, call: ts.Call) -> ts.Probe[Receipt]:
        """Whether a charge was captured."""
        return _found(self._ask("find_charge", charge, call), Receipt)

    def refund(self, refund: Refund, call: ts.Call) -> RefundReceipt | ts.Later:
        """Give a capture back."""
        return _performed(self._ask("refund", refund, call), RefundReceipt)

    def find_refund(self, refund: Refund, call: ts.Call) -> ts.Probe[RefundReceipt]:
        """Whether a capture was given back."""
        return _found(self._ask("find_refund", refund, call), RefundReceipt)

    def request(self, request: RequestShipment, call: ts.Call) -> Waybill | ts.Later:
        """Take a parcel."""
        return _performed(self._ask("request", request, call), Waybill)

    def find_request(self, request: RequestShipment, call: ts.Call) -> ts.Probe[Waybill]:
        """Whether a parcel was taken."""
        return _found(self._ask("find_request", request, call), Waybill)

    def recall(self, recall: Recall, call: ts.Call) -> Recalled | ts.Later:
        """Bring a parcel back."""
        return _performed(self._ask("recall", recall, call), Recalled)

    def find_recall(self, recall: Recall, call: ts.Call) -> ts.Probe[Recalled]:
        """Whether a parcel was brought back."""
        return _found(self._ask("find_recall", recall, call), Recalled)

    def wait_until_idle(self) -> None:
        """Until no call is being worked on; whoever made it may have been killed since."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.connect(self._path)
            connection.sendall(IDLE)
            connection.recv(1)

    def _ask(self, method: str, action: ts.Action[Any], call: ts.Call) -> Reply:
        content = msgspec.Raw(msgspec.json.encode(action))
        request = Request(method=method, action=content, token=call.token, key=call.key, attempt=call.attempt)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_WITHIN_S)
            connection.connect(self._path)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as file:
                line = file.readline()
        if not line:
            raise ProviderDown(method)
        reply = msgspec.json.decode(line, type=Reply)
        if reply.rejected:
            raise ts.Rejected(reply.rejected)
        if reply.error:
            raise ProviderDown(reply.error)
        return reply


def _performed(reply: Reply, kind: type[R]) -> R | ts.Later:
    return ts.Later() if reply.later else msgspec.json.decode(reply.result, type=kind)


def _found(reply: Reply, kind: type[R]) -> ts.Probe[R]:
    if reply.later:
        return ts.Later()
    return ts.NotDone() if reply.not_done else ts.Done(result=msgspec.json.decode(reply.result, type=kind))


# The providers' side


def answered(providers: tuple[Gateway, Carrier], line: bytes) -> Reply:
    """Carry out a request."""
    request = msgspec.json.decode(line, type=Request)
    action = msgspec.json.decode(request.action, type=METHODS[request.method].action)
    provider = next(each for each in providers if hasattr(each, request.method))
    try:
        result: Any = getattr(provider, request.method)(action, RemoteCall(ts.Token(request.token), request.key, request.attempt))
    except ts.Rejected as refusal:
        return Reply(rejected=refusal.code)
    except ProviderDown as error:
        return Reply(error=str(error) or "no answer could be had")
    if isinstance(result, ts.Later):
        return Reply(later=True)
    if isinstance(result, ts.NotDone):
        return Reply(not_done=True)
    return Reply(result=msgspec.Raw(msgspec.json.encode(result.result if _is_done(result) else result)))


def _is_done(answer: object) -> TypeGuard[ts.Done[Any]]:
    return isinstance(answer, ts.Done)


class Server(socketserver.ThreadingUnixStreamServer):
    """Answers until it is killed; a thread for each call."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, gateway: Gateway, carrier: Carrier) -> None:
        self._providers = (gateway, carrier)
        self._working = 0
        self._changed = threading.Condition()
        super().__init__(str(path), _Handler)

    def answer(self, line: bytes) -> bytes:
        """Carry out one line."""
        if line == IDLE:
            with self._changed:
                self._changed.wait_for(lambda: not self._working)
            return b"\n"
        with self._changed:
            self._working += 1
        try:
            return msgspec.json.encode(answered(self._providers, line)) + b"\n"
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        if isinstance(server, Server) and (line := self.rfile.readline()):
            reply = server.answer(line)
            try:
                self.wfile.write(reply)
            except BrokenPipeError:  # whoever asked has been killed; what was done is in the ledger
                return


MOODS: Final = ((0.04, "slow"), (0.08, "never"), (0.12, "declined"), (0.20, "error"), (0.30, "error after effect"), (1.0, "soon"))
"""Shares of all orders, added up."""


def moods(seed: int, latency_s: float, slow_s: float) -> Script:
    """Manners that depend on order and attempt alone: most calls are answered soon, some slowly, never, with an error or with a no.

    Orders that had an error are answered at the next attempt; those that are answered slowly time out, and are done all the same.
    """
    pause = threading.Event()

    def manner(order_id: str, attempt: int) -> Manner:
        lot = random.Random(f"{seed}/{order_id}").random()  # noqa: S311 - repeatable on purpose
        mood = next(mood for share, mood in MOODS if lot < share)
        pause.wait(slow_s if mood == "slow" else latency_s)
        match mood:
            case "never":
                return Manner.NEVER
            case "declined":
                return Manner.DECLINED
            case "error" if attempt == 1:
                return Manner.ERROR
            case "error after effect" if attempt == 1:
                return Manner.ERROR_AFTER_EFFECT
            case _:
                return Manner.AT_ONCE

    return manner


def main() -> None:
    """Run both providers until the process is killed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--gateway-ledger", type=Path, required=True)
    parser.add_argument("--carrier-ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--slow-s", type=float, default=0.0)
    given = parser.parse_args()
    gateway = Gateway(FileLedger(given.gateway_ledger), charges=moods(given.seed, given.latency_s, given.slow_s))
    carrier = Carrier(FileLedger(given.carrier_ledger), requests=moods(given.seed + 1, given.latency_s, given.slow_s))
    given.socket.unlink(missing_ok=True)
    with Server(given.socket, gateway, carrier) as server:
        print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
        server.serve_forever()


if __name__ == "__main__":
    main()
