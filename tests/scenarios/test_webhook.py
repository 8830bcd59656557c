"""The webhook's receiver as its providers see it: duplicates, deliveries in any order, a ledger that is down, and a crash."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from tallystick.scenarios.webhook.receiver import Webhooks


class Book:
    """A ledger that writes each key once, and is down for a while if it is told so."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, int, int]] = {}
        self.down = 0
        self._written = threading.Condition()

    def write(self, account: str, sequence: int, cents: int, key: str) -> str:
        with self._written:
            if self.down:
                self.down -= 1
                raise ConnectionError
            self.entries.setdefault(key, (account, sequence, cents))
            self._written.notify_all()
            return f"entry {len(self.entries)}"

    def sequences(self, account: str) -> list[int]:
        return [sequence for owner, sequence, _ in self.entries.values() if owner == account]


def deliver(webhooks: Webhooks, event_id: str, sequence: int, cents: int = 100, account: str = "a") -> tuple[int, Any]:
    """One request, as a server would hand it on."""
    body = json.dumps({"account": account, "sequence": sequence, "cents": cents}).encode()
    return request(webhooks, event_id, body)


def request(webhooks: Webhooks, event_id: str, body: bytes) -> tuple[int, Any]:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/webhooks/bank",
        "headers": [(b"x-event-id", event_id.encode())],
        "query_string": b"",
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(webhooks.app(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


def until_processed(webhooks: Webhooks, count: int) -> None:
    """Wait until so many operations are done, and their audit records are written."""
    audited = 0
    for recorded in webhooks.system.subscribe(event_types=("OperationAudited", "DeliveryPosted")):
        audited += recorded.event_type == "DeliveryPosted"
        if audited == count:
            return


def test_duplicates_are_acknowledged_and_posted_once() -> None:
    book = Book()
    webhooks = Webhooks(book.write)
    with webhooks.system as system:
        first, again = deliver(webhooks, "e1", 1), deliver(webhooks, "e1", 1)
        assert (first[0], first[1]["standing"]) == (202, "applied")
        assert again == first, "the same answer, and the same operation"
        assert deliver(webhooks, "e1", 1, cents=5)[0] == 409
        assert deliver(webhooks, "e1 under another id", 1)[1]["standing"] == "duplicate"
        until_processed(webhooks, 1)
        assert book.sequences("a") == [1]
        operation = system.operations.get(first[1]["operationId"])
        assert operation is not None
        assert (operation.status, operation.message, operation.data) == ("Succeeded", "Processed", {"entry": "entry 1"})
        conflicts = list(system.events(event_types=("IdempotencyConflicted",)))
        assert len(conflicts) == 1


def test_deliveries_in_any_order_are_posted_in_theirs() -> None:
    book = Book()
    webhooks = Webhooks(book.write)
    with webhooks.system as system:
        assert [deliver(webhooks, f"e{number}", number)[1]["standing"] for number in (3, 2)] == ["held", "held"]
        assert {each.operation.status.value for each in system.operations.open_intents(name_prefix="Webhook.Process")} == {"Pending"}
        assert deliver(webhooks, "e1", 1)[1]["standing"] == "applied"
        until_processed(webhooks, 3)
        assert book.sequences("a") == [1, 2, 3]
        assert system.operations.open_intents(name_prefix="Webhook.Process") == []


def test_a_ledger_that_is_down_delays_and_loses_nothing_and_the_timeline_shows_it() -> None:
    book = Book()
    book.down = 2
    webhooks = Webhooks(book.write)
    with webhooks.system as system:
        deliver(webhooks, "e1", 1)
        until_processed(webhooks, 1)
        timeline = system.timeline("e1")
        told = [each.event for each in timeline.entries]
        assert told.count("RetryScheduled") == told.count("OperationNoted") == 2
        assert {"OperationStarted", "DeliveryReceived", "PostingStarted", "OperationSucceeded", "OperationAudited"} <= set(told)
        assert b"account" not in b"".join(each.payload for each in system.events(event_types=("OperationStarted",))), "no raw body"


def test_what_was_acknowledged_before_a_crash_is_posted_after_it(tmp_path: Path) -> None:
    down = Book()
    down.down = 1_000
    webhooks = Webhooks(down.write, log=tmp_path / "hooks.db")
    with webhooks.system:
        assert deliver(webhooks, "e1", 1)[0] == 202
    book = Book()
    again = Webhooks(book.write, log=tmp_path / "hooks.db")
    with again.system as system:
        until_processed(again, 1)
        assert book.sequences("a") == [1]
        assert [each.status.value for each in system.operations.find(name_prefix="Webhook.Process")] == ["Succeeded"]


@pytest.mark.parametrize(
    ("event_id", "body"), [("", b'{"account":"a","sequence":1,"cents":1}'), ("e", b"{}"), ("e", b'{"account":"a","sequence":0,"cents":1}')]
)
def test_what_is_no_delivery_is_refused_and_leaves_nothing(event_id: str, body: bytes) -> None:
    webhooks = Webhooks(Book().write)
    with webhooks.system as system:
        assert request(webhooks, event_id, body)[0] == 400
        assert system.operations.find() == []
