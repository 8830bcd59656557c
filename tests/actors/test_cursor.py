"""The cursor of an owner: what it has taken of the others' events, across crashes (P1, P2, P3)."""

import pytest

import tallystick as ts
from tallystick.actors.messages import Context, QueueCompleted
from tallystick.actors.owner import owner as owner_module
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, Drop, Ledger, Order, Workshop


def test_p1_a_completion_that_overtakes_an_event_in_the_mailbox_does_not_make_the_owner_skip_it(stage: Stage) -> None:
    stage.provider.answers("first", StillRunning())
    stage.system.ask(Do(job_id="first"))
    stage.idle()
    context = Context("workshop", stage.token("first"))
    stage.system.submit(Order(order_id="second"))
    stage.engine.owners["workshop"].post.tell(QueueCompleted(context, 1, "done"))

    stage.step_until(lambda: "JobDone" in stage.types())
    ordered, done = stage.of_type("Ordered")[0], stage.of_type("JobDone")[0]
    assert ordered.position < done.position
    assert done.seen is not None
    assert done.seen < ordered.position
    assert "JobBegun" not in stage.types(of="workshop")[3:], "the reaction to the order must still be to come"

    stage.crash()
    stage.idle()
    assert [event.job_id for event in stage.events("JobBegun")] == ["first", "second"]
    assert [event.job_id for event in stage.events("JobDone")] == ["first", "second"]


def test_p1_an_append_that_answers_a_later_event_does_not_move_the_cursor_over_an_earlier_one(stage: Stage) -> None:
    """The evidence of a late success answers the settlement, which stands behind an order that the workshop has not yet seen."""
    stage.provider.answers("first", StillRunning())
    stage.system.ask(Do(job_id="first"))
    stage.idle()
    context = Context("workshop", stage.token("first"))
    stage.system.submit(Order(order_id="second"))
    stage.system.submit(Drop(job_id="first"))
    stage.engine.owners["workshop"].post.tell(QueueCompleted(context, 1, "done"))

    stage.step_until(lambda: "LateSuccess" in stage.types())
    ordered, settled, late = (stage.of_type(name)[0] for name in ("Ordered", "JobFailed", "LateSuccess"))
    assert late.causation == settled.position > ordered.position
    assert late.seen is not None
    assert late.seen < ordered.position
    stage.crash()
    stage.idle()
    assert [event.job_id for event in stage.events("JobDone")] == ["second"]


def test_p1_every_append_of_an_owner_carries_its_cursor_which_never_falls(stage: Stage) -> None:
    stage.provider.answers("b", ValueError("not now"))
    stage.system.submit(Do(job_id="a"))
    stage.system.submit(Order(order_id="b"))
    stage.idle()
    stage.advance(60)
    for owner in ("desk", "workshop", "ledger"):
        cursors = [each.seen for each in stage.written if each.owner == owner]
        assert None not in cursors
        assert cursors == sorted(cursors, key=lambda seen: seen or 0)
    assert "RetryScheduled" in stage.types()


def test_p1_a_reaction_that_said_nothing_is_not_taken_again_against_later_state(stage: Stage) -> None:
    taken: list[str] = []

    def hook(what: str, job_id: str) -> None:
        taken.append(f"{what} {job_id}")

    stage.workshop.hook = hook
    stage.system.ask(Order(order_id="x", text="nothing"))
    stage.idle()
    stage.system.ask(Do(job_id="y"))
    stage.crash()
    stage.idle()
    assert taken.count("ordered x") == 1


def test_p2_wherever_the_process_dies_every_event_is_taken_once_and_every_job_done_once() -> None:
    died_at = [steps for steps in range(50) if dies_and_recovers(steps)]
    assert 20 < len(died_at) < 50, "the steps must reach from the first message to beyond the last"


def dies_and_recovers(steps: int) -> bool:
    """Whether there was anything left to do when it died."""
    stage = Stage()
    futures = [stage.system.submit(Order(order_id="a"), idempotency_key="1"), stage.system.submit(Do(job_id="b"), idempotency_key="2")]
    unfinished = all(stage.runtime.step() for _ in range(steps))
    acknowledged = [future.result() for future in futures if future.done()]
    durable = [(each.position, each.event_id, each.hash) for each in stage.written]

    stage.crash()
    assert [(each.position, each.event_id, each.hash) for each in stage.written][: len(durable)] == durable, steps
    assert set(acknowledged) <= {each.aggregate_id for each in stage.written}, steps
    stage.system.ask(Order(order_id="a"), idempotency_key="1")
    stage.system.ask(Do(job_id="b"), idempotency_key="2")
    stage.idle()

    assert sorted(stage.entered()) == [("a", "done"), ("a", "ordered"), ("b", "done")], steps
    assert sorted(event.job_id for event in stage.events("JobDone")) == ["a", "b"], steps
    assert stage.system.open_executions() == (), steps
    assert [len({call.key for call in stage.provider.calls_for(job_id)}) for job_id in ("a", "b")] == [1, 1], steps
    return unfinished


def test_p2_recovery_takes_missed_events_before_any_command(stage: Stage) -> None:
    stage.idle()
    stage.system.submit(Order(order_id="a"))
    stage.step_until(lambda: "Ordered" in stage.types())
    assert stage.types() == ["Ordered"]
    stage.crash()
    stage.system.submit(Do(job_id="b"))
    stage.idle()
    assert [event.job_id for event in stage.events("JobBegun")] == ["a", "b"]


def test_p2_recovery_takes_missed_events_before_timeouts(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.system.submit(Order(order_id="b"))
    stage.step_until(lambda: "Ordered" in stage.types())
    stage.fires("a", attempt=1)
    stage.engine.journal.commit()
    assert stage.types()[-2:] == ["Ordered", "TimeoutFired"]
    stage.crash()
    stage.idle()
    assert [name for name in stage.types(of="workshop") if name in {"JobBegun", "RetryScheduled"}][1:] == ["JobBegun", "RetryScheduled"]


def test_p2_a_clean_stop_writes_down_the_cursor_of_an_owner_that_had_nothing_to_say(stage: Stage) -> None:
    stage.system.ask(Order(order_id="x", text="nothing"))
    stage.idle()
    stage.reopen()
    (advanced,) = stage.of_type("CursorAdvanced")
    (ordered,) = stage.of_type("Ordered")
    assert (advanced.owner, advanced.seen) == ("workshop", ordered.position)


def test_p2_after_many_silent_events_an_owner_writes_its_cursor_down(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_module, "SILENT_LIMIT", 20)
    for number in range(30):
        stage.system.submit(Order(order_id=f"o{number}", text="nothing"))
    stage.idle()
    owners = {each.owner for each in stage.of_type("CursorAdvanced")}
    assert "workshop" in owners
    assert len(stage.of_type("CursorAdvanced")) <= 6, "a cursor for every few events would be a write amplification"


def test_p3_a_module_that_is_new_to_a_log_starts_at_its_end() -> None:
    stage = Stage([Desk()])
    stage.system.ask(Order(order_id="before"))
    stage.reopen([Desk(), Ledger()])
    stage.system.ask(Order(order_id="after"))
    stage.idle()
    assert stage.entered() == [("after", "ordered")]
    joined = next(each for each in stage.of_type("OwnerJoined") if each.owner == "ledger")
    assert stage.system._codec.decode(joined).start == joined.position - 1
    stage.reopen()
    stage.idle()
    assert len([each for each in stage.of_type("OwnerJoined") if each.owner == "ledger"]) == 1


def test_p3_a_module_that_is_new_to_a_log_takes_all_of_it_if_it_says_so() -> None:
    class Historian(Ledger):
        joins_at = "beginning"

    stage = Stage([Desk()])
    for order_id in ("first", "second"):
        stage.system.ask(Order(order_id=order_id))
    stage.reopen([Desk(), Historian()])
    stage.system.ask(Order(order_id="after"))
    stage.idle()
    assert stage.entered() == [(order_id, "ordered") for order_id in ("first", "second", "after")]
    joined = next(each for each in stage.of_type("OwnerJoined") if each.owner == "ledger")
    assert stage.system._codec.decode(joined).start == 0
    stage.crash()
    stage.idle()
    assert len(stage.entered()) == 3, "it joins once"


def test_p3_reactions_say_which_event_they_answer_and_keep_its_correlation(stage: Stage) -> None:
    stage.system.ask(Order(order_id="a"))
    stage.idle()
    ordered = stage.of_type("Ordered")[0]
    begun = stage.of_type("JobBegun")[0]
    assert begun.causation == ordered.position
    assert {each.correlation for each in stage.written if each.event_type != "OwnerJoined"} == {ordered.event_id}


def test_a_module_that_is_missing_from_the_program_is_named(stage: Stage) -> None:
    stage.system.ask(Order(order_id="a"))
    stage.system.stop()
    system = ts.System([Desk(), Workshop()], performers=stage.provider.performers(), log=stage.log.reopened(), runtime=ts.SteppedRuntime())
    with pytest.raises(ts.LogError, match="ledger"):
        system.__enter__()
