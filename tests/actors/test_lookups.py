"""What an owner looks up: in the tail first, then in the log, whatever was trimmed or evicted meanwhile (P17, P20, P23)."""

from collections import defaultdict

import pytest

import tallystick as ts
from tallystick.actors.owner import state as state_module
from tallystick.store import journal as journal_module
from tallystick.store import lane as lane_module
from tests.actors.outside import StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, Done, Drop, Entered, JobState, Ledger, Order, Ordered, Workshop


@pytest.fixture(autouse=True)
def _nothing_lingers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed aggregates are let go of as soon as they may be."""
    monkeypatch.setattr(state_module, "CLOSING_AT_ONCE", 0)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A stage whose journal forgets durable records soon."""
    monkeypatch.setattr(journal_module, "WINDOW_RECORDS", 8)
    return Stage()


def run_many(stage: Stage, jobs: int = 30) -> None:
    for number in range(jobs):
        stage.system.ask(Do(job_id=f"job {number}"), idempotency_key=f"key {number}")
        stage.idle()
    assert len(stage.engine.journal._window) < 30, "the window must have been trimmed"


def held(stage: Stage) -> int:
    return stage.system.health().owners["workshop"].aggregates_in_memory


def test_p17_closed_aggregates_are_evicted_and_read_back_when_somebody_asks(narrow: Stage) -> None:
    run_many(narrow)
    assert held(narrow) <= 2
    for job_id in ("job 0", "job 29"):
        with pytest.raises(ts.Rejected, match="KNOWN"):
            narrow.system.ask(Do(job_id=job_id))
    assert narrow.system.resident(Done).count == 30
    state = narrow.system.get(JobState, "job 0")
    assert state is not None
    assert state.status == "done"


def test_p17_an_open_aggregate_is_not_evicted(narrow: Stage) -> None:
    narrow.provider.answers("open", StillRunning())
    narrow.system.ask(Do(job_id="open"))
    run_many(narrow)
    assert 1 <= held(narrow) <= 3
    narrow.open_call("open").returns("done")
    narrow.idle()
    assert narrow.events("JobDone")[-1].job_id == "open"


def test_p17_a_closed_aggregate_stays_in_memory_until_it_is_durable(stage: Stage) -> None:
    stage.idle()
    commit, stage.engine.journal.commit = stage.engine.journal.commit, lambda: False  # type: ignore[method-assign]
    for job_id in ("a", "b", "c"):
        stage.system.submit(Do(job_id=job_id, steps=0))
        stage.system.submit(Drop(job_id=job_id))
    stage.idle()
    assert held(stage) == 3
    stage.engine.journal.commit = commit  # type: ignore[method-assign]
    stage.engine.journal.commit()
    stage.system.ask(Do(job_id="d", steps=0))
    assert held(stage) == 1


def test_p17_nothing_changes_when_the_watermark_stands_still(stage: Stage) -> None:
    """No decision depends on the watermark: the same messages give the same events whether or not anything is written meanwhile."""
    stage.idle()
    commit, stage.engine.journal.commit = stage.engine.journal.commit, lambda: False  # type: ignore[method-assign]
    for number in range(20):
        stage.system.submit(Do(job_id=f"{number % 5}", steps=0), idempotency_key=f"{number}")
        stage.system.submit(Drop(job_id=f"{number % 5}"))
    stage.idle()
    assert stage.types() == []
    stage.engine.journal.commit = commit  # type: ignore[method-assign]
    stage.engine.journal.commit()
    speculative = [(each.event_type, each.aggregate_id, each.aggregate_version) for each in stage.written if each.owner == "workshop"]

    other = Stage()
    for number in range(20):
        other.system.submit(Do(job_id=f"{number % 5}", steps=0), idempotency_key=f"{number}")
        other.idle()
        other.system.submit(Drop(job_id=f"{number % 5}"))
        other.idle()
    durable = [(each.event_type, each.aggregate_id, each.aggregate_version) for each in other.written if each.owner == "workshop"]
    assert [each[0] for each in speculative] == [each[0] for each in durable]
    assert [each for each in speculative if each[0].startswith("Job")] == [each for each in durable if each[0].startswith("Job")]


def test_p17_keys_versions_and_tokens_are_found_after_the_window_was_trimmed(narrow: Stage) -> None:
    narrow.provider.answers("early", StillRunning(), StillRunning(), StillRunning())
    narrow.system.ask(Do(job_id="early"))
    narrow.advance(300)
    token = ts.Token(narrow.of_type("MakingStarted")[0].token or "")
    run_many(narrow)
    assert narrow.system.ask(Do(job_id="job 0"), idempotency_key="key 0") == "job 0"
    with pytest.raises(ts.IdempotencyConflict):
        narrow.system.ask(Do(job_id="other"), idempotency_key="key 1")
    narrow.system.ask(Order(order_id="job 3", text="nothing"))
    assert not narrow.system.complete(token, "late")
    narrow.idle()
    assert narrow.provider.undone == ["early"]


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_p17_what_is_looked_up_is_found_after_a_restart(narrow: Stage, way: str) -> None:
    run_many(narrow)
    (narrow.crash if way == "crash" else narrow.reopen)()
    assert narrow.system.ask(Do(job_id="job 7"), idempotency_key="key 7") == "job 7"
    with pytest.raises(ts.Rejected, match="KNOWN"):
        narrow.system.ask(Do(job_id="job 8"))
    assert narrow.system.resident(Done).count == 30


def test_p17_an_owner_that_lags_beyond_the_window_reads_from_the_log(narrow: Stage) -> None:
    """S16: a logged event is never refused or dropped."""
    ledger = narrow.engine.owners["ledger"]
    narrow.idle()
    ledger.lane.awake = True  # its wake-up is still on its way
    for number in range(40):
        narrow.system.ask(Order(order_id=f"{number}", text="nothing"))
    assert narrow.system.health().owners["ledger"].lag == narrow.engine.journal.tail - ledger.state.seen >= 40
    ledger.lane.awake = False
    ledger.wake()
    narrow.idle()
    assert narrow.entered() == [(f"{number}", "ordered nothing") for number in range(40)]


def test_p17_a_parked_aggregate_resumes_from_the_log(narrow: Stage) -> None:
    raising = [ValueError("once")]

    def hook(what: str, job_id: str) -> None:
        if (what, job_id) == ("ordered", "x") and raising:
            raise raising.pop()

    narrow.ledger.hook = hook
    for text in ("one", "two"):
        narrow.system.ask(Order(order_id="x", text=text))
    run_many(narrow)
    narrow.advance(5)
    assert [what for about, what in narrow.entered() if about == "x" and "ordered" in what] == ["ordered one", "ordered two"]


def test_p20_versions_of_every_stream_are_contiguous_whatever_happened(stage: Stage) -> None:
    """S6; and P23: positions have no gaps, ids and times never decrease."""
    stage.provider.answers("a", ValueError("no"), StillRunning())
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.advance(600)
    for text in ("one", "two"):
        stage.system.ask(Order(order_id="x", text=text))
    stage.crash()
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="b"))
    stage.system.ask(Do(job_id="b"))
    stage.reopen()
    stage.idle()
    versions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for each in stage.written:
        versions[each.aggregate_type, each.aggregate_id].append(each.aggregate_version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert [each.position for each in stage.written] == list(range(1, len(stage.written) + 1))
    assert [each.event_id for each in stage.written] == sorted({each.event_id for each in stage.written})
    times = [each.occurred_at_us for each in stage.written]
    assert times == sorted(times)
    assert len(list(stage.log.verify())) == len(stage.written)


def test_p20_engine_events_use_engine_streams(stage: Stage) -> None:
    stage.provider.answers("a", ValueError("no"))
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.advance(60)
    streams = {each.event_type: each.aggregate_type for each in stage.written}
    assert streams["CommandSettled"] == "Command"
    assert streams["OwnerJoined"] == "Owner"
    assert {streams[name] for name in ("MakingStarted", "RetryScheduled", "AttemptStarted")} == {"Execution"}
    assert streams["JobDone"] == "Job"


def test_p20_an_aggregate_type_belongs_to_one_owner() -> None:
    class Second(ts.Module):
        name = "second"

        @ts.reacts_to(Ordered, emits=[Entered])
        def ordered(self, _turn: ts.Turn, event: Ordered) -> ts.Effects:
            yield Entered(about=event.order_id, what="again")

    with pytest.raises(ts.DefinitionError, match=r"Entry belongs to ledger.*second"):
        ts.System([Ledger(), Second()])
    with pytest.raises(ts.DefinitionError, match="Two modules are named 'desk'"):
        ts.System([Desk(), Desk()])


def test_p20_a_command_is_handled_by_one_module() -> None:
    class OtherDesk(ts.Module):
        name = "other desk"

        @ts.handles(Order)
        def order(self, _turn: ts.Turn, command: Order) -> ts.Decision[str]:
            yield from ()
            return command.order_id

    with pytest.raises(ts.DefinitionError, match="Order is handled by desk and by other desk"):
        ts.System([Desk(), OtherDesk()])


def test_a_performer_is_needed_for_what_is_begun() -> None:
    system = ts.System([Workshop()], runtime=ts.SteppedRuntime())
    with system, pytest.raises(ts.EffectError, match="Nobody performs Work"):
        system.ask(Do(job_id="a"))


def test_a_system_without_modules_runs_and_stops() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        assert list(system.events()) == []
        assert set(system.health().owners) == {"operations", "schedules"}, "the owners that every system has, unless it is told otherwise"


def test_p17_a_lane_that_is_given_up_while_its_owner_falls_asleep_leaves_nothing_unseen(
    narrow: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look that found nothing more and the sleep, other threads append so much that the journal gives the lane up."""
    ledger = narrow.engine.owners["ledger"]
    narrow.idle()
    look = ledger.take_events

    def look_and_be_overtaken(limit: int) -> bool:
        more = look(limit)
        monkeypatch.setattr(ledger, "take_events", look)
        narrow.system.ask(Order(order_id="overtaking", text="nothing"))
        monkeypatch.setattr(lane_module, "LANE_RECORDS", 0)
        ledger.lane.shorten()
        return more

    monkeypatch.setattr(ledger, "take_events", look_and_be_overtaken)
    ledger.wake()
    narrow.idle()
    assert narrow.entered() == [("overtaking", "ordered nothing")]
