"""Handlers that fail: what waits, in which owner, for how long, and how it gets its turn (P12)."""

from collections.abc import Callable
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.domain.parking import Source
from tests.actors.stage import NOON, Stage
from tests.actors.workshop import Desk, Do, Entered, Making, Order, Ordered, Work


class Failing:
    """A hook that raises so often for one job, and remembers what was tried."""

    def __init__(self, what: str, job_id: str, times: int, error: Callable[[], BaseException] = lambda: ValueError("planted")) -> None:
        self.what, self.job_id, self.left = what, job_id, times
        self.tried = 0
        self.error = error

    def __call__(self, what: str, job_id: str) -> None:
        if (what, job_id) == (self.what, self.job_id):
            self.tried += 1
            if self.left:
                self.left -= 1
                raise self.error()


def order(stage: Stage, *texts: str, order_id: str = "x") -> None:
    for text in texts:
        stage.system.ask(Order(order_id=order_id, text=text))
    stage.idle()


def entered(stage: Stage, order_id: str = "x") -> list[str]:
    return [what for about, what in stage.entered() if about == order_id and what.startswith("ordered")]


def test_p12_later_events_of_the_aggregate_wait_while_others_go_on(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 1)
    order(stage, "one", "two", "three")
    order(stage, "one", order_id="y")
    assert entered(stage) == []
    assert entered(stage, "y") == ["ordered one"]


def test_p12_it_is_tried_again_and_what_waited_follows_in_order_once(stage: Stage) -> None:
    failing = stage.ledger.hook = Failing("ordered", "x", 1)
    order(stage, "one", "two", "three")
    stage.advance(1)
    assert entered(stage) == ["ordered one", "ordered two", "ordered three"]
    order(stage, "four")
    assert entered(stage) == ["ordered one", "ordered two", "ordered three", "ordered four"]
    assert failing.tried == 5
    assert [(each.attempt, each.error) for each in stage.events("ReactionFailed")] == [(1, "ValueError: planted")]


def test_p12_every_resumed_event_appends_at_least_one_event(stage: Stage) -> None:
    failing = stage.workshop.hook = Failing("ordered", "x", 1)
    order(stage, "nothing", "nothing")
    stage.advance(1)
    resumed = stage.events("ReactionResumed")
    positions = [each.position for each in stage.of_type("Ordered")]
    assert [(each.position, each.next_position) for each in resumed] == [(positions[0], positions[1]), (positions[1], None)]
    stage.crash()
    stage.idle()
    assert failing.tried == 3, "what was resumed is not taken again"


def test_p12_after_four_attempts_it_is_a_dead_letter_and_its_aggregate_stays_parked(stage: Stage) -> None:
    failing = stage.ledger.hook = Failing("ordered", "x", 99)
    order(stage, "one", "two")
    stage.advance(600)
    order(stage, "three")
    assert failing.tried == 4
    failures = stage.events("ReactionFailed")
    assert [each.attempt for each in failures] == [1, 2, 3, 4]
    assert [each.retry_at is None for each in failures] == [False, False, False, True]
    (letter,) = stage.system.dead_letters()
    first = stage.of_type("Ordered")[0]
    assert (letter.owner, letter.source, letter.position) == ("ledger", Source("Order", "x"), first.position)
    assert (letter.attempts, letter.error) == (4, "ValueError: planted")
    assert stage.system.health().owners["ledger"].dead_letters == 1
    assert entered(stage) == []


def test_p12_one_poisoned_event_holds_up_no_other_owner(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 99)
    order(stage, "one")
    stage.advance(600)
    assert [event.job_id for event in stage.events("JobDone")] == ["x"]
    assert ("x", "done") in stage.entered(), "another aggregate, though of the same id, is not held up"


def test_p12_a_dead_letter_is_redriven_with_its_attempts_reset_and_who_and_why_are_recorded(stage: Stage) -> None:
    failing = stage.ledger.hook = Failing("ordered", "x", 4 + 2)
    order(stage, "one", "two")
    stage.advance(600)
    stage.system.redrive(stage.system.dead_letters()[0], who="Ann", why="the cause is mended")
    stage.advance(600)
    (redriven,) = stage.events("ReactionRedriven")
    assert (redriven.who, redriven.why) == ("Ann", "the cause is mended")
    assert [each.attempt for each in stage.events("ReactionFailed")] == [1, 2, 3, 4, 1, 2]
    assert entered(stage) == ["ordered one", "ordered two"]
    assert failing.tried == 8
    assert stage.system.dead_letters() == ()


def test_p12_a_letter_is_redriven_at_once_and_what_waits_behind_it_too_though_the_wall_clock_was_set_back(stage: Stage) -> None:
    """Records are never dated before those that they follow, so that this one is dated a year ahead of the clock (P23)."""
    failing = stage.ledger.hook = Failing("ordered", "x", 4)
    order(stage, "one", "two")
    stage.advance(600)
    stage.clock = ts.ManualClock(NOON - timedelta(days=365))
    stage.crash()
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.advance(1)
    assert entered(stage) == ["ordered one", "ordered two"]
    assert failing.tried == 6


def test_p12_a_redriven_letter_may_die_again(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 99)
    order(stage, "one")
    stage.advance(600)
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.advance(600)
    assert [each.attempt for each in stage.events("ReactionFailed")] == [1, 2, 3, 4] * 2
    assert len(stage.system.dead_letters()) == 1


def test_p12_a_discarded_letter_is_recorded_and_what_waited_behind_it_goes_on(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 4)
    order(stage, "one", "two", "three")
    stage.advance(600)
    stage.system.discard(stage.system.dead_letters()[0], who="Ann", why="a test order")
    stage.advance(600)
    assert entered(stage) == ["ordered two", "ordered three"]
    discarded = stage.events("ReactionResumed")[0]
    assert (discarded.discarded, discarded.who, discarded.why) == (True, "Ann", "a test order")


def test_p12_what_is_no_dead_letter_any_more_can_be_neither_redriven_nor_discarded(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 4)
    order(stage, "one")
    stage.advance(600)
    (letter,) = stage.system.dead_letters()
    stage.system.redrive(letter)
    for again in (stage.system.redrive, stage.system.discard):
        with pytest.raises(ts.Rejected, match="NO_DEAD_LETTER"):
            again(letter)
    stage.idle()
    with pytest.raises(ts.Rejected, match="NO_DEAD_LETTER"):
        stage.system.redrive(letter)
    assert entered(stage) == ["ordered one"]


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_p12_what_is_parked_is_resumed_after_a_restart_in_order(stage: Stage, way: str) -> None:
    stage.ledger.hook = Failing("ordered", "x", 2)
    order(stage, "one", "two")
    (stage.crash if way == "crash" else stage.reopen)()
    order(stage, "three")
    assert entered(stage) == []
    stage.advance(600)
    assert entered(stage) == ["ordered one", "ordered two", "ordered three"]
    assert [each.attempt for each in stage.events("ReactionFailed")] == [1, 2]


@pytest.mark.parametrize("way", ["crash", "stop"])
def test_p12_a_dead_letter_outlives_a_restart(stage: Stage, way: str) -> None:
    stage.ledger.hook = Failing("ordered", "x", 4)
    order(stage, "one", "two")
    stage.advance(600)
    (stage.crash if way == "crash" else stage.reopen)()
    order(stage, "three")
    stage.advance(600)
    assert entered(stage) == []
    stage.system.redrive(stage.system.dead_letters()[0])
    stage.idle()
    assert entered(stage) == ["ordered one", "ordered two", "ordered three"]


def test_p12_wherever_the_process_dies_while_an_aggregate_resumes_order_is_kept_and_nothing_taken_twice() -> None:
    for steps in range(40):
        stage = Stage()
        stage.ledger.hook = Failing("ordered", "x", 1)
        order(stage, "one", "two")
        stage.system.submit(Order(order_id="x", text="three"))
        stage.clock.advance(timedelta(seconds=1))
        for _ in range(steps):
            stage.runtime.step()
        stage.crash()
        stage.system.ask(Order(order_id="x", text="four"))
        stage.advance(600)
        third = ["ordered three"] if "ordered three" in entered(stage) else []
        assert entered(stage) == ["ordered one", "ordered two", *third, "ordered four"], steps


def test_p12_an_event_that_comes_by_the_lane_is_not_taken_by_resuming_too(stage: Stage) -> None:
    """Resumed up to the log's end instead of up to `seen`, the second order would be taken here, and then again by the lane."""
    stage.ledger.hook = Failing("ordered", "x", 1)
    order(stage, "one")
    ledger = stage.engine.owners["ledger"]
    ledger.lane.awake = True  # its wake-up is still on its way
    order(stage, "two")
    stage.advance(1)
    (resumed,), second = stage.of_type("ReactionResumed"), stage.of_type("Ordered")[1]
    assert second.position < resumed.position, "the second order must be in the log when the first is resumed"
    assert resumed.seen is not None
    assert resumed.seen < second.position, "and the ledger must not have seen it"
    ledger.lane.awake = False
    ledger.wake()
    stage.advance(600)
    assert entered(stage) == ["ordered one", "ordered two"]


def test_p12_reports_timeouts_and_commands_are_not_parked(stage: Stage) -> None:
    stage.workshop.hook = Failing("ordered", "x", 99)
    order(stage, "one")
    stage.provider.answers("x", ValueError("no"))
    assert stage.system.ask(Do(job_id="x")) == "x"
    stage.advance(60)
    assert [event.job_id for event in stage.events("JobDone")] == ["x"]


def test_p12_a_base_exception_in_a_handler_parks_like_any_other_error(stage: Stage) -> None:
    stage.ledger.hook = Failing("ordered", "x", 1, lambda: SystemExit("rude"))
    order(stage, "one")
    assert "SystemExit" in stage.events("ReactionFailed")[0].error
    stage.advance(1)
    assert entered(stage) == ["ordered one"]
    assert stage.system.health().restarts == 0


@pytest.mark.parametrize("error", [ts.NotAccepted, ts.LogError, ts.TallystickError])
def test_p12_an_error_of_the_librarys_own_raised_by_a_handler_parks_too(stage: Stage, error: type[Exception]) -> None:
    stage.ledger.hook = Failing("ordered", "x", 1, error)
    order(stage, "one")
    order(stage, "one", order_id="y")
    stage.advance(1)
    assert (entered(stage), entered(stage, "y")) == (["ordered one"], ["ordered one"])
    assert stage.system.health().restarts == 0


def test_p12_nothing_of_a_failed_turn_is_written(stage: Stage) -> None:
    class Half(ts.Module):
        name = "half"

        @ts.reacts_to(Ordered, emits=[Entered])
        def ordered(self, _turn: ts.Turn, event: Ordered) -> ts.Effects:
            yield Entered(about=event.order_id, what="half")
            raise ValueError(event.order_id)

    stage = Stage([Desk(), Half()])
    order(stage, "one")
    assert stage.types() == ["Ordered", "ReactionFailed"]


class Careless(ts.Module):
    """Yields what its test gives it."""

    name = "careless"

    def __init__(self) -> None:
        self.effects: list[ts.Effect] = []

    @ts.reacts_to(Ordered, emits=[Entered])
    def ordered(self, _turn: ts.Turn, _event: Ordered) -> ts.Effects:
        yield from self.effects

    @Making.settled
    def settled(self, _turn: ts.Turn, _making: Making, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


USED = ts.Token("used before")


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (Entered(about="x", what=3), "InvalidPayload"),  # type: ignore[arg-type]
        (Ordered(order_id="x"), "EffectError"),
        (ts.Settle(token=ts.Token("nobody's"), outcome=ts.Cancelled(reason="")), "EffectError"),
        (ts.Begin(intent=Making(job_id="x"), token=USED, actions=(Work(job_id="x"),)), "EffectError"),
        (42, "EffectError"),
    ],
    ids=["wrong type", "another owner's event", "another's token", "a token that was used before", "no effect"],
)
def test_p12_effects_that_cannot_be_carried_out_park_their_event_and_stop_nothing_else(effect: ts.Effect, error: str) -> None:
    careless = Careless()
    stage = Stage([Desk(), careless])
    careless.effects = [ts.Begin(intent=Making(job_id="first"), token=USED, actions=(Work(job_id="first"),))]
    order(stage, "one", order_id="first")
    assert stage.system.open_executions() == ()
    careless.effects = [effect]
    order(stage, "two")
    assert stage.events("ReactionFailed")[0].error.startswith(error)
    careless.effects = []
    order(stage, "three", order_id="y")
    stage.advance(600)
    assert stage.system.dead_letters() == ()
    assert stage.system.health().restarts == 0
