"""What a town's files say, read from outside and folded by plain dictionaries: no type and no fold of the store or the library is used."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

import tallystick as ts
from tests.crash.outside import Line, read_book

STATUS_AFTER: Final = {
    "OrderPlaced": "PENDING",
    "OrderConfirmed": "CONFIRMED",
    "OrderRejected": "REJECTED",
    "OrderPaid": "PAID",
    "OrderPaymentFailed": "PAYMENT_FAILED",
    "OrderShipped": "SHIPPED",
    "OrderCancelled": "CANCELLED",
}


class Fact:
    """One record: its envelope, and its payload as plain JSON."""

    def __init__(self, recorded: ts.Recorded) -> None:
        self.position = recorded.position
        self.type = recorded.event_type
        self.stream = (recorded.aggregate_type, recorded.aggregate_id)
        self.version = recorded.aggregate_version
        self.owner = recorded.owner
        self.token = recorded.token
        self.settles = recorded.settles
        self.at_us = recorded.occurred_at_us
        self.event_id = recorded.event_id
        self.content: dict[str, Any] = msgspec.json.decode(recorded.payload)

    @property
    def begins(self) -> bool:
        """Whether it is an intent event."""
        return self.stream[0] == "Execution" and self.version == 1


class Evidence:
    """All files of a town that has come to rest."""

    def __init__(self, folder: Path) -> None:
        with closing(ts.SqliteReader(folder / "log.db")) as reader:
            self.facts = [Fact(each) for each in reader.verify()]  # the chain and the positions are checked on the way (S5)
        self.gateway = _entries(folder / "gateway.jsonl")
        self.carrier = _entries(folder / "carrier.jsonl")
        self.calls: list[Line] = [line for line in read_book(folder) if not line.done]
        self.said: list[dict[str, Any]] = [msgspec.json.decode(line) for line in (folder / "report.jsonl").read_bytes().splitlines()]

    def of(self, *types: str) -> list[Fact]:
        """The facts of these types, in order."""
        return [fact for fact in self.facts if fact.type in types]

    @property
    def intents(self) -> dict[str, Fact]:
        """Intent events by token."""
        return {str(fact.token): fact for fact in self.facts if fact.begins}

    @property
    def settlements(self) -> dict[str, list[Fact]]:
        """Completion events by token."""
        found: defaultdict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts:
            if fact.settles is not None:
                found[str(fact.token)].append(fact)
        return dict(found)

    @property
    def acknowledged(self) -> dict[str, list[dict[str, Any]]]:
        """What was said to customers, by key; more than once where a later life was asked again."""
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for line in self.said:
            if "acked" in line:
                found[line["key"]].append({name: line[name] for name in ("reply", "refused") if name in line})
        return dict(found)

    def orders(self) -> dict[str, str]:
        """Each order's status."""
        return {fact.stream[1]: STATUS_AFTER[fact.type] for fact in self.facts if fact.type in STATUS_AFTER}

    def stock(self) -> Iterator[dict[str, list[int]]]:
        """On hand, reserved and shipped by article, after each event that moves goods."""
        levels: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

        def move(sku: str, quantity: int, *, out_of: int | None, into: int) -> None:
            levels[sku][into] += quantity
            if out_of is not None:
                levels[sku][out_of] -= quantity

        for fact in self.of("StockReceived", "InventoryReserved", "InventoryReleased", "InventoryShipped"):
            content = fact.content
            match fact.type:
                case "StockReceived":
                    move(content["sku"], content["quantity"], out_of=None, into=0)
                case "InventoryReserved":
                    for item in content["reservations"]:
                        move(item["sku"], item["quantity"], out_of=0, into=1)
                case "InventoryReleased":
                    move(content["sku"], content["quantity"], out_of=1, into=0)
                case _:
                    for item in content["items"]:
                        move(item["sku"], item["quantity"], out_of=1, into=2)
            yield {sku: list(level) for sku, level in levels.items()}

    def received(self) -> Counter[str]:
        """What came in, by article."""
        received: Counter[str] = Counter()
        for fact in self.of("StockReceived"):
            received[fact.content["sku"]] += fact.content["quantity"]
        return received

    def deadlines(self) -> dict[tuple[str, int], datetime]:
        """When each attempt times out, as recorded."""
        found: dict[tuple[str, int], datetime] = {}
        for fact in self.facts:
            deadline = fact.content.get("deadline")
            if deadline is not None and (fact.begins or fact.type == "AttemptStarted"):
                found[str(fact.token), fact.content.get("attempt", 1)] = datetime.fromisoformat(deadline)
        return found

    def captures_known(self) -> set[str]:
        """Numbers of captures that the log knows of, in time or late."""
        known = {fact.content["paymentId"] for fact in self.of("PaymentProcessed", "PaymentRefunded")}
        late = (fact for fact in self.of("LateSuccess") if fact.content["operation"] == "PaymentProcessing")
        return known | {fact.content["result"]["paymentId"] for fact in late}


def _entries(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
