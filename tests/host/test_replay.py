"""The replay: every path of a small file, interrupted at any point, always to the same result."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.domain.envelope import from_micros
from tallystick.host.cli import cli
from tallystick.host.programs import TINY_STORE
from tallystick.host.verify import verify

Write = Callable[..., Path]
Orders = list[dict[str, Any]]

KEYS = ["orders", "statuses", "delivered", "cancel_refused", "late_successes", "open_executions", "events", "seconds"]


def run(orders: Path, log: Path) -> Result:
    return CliRunner().invoke(cli, ["replay", str(orders), "--log", str(log), "--json"])


def last_line(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == KEYS
    return found


def counts(found: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on how often it was interrupted."""
    return {key: value for key, value in found.items() if key not in {"events", "seconds"}}


def test_every_path_ends_as_the_rules_say(tmp_path: Path, written: Write, every_path: Orders, result: dict[str, Any]) -> None:
    log = tmp_path / "store.db"
    found = last_line(run(written(every_path), log))
    assert counts(found) == result
    assert found["events"] == verify(log, TINY_STORE).events


@pytest.mark.parametrize(
    ("order_id", "last"),
    [
        ("all-in-the-past", "OrderShipped"),
        ("no-items", "OrderRejected"),
        ("unlisted", "OrderRejected"),
        ("never-approved", "OrderPaymentFailed"),
        ("approved-too-late", "OrderPaymentFailed"),
        ("approved-on-the-deadline", "OrderShipped"),
        ("never-handed-over", "OrderPaid"),
        ("handed-over-too-late", "OrderPaid"),
        ("handed-over-on-the-deadline", "OrderShipped"),
        ("cancelled-when-confirmed", "OrderCancelled"),
        ("cancelled-when-paid", "OrderCancelled"),
        ("cancelled-when-shipped", "OrderShipped"),
        ("cancelled-when-failed", "OrderPaymentFailed"),
    ],
)
def test_an_order_ends_where_its_record_leads(tmp_path: Path, written: Write, every_path: Orders, order_id: str, last: str) -> None:
    log = tmp_path / "store.db"
    last_line(run(written([order for order in every_path if order["order_id"] == order_id]), log))
    with closing(ts.SqliteReader(log)) as reader:
        assert [each.event_type for each in reader.read(ts.Query(aggregate_type="Order"))][-1] == last


def test_things_happen_when_the_record_says(tmp_path: Path, written: Write, every_path: Orders) -> None:
    log = tmp_path / "store.db"
    last_line(run(written(every_path), log))
    with closing(ts.SqliteReader(log)) as reader:
        of_order = {
            each.event_type: each.occurred_at.isoformat()
            for each in (*reader.read(ts.Query(aggregate_id="all-in-order")), *reader.read(ts.Query(aggregate_id="approved-too-late")))
            if each.aggregate_id == "all-in-order" or each.event_type in {"PaymentFailed", "PaymentRefunded"}
        }
    assert of_order["OrderPlaced"] == "2020-01-01T00:00:00+00:00"
    assert of_order["PaymentProcessed"] == "2020-01-01T01:00:00+00:00"
    assert of_order["ShipmentDispatched"] == of_order["OrderShipped"] == "2020-01-02T00:00:00+00:00"
    assert of_order["ShipmentDelivered"] == "2020-01-04T00:00:00+00:00"
    assert of_order["PaymentFailed"] == "2020-01-31T05:00:00+00:00"
    assert of_order["PaymentRefunded"] == "2020-01-31T05:00:01+00:00"


def test_the_amount_is_goods_and_freight(tmp_path: Path, written: Write, every_path: Orders) -> None:
    every_path[0]["items"] = [{"sku": "tea", "quantity": 3, "unit_price_cents": 450, "freight_cents": 99}] * 2
    log = tmp_path / "store.db"
    last_line(run(written(every_path[:1]), log))
    with closing(ts.SqliteReader(log)) as reader:
        (placed,) = reader.read(ts.Query(event_types=("OrderPlaced",)))
    assert json.loads(placed.payload)["totalAmount"]["cents"] == 2 * (3 * 450 + 99)


def test_a_replay_that_has_ended_changes_nothing_when_it_is_started_again(tmp_path: Path, written: Write, every_path: Orders) -> None:
    orders, log = written(every_path), tmp_path / "store.db"
    first, second = last_line(run(orders, log)), last_line(run(orders, log))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.parametrize("line", [1, 2, 7, 21])
def test_what_stands_before_a_malformed_line_is_kept_and_gone_on_with(
    tmp_path: Path, written: Write, every_path: Orders, result: dict[str, Any], line: int
) -> None:
    spoiled: list[Any] = [*every_path]
    spoiled[line - 1] = {**spoiled[line - 1], "approved_at": "soon"}
    log = tmp_path / "store.db"
    refused = run(written(spoiled), log)
    assert refused.exit_code == 2
    assert f"line {line}, field approved_at: " in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    if line > 1:
        with closing(ts.SqliteReader(log)) as reader:
            placed = [each.aggregate_id for each in reader.read(ts.Query(event_types=("OrderPlaced",)))]
        assert placed == [order["order_id"] for order in every_path[: line - 1]]
    assert counts(last_line(run(written(every_path), log))) == result


def test_an_empty_file_replays_to_nothing(tmp_path: Path, written: Write) -> None:
    found = last_line(run(written([]), tmp_path / "store.db"))
    assert (found["orders"], found["statuses"], found["open_executions"]) == (0, {}, 0)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    refused = run(tmp_path / "none.jsonl", tmp_path / "store.db")
    assert refused.exit_code == 2
    assert "none.jsonl" in refused.stderr


def test_without_json_there_is_a_table(tmp_path: Path, written: Write, every_path: Orders) -> None:
    done = CliRunner().invoke(cli, ["replay", str(written(every_path[:1])), "--log", str(tmp_path / "store.db")])
    assert done.exit_code == 0
    assert "SHIPPED" in done.stdout


# A worker that kills itself with SIGKILL at a named commit: before it, when the turn's events are lost, or after, when only their
# effects are.
DYING = """
import os, signal, sys
from tallystick.host.replay import replay
from tallystick.store.sqlite.log import SqliteLog

orders, log, commit, moment = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
write = SqliteLog.write

def dying(self, records):
    global commit
    commit -= 1
    if commit == 0 and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    head = write(self, records)
    if commit == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return head

SqliteLog.write = dying
replay(orders, log, lambda done_bytes: None)
"""


def killed_every(commits: int, moment: str, orders: Path, log: Path) -> int:
    """How often it was killed before it came to its end."""
    for kills in range(200):
        command = [sys.executable, "-c", DYING, str(orders), str(log), str(commits), moment]
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own text
        if code == 0:
            return kills
        assert code == -9
    pytest.fail("it never comes to its end")


@pytest.mark.parametrize(
    ("commits", "moment"),
    [
        (53, "before"),
        (47, "after"),
        pytest.param(19, "before", marks=pytest.mark.slow),
        pytest.param(17, "after", marks=pytest.mark.slow),
        pytest.param(23, "after", marks=pytest.mark.slow),
        pytest.param(31, "before", marks=pytest.mark.slow),
    ],
)
def test_a_replay_that_is_killed_again_and_again_comes_to_the_same_result(
    tmp_path: Path, written: Write, every_path: Orders, result: dict[str, Any], commits: int, moment: str
) -> None:
    orders, log = written(every_path), tmp_path / "store.db"
    assert killed_every(commits, moment, orders, log) > 1
    assert counts(last_line(run(orders, log))) == result
    verify(log, TINY_STORE)


def test_virtual_time_never_runs_backwards_in_the_log(tmp_path: Path, written: Write, every_path: Orders) -> None:
    orders, log = written(every_path), tmp_path / "store.db"
    killed_every(101, "after", orders, log)
    with closing(ts.SqliteReader(log)) as reader:
        times = [from_micros(each.occurred_at_us) for each in reader.read()]
    assert times == sorted(times)
