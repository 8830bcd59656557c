"""Retention: closed work leaves the live log, what is open stays with all that belongs to it, and nobody sees a difference."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tallystick as ts
from tallystick.actors.closed_work import STAYS_FAMILY, STAYS_KEY, STAYS_OPEN, STAYS_PARKED, STAYS_YOUNG
from tallystick.scenarios.tiny_store.events import ShipmentCreated
from tallystick.scenarios.tiny_store.inventory import Stock
from tallystick.scenarios.tiny_store.orders import CancelOrder, Order
from tallystick.scenarios.tiny_store.payments import Payment
from tallystick.scenarios.tiny_store.providers import Gateway, Manner, scripted
from tallystick.scenarios.tiny_store.stage import Stage
from tests.store.archived import contents, small_archives

NOW = ts.Retention(keep=timedelta())
LATER = timedelta(days=60)


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_archives(records=40, tail=0):  # archiving writes records of its own, so that the end is never looked at
        yield


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(ts.SqliteLog(tmp_path / "log.db"))
    stage.open()
    stage.stock(tea=50)
    yield stage
    stage.close()


def shipped(stage: Stage, *order_ids: str) -> None:
    for order_id in order_ids:
        stage.place(order_id, tea=1)
    stage.run()


def reopened(stage: Stage) -> ts.System:
    stage.close()
    stage.open()
    return stage.system


def answers(system: ts.System) -> dict[str, Any]:
    """All that can be asked of a system, of what was there before `Log.Archive`."""
    records = [record for record in system.events() if not ours(record)]
    correlations = sorted({record.correlation for record in records})
    keys = sorted({record.aggregate_id for record in records})
    return {
        "records": contents(records),
        "backwards": contents(record for record in system.events(newest_first=True) if not ours(record)),
        "orders": [system.get(Order, key) for key in keys],
        "payments": [system.get(Payment, key) for key in keys],
        "operations": [system.operations.get(key) for key in keys],
        "statistics": system.operations.statistics(name_prefix="Nightly"),
        "page": system.operations.page(name_prefix="Nightly"),
        "timelines": [system.timeline(correlation) for correlation in correlations],
        "stock": system.resident(Stock),
        "open": [each for each in system.open_executions() if each.owner != "operations"],
        "letters": system.dead_letters(),
    }


def ours(record: ts.Recorded) -> bool:
    """Whether archiving has written it: its own operation, and owners' cursors."""
    return (record.owner == "operations" and b"Nightly" not in record.payload) or record.aggregate_type == "Owner"


def live(system: ts.System) -> set[int]:
    log: Any = system._life.log
    return {record.position for record in log.live(until=log.head().position)}


def reasons(system: ts.System, policy: ts.Retention = NOW) -> dict[str, str]:
    """Why the first record of each aggregate stays; empty where it may leave."""
    return {
        f"{record.aggregate_type} {record.aggregate_id}": why for record, why in system.retention(policy) if record.aggregate_version == 1
    }


# Nobody sees a difference


def test_every_query_and_fold_is_as_before_also_when_opened_again_with_and_without_snapshots(stage: Stage) -> None:
    stage.gateway = Gateway(charges=scripted({"b": [Manner.DECLINED]}))
    stage.close()
    stage.open()
    shipped(stage, "a", "b", "c")
    with stage.system.bracket("Nightly.Import") as operation:
        operation.note("checkpoint", "half", {"line": 5})
    stage.place("open", tea=1)
    stage.run()
    before = answers(stage.system)
    archived = stage.system.archive(NOW, who="Ann")
    assert archived.records > 40
    assert len(archived.archives) > 1
    assert answers(stage.system) == before
    assert answers(reopened(stage)) == before
    log: Any = stage.system._life.log
    with log.changing() as connection:
        connection.execute("DELETE FROM snapshot")
    stage.crash()
    stage.open()
    assert answers(stage.system) == before
    stage.run()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(list("abcdefgh"))),
        st.tuples(st.just("cancel"), st.sampled_from(list("abcdefgh"))),
        st.tuples(st.just("wait"), st.integers(1, 400)),
        st.tuples(st.just("begin"), st.sampled_from(list("xyz"))),
        st.tuples(st.just("end"), st.sampled_from(list("xyz"))),
        st.tuples(st.just("archive"), st.sampled_from([0, 1, 100])),
        st.tuples(st.just("reopen"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=12, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_archiving_changes_no_answer(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]) -> None:
    stage = Stage(ts.SqliteLog(tmp_path_factory.mktemp("one") / "log.db"))
    stage.gateway = Gateway(charges=scripted({"b": [Manner.DECLINED], "c": [Manner.NEVER], "d": [Manner.LATE]}))
    stage.open()
    stage.stock(tea=9)
    placed, begun = set[str](), dict[str, str]()
    everything: list[tuple[str, Any]] = [*steps, ("archive", 0), ("reopen", 0)]
    for step, value in everything:
        match step:
            case "order" if value not in placed:
                placed.add(value)
                stage.place(value, tea=1)
            case "cancel" if value in placed:
                stage.system.submit(CancelOrder(order_id=value))  # it may have been shipped; then it is refused
            case "wait":
                stage.wait(timedelta(hours=value))
            case "begin" if value not in begun:
                begun[value] = stage.system.operations.start("Nightly.Import", tags={"name": value})
            case "end" if value in begun:
                stage.system.operations.succeed(begun.pop(value))
            case "archive":
                stage.run()
                before, staying = answers(stage.system), {each.execution.token for each in stage.system.open_executions()}
                stage.system.archive(ts.Retention(keep=timedelta(hours=value)), who="Ann")
                assert answers(stage.system) == before
                there = {record.token for record in stage.system.events() if record.position in live(stage.system)}
                assert staying <= there
            case "reopen":
                stage.run()
                before = answers(stage.system)
                reopened(stage)
                assert before["records"] == answers(stage.system)["records"][: len(before["records"])]
            case "crash":
                stage.crash()
                stage.open()
            case _:
                pass  # it was done before
    assert len(list(stage.system._life.log.verify())) == stage.system._life.log.head().position
    stage.close()


def test_a_dry_run_says_exactly_what_then_leaves(stage: Stage) -> None:
    shipped(stage, "a", "b")
    stage.wait(LATER)
    stage.place("new", tea=1)
    stage.run()
    before = live(stage.system)
    said = {record.position for record, why in stage.system.retention() if not why}
    assert live(stage.system) == before
    archived = stage.system.archive(who="Ann")
    gone = before - live(stage.system)
    assert gone == said
    assert archived.records == len(gone) > 20


def test_an_opening_and_new_work_read_no_archive(stage: Stage, tmp_path: Path) -> None:
    shipped(stage, "a", "b", "c")
    assert stage.system.archive(NOW, who="Ann").records > 25
    stage.close()
    away = tmp_path / "away"
    away.mkdir()
    for each in list(tmp_path.glob("log.db-archive*")):
        each.rename(away / each.name)
    stage.open()
    shipped(stage, "d")
    log: Any = stage.system._life.log
    assert ShipmentCreated.__name__ in {record.event_type for record in log.live(until=log.head().position)}
    with pytest.raises(ts.ArchiveDamaged, match="is missing"):
        stage.system.get(Order, "a")
    stage.close()
    for each in list(away.iterdir()):
        each.rename(tmp_path / each.name)
    stage.open()
    assert stage.system.get(Order, "a") is not None


# What stays


def test_open_work_stays_with_its_evidence_its_parents_and_its_children(stage: Stage) -> None:
    operations = stage.system.operations
    with stage.system.bracket("Nightly.Old"):
        pass
    elsewhere = operations.start("Nightly.Parent", correlation="of-the-parent")
    with stage.system.bracket("Nightly.Outer") as outer:
        with stage.system.bracket("Nightly.Done") as done:
            done.note("evidence", "of the child")
        child = operations.start("Nightly.Child", correlation="of-the-child")
        inner = operations.start("Nightly.Inner")
        operations.audit("Nightly.Audited", who="Bo")
    operations.succeed(child)
    assert outer.id != inner
    stays = reasons(stage.system)
    (old,) = operations.page(name_prefix="Nightly.Old").operations
    assert stays[f"Operation {old.operation_id}"] == ""
    assert stays[f"Operation {inner}"] == STAYS_OPEN
    assert stays[f"Operation {elsewhere}"] == STAYS_OPEN
    assert stays[f"Operation {outer.id}"] == STAYS_OPEN
    assert stays[f"Operation {done.id}"] == STAYS_OPEN
    assert {why for name, why in stays.items() if name.startswith("OperationAudit")} == {STAYS_OPEN}
    operations.succeed(inner)
    assert {reasons(stage.system)[f"Operation {each}"] for each in (outer.id, done.id, child, inner)} == {""}


def test_a_child_of_open_work_and_a_parent_of_open_work_stay_across_correlations(stage: Stage) -> None:
    operations = stage.system.operations
    with stage.system.bracket("Nightly.Parent") as parent:
        child = operations.start("Nightly.Child", correlation="another")
    assert reasons(stage.system)[f"Operation {parent.id}"] == STAYS_FAMILY
    operations.succeed(child)
    assert reasons(stage.system)[f"Operation {parent.id}"] == ""
    with stage.system.bracket("Nightly.Open") as still:
        with stage.system.bracket("Nightly.Closed", correlation="a third") as closed:
            pass
        assert reasons(stage.system)[f"Operation {closed.id}"] == STAYS_FAMILY
    assert reasons(stage.system)[f"Operation {closed.id}"] == reasons(stage.system)[f"Operation {still.id}"] == ""


def test_a_closed_parent_stays_as_long_as_its_child_is_young(stage: Stage) -> None:
    operations = stage.system.operations
    with stage.system.bracket("Nightly.Parent") as parent:
        child = operations.start("Nightly.Child", correlation="another")
    stage.wait(LATER)
    operations.succeed(child)
    assert reasons(stage.system, ts.Retention())[f"Operation {parent.id}"] == STAYS_FAMILY
    stage.wait(LATER)
    assert reasons(stage.system, ts.Retention())[f"Operation {parent.id}"] == ""


def test_an_order_that_waits_for_its_payment_stays_whole_and_a_shipped_one_leaves(stage: Stage) -> None:
    stage.gateway = Gateway(charges=scripted({"slow": [Manner.NEVER]}))
    reopened(stage)
    shipped(stage, "done", "slow")
    stays = {(record.correlation, why) for record, why in stage.system.retention(NOW) if record.aggregate_type in {"Order", "Reservation"}}
    by_order = {key: next(stage.system.events(aggregate_type="Order", aggregate_id=key)).correlation for key in ("done", "slow")}
    assert (by_order["done"], "") in stays
    assert {why for correlation, why in stays if correlation == by_order["slow"]} == {STAYS_OPEN}


def test_work_is_kept_longer_by_how_it_ended_and_by_what_is_in_it(stage: Stage) -> None:
    operations = stage.system.operations
    failed, good = operations.start("Nightly.Failed"), operations.start("Nightly.Good")
    operations.fail(failed, "WHY")
    operations.succeed(good)
    stage.wait(LATER)
    assert reasons(stage.system, ts.Retention())[f"Operation {failed}"] == ""
    stays = reasons(stage.system, ts.Retention(by_status={"failed": timedelta(days=90)}))
    assert (stays[f"Operation {failed}"], stays[f"Operation {good}"]) == (STAYS_YOUNG, "")
    assert reasons(stage.system, ts.Retention(by_type={"Operation": timedelta(days=90)}))[f"Operation {good}"] == STAYS_YOUNG
    with pytest.raises(ts.DefinitionError, match="negative"):
        ts.Retention(by_type={"Order": -timedelta(1)})


def test_an_idempotency_key_is_answered_from_an_archive_and_stays_while_it_is_in_use(stage: Stage) -> None:
    order = stage.order("a", tea=1)
    answer = stage.system.ask(order, idempotency_key="key")
    stage.run()
    assert reasons(stage.system)["Command key"] == STAYS_KEY
    stage.wait(LATER)
    assert reasons(stage.system)["Command key"] == ""
    stage.system.archive(NOW, who="Ann")
    assert stage.system._life.log.version("Command", "key") == 1
    with pytest.raises(ts.TallystickError):  # thirty days are over: it is asked anew, and that order was placed before
        stage.system.ask(order, idempotency_key="key")
    assert answer == "a"


def test_what_is_parked_stays_until_somebody_has_decided(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(stage.system._life.engine.owners["inventory"]._reactions, "OrderPlaced", broken)
    stage.place("broken", tea=1)
    stage.wait(LATER)
    assert len(stage.system.dead_letters()) == 1
    assert reasons(stage.system)["Order broken"] == STAYS_PARKED


# How it is recorded, and who may


def test_it_is_an_operation_with_evidence_and_an_audit_record_of_who_had_it_done(stage: Stage) -> None:
    shipped(stage, "a", "b")
    archived = stage.system.archive(NOW, who="Ann", why="the disk is full")
    (operation,) = stage.system.operations.page(name_prefix="Log.Archive").operations
    assert operation.status is ts.OperationStatus.SUCCEEDED
    correlation = stage.system.operations.correlation_of(operation.operation_id) or ""
    found = [msgspec.json.decode(record.payload) for record in stage.system.events(correlation=correlation)]
    (audit,) = [each for each in found if each.get("name") == "Log.Archived"]
    assert (audit["who"], "the disk is full" in audit["message"]) == ("Ann", True)
    assert [anchor["role"] for anchor in audit["anchors"]] == [each.checksum for each in archived.archives]
    assert sum(each.get("kind") == "archived" for each in found) == len(archived.archives)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"who": ""}, ts.InvalidPayload),
        ({"who": " "}, ts.InvalidPayload),
        ({"who": 5}, ts.InvalidPayload),
        ({"who": "Ann", "why": 7}, ts.InvalidPayload),
        ({"who": ts.sensitive("Ann", of="p")}, ts.PersonalDataRefused),
        ({"who": "Ann", "why": ts.sensitive("Ann asked", of="p")}, ts.PersonalDataRefused),
        ({"who": "Ann", "limit": 0}, ts.DefinitionError),
        ({"who": "Ann", "limit": -1}, ts.DefinitionError),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_moved(stage: Stage, said: Any, error: type[Exception]) -> None:
    shipped(stage, "a", "b")
    live = sum(1 for _ in stage.system.events())
    with pytest.raises(error):
        stage.system.archive(NOW, **said)
    assert sum(1 for _ in stage.system.events()) == live
    assert not list(stage.system.operations.page(name_prefix="Log.Archive").operations)


def test_a_failure_is_a_failed_operation_and_nothing_is_lost(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped(stage, "a", "b")
    before = answers(stage.system)
    monkeypatch.setattr("tallystick.store.archives.file.ArchiveWriter.seal", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        stage.system.archive(NOW, who="Ann")
    monkeypatch.undo()
    assert answers(stage.system) == before
    assert [each.status for each in stage.system.operations.page(name_prefix="Log.Archive").operations] == [ts.OperationStatus.FAILED]


def test_a_limit_stops_after_so_many_archives_and_the_next_time_goes_on(stage: Stage) -> None:
    shipped(stage, *"abcdefghijkl")
    before, rounds = answers(stage.system), 0
    while stage.system.archive(NOW, who="Ann", limit=1).records > 30:  # fewer are its own
        rounds += 1
    assert rounds > 2
    assert answers(stage.system) == before


def test_a_log_in_memory_and_a_system_without_operations_refuse() -> None:
    with ts.System() as system, pytest.raises(ts.DefinitionError, match="MemoryLog has no archives"):
        system.archive(who="Ann")


def test_a_system_without_operations_refuses(tmp_path: Path) -> None:
    with ts.System(log=tmp_path / "log.db", operations=False) as system, pytest.raises(ts.DefinitionError, match="operations=True"):
        system.archive(who="Ann")
