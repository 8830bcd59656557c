"""Snapshots: a shorter way to the same state, never to another one (P21, S7)."""

from typing import Any

import msgspec
import pytest
from pyrsistent import PMap, PSet, PVector, pmap, pset, pvector

import tallystick as ts
from tallystick.actors import writer as writer_module
from tallystick.actors.engine import Engine
from tallystick.actors.messages import Context, QueueCompleted, TakeSnapshot
from tallystick.actors.owner.snapshots import SavedRecord
from tallystick.actors.recovery import fold
from tallystick.domain.execution import ExecutionRecord
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Order, Ordered, no_hook

OWNERS = ("desk", "workshop", "ledger")


def a_bit_of_everything(stage: Stage) -> None:
    """Running, retrying, abandoned, waiting for a person, parked, dead and settled things, in two owners."""
    failing = {"dead", "parked"}

    def hook(what: str, job_id: str) -> None:
        if what == "ordered" and job_id in failing:
            raise ValueError(job_id)

    stage.ledger.hook = hook
    stage.times_out("abandoned")
    stage.system.ask(Order(order_id="dead"))
    stage.advance(60)
    stage.provider.answers("running", StillRunning())
    stage.provider.answers("retrying", ValueError("no"))
    stage.provider.answers("for a person", StillRunning())
    for job_id in ("running", "retrying", "done", "for a person"):
        stage.system.ask(Do(job_id=job_id), idempotency_key=f"key of {job_id}")
    stage.idle()
    stage.open_call("running").call.progress(40, "halfway, nearly")
    stage.open_call("for a person").call.progress(100)
    stage.open_call("for a person").returns(42)
    stage.system.ask(Order(order_id="parked"))
    stage.idle()


def folded(stage: Stage) -> Engine:
    """An engine that knows what the log and its snapshots say, and has acted on nothing of it."""
    engine = Engine(stage.system._life._program, stage.log, lambda _actor, _error: None)
    fold(engine)
    return engine


def states(engine: Engine) -> dict[str, Any]:
    """All that owners keep between turns, but for what they read back on demand."""
    found: dict[str, Any] = {}
    for name, owner in engine.owners.items():
        state = owner.state
        kept: list[Any] = [state.residents, state.executions, state.parking, state.abandoned, state._by_subject]
        found[name] = (state.position, *(dict(each) for each in kept))
    return found


def records_folded(lines: list[Any]) -> int:
    return next(int(line["records_folded"]) for line in reversed(lines) if line["event"] == "system.recovered")


def test_p21_a_snapshot_leads_to_the_same_state_as_all_the_events(stage: Stage, lines: list[Any]) -> None:
    """S7: and to the state of those who never stopped."""
    a_bit_of_everything(stage)
    live = states(stage.engine)
    assert states(folded(stage)) == live
    stage.reopen()
    stage.idle()
    stage.reopen()
    assert records_folded(lines) < len(stage.written) / 2, "the snapshots must have spared reading"
    with_snapshots = states(folded(stage))
    stage.log._storage.snapshots.clear()
    assert states(folded(stage)) == with_snapshots
    assert with_snapshots != live


@pytest.mark.parametrize("kept", [True, False], ids=["with snapshots", "snapshots deleted"])
def test_p21_the_story_goes_on_alike_with_and_without_snapshots(stage: Stage, *, kept: bool) -> None:
    a_bit_of_everything(stage)
    stage.reopen()
    if not kept:
        stage.log._storage.snapshots.clear()
    stage.ledger.hook = no_hook
    stage.crash()
    stage.advance(600)
    stage.system.redrive(stage.system.dead_letters(ts.DeadLetterQuery(kind="reaction"))[0])
    stage.provider.found["abandoned"] = ts.Done(result="late")
    stage.crash()
    stage.advance(600)
    assert sorted(event.job_id for event in stage.events("JobDone")) == ["dead", "done", "parked", "retrying", "running"]
    assert [what for about, what in stage.entered() if about in {"dead", "parked"}].count("ordered") == 2
    assert stage.provider.undone == ["abandoned"]
    assert [each.execution.status for each in stage.system.open_executions()] == ["person"]
    assert stage.system.ask(Do(job_id="done"), idempotency_key="key of done") == "done"
    assert [call.attempt for call in stage.provider.calls_for("retrying")] == [1, 2]


@pytest.mark.parametrize(
    "damage",
    [
        {"body": b"{broken"},
        {"body": b"{}"},
        {"body": b'{"seen":0,"residents":{"Gone":{}},"executions":[],"foldVersions":{},"parking":[],"abandoned":{}}'},
        {"format": 99},
    ],
    ids=["not JSON", "without its fields", "of other residents", "of another format"],
)
@pytest.mark.parametrize("which", [slice(0, 1), slice(None)], ids=["the newest", "all"])
def test_p21_damaged_snapshots_are_left_out_with_a_warning_and_change_nothing(
    stage: Stage, lines: list[Any], damage: dict[str, Any], which: slice
) -> None:
    a_bit_of_everything(stage)
    stage.reopen()
    stage.system.ask(Do(job_id="more"))
    stage.reopen()
    assert len(list(stage.log.snapshots("workshop"))) == 2
    before = states(folded(stage))
    stored = stage.log._storage.snapshots
    for owner in OWNERS:
        damaged = [msgspec.structs.replace(snapshot, **damage) for snapshot in stored[owner][which]]
        stored[owner] = (*damaged, *stored[owner][len(damaged) :])
    lines.clear()
    assert states(folded(stage)) == before
    assert "workshop" in {line["owner"] for line in lines if line["event"] == "snapshot.left_out"}


def test_p21_a_snapshot_beyond_the_logs_end_is_an_error(stage: Stage) -> None:
    a_bit_of_everything(stage)
    stage.reopen()
    del stage.log._storage.records[-3:]
    with pytest.raises(ts.SnapshotError, match="events are missing"):
        stage.crash()


@pytest.mark.parametrize("owner", [*OWNERS, "\0streams"])
def test_p21_a_snapshot_of_another_log_is_an_error(stage: Stage, owner: str) -> None:
    a_bit_of_everything(stage)
    stage.reopen()
    stored = stage.log._storage.snapshots
    stored[owner] = tuple(msgspec.structs.replace(snapshot, hash=b"another") for snapshot in stored[owner])
    with pytest.raises(ts.SnapshotError, match="another hash"):
        stage.crash()


def test_p21_redelivery_starts_at_what_was_seen_and_not_at_the_snapshots_position(stage: Stage) -> None:
    stage.provider.answers("first", StillRunning())
    stage.system.ask(Do(job_id="first"))
    stage.idle()
    stage.system.submit(Order(order_id="second"))
    workshop = stage.engine.owners["workshop"].post
    workshop.tell(QueueCompleted(Context("workshop", stage.token("first")), 1, "done"))
    workshop.tell(TakeSnapshot())
    stage.step_until(lambda: "JobDone" in stage.types())
    stage.step_until(lambda: bool(list(stage.log.snapshots("workshop"))))
    (snapshot,) = stage.log.snapshots("workshop")
    ordered = stage.of_type("Ordered")[0]
    seen = msgspec.json.decode(snapshot.body)["seen"]
    assert seen < ordered.position < snapshot.position
    stage.crash()
    stage.idle()
    assert [event.job_id for event in stage.events("JobDone")] == ["first", "second"]


def test_p21_what_was_seen_when_a_snapshot_was_taken_is_not_taken_again(stage: Stage) -> None:
    taken: list[str] = []
    stage.workshop.hook = lambda what, job_id: taken.append(f"{what} {job_id}")
    stage.system.ask(Order(order_id="x", text="nothing"))
    stage.idle()
    stage.reopen()
    stage.idle()
    assert taken == ["ordered x"]


def test_p21_a_snapshot_is_of_the_moment_it_was_taken_and_written_when_that_is_durable(stage: Stage) -> None:
    stage.idle()
    stage.system.submit(Do(job_id="a", steps=0))
    workshop = stage.engine.owners["workshop"]
    stage.step_until(lambda: workshop.state.executions != {})
    position = stage.engine.journal.tail
    workshop.post.tell(TakeSnapshot())
    stage.step_until(workshop.post.empty)
    stage.system.submit(Do(job_id="b", steps=0))
    assert stage.engine.journal.watermark < position
    assert list(stage.log.snapshots("workshop")) == []
    stage.idle()
    (snapshot,) = stage.log.snapshots("workshop")
    assert snapshot.position == position
    assert snapshot.hash == stage.written[position - 1].hash
    assert len(msgspec.json.decode(snapshot.body)["executions"]) == 1


def test_p21_a_timeout_that_fired_but_is_missing_from_a_snapshot_takes_effect_once(stage: Stage) -> None:
    """P8: the timeout stands before the snapshot's position, but its owner had not heard of it."""
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.fires("a", attempt=1)
    workshop = stage.engine.owners["workshop"].post
    stage.system.submit(Do(job_id="b", steps=0))
    workshop.tell(TakeSnapshot())
    stage.step_until(lambda: bool(list(stage.log.snapshots("workshop"))))
    (snapshot,) = stage.log.snapshots("workshop")
    assert stage.of_type("TimeoutFired")[0].position < snapshot.position
    assert b'"fired"' not in snapshot.body
    stage.crash()
    stage.advance(65)
    assert [each.token for each in stage.of_type("RetryScheduled")].count(stage.token("a")) == 1


def test_p21_snapshots_are_taken_now_and_then_while_it_runs(monkeypatch: pytest.MonkeyPatch, lines: list[Any]) -> None:
    monkeypatch.setattr(writer_module, "SNAPSHOT_EVERY_RECORDS", 20)
    stage = Stage()
    for number in range(20):
        stage.system.ask(Do(job_id=f"{number}"))
        stage.idle()
    assert len(list(stage.log.snapshots("workshop"))) == 2
    live = states(stage.engine)
    stage.crash()
    assert 0 < records_folded(lines) < len(stage.written)
    assert states(folded(stage)) == live


class Kept(ts.Record):
    number: int = 0


class Shelf(ts.Resident):
    """All the persistent collections that a resident may hold."""

    by_name: PMap[str, Kept] = pmap()
    in_order: PVector[int] = pvector()
    names: PSet[str] = pset()
    plain: tuple[Kept, ...] = ()
    frozen: frozenset[str] = frozenset()


class Keeper(ts.Module):
    name = "keeper"

    @ts.handles(Order, emits=[Ordered])
    def order(self, _turn: ts.Turn, command: Order) -> ts.Decision[str]:
        yield Ordered(order_id=command.order_id)
        return command.order_id

    @ts.folds(Ordered, Shelf)
    def kept(self, shelf: Shelf, event: Ordered) -> Shelf:
        number = len(shelf.in_order)
        return Shelf(
            by_name=shelf.by_name.set(event.order_id, Kept(number=number)),
            in_order=shelf.in_order.append(number),
            names=shelf.names.add(event.order_id),
            plain=(*shelf.plain, Kept(number=number)),
            frozen=shelf.frozen | {event.order_id},
        )


def test_p21_persistent_collections_come_back_from_a_snapshot_as_they_were(lines: list[Any]) -> None:
    stage = Stage([Keeper()])
    for order_id in ("a", "b"):
        stage.system.ask(Order(order_id=order_id))
    before = stage.system.resident(Shelf)
    stage.reopen()
    assert records_folded(lines) == 0
    after = stage.system.resident(Shelf)
    assert after == before
    assert isinstance(after.by_name, PMap)
    assert isinstance(after.in_order, PVector)
    assert isinstance(after.names, PSet)
    assert after.by_name["b"] == Kept(number=1)


def test_p21_a_module_with_another_resident_than_its_snapshot_folds_the_events_anew(lines: list[Any]) -> None:
    stage = Stage([Keeper()])
    stage.system.ask(Order(order_id="a"))
    stage.reopen()

    class Count(ts.Resident):
        orders: int = 0

    class NewKeeper(Keeper):
        @ts.folds(Ordered, Count)
        def counted(self, count: Count, _event: Ordered) -> Count:
            return Count(orders=count.orders + 1)

    stage.reopen([NewKeeper()])
    assert stage.system.resident(Count).orders == 1
    assert any(line["event"] == "snapshot.left_out" for line in lines)


def test_p21_a_resident_whose_fold_has_changed_is_folded_anew_when_it_says_so(lines: list[Any]) -> None:
    class Size(ts.Resident):
        total: int = 0

    class OldScale(Keeper):
        @ts.folds(Ordered, Size)
        def weighed(self, size: Size, _event: Ordered) -> Size:
            return Size(total=size.total + 1)

    class NewScale(Keeper):
        @ts.folds(Ordered, Size)
        def weighed(self, size: Size, _event: Ordered) -> Size:
            return Size(total=size.total + 10)

    stage = Stage([OldScale()])
    stage.system.ask(Order(order_id="a"))
    stage.reopen([NewScale()])
    assert stage.system.resident(Size).total == 1, "nothing says that the snapshot's state is of another fold"
    stage.system.stop()
    Size.fold_version = 2
    stage.reopen([NewScale()])
    assert stage.system.resident(Size).total == 10
    (left_out,) = {line["error"] for line in lines if line["event"] == "snapshot.left_out"}
    assert "fold versions" in left_out
    stage.reopen([NewScale()])
    assert records_folded(lines) == 0


def test_what_was_begun_and_ended_leaves_nothing_behind_in_the_execution_map(stage: Stage) -> None:
    state = stage.engine.owners["workshop"].state
    stage.provider.answers("open", StillRunning())
    stage.system.ask(Do(job_id="open"))
    stage.idle()
    before = state.executions
    for number in range(20):
        stage.system.ask(Do(job_id=f"{number}"))
        stage.idle()
    assert len(state._changed) == 0
    stage.open_call("open").returns("done")
    stage.idle()
    assert (len(before), len(state.executions), len(state._changed)) == (1, 0, 0)


def test_a_snapshot_has_every_field_of_an_execution_record() -> None:
    def fields(kind: type[msgspec.Struct]) -> dict[str, tuple[Any, Any]]:
        return {field.name: (field.type, field.default) for field in msgspec.structs.fields(kind)}

    wanted = fields(ExecutionRecord)
    del wanted["started"]  # as bytes, beside it
    assert fields(SavedRecord) == wanted
