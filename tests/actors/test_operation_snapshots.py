"""What the log and a snapshot say of one operation, from its intent to its end, by the clock that the system was given."""

from datetime import UTC, datetime, timedelta

import msgspec

import tallystick as ts

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def snapshot(system: ts.System, operation_id: str) -> ts.OperationSnapshot:
    found = system.operations.get(operation_id)
    assert found is not None
    return found


def test_an_intent_is_in_the_log_with_token_type_time_timeout_and_metadata_and_its_timeout_is_armed() -> None:
    runtime = ts.SteppedRuntime(ts.ManualClock(NOON))
    with ts.System(runtime=runtime) as system:
        token = system.record_intent("OrderSubmission", timeout=5 * MINUTE, metadata={"streamId": "o1"})
        begun, bracket = system.events(aggregate_id=token)
        assert (begun.event_type, bracket.event_type, str(bracket.token)) == ("OperationStarted", "BracketStarted", token)
        assert msgspec.json.decode(begun.payload) == {
            "operationId": token,
            "name": "OrderSubmission",
            "tags": {"streamId": "o1"},
            "startedAt": "2026-01-05T12:00:00Z",
            "overdueAt": "2026-01-05T12:05:00Z",
        }
        runtime.run_until_idle()
        assert runtime.next_due() == NOON + 5 * MINUTE
        runtime.advance(5 * MINUTE)
        assert [each.settles for each in system.events(token=token) if each.settles] == ["abandoned"]


def test_a_snapshot_follows_an_operation_from_its_first_progress_to_its_end() -> None:
    clock = ts.ManualClock(NOON)
    runtime = ts.SteppedRuntime(clock)
    with ts.System(runtime=runtime) as system, system.bracket("Outer", correlation="night 1", tags={"tenant": "a"}) as outer:
        inner = system.operations.start("Inner", tags={"part": "b"})
        begun = snapshot(system, inner)
        assert (begun.status, begun.percent, begun.parent, begun.correlation) == (ts.OperationStatus.PENDING, None, outer.id, "night 1")
        assert begun.tags == {"tenant": "a", "part": "b"}
        assert (begun.started_at, begun.updated_at, begun.ended_at, begun.duration) == (NOON, NOON, None, None)
        runtime.advance(MINUTE)
        system.operations.progress(inner, 50, "Halfway")
        halfway = snapshot(system, inner)
        assert (halfway.status, halfway.percent, halfway.message) == (ts.OperationStatus.RUNNING, 50, "Halfway")
        assert (halfway.started_at, halfway.updated_at) == (NOON, NOON + MINUTE)
        runtime.advance(MINUTE)
        system.operations.succeed(inner, "Done")
        done = snapshot(system, inner)
        assert (done.status, done.message, done.ended_at, done.duration) == ("Succeeded", "Done", NOON + 2 * MINUTE, 2 * MINUTE)
        assert (done.parent, done.correlation, done.tags) == (begun.parent, begun.correlation, begun.tags)
