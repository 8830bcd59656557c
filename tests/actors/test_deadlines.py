"""How long an execution may take, and what is tried again: errors by type, delays that are asked for, all attempts together, heartbeats."""

from collections.abc import Callable
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.performers.heartbeats import A_WINDOW
from tests.actors.fetcher import SECOND, Scene, SoldOut, SoldOutForEver
from tests.actors.outside import StillRunning

Make = Callable[..., Scene]


# Errors, by type.


@pytest.mark.parametrize("error", [SoldOut("x"), SoldOutForEver("x"), ZeroDivisionError()], ids=lambda error: type(error).__name__)
def test_an_error_of_a_final_type_or_of_a_subclass_of_one_is_not_tried_again(scene: Make, error: Exception) -> None:
    it = scene(error)
    it.begin()
    assert [what for _, what in it.story()] == ["FetchingStarted", "FetchingFailed"]
    assert it.outcome() == ts.Failed(code=type(error).__name__, message=str(error))


def test_any_other_error_is_tried_again(scene: Make) -> None:
    it = scene(LookupError("a base of a final one"))
    it.begin()
    it.advance(10)
    assert it.story() == [(0, "FetchingStarted"), (0, "RetryScheduled"), (10, "AttemptStarted"), (10, "FetchingSucceeded")]


def test_final_types_of_a_policy_of_its_own_are_in_the_log_and_hold_after_a_crash(scene: Make) -> None:
    it = scene(ValueError("once more"), KeyError("never"))
    it.begin(retry=ts.FixedDelay(interval=SECOND, max_retries=5, final=(KeyError,)))
    it.crash()
    it.advance(1)
    assert it.story()[-1] == (1, "FetchingFailed")
    started = next(each for each in it.system.events(event_types=("FetchingStarted",)))
    assert b'"final":["builtins.KeyError"]' in started.payload


@pytest.mark.parametrize("final", [(BaseException,), (3,), (int,)])
def test_what_is_no_type_of_exception_is_refused_when_the_policy_is_made(final: Any) -> None:
    with pytest.raises(ValueError, match="no type of exception"):
        ts.FixedDelay(interval=SECOND, final=final)


# A delay that the outside world asks for.


def test_a_performer_says_when_the_next_attempt_may_come(scene: Make) -> None:
    it = scene(ts.RetryAfter(25 * SECOND))
    it.begin()
    it.advance(24)
    assert it.story()[-1] == (0, "RetryScheduled")
    it.advance(1)
    assert it.story()[-2:] == [(25, "AttemptStarted"), (25, "FetchingSucceeded")]


def test_what_asks_for_a_delay_has_no_more_retries_than_the_policy_grants(scene: Make) -> None:
    it = scene(*[ts.RetryAfter(SECOND, "busy", code="BUSY") for _ in range(9)])
    it.begin()
    it.advance(100)
    assert len(it.calls) == 4
    assert it.outcome() == ts.Failed(code="BUSY", message="busy", in_doubt=True)


def test_a_delay_beyond_the_time_for_all_attempts_ends_it_at_once(scene: Make) -> None:
    it = scene(ts.RetryAfter(100 * SECOND))
    it.begin("Bounded")
    assert it.story() == [(0, "BoundedStarted"), (0, "BoundedFailed")]


def test_a_delay_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ts.RetryAfter(-SECOND)


# The time for all attempts.


def test_all_attempts_together_take_no_longer_than_the_intent_allows(scene: Make) -> None:
    it = scene(StillRunning(), StillRunning(), StillRunning(), StillRunning())
    it.begin("Bounded")
    it.advance(1000)
    assert it.story() == [
        (0, "BoundedStarted"),
        (60, "TimeoutFired"),
        (60, "RetryScheduled"),
        (70, "AttemptStarted"),
        (100, "TimeoutFired"),
        (100, "BoundedAbandoned"),
    ]
    assert it.outcome() == ts.TimedOut(attempts=2)


def test_a_retry_that_would_begin_when_all_is_over_is_not_granted(scene: Make) -> None:
    it = scene(StillRunning(), StillRunning())
    it.begin("Bounded")
    it.advance(95)
    it.runtime.open_calls[-1].raises(ValueError("too late for another one"))
    it.runtime.run_until_idle()
    assert it.story()[-1] == (95, "BoundedFailed")


def test_the_time_for_all_attempts_counts_anew_when_a_person_has_it_tried_again(scene: Make) -> None:
    it = scene(StillRunning(), StillRunning(), StillRunning())
    token = it.begin("Bounded")
    it.advance(90)
    (each,) = it.system.open_executions()
    it.system.retry(each, who="ann")
    it.runtime.run_until_idle()
    it.advance(59)
    assert it.story()[-1] == (90, "AttemptStarted")
    it.advance(41)
    assert it.story()[-2:] == [(160, "AttemptStarted"), (160, "BoundedSucceeded")]
    assert token == each.execution.token


# Heartbeats.


def test_an_attempt_that_beats_lives_as_long_as_its_own_time_allows(scene: Make) -> None:
    it = scene(StillRunning())
    it.begin("Beating")
    for _ in range(12):
        it.advance(5)
        it.open_call.heartbeat()
        it.runtime.run_until_idle()
    assert [when for when, what in it.story() if what == "TimeoutFired"] == [60]


def test_an_attempt_whose_heartbeat_is_missing_times_out_and_is_tried_again(scene: Make) -> None:
    it = scene(StillRunning())
    it.begin("Beating")
    it.advance(5)
    it.open_call.heartbeat()
    it.advance(30)
    told = [(when, what) for when, what in it.story() if what != "HeartbeatRecorded"]
    assert told == [
        (0, "BeatingStarted"),
        (13, "TimeoutFired"),
        (13, "RetryScheduled"),
        (23, "AttemptStarted"),
        (23, "BeatingSucceeded"),
    ]
    assert it.runtime.open_calls[0].call.cancelled()


def test_a_heartbeat_in_a_tight_loop_is_written_down_a_few_times_only(scene: Make) -> None:
    it = scene(StillRunning())
    it.begin("Beating")
    for _ in range(800):
        it.open_call.heartbeat()
        it.advance(0.01)
    assert sum(1 for _, what in it.story() if what == "HeartbeatRecorded") <= A_WINDOW + 1


def test_a_heartbeat_of_an_attempt_that_is_over_changes_nothing(scene: Make) -> None:
    it = scene(StillRunning(), StillRunning())
    it.begin("Beating")
    first = it.open_call
    it.advance(18)
    before = it.story()
    first._cancelled = False  # as if it had looked a moment ago
    first.heartbeat()
    it.runtime.run_until_idle()
    assert it.story() == before


def test_an_answer_that_comes_from_outside_needs_no_heartbeat(scene: Make) -> None:
    it = scene(ts.Later())
    token = it.begin("Beating")
    it.advance(50)
    assert it.system.complete(token, "by a webhook")
    assert it.story()[-1] == (50, "BeatingSucceeded")


def test_the_window_opens_anew_when_a_call_is_made_again_after_a_crash(scene: Make) -> None:
    it = scene(StillRunning(), StillRunning())
    it.begin("Beating")
    it.advance(7)
    it.clock.advance(30 * SECOND)
    it.crash()
    it.runtime.run_until_idle()
    assert [what for _, what in it.story()][-2:] == ["AttemptStarted", "HeartbeatRecorded"]
    it.advance(7)
    assert it.story()[-1] == (37, "HeartbeatRecorded")
    it.advance(1)
    assert it.story()[-2:] == [(45, "TimeoutFired"), (45, "RetryScheduled")]


def test_an_intent_without_a_heartbeat_pays_nothing_for_one(scene: Make) -> None:
    it = scene(StillRunning())
    it.begin()
    it.open_call.heartbeat()
    it.runtime.run_until_idle()
    assert [what for _, what in it.story()] == ["FetchingStarted"]


def test_whoever_is_told_of_a_cancellation_is_told_once_whether_it_comes_before_or_after() -> None:
    told: list[str] = []
    it = Scene(StillRunning(), StillRunning())
    it.begin()
    call = it.open_call
    call.when_cancelled(lambda: told.append("before"))
    call.cancel()
    call.cancel()
    call.when_cancelled(lambda: told.append("after"))
    call.cancel()
    assert told == ["before", "after"]
    it.system.stop()
