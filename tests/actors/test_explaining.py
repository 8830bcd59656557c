"""Why is it stuck, and what has led to what: from a running system, at each moment that an execution can be in."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import tallystick as ts
from tallystick.domain.operations import timeline_drawing
from tallystick.domain.operations.events import OnOverdue, Verdict
from tallystick.domain.operations.explanation import Here, explained
from tallystick.domain.operations.timeline import detail_of
from tests.actors.outside import Provider, StillRunning
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, Ledger, Work, Workshop

MINUTE = timedelta(minutes=1)
HOW: tuple[OnOverdue, ...] = ("fail", "abandon")
LATE = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def runtime() -> ts.SteppedRuntime:
    return ts.SteppedRuntime(ts.ManualClock())


@pytest.fixture
def system(runtime: ts.SteppedRuntime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def test_an_operation_waits_for_whoever_has_its_id(system: ts.System) -> None:
    why = system.why(system.operations.start("Webhook.Process", timeout=5 * MINUTE))
    assert why.sentence == "Webhook.Process waits for somebody to complete it by its id; its time is up in 300 s."
    assert (why.standing.owner, why.standing.attempt, why.standing.last_event) == ("operations", 1, "BracketStarted")
    assert why.next_timer == why.standing.deadline is not None
    forever = system.why(system.operations.start("Webhook.Process"))
    assert forever.sentence.endswith("; nothing ends it by itself.")


def test_a_stalled_one_says_since_when(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", stalled_after=MINUTE)
    runtime.advance(2 * MINUTE)
    system.operations.mark_stalled()
    assert "stalled, without progress since" in system.why(operation_id).sentence


def test_one_that_the_watcher_is_told_of_says_when_its_time_is_up(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="alert")
    assert system.why(operation_id).sentence.endswith("; its time is up in 60 s, which ends nothing: the watcher tells of it.")
    runtime.advance(2 * MINUTE)
    why = system.why(operation_id)
    assert why.sentence.endswith("; its time was up 60 s ago, which ends nothing: the watcher tells of it.")
    assert why.next_timer is None


def test_one_whose_handler_decides_says_when_that_is_asked_and_what_came_of_it(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    verdicts: list[Verdict] = ["retry", "alert"]
    system.operations.when_overdue("Import", lambda _operation, _round: verdicts.pop(0))
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="handler")
    why = system.why(operation_id)
    assert why.sentence.endswith("; its time is up in 60 s: its handler is asked then.")
    assert why.next_timer == system.operations.index().overdue(LATE)[0].overdue_at
    runtime.advance(1.5 * MINUTE)
    assert system.why(operation_id).sentence.endswith("; its time is up in 30 s: its handler is asked then."), "it has given more time"
    assert system.why(operation_id).next_timer is not None
    runtime.advance(MINUTE)
    why = system.why(operation_id)
    assert why.sentence.endswith("; its time was up 30 s ago: its handler was asked, and has left it open.")
    assert why.next_timer is None


def test_one_whose_handler_has_not_answered_says_whether_a_person_is_asked(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    def raises(_operation: ts.OperationSnapshot, _round: int) -> Verdict:
        raise ConnectionError

    system.operations.when_overdue("Import", raises)
    operation_id = system.operations.start("Import", timeout=MINUTE, on_overdue="handler")
    runtime.advance(MINUTE + timedelta(seconds=1))
    assert system.why(operation_id).sentence.endswith("; its time was up 1 s ago: its handler is asked what follows.")
    asked = explained(system.why(operation_id).standing, system.operations.get(operation_id), Here(handler="waits"), LATE)
    assert asked.sentence.endswith("its handler was asked, whose answer waits for a person; see dead letters.")
    unknown = explained(system.why(operation_id).standing, system.operations.get(operation_id), None, LATE)
    assert unknown.sentence.endswith(": its handler decides what follows."), "of a log alone"


def test_one_that_failed_because_its_time_was_up_is_said_to_have_failed(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    failed, given_up = (system.operations.start("Import", timeout=MINUTE, on_overdue=how) for how in HOW)
    runtime.advance(MINUTE)
    assert "it has failed, by OperationFailed" in system.why(failed).sentence
    assert "it was abandoned, by OperationAbandoned" in system.why(given_up).sentence


def test_what_has_ended_waits_for_nothing_and_what_never_began_is_an_error(system: ts.System) -> None:
    operation_id = system.operations.start("Import")
    system.operations.fail(operation_id, "LOST")
    assert "waits for nothing: it has failed, by OperationFailed" in system.why(operation_id).sentence
    with pytest.raises(ts.UnknownToken, match="Nothing was ever begun"):
        system.why("nobody")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda operations, it: operations.succeed(it), "has succeeded, by OperationSucceeded at"),
        (lambda operations, it: operations.fail(it, "LOST"), "has failed, by OperationFailed at"),
        (lambda operations, it: operations.cancel(it), "was canceled, by OperationCanceled at"),
        (lambda operations, it: operations.abandon(it, by="ann", why="it hangs"), "was abandoned, by OperationAbandoned at"),
    ],
)
def test_it_is_said_how_it_ended_and_by_what_whatever_evidence_came_since(
    system: ts.System, runtime: ts.SteppedRuntime, end: Callable[[ts.OperationTracker, str], None], said: str
) -> None:
    operation_id = system.operations.start("Import")
    end(system.operations, operation_id)
    runtime.advance(MINUTE)
    system.operations.note(operation_id, "found", "it was in the other folder")
    if "succeeded" not in said:
        with pytest.raises(ts.AlreadyEnded):
            system.operations.succeed(operation_id)  # which is kept as evidence, with its token
    assert system.why(operation_id).sentence.startswith(f"Import waits for nothing: it {said}")


def test_a_body_is_shown_with_its_thread_and_stack() -> None:
    inside, go = threading.Event(), threading.Event()
    with ts.System() as system:
        ids: list[str] = []

        def importing() -> None:
            with system.bracket("Import") as operation:
                ids.append(operation.id)
                inside.set()
                assert go.wait(30)

        thread = threading.Thread(target=importing, name="importer")
        thread.start()
        assert inside.wait(30)
        why = system.why(ids[0])
        go.set()
        thread.join()
    assert why.thread == "thread importer"
    assert any(frame.startswith("test_explaining.py:") and frame.endswith(" in importing") for frame in why.stack)
    assert "the code inside its bracket, which runs in thread importer" in why.sentence


def test_actions_that_are_out_or_due_are_told_apart(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    out = stage.system.why(stage.token("a"))
    assert out.standing.title == "Making"
    assert "the answer of Work, attempt 1" in out.sentence
    assert out.next_timer is not None
    stage.advance(61)
    due = stage.system.why(stage.token("a"))
    assert (due.standing.status, due.standing.attempt) == ("retrying", 2)
    assert "waits for attempt 2, due in" in due.sentence
    assert "attempt 1 failed with TIMED_OUT" in due.sentence


def test_one_that_is_not_served_yet_says_how_many_go_before_it(stage: Stage) -> None:
    for job_id in ("a", "b", "c"):
        stage.provider.answers(job_id, StillRunning())
        stage.system.ask(Do(job_id=job_id, place="bench"))
    stage.idle()
    first, second, third = (stage.system.why(stage.token(job_id)) for job_id in ("a", "b", "c"))
    assert (first.queue_position, second.queue_position, third.queue_position) == (0, 1, 2)
    assert "waits for its turn: 1 of its subject goes before Work" in second.sentence
    assert "waits for its turn: 2 of its subject go before Work" in third.sentence
    assert second.next_timer == second.standing.deadline is not None


def test_a_performer_is_shown_with_its_thread_and_stack() -> None:
    inside, go = threading.Event(), threading.Event()

    def working(_action: Work, _call: ts.Call) -> str:
        inside.set()
        assert go.wait(30)
        return "done"

    performers = [each for each in Provider().performers() if each.action is not Work]
    with ts.System([Desk(), Workshop(), Ledger()], performers=[*performers, Work.performed_by(working)]) as system:
        system.ask(Do(job_id="a"))
        assert inside.wait(30)
        (open_one,) = system.open_executions()
        why = system.why(open_one.execution.token)
        go.set()
    assert why.thread == "thread tallystick-Work-1"
    assert any(frame.startswith("test_explaining.py:") and frame.endswith(" in working") for frame in why.stack)
    assert "Work, attempt 1, which runs in thread tallystick-Work-1 at " in why.sentence


def test_the_timeline_joins_operations_events_attempts_timers_evidence_and_audit_records(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    with stage.system.bracket("Workshop.Day", correlation="day 1", tags={"shift": "late"}) as operation:
        stage.system.ask(Do(job_id="a"))
        operation.note("checkpoint", "asked")
        stage.system.operations.audit("day.opened", who="ann", anchors=(ts.Anchor(kind="Day", id="1", role="Subject"),))
        stage.advance(90)
    timeline = stage.system.timeline("day 1")
    assert [each.position for each in timeline.entries] == sorted(each.position for each in timeline.entries)
    kinds = {each.kind for each in timeline.entries}
    assert kinds >= {"operation", "evidence", "event", "attempt", "timer", "audit"}
    spans = {span.title: span for span in timeline.spans}
    assert spans["Workshop.Day"].settles == "succeeded"
    assert len(spans["Making"].attempts) == 2
    audit = next(each for each in timeline.entries if each.kind == "audit")
    assert (audit.data["who"], audit.data["operationId"]) == ("ann", operation.id)
    objects = msgspec.json.decode(msgspec.json.encode(timeline.as_objects()))
    assert objects["correlation"] == "day 1"
    assert [each["tags"] for each in objects["entries"]] == [{"shift": "late"}] * len(timeline.entries)


def test_a_timeline_is_drawn_as_a_sequence_and_as_a_chart(stage: Stage) -> None:
    with stage.system.bracket("Workshop.Day", correlation="day; 1") as operation:
        stage.system.ask(Do(job_id="a"))
        operation.note("checkpoint", "a: b; c\nd")
        stage.idle()
    timeline = stage.system.timeline("day; 1")
    sequence = list(timeline_drawing.sequence(timeline))
    assert sequence[0] == "sequenceDiagram"
    assert "    outside->>workshop: JobBegun" in sequence
    assert any(line.startswith("    outside->>workshop: MakingStarted") for line in sequence)
    assert "    Note over operations: OperationNoted kind=checkpoint, message=a  b  c d" in sequence
    chart = list(timeline_drawing.gantt(timeline, datetime(2026, 1, 2, tzinfo=UTC)))
    assert chart[:2] == ["gantt", "    title day  1"]
    assert any(line.startswith("    Workshop.Day :done, ") for line in chart)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ({"percent": 100 / 3, "message": "1 of 3"}, "message=1 of 3, percent=33.333"),
        ({"message": ["a", "list"], "name": {"an": "object"}, "cents": 3}, "cents=3"),
        ({"share": 12345.6789, "code": "X"}, "code=X"),
        ({"operation": "Making", "outcome": {"type": "Succeeded", "result": 1}}, "operation=Making"),
        ({"reason": "", "code": None, "parts": [1]}, ""),
        ({"share": 0.123456789, "paid": True}, "share=0.123, paid=True"),
    ],
)
def test_a_line_of_a_timeline_has_what_is_short_whatever_a_programs_event_holds(content: dict[str, object], detail: str) -> None:
    assert detail_of(content) == detail


def test_what_is_said_of_an_operation_from_elsewhere_is_in_its_timeline(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    operation_id = system.operations.start("Webhook.Process", correlation="evt 1", stalled_after=MINUTE)
    system.operations.progress(operation_id, 10)
    system.operations.note(operation_id, "checkpoint")
    system.operations.heartbeat(operation_id)
    runtime.advance(2 * MINUTE)
    system.operations.mark_stalled()
    system.operations.resume(operation_id, by="ann", why="slow")
    with system.bracket("Other"):
        system.operations.audit("webhook.seen", operation_id=operation_id)
        system.operations.succeed(operation_id)
    told = [each.event for each in system.timeline("evt 1").entries]
    assert told == [
        "OperationStarted",
        "BracketStarted",
        "OperationProgressed",
        "OperationNoted",
        "OperationBeat",
        "OperationStalled",
        "OperationResumed",
        "OperationAudited",
        "OperationSucceeded",
    ]
