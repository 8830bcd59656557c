"""`tallystick log` and `tallystick verify`: every filter, every kind of damage."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host import log_command
from tallystick.host.cli import cli
from tallystick.host.kept_head import KeptHead
from tallystick.host.programs import TINY_STORE
from tallystick.host.verify import BadLog, verify


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "store.db"
    assert run("scenario", "run", "cancellation", "--log", path).exit_code == 0
    return path


def found(log: Path, *options: object) -> list[dict[str, Any]]:
    result = run("log", log, "--json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# Reading


def test_all_events_are_listed_with_their_whole_envelope(log: Path) -> None:
    events = found(log)
    assert [event["position"] for event in events] == list(range(1, len(events) + 1))
    placed = next(event for event in events if event["eventType"] == "OrderPlaced")
    assert placed["aggregateType"] == "Order"
    assert placed["payload"]["orderId"] == placed["aggregateId"]
    assert placed["version"] == 1
    assert placed["owner"] == "orders"
    assert placed["occurredAt"].startswith("2026-01-05T09:00:00")


def test_filters_must_all_hold(log: Path) -> None:
    everything = found(log)
    by_type = found(log, "--type", "OrderPlaced", "--type", "OrderCancelled")
    assert [event["eventType"] for event in by_type] == ["OrderPlaced", "OrderCancelled"] * 4
    assert found(log, "--type", "OrderPlaced", "--aggregate-id", "order-2") == [
        event for event in everything if event["eventType"] == "OrderPlaced" and event["aggregateId"] == "order-2"
    ]
    assert {event["owner"] for event in found(log, "--owner", "payments")} == {"payments"}
    assert {event["aggregateType"] for event in found(log, "--aggregate-type", "Stock")} == {"Stock"}


def test_one_event_is_found_by_its_id(log: Path) -> None:
    wanted = found(log)[7]
    assert found(log, "--id", wanted["eventId"]) == [wanted]


def test_an_operation_is_found_by_its_token_and_a_story_by_its_correlation(log: Path) -> None:
    settled = next(event for event in found(log) if event["settles"] == "succeeded")
    assert settled in found(log, "--token", settled["token"])
    story = found(log, "--correlation", settled["correlation"])
    assert settled in story
    assert story[0]["eventType"] == "OrderPlaced"


def test_tags_are_shown_where_there_are_some_and_find_their_events(tmp_path: Path) -> None:
    with ts.System(log=tmp_path / "log.db", runtime=ts.SteppedRuntime()) as system:
        with system.bracket("One", tags={"tenant": "a=b", "shelf": "x"}):
            pass
        with system.bracket("Two"):
            pass
    everything = found(tmp_path / "log.db")
    tagged = [event for event in everything if "tags" in event]
    assert {event["eventType"] for event in tagged} == {"OperationStarted", "BracketStarted", "OperationSucceeded"}
    assert {json.dumps(event["tags"]) for event in tagged} == {'{"shelf": "x", "tenant": "a=b"}'}
    assert found(tmp_path / "log.db", "--tag", "tenant=a=b") == tagged
    assert found(tmp_path / "log.db", "--tag", "tenant=a") == []
    refused = run("log", tmp_path / "log.db", "--tag", "tenant")
    assert (refused.exit_code, "KEY=VALUE" in refused.stderr) == (2, True)


def test_positions_and_moments_bound_what_is_read(log: Path) -> None:
    everything = found(log)
    assert found(log, "--after", 3, "--until", 5) == everything[3:5]
    middle = everything[20]["occurredAt"]
    assert found(log, "--since", middle) + found(log, "--before", middle) != []
    assert all(event["occurredAt"] >= middle for event in found(log, "--since", middle))
    assert found(log, "--before", middle) + found(log, "--since", middle) == everything


def test_the_newest_come_first_and_pages_follow_one_another(log: Path) -> None:
    everything = found(log)
    assert found(log, "--newest", "--limit", 3) == everything[::-1][:3]
    assert found(log, "--limit", 4, "--page", 2) == everything[4:8]
    assert found(log, "--limit", 4, "--page", 1000) == []


def test_a_page_that_is_asked_for_has_a_size_the_first_one_too(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_command, "ROWS_OF_A_PAGE", 4)
    everything = found(log)
    assert found(log, "--page", 1) == everything[:4]
    assert found(log, "--page", 2) == everything[4:8]


def test_people_get_a_table_and_are_told_that_there_is_more(log: Path) -> None:
    result = run("log", log, "--limit", 2, "--type", "OrderPlaced")
    assert result.exit_code == 0
    assert "order-1" in result.stdout
    assert "--page 2" in result.stderr


@pytest.mark.parametrize("options", [("--since", "noon"), ("--limit", 0), ("--after", -1), ("--page", 0), ("--no-such",)])
def test_wrong_options_are_usage_errors(log: Path, options: tuple[object, ...]) -> None:
    assert run("log", log, *options).exit_code == 2


@pytest.mark.parametrize("command", ["log", "verify"])
def test_what_is_no_log_is_refused_with_one_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no log at all, but long enough to be looked at " * 50)
    result = run(command, path)
    assert result.exit_code in {1, 2}
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert len(result.stderr.strip().splitlines()) == 1
    assert run(command, tmp_path / "none.db").exit_code == 2


# Verifying


def test_a_log_that_is_as_it_was_written_is_verified(log: Path) -> None:
    result = run("verify", log, "--scenario", "tiny-store")
    assert result.exit_code == 0
    assert result.stdout.startswith("OK: ")
    assert "stock adds up" in result.stdout


def test_one_is_not_told_as_many(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with ts.System(log=path) as system, system.bracket("Import.Customers"):
        pass
    assert "1 operation begun: 1 succeeded" in run("verify", path).stdout


def test_the_counts_are_those_of_the_log(log: Path) -> None:
    events = found(log)
    counts = json.loads(run("verify", log, "--json").stdout)
    assert counts["ok"] is True
    assert counts["events"] == len(events)
    assert counts["begun"] == sum(event["aggregateType"] == "Execution" and event["aggregateVersion"] == 1 for event in events)
    for settles in ("succeeded", "failed", "abandoned"):
        assert counts[settles] == sum(event["settles"] == settles for event in events)
    assert counts["begun"] == counts["succeeded"] + counts["failed"] + counts["abandoned"] + counts["open"]


Spoil = Callable[[list[ts.Recorded]], None]


@pytest.fixture
def rewritten(tmp_path: Path, log: Path) -> Callable[[Spoil], Path]:
    """A copy of the log with other content: whole as a log, so that only its meaning is wrong."""

    def rewrite(spoil: Spoil) -> Path:
        with closing(ts.SqliteReader(log)) as reader:
            records = list(reader.read())
        spoil(records)
        path = tmp_path / "spoiled.db"
        copy = ts.SqliteLog(path)
        copy.open()
        copy.write(records)
        copy.close()
        return path

    return rewrite


def index_of(records: list[ts.Recorded], event_type: str) -> int:
    return next(index for index, recorded in enumerate(records) if recorded.event_type == event_type)


def replaced(records: list[ts.Recorded], index: int, **changes: object) -> None:
    records[index] = msgspec.structs.replace(records[index], **changes)


def test_a_settlement_by_another_owner_is_bad(rewritten: Callable[[Spoil], Path]) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        replaced(records, index_of(records, "PaymentProcessed"), owner="shipments")

    with pytest.raises(BadLog, match="which belongs to payments") as bad:
        verify(rewritten(spoil))
    assert bad.value.rule == "S2"


@pytest.mark.parametrize(
    ("changes", "rule", "said"),
    [
        ({"occurred_at_us": 1}, "P23", "it happened before the record before it"),
        ({"seen": 1_000}, "P1", "its owner had seen position 1000 by then"),
        ({"seen": -1}, "P1", "its owner had seen position -1 by then"),
        ({"causation": 1_000}, "P3", "it was caused by position 1000"),
        ({"causation": 0}, "P3", "it was caused by position 0"),
        ({"settles": "vanished"}, "S1", "it settles as 'vanished'"),
    ],
)
def test_a_record_that_no_journal_could_have_written_is_bad(
    rewritten: Callable[[Spoil], Path], changes: dict[str, object], rule: str, said: str
) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        spoiled.append(index := index_of(records, "PaymentProcessed"))
        replaced(records, index, **changes)

    spoiled = list[int]()
    with pytest.raises(BadLog, match=said) as bad:
        verify(rewritten(spoil))
    assert (bad.value.rule, bad.value.position) == (rule, spoiled[0] + 1)


def test_a_settlement_of_what_was_not_begun_is_bad(rewritten: Callable[[Spoil], Path]) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        replaced(records, index_of(records, "PaymentProcessed"), token="nobody's")  # noqa: S106 - an execution's id

    with pytest.raises(BadLog, match="which payments has not begun before") as bad:
        verify(rewritten(spoil))
    assert bad.value.rule == "S2"


def test_events_that_do_not_fold_are_bad_only_with_the_code(rewritten: Callable[[Spoil], Path]) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        index = index_of(records, "OrderConfirmed")
        replaced(records, index, event_type="OrderShipped", payload=b'{"orderId":"order-1","shipmentId":"s"}')

    path = rewritten(spoil)
    verify(path)
    with pytest.raises(BadLog, match="OrderShipped does not fold: Order: from") as bad:
        verify(path, TINY_STORE)
    with closing(ts.SqliteReader(path)) as reader:
        (wrong,) = [each.position for each in reader.read(ts.Query(event_types=("OrderShipped",)))]
    assert (bad.value.rule, bad.value.position) == ("S7", wrong)


def test_an_event_that_the_code_does_not_know_is_bad(rewritten: Callable[[Spoil], Path]) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        replaced(records, index_of(records, "StockReceived"), event_type="StockStolen")

    result = run("verify", rewritten(spoil), "--scenario", "tiny-store")
    assert result.exit_code == 1
    assert "StockStolen" in result.stderr


def test_stock_that_was_never_received_is_bad(rewritten: Callable[[Spoil], Path]) -> None:
    def spoil(records: list[ts.Recorded]) -> None:
        replaced(records, index_of(records, "StockReceived"), payload=b'{"sku":"cup","quantity":10}')

    with pytest.raises(BadLog, match="S7"):
        verify(rewritten(spoil), TINY_STORE)


def test_a_changed_row_is_found_and_its_position_named(log: Path, rewritten: Callable[[Spoil], Path]) -> None:
    path = rewritten(lambda _records: None)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE event SET owner = 'nobody' WHERE position = 7")
    connection.close()
    result = run("verify", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert "position 7" in json.loads(result.stdout)["problem"]
    assert run("verify", log).exit_code == 0


# A tail that was cut off


def cut_off(log: Path, folder: Path, keep: int) -> Path:
    """A copy of which nothing in it shows that it had more records."""
    with closing(ts.SqliteReader(log)) as reader:
        records = list(reader.read(ts.Query(until=keep)))
        identity = reader.first_row("SELECT identity FROM meta")
    path = folder / "cut.db"
    copy = ts.SqliteLog(path)
    copy.open()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE meta SET identity = ?", identity)
    connection.close()
    again = copy.reopened()
    again.open()
    again.write(records)
    again.close()
    return path


def test_a_head_that_was_kept_shows_that_a_tail_was_cut_off(log: Path, tmp_path: Path) -> None:
    whole = json.loads(run("verify", log, "--json").stdout)
    assert run("verify", log, "--head", whole["head"]).exit_code == 0
    assert f"Head: {whole['head']}" in run("verify", log).stdout
    path = cut_off(log, tmp_path, 20)
    earlier = json.loads(run("verify", path, "--json").stdout)["head"]
    assert earlier.startswith("20:")
    assert run("verify", log, "--head", earlier).exit_code == 0, "a log that has grown since has it still"
    result = run("verify", path, "--head", whole["head"], "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["position"] == 21
    assert "cut off behind 20" in run("verify", path, "--head", whole["head"]).stderr


def test_a_head_of_another_log_is_bad_at_its_position(log: Path, rewritten: Callable[[Spoil], Path]) -> None:
    other = verify(rewritten(lambda _records: None))
    with pytest.raises(ts.LogCorrupt, match="is not the one of the head") as bad:
        verify(log, kept=KeptHead.from_text(other.head))
    assert bad.value.position == other.events


def test_the_head_of_an_empty_log_is_every_logs(log: Path, tmp_path: Path) -> None:
    empty = ts.SqliteLog(tmp_path / "empty.db")
    empty.open()
    empty.close()
    head = verify(tmp_path / "empty.db").head
    assert head == "0:"
    assert run("verify", log, "--head", head).exit_code == 0


NO_HEADS = ["", "42", "42:", "0:00", ":00", "-1:00", "42:xyz", "x:00", "²:00", "1:00", f"1:{'0' * 31}", f"1:{'z' * 32}", f"{'9' * 5000}:00"]


@pytest.mark.parametrize("text", NO_HEADS)
def test_what_is_no_head_is_a_usage_error(log: Path, text: str) -> None:
    result = run("verify", log, "--head", text)
    assert result.exit_code == 2
    assert "is no head like 42:" in result.stderr


def test_the_first_bad_position_stands_in_the_json(rewritten: Callable[[Spoil], Path]) -> None:
    path = rewritten(lambda _records: None)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM event WHERE position = 7")
    connection.close()
    assert json.loads(run("verify", path, "--json").stdout)["position"] == 7
