"""The demonstration: a worker that is really killed, and books that are really compared."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tallystick.host.cli import cli
from tallystick.host.demo import Demo
from tallystick.scenarios.tiny_store.audit import Heard
from tallystick.scenarios.tiny_store.day import wishes
from tallystick.scenarios.tiny_store.ledger import Entry


def test_a_day_repeats_and_asks_for_everything_once() -> None:
    day = list(wishes(200, seed=3))
    assert day == list(wishes(200, seed=3))
    assert day != list(wishes(200, seed=4))
    keys = [wish.key for wish in day]
    assert len(keys) == len(set(keys))
    assert sum(key.startswith("place:") for key in keys) == 200
    cancelled = [key.removeprefix("cancel:") for key in keys if key.startswith("cancel:")]
    assert cancelled
    assert all(keys.index(f"place:{order_id}") < keys.index(f"cancel:{order_id}") for order_id in cancelled)


def test_a_ledger_that_disagrees_with_the_log_is_found() -> None:
    heard = Heard({"capture": {"pay-1", "pay-2"}, "refund": set(), "shipment": {"ship-1"}, "recall": {"ship-1"}})
    ledger = [
        Entry(kind="capture", key="1", number="pay-1", order_id="o1"),
        Entry(kind="capture", key="3", number="pay-3", order_id="o3"),
        Entry(kind="shipment", key="1", number="ship-1", order_id="o1"),
        Entry(kind="recall", key="undo", number="recall-1", order_id="o1", of="ship-1"),
    ]
    (disagreement,) = heard.compared(ledger)
    assert disagreement.kind == "capture"
    assert disagreement.only_in_ledger == {"pay-3"}
    assert disagreement.only_in_log == {"pay-2"}


@pytest.mark.slow
def test_a_store_that_is_killed_recovers_and_agrees_with_the_ledgers(tmp_path: Path) -> None:
    shown = Demo(tmp_path, orders=90, seed=11).run()
    assert shown.disagreements == ()
    assert shown.killed.events < shown.verified.events
    assert shown.statuses.total() == 90
    assert shown.verified.open == 0
    assert shown.verified.late_successes > 0
    kept_money = shown.entries["capture"] - shown.entries["refund"]
    assert kept_money == shown.statuses["shipped"] + shown.statuses["paid, not sent"]


def test_the_demonstration_takes_no_folder_that_is_there(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, ["demo", "--keep", str(tmp_path)]).exit_code == 2
