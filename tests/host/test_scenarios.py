"""`tallystick scenario`: every story ends as it should, and is told as it happens."""

import json
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host.cli import cli
from tallystick.host.programs import PROGRAMS, TINY_STORE, TRAVEL_BOOKING
from tallystick.host.verify import verify
from tallystick.scenarios.agent import script as agent_script
from tallystick.scenarios.nightly_import import script as import_script
from tallystick.scenarios.telling import Audience, PlayedWrong
from tallystick.scenarios.tiny_store.orders import OrderStatus
from tallystick.scenarios.tiny_store.scripts import SCRIPTS, Script
from tallystick.scenarios.tiny_store.stage import Stage


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["scenario", *arguments])


def test_the_list_has_every_scenario() -> None:
    listed = json.loads(run("list", "--json").stdout)
    others = {"settlers", "travel-booking", "order-fulfilment", "subscription-renewal", "webhook", "nightly-import", "agent"}
    assert {each["name"] for each in listed} == {*SCRIPTS, *others}
    assert all(each["summary"] for each in listed)
    assert set(SCRIPTS) >= {
        "happy-path",
        "insufficient-stock",
        "payment-failure",
        "cancellation",
        "crash-and-recovery",
        "poison-message",
        "late-capture",
    }
    for name in SCRIPTS:
        assert name in run("list").stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scenario_ends_as_it_should(name: str) -> None:
    result = run("run", name)
    assert result.exit_code == 0, result.output
    assert f"{name}: as it should be." in result.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_log_of_a_scenario_stands_up_to_verification(name: str, tmp_path: Path) -> None:
    log = tmp_path / "store.db"
    assert run("run", name, "--log", str(log)).exit_code == 0
    verified = verify(log, TINY_STORE)
    assert verified.open == 0
    assert verified.dead_letters == 0


def test_each_event_is_told_with_who_published_it_and_who_reacts() -> None:
    told = run("run", "cancellation-paid").stdout
    assert "Orders     OrderPlaced → Inventory\n" in told
    assert "Orders     OrderCancelled → Inventory, Payments (ours), Shipments (ours)\n" in told
    assert "Payments   PaymentRefunded (ours)\n" in told


def test_each_day_that_begins_is_told_with_its_date() -> None:
    told = run("run", "subscription-renewal").stdout
    assert told.index("Saturday, 2026-01-31\n") < told.index("MonthPaid") < told.index("Saturday, 2026-02-28\n")
    assert told.count("2026-02-28") == 1


def test_a_scenario_can_be_told_in_json(tmp_path: Path) -> None:
    log = tmp_path / "store.db"
    lines = [json.loads(line) for line in run("run", "happy-path", "--json", "--log", str(log)).stdout.splitlines()]
    assert lines[-1] == {"scenario": "happy-path", "ok": True, "problem": None}
    with closing(ts.SqliteReader(log)) as reader:
        told = [line["eventType"] for line in lines if "eventType" in line]
        assert [each.event_type for each in reader.read()][: len(told)] == told


def test_a_scenario_begins_a_log_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "store.db"
    log.write_bytes(b"something else")
    refused = run("run", "happy-path", "--log", str(log))
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr
    assert log.read_bytes() == b"something else"


@pytest.mark.parametrize("arguments", [("run", "no-such-story"), ("run",), ("run", "happy-path", "--json", "--mermaid")])
def test_a_wrong_call_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_story_that_goes_wrong_is_told_so() -> None:
    def wrong(stage: Stage) -> None:
        stage.open()
        stage.place("order-1")
        stage.run()
        stage.expect("order-1", OrderStatus.SHIPPED)

    with pytest.raises(PlayedWrong, match="Order order-1 is REJECTED, where SHIPPED was expected"):
        Script("wrong", "", wrong).play(ts.MemoryLog(), Audience())


def test_ledgers_that_say_otherwise_are_told_so() -> None:
    def wrong(stage: Stage) -> None:
        stage.open()
        stage.expect_ledger(capture=1)

    with pytest.raises(PlayedWrong, match="'capture': 0"):
        Script("wrong", "", wrong).play(ts.MemoryLog(), Audience())


def test_a_name_may_be_written_with_underscores() -> None:
    assert run("run", "happy_path", "--mermaid").stdout == run("run", "happy-path", "--mermaid").stdout != ""
    refused = run("run", "happy_end")
    assert refused.exit_code == 2
    assert "happy-end" in refused.stderr


def test_the_travellers_are_told_of_drawn_and_kept(tmp_path: Path) -> None:
    told = run("run", "travel-booking", "--log", str(tmp_path / "travel.db"))
    assert told.exit_code == 0
    assert "trip-of-Dora needs a person" in told.stdout
    assert told.stdout.endswith("travel-booking: as it should be.\n")
    drawn = run("run", "travel-booking", "--mermaid").stdout
    assert drawn.startswith("sequenceDiagram\n")
    assert "    BookTrip->>EventBus: BookTripFlightUndone\n    BookTrip->>BookTrip: BookTripHotelUndoStarted\n" in drawn
    assert verify(tmp_path / "travel.db", TRAVEL_BOOKING).events > 60


# The webhook, the import and the agent

OF_OPERATIONS = {"webhook": "DeliveryPosted", "nightly-import": "OperationSucceeded", "agent": "OperationCanceled"}


@pytest.mark.parametrize(("name", "event"), OF_OPERATIONS.items())
def test_a_story_of_operations_ends_as_it_should_and_its_log_verifies(name: str, event: str, tmp_path: Path) -> None:
    if name == "webhook":
        pytest.importorskip("starlette")
    log = tmp_path / "log.db"
    told = run("run", name.replace("-", "_"), "--log", str(log))
    assert told.exit_code == 0, told.output
    assert f"{name}: as it should be." in told.stdout
    assert event in told.stdout
    verified = verify(log, PROGRAMS[name])
    assert (verified.open, verified.dead_letters, verified.scenario) == (0, 0, name)


@pytest.mark.parametrize(("name", "event"), OF_OPERATIONS.items())
def test_a_story_of_operations_makes_its_diagram(name: str, event: str) -> None:
    if name == "webhook":
        pytest.importorskip("starlette")
    first, *rest = run("run", name, "--mermaid").stdout.splitlines()
    assert first == "sequenceDiagram"
    assert "    participant Operations" in rest
    assert any(line.endswith(f"->>EventBus: {event}") for line in rest)


def test_the_import_goes_on_where_it_was_killed_and_the_agent_makes_no_call_twice() -> None:
    imported = run("run", "nightly-import").stdout
    before, after = imported.split("It is dead.")
    assert "10000 lines, " in before
    assert "15000 lines, " not in before
    assert "\n10000 lines, " in after
    assert "\n5000 lines, " not in after
    assert "weather, search_flights, book were called once each" in run("run", "agent").stdout


def test_without_its_extra_the_webhook_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tallystick.scenarios.webhook.receiver", None)
    refused = run("run", "webhook")
    assert refused.exit_code == 2
    assert "install tallystick[webhook]" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["nightly-import", "agent"])
def test_a_story_that_goes_another_way_is_told_as_wrong(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_script, "DIES_AT", 10_001)
    monkeypatch.setattr(agent_script, "PLAN", agent_script.PLAN[:2])
    told = run("run", name)
    assert told.exit_code == 1
    assert "WRONG: It was to die" in told.stdout
