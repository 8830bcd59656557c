"""A replay that is given a log already: it goes on with its own file, also one that has grown, and refuses another one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host.cli import cli
from tallystick.host.replay import Driver, Reader
from tallystick.host.replay_world import World
from tallystick.scenarios.tiny_store.system import modules, performers
from tallystick.store.writer_lock import WriterLock

Write = Callable[..., Path]
Orders = list[dict[str, Any]]

MAIN = "from tallystick.host.cli import main; main()"


def run(orders: Path, log: Path) -> Result:
    return CliRunner().invoke(cli, ["replay", str(orders), "--log", str(log), "--json"])


def counts(orders: Path, log: Path) -> dict[str, Any]:
    """What a replay comes to."""
    done = run(orders, log)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {key: value for key, value in found.items() if key not in {"events", "seconds"}}


def refusal(orders: Path, log: Path) -> str:
    """Why a replay is refused, with the log left as it is."""
    before = log.read_bytes()
    done = run(orders, log)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert log.read_bytes() == before
    (line,) = done.stderr.splitlines()
    return str(line)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.mark.parametrize("left", [0, 1, 7, 20])
def test_a_file_that_lacks_the_last_orders_of_the_log_is_refused(log: Path, written: Write, every_path: Orders, left: int) -> None:
    counts(written(every_path), log)
    shorter = written(every_path[:left], "shorter.jsonl")
    lacking, first = 21 - left, every_path[left]["order_id"]
    assert f"holds 21 orders, and {shorter} lacks {lacking} of them, from {first} on." in refusal(shorter, log)


def test_a_file_that_lacks_an_order_of_the_log_in_the_middle_is_refused(log: Path, written: Write, every_path: Orders) -> None:
    counts(written(every_path), log)
    without = written([*every_path[:3], *every_path[4:]], "without.jsonl")
    assert f"Order number 4 is all-at-one-moment in {log}, but never-delivered in {without}." in refusal(without, log)


def test_another_file_is_refused(log: Path, written: Write, every_path: Orders) -> None:
    counts(written(every_path[:1]), log)
    other = [{**order, "order_id": f"other-{order['order_id']}"} for order in every_path]
    assert "Order number 1 is all-in-order in" in refusal(written(other), log)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"placed_at": "2020-01-01T00:30:00Z"}, "placed_at"),
        ({"customer_id": "somebody else"}, "customer_id"),
        ({"items": []}, "items"),
        ({"items": [{"sku": "tea", "quantity": 1, "unit_price_cents": 500, "freight_cents": 121}]}, "freight_cents"),
    ],
)
def test_an_order_that_is_not_as_the_log_has_it_is_refused(
    log: Path, written: Write, every_path: Orders, change: dict[str, Any], field: str
) -> None:
    counts(written(every_path), log)
    every_path[0].update(change)
    changed = written([every_path[0], *every_path[2:]] if "placed_at" in change else every_path, "changed.jsonl")
    assert f"Order all-in-order in {log} differs from that in {changed}: {field}." in refusal(changed, log)


def test_an_order_that_was_added_for_a_time_that_the_log_has_passed_is_refused(log: Path, written: Write, every_path: Orders) -> None:
    counts(written(every_path[:1]), log)
    said = refusal(written(every_path), log)
    assert f"{log} lacks order all-in-the-past, number 2, but goes beyond 2020-01-01T00:00:00+00:00, when it was placed." in said


def changed(orders: Orders, order_id: str, **fields: Any) -> Orders:
    """The orders, one of them otherwise."""
    return [{**order, **fields} if order["order_id"] == order_id else order for order in orders]


@pytest.mark.parametrize(
    ("order_id", "change", "field"),
    [
        ("all-in-order", {"approved_at": None}, "approved_at"),
        ("all-in-order", {"approved_at": "2020-01-01T01:00:01Z"}, "approved_at"),
        ("all-in-order", {"handed_to_carrier_at": None, "delivered_at": None}, "handed_to_carrier_at"),
        ("all-in-order", {"delivered_at": None}, "delivered_at"),
        ("all-in-order", {"delivered_at": "2020-01-05T00:00:00Z"}, "delivered_at"),
        ("never-delivered", {"delivered_at": "2020-01-05T00:00:00Z"}, "delivered_at"),
        ("never-handed-over", {"handed_to_carrier_at": "2020-01-05T00:00:00Z"}, "handed_to_carrier_at"),
        ("never-handed-over", {"final_status": "canceled"}, "final_status"),
        ("never-approved", {"approved_at": "2020-01-05T00:00:00Z"}, "approved_at"),
        ("cancelled-when-paid", {"final_status": "approved"}, "final_status"),
    ],
)
def test_an_order_of_which_came_something_else_than_its_file_says_is_refused(
    log: Path, written: Write, every_path: Orders, order_id: str, change: dict[str, Any], field: str
) -> None:
    counts(written(every_path), log)
    otherwise = written(changed(every_path, order_id, **change), "otherwise.jsonl")
    assert f"Order {order_id} in {log} differs from that in {otherwise}: {field}." in refusal(otherwise, log)


def test_an_approval_that_a_replay_has_not_come_to_may_be_known_only_since(log: Path, written: Write, every_path: Orders) -> None:
    waiting = [*changed(every_path, "never-handed-over", approved_at=None)[:11], b"stop here\n"]
    assert run(written(waiting), log).exit_code == 2
    assert counts(written(every_path[:11]), log)["statuses"]["PAID"] == 1


def test_who_replays_into_a_log_that_is_being_written_is_told_by_whom_and_not_that_the_file_is_wrong(
    log: Path, written: Write, every_path: Orders
) -> None:
    counts(written(every_path), log)
    writer = WriterLock(log)
    writer.acquire()
    for orders in (every_path, every_path[:7]):
        assert f"{log} is being written by process {os.getpid()}" in refusal(written(orders), log)
    writer.release()


@pytest.mark.parametrize("orders", [0, 1])
def test_a_log_that_no_replay_has_made_is_refused_though_it_has_no_orders(
    log: Path, written: Write, every_path: Orders, orders: int
) -> None:
    clock = ts.ManualClock(datetime(2019, 12, 31, tzinfo=UTC))
    with ts.System(log=log, runtime=ts.SteppedRuntime(clock)) as system:
        system.record_intent("OrderSubmission", timeout=timedelta(days=2))
    assert f"{log} begins at 2019-12-31T00:00:00+00:00, but " in refusal(written(every_path[:orders]), log)
    with closing(ts.SqliteReader(log)) as reader:
        assert all(each.settles is None for each in reader.read())


def test_a_replay_that_was_stopped_goes_on_with_a_file_that_has_grown_meanwhile(
    log: Path, written: Write, every_path: Orders, result: dict[str, Any]
) -> None:
    assert run(written([*every_path[:10], b"stop here\n"]), log).exit_code == 2
    assert counts(written(every_path), log) == result


def test_a_line_that_was_spoiled_since_is_named_rather_than_its_order_missed(log: Path, written: Write, every_path: Orders) -> None:
    orders = written(every_path[-1:])
    counts(orders, log)
    assert f"{orders}, line 1: " in refusal(written([b"spoiled\n"]), log)


def test_a_file_that_has_grown_at_its_end_is_gone_on_with(log: Path, tmp_path: Path, written: Write, every_path: Orders) -> None:
    early = [order for order in every_path if order["order_id"] in {"all-in-order", "all-in-the-past", "no-items"}]
    months_later, last = every_path[-2:]
    late = [months_later, {**last, "order_id": "a-year-later", "placed_at": "2021-01-01T00:00:00Z"}]
    at_once = counts(written(early + late), tmp_path / "at_once.db")
    grown = [counts(written((early + late)[:size]), log) for size in (3, 4, 5)]
    assert [each["orders"] for each in grown] == [3, 4, 5]
    assert grown[-1] == at_once


def test_an_empty_file_that_has_grown_is_gone_on_with(log: Path, written: Write, every_path: Orders, result: dict[str, Any]) -> None:
    assert counts(written([]), log)["orders"] == 0
    assert counts(written(every_path), log) == result


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_orders_can_come_through_a_pipe_also_when_a_replay_goes_on(
    log: Path, written: Write, every_path: Orders, result: dict[str, Any], name: str
) -> None:
    orders = written(every_path).read_bytes()
    command = [sys.executable, "-c", MAIN, "replay", name, "--log", str(log), "--json"]
    cut, whole = (
        subprocess.run(command, input=piped, capture_output=True, check=False)  # noqa: S603 - our own program
        for piped in (orders[: len(orders) // 2], orders)
    )
    assert cut.returncode == 2
    assert whole.returncode == 0, whole.stderr
    found = json.loads(whole.stdout.splitlines()[-1])
    assert {key: found[key] for key in result} == result


def test_a_bad_line_of_a_pipe_is_named(log: Path) -> None:
    command = [sys.executable, "-c", MAIN, "replay", "-", "--log", str(log)]
    done = subprocess.run(command, input="{}\n", capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 2
    assert done.stderr == "tallystick: standard input, line 1, field order_id: missing\n"


def test_a_cancel_of_an_order_that_was_never_placed_is_not_taken_for_one_that_came_too_late() -> None:
    clock = ts.ManualClock()
    world, runtime = World(clock), ts.SteppedRuntime(clock)
    with ts.System(modules(), performers=performers(world, world), runtime=runtime) as system:
        driver = Driver(system, runtime, world, Reader(iter(()), lambda: None))
        with pytest.raises(ts.Rejected, match="UNKNOWN_ORDER"):
            driver._cancel("nobody's")
