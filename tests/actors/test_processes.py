"""Process managers on a running system. The first tests are what the pattern's original gets wrong, one by one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import tallystick as ts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class OfOrder(ts.Event):
    aggregate_type = "Thing"
    order_id: str
    thing_id: str = "t"

    @property
    def aggregate_id(self) -> str:
        return self.thing_id


class Placed(OfOrder):
    pass


class Paid(OfOrder):
    pass


class Reserved(OfOrder):
    pass


class Sent(OfOrder):
    pass


class PaymentRefused(OfOrder):
    reason: str = "declined"


KINDS: dict[str, type[OfOrder]] = {kind.__name__: kind for kind in (Placed, Paid, Reserved, Sent, PaymentRefused)}


class Tell(ts.Command[None]):
    what: str
    order_id: str
    thing_id: str = "t"


class World(ts.Module):
    """Whoever owns the events that the process waits for."""

    name = "world"

    @ts.handles(Tell, emits=list(KINDS.values()))
    def tell(self, _turn: ts.Turn, command: Tell) -> ts.Decision[None]:
        yield KINDS[command.what](order_id=command.order_id, thing_id=command.thing_id)


class Fulfilment(ts.Process):
    timeout = 10 * HOUR
    retry = ts.ExponentialBackoff(initial=HOUR, max_retries=2, maximum=4 * HOUR)

    placed = ts.begun_by(Placed, by="order_id")
    payment = ts.awaits(Paid, by="order_id")
    inventory = ts.awaits(Reserved, by="order_id")
    shipping = ts.awaits(Sent, by="order_id")
    refused = ts.failed_by(PaymentRefused, by="order_id", reason="reason")


class Scene:
    def __init__(self) -> None:
        self.clock = ts.ManualClock(NOON)
        self.log = ts.MemoryLog()
        self.open()

    def open(self) -> None:
        self.runtime = ts.SteppedRuntime(self.clock, seed=3)
        self.system = ts.System([World(), Fulfilment()], log=self.log, runtime=self.runtime)
        self.system.__enter__()
        self.runtime.advance(timedelta())

    def crash(self) -> None:
        self.log = self.log.reopened()
        self.open()

    def hear(self, *events: str, order_id: str = "o", thing_id: str = "t") -> None:
        for each in events:
            self.system.ask(Tell(what=each, order_id=order_id, thing_id=thing_id))
        self.runtime.advance(timedelta())

    def story(self) -> list[str]:
        """What the process has said, and the library of its execution."""
        own = [each for each in self.system.events() if each.owner == "Fulfilment" and each.event_type != "OwnerJoined"]
        return [each.event_type.removeprefix("Fulfilment") for each in own]

    def state(self, order_id: str = "o") -> Any:
        return self.system.get(Fulfilment.State, order_id)

    def phase(self, order_id: str = "o") -> str:
        found: str = self.state(order_id).phase
        return found


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.system.stop()


def test_it_is_led_on_by_the_events_of_others_to_its_end(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "Reserved")
    assert (scene.phase(), scene.state().done) == ("processing", ("payment", "inventory"))
    scene.hear("Sent")
    assert scene.story() == ["Begun", "ProcessingStarted", *["StepCompleted"] * 3, "Completed"]
    assert scene.phase() == "completed"
    assert scene.system.open_executions() == ()


# What the original gets wrong.


def test_trap_a_finished_process_is_not_failed_by_its_timeout(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "Reserved", "Sent")
    before = scene.story()
    scene.runtime.advance(100 * HOUR)
    assert (scene.story(), scene.phase()) == (before, "completed")


def test_trap_a_failed_process_is_not_failed_again_by_its_timeout_or_another_refusal(scene: Scene) -> None:
    scene.hear("Placed", "PaymentRefused", "PaymentRefused")
    scene.runtime.advance(100 * HOUR)
    scene.hear("PaymentRefused")
    assert scene.story() == ["Begun", "ProcessingStarted", "Failed"]
    assert scene.state().reason == "declined"


def test_trap_the_deadline_goes_by_the_systems_clock_and_is_in_the_log(scene: Scene) -> None:
    scene.hear("Placed")
    (each,) = scene.system.open_executions()
    assert each.execution.deadline_us == int((NOON + 10 * HOUR).timestamp() * 1_000_000)


def test_trap_timers_outlive_the_process_and_an_expired_one_is_acted_on_after_a_crash(scene: Scene) -> None:
    scene.hear("Placed")
    scene.clock.advance(10 * HOUR)  # it is due, and nothing has been done about it yet
    scene.crash()
    assert scene.story()[-2:] == ["TimeoutFired", "RetryScheduled"]
    scene.clock.advance(HOUR)
    scene.crash()
    assert scene.story()[-1] == "AttemptStarted"


def test_trap_retries_are_counted_and_end_with_a_failure(scene: Scene) -> None:
    scene.hear("Placed")
    scene.runtime.advance(1000 * HOUR)
    decode = scene.system._codec.decode
    retries = [decode(each) for each in scene.system.events(event_types=("RetryScheduled",))]
    assert [(each.attempt, each.retry_at - NOON) for each in retries] == [(2, 11 * HOUR), (3, 23 * HOUR)]
    assert scene.story().count("Failed") == 1
    assert (scene.phase(), scene.state().reason) == ("failed", "timed out after maximum retries")


def test_trap_it_publishes_none_of_the_events_that_it_waits_for(scene: Scene) -> None:
    scene.hear("Placed", "Paid")
    scene.runtime.advance(5 * HOUR)
    assert (scene.state().done, list(scene.system.events(event_types=("Reserved",)))) == (("payment",), [])


def test_trap_an_event_ahead_of_its_step_is_remembered(scene: Scene) -> None:
    scene.hear("Placed", "Reserved")
    assert (scene.state().done, scene.state().ahead) == ((), ("inventory",))
    scene.hear("Paid")
    assert (scene.state().done, scene.state().ahead) == (("payment", "inventory"), ())


def test_an_event_before_the_one_that_begins_it_is_remembered_too(scene: Scene) -> None:
    scene.hear("Sent", "Paid", "Reserved")
    assert scene.phase() == "idle"
    scene.hear("Placed")
    assert scene.story() == [*["StepRemembered"] * 3, "Begun", *["StepCompleted"] * 3, "Completed"]
    assert scene.phase() == "completed"


def test_the_same_event_again_changes_nothing(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "Reserved")
    before = scene.story()
    scene.hear("Placed", "Paid", "Reserved")
    assert scene.story() == before


def test_an_event_in_a_retrys_delay_or_attempt_leads_it_on(scene: Scene) -> None:
    scene.hear("Placed")
    scene.runtime.advance(10.5 * HOUR)
    scene.hear("Paid", "Reserved")
    scene.runtime.advance(HOUR)
    scene.hear("Sent")
    assert scene.phase() == "completed"
    scene.runtime.advance(100 * HOUR)
    assert scene.story().count("Failed") == 0


# Correlation.


def test_events_of_different_processes_do_not_meet(scene: Scene) -> None:
    scene.hear("Placed", "Paid", order_id="a")
    scene.hear("Placed", order_id="b")
    assert (scene.state("a").done, scene.state("b").done) == (("payment",), ())


def test_an_event_that_does_not_say_whose_it_is_is_of_its_streams_process_and_counted(scene: Scene) -> None:
    scene.hear("Placed")
    scene.hear("Paid", order_id="", thing_id="o")
    scene.hear("Sent", order_id="", thing_id="o")
    assert (scene.state().done, scene.state().ahead, scene.state().by_stream) == (("payment",), ("shipping",), 2)


# People.


def test_a_person_has_a_failed_one_go_on_with_its_time_and_retries_anew(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "PaymentRefused", "Reserved")
    scene.system.ask(Fulfilment.retry_command("o", who="ann", why="paid by transfer"))
    assert (scene.phase(), scene.state().done, scene.state().retried) == ("processing", ("payment", "inventory"), 1)
    (retried,) = scene.system.events(event_types=("FulfilmentRetried",))
    event = scene.system._codec.decode(retried)
    assert (event.who, event.why) == ("ann", "paid by transfer")
    scene.runtime.advance(1000 * HOUR)
    assert scene.story().count("RetryScheduled") == 2
    assert scene.phase() == "failed"


def test_a_retry_completes_at_once_what_was_only_waited_for(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "PaymentRefused", "Reserved", "Sent")
    scene.system.ask(Fulfilment.retry_command("o"))
    assert scene.phase() == "completed"
    assert scene.system.open_executions() == ()


def test_one_that_has_ended_is_reset_and_begins_from_nothing(scene: Scene) -> None:
    scene.hear("Placed", "Paid", "Reserved", "Sent")
    scene.system.ask(Fulfilment.reset_command("o", who="ann"))
    assert scene.phase() == "idle"
    scene.hear("Placed", "Paid")
    assert (scene.phase(), scene.state().done) == ("processing", ("payment",))


@pytest.mark.parametrize(
    ("heard", "refused"),
    [
        ((), {"NOT_FAILED", "NOT_ENDED"}),
        (("Placed",), {"NOT_FAILED", "NOT_ENDED"}),
        (("Placed", "Paid", "Reserved", "Sent"), {"NOT_FAILED"}),
        (("Placed", "PaymentRefused"), set[str]()),
    ],
    ids=["idle", "processing", "completed", "failed"],
)
def test_people_can_do_what_the_transitions_allow_and_nothing_else(scene: Scene, heard: tuple[str, ...], refused: set[str]) -> None:
    scene.hear(*heard)
    codes: set[str] = set()
    for command in (Fulfilment.reset_command("o"), Fulfilment.retry_command("o")):
        before = scene.story()
        try:
            scene.system.ask(command)
        except ts.Rejected as refusal:
            codes.add(refusal.code)
            assert scene.story() == before
        else:
            scene = Scene()
            scene.hear(*heard)
    assert codes == refused


def test_a_process_that_nobody_can_complete_is_failed_by_hand(scene: Scene) -> None:
    scene.hear("Placed")
    (each,) = scene.system.open_executions()
    scene.system.abandon(each, "the order is void", who="ann")
    assert (scene.phase(), scene.state().reason) == ("failed", "the order is void")


@pytest.mark.parametrize("turns", range(0, 40, 2))
def test_wherever_the_system_is_lost_the_process_ends_once(turns: int) -> None:
    scene = Scene()
    for each in ("Placed", "Reserved", "Paid", "Sent"):
        scene.system.submit(Tell(what=each, order_id="o"))
    for _ in range(turns):
        scene.runtime.step()
    scene.crash()
    heard = {each.event_type for each in scene.system.events()}
    scene.hear(*[each for each in ("Placed", "Reserved", "Paid", "Sent") if each not in heard])
    assert scene.phase() == "completed"
    assert [scene.story().count(each) for each in ("Begun", "StepCompleted", "Completed")] == [1, 3, 1]
    scene.system.stop()


# Declarations.


def test_a_process_that_cannot_work_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ts.DefinitionError, match="never begins"):

        class NeverBegins(ts.Process):
            payment = ts.awaits(Paid, by="order_id")

    with pytest.raises(ts.DefinitionError, match="has no step"):

        class NoStep(ts.Process):
            placed = ts.begun_by(Placed, by="order_id")

    with pytest.raises(ts.DefinitionError, match="twice"):

        class Twice(ts.Process):
            placed = ts.begun_by(Placed, by="order_id")
            payment = ts.awaits(Placed, by="order_id")


def test_others_react_to_what_a_process_says() -> None:
    heard: list[str] = []

    class Listener(ts.Module):
        name = "listener"

        @ts.reacts_to(Fulfilment.Completed)
        def completed(self, _turn: ts.Turn, event: Any) -> ts.Effects:
            heard.append(event.process_id)
            return ()

    runtime = ts.SteppedRuntime(ts.ManualClock(NOON))
    with ts.System([World(), Fulfilment(), Listener()], runtime=runtime) as system:
        for each in ("Placed", "Paid", "Reserved", "Sent"):
            system.ask(Tell(what=each, order_id="o"))
        runtime.advance(timedelta())
    assert heard == ["o"]
