"""Tags flow as the correlation does: an event has, in its envelope, those of the command, execution or event that it answers."""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.envelope import Recorded
from tests.actors.bazaar import Buy, Pack, bazaar
from tests.actors.test_schedules import Bells, Ring
from tests.actors.travels import Travels

A, B = {"tenant": "a"}, {"tenant": "b"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HOUR = timedelta(hours=1)


class Batches(ts.MemoryLog):
    """A log that knows where its batches ended: a crash leaves one of these prefixes."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[int] = []

    def write(self, records: Sequence[Recorded]) -> Any:
        head = super().write(records)
        self.ends.append(head.position)
        return head


def work(records: Iterator[Recorded]) -> list[Recorded]:
    """Without what owners write of themselves."""
    return [each for each in records if each.event_type not in {"OwnerJoined", "CursorAdvanced"}]


def silent(_action: Pack, call: ts.Call) -> str | ts.Later:
    return ts.Later() if call.attempt == 1 else "packed"


def failing(_action: Pack, call: ts.Call) -> str:
    if call.attempt == 1:
        raise ConnectionError
    return "packed"


FAILURES: Mapping[str, Callable[..., Any]] = {"its time runs out": silent, "it raises": failing}


def told(system: ts.System, order_id: str) -> list[Recorded]:
    return work(system.events(correlation=next(iter(system.events(aggregate_id=order_id))).correlation))


# The flow


@pytest.mark.parametrize("performer", FAILURES.values(), ids=FAILURES)
def test_every_event_that_a_command_leads_to_has_its_tags_the_timers_included(performer: Callable[..., Any]) -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(), performers=[Pack.performed_by(performer)], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        events = work(system.events())
        assert [(each.position, each.event_type, dict(each.tags)) for each in events if each.tags != A] == []
        types = [each.event_type for each in events]
        assert {"Bought", "PackingStarted", "RetryScheduled", "AttemptStarted", "Packed", "BookingStarted", "Booked"} <= set(types)
        fired = {each.owner for each in events if each.event_type == "TimeoutFired"}
        assert fired == ({"packers", "books"} if performer is silent else {"books"})
        assert {each.owner for each in events} == {"operations", "stalls", "packers", "books"}
        assert len({each.correlation for each in events}) == 1
        assert system.open_executions() == ()


@pytest.mark.parametrize("performer", FAILURES.values(), ids=FAILURES)
def test_so_it_is_wherever_the_process_dies(performer: Callable[..., Any], tmp_path: Path) -> None:
    log, clock = Batches(), ts.ManualClock()
    runtime = ts.SteppedRuntime(clock)
    with ts.System(bazaar(), performers=[Pack.performed_by(performer)], log=log, runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        whole, bought = list(system.events()), next(iter(system.events(event_types=("Bought",))))
    ends = [end for end in log.ends if bought.position <= end <= whole[-1].position]
    assert len(ends) > 5
    for end in ends:
        path = tmp_path / f"{end}.db"
        with closing(ts.SqliteLog(path)) as prefix:
            prefix.open()
            prefix.write(whole[:end])
        again = ts.SteppedRuntime(ts.ManualClock(clock.now))
        with ts.System(bazaar(), performers=[Pack.performed_by(performer)], log=path, runtime=again) as system:
            again.advance(HOUR)
            events = work(system.events())
            assert [(end, each.position, each.event_type) for each in events if each.tags != A] == []
            assert {"Packed", "Booked", "BookingAbandoned"} <= {each.event_type for each in events}
            assert {each.owner for each in system.open_executions()} <= {"operations"}


def test_a_reaction_sees_them_and_what_it_begins_has_them_in_its_performer_too(runtime: Runtime) -> None:
    seen: list[Any] = []

    def look(action: Pack, _call: ts.Call) -> str:
        seen.append((action.order_id, dict(ts.surroundings().tags), ts.surroundings().traceparent))
        return "packed"

    modules = bazaar()
    modules[1].saw = lambda order_id, turn: seen.append((order_id, dict(turn.tags)))
    with ts.System(modules, performers=[Pack.performed_by(look)], runtime=runtime) as system:
        with system.bracket("Evening", tags=A, traceparent=TRACE):
            system.ask(Buy(order_id="1"))
        finish(system, runtime, 1)
        bought = next(iter(system.events(event_types=("Bought",))))
    assert seen == [("1", {**A, "traceparent": TRACE}), ("1", A, TRACE)]
    assert bought.tags_json == f'{{"tenant":"a","traceparent":"{TRACE}"}}'


def finish(system: ts.System, runtime: Runtime, orders: int) -> None:
    """Wait for so many to be booked."""
    if isinstance(runtime, ts.SteppedRuntime):
        runtime.advance(HOUR)
    booked = system.subscribe(event_types=("BookingAbandoned",))
    for _ in range(orders):
        next(booked)


def test_two_brackets_at_once_and_none_do_not_mix(runtime: Runtime) -> None:
    with ts.System(bazaar(), performers=[Pack.performed_by(failing)], runtime=runtime) as system:
        with system.bracket("One", tags=A), system.bracket("Inner", tags={"order": "1"}):
            first = system.submit(Buy(order_id="1"))
        with system.bracket("Two", tags=B):
            second = system.submit(Buy(order_id="2"))
        third = system.submit(Buy(order_id="3"))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.run_until_idle()
        for future in (first, second, third):
            future.result(timeout=10)
        finish(system, runtime, 3)
        by_order = {order_id: told(system, order_id) for order_id in "123"}
    wanted = {"1": {**A, "order": "1"}, "2": B, "3": {}}
    for order_id, events in by_order.items():
        found = [each for each in events if each.owner != "operations"]
        assert len(found) > 8
        assert {each.event_type for each in found if each.tags != wanted[order_id]} == set()
    assert {each.tags_json for each in by_order["3"]} == {None}


def test_what_begin_adds_is_on_all_that_is_said_of_the_execution_after_its_beginning() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(fragile=True), performers=[Pack.performed_by(silent)], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        by_type = {each.event_type: each for each in told(system, "1")}
        started = by_type["PackingStarted"]
        assert started.tags == A
        assert json.loads(started.payload)["tags"] == {**A, "fragile": "yes"}
        for later in ("TimeoutFired", "RetryScheduled", "AttemptStarted", "Packed", "Booked", "BookingStarted", "BookingAbandoned"):
            assert by_type[later].tags == {**A, "fragile": "yes"}, later


# What fails


@contextmanager
def with_a_dead_letter() -> Generator[tuple[ts.System, ts.SteppedRuntime, ts.DeadLetter]]:
    """A reaction to what was bought in the evening has failed; by now it would not."""
    runtime, modules = ts.SteppedRuntime(), bazaar()
    modules[1].broken = True
    with ts.System(modules, performers=[Pack.performed_by(failing)], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        modules[1].broken = False
        (letter,) = system.dead_letters()
        yield system, runtime, letter


def test_a_parked_reaction_that_is_redriven_has_those_of_its_event_and_so_has_who_redrove_it() -> None:
    with with_a_dead_letter() as (system, runtime, letter):
        with system.bracket("Morning", tags=B):
            system.redrive(letter, who="ann", why="mended")
        runtime.advance(HOUR)
        events = [each for each in told(system, "1") if each.owner != "operations"]
    assert {each.event_type for each in events if each.tags != A} == set()
    types = [each.event_type for each in events]
    assert types.count("ReactionFailed") == 4
    assert {"ReactionRedriven", "ReactionResumed", "PackingStarted", "BookingAbandoned"} <= set(types)


def test_a_discarded_one_too() -> None:
    with with_a_dead_letter() as (system, _, letter):
        system.discard(letter, who="ann", why="lost")
        (resumed,) = system.events(event_types=("ReactionResumed",))
    assert (resumed.tags, resumed.correlation) == (A, letter.correlation)


@pytest.mark.parametrize("times", [2, 4])
def test_a_settlement_handler_that_fails_has_its_executions_tags_however_it_goes_on(times: int) -> None:
    runtime, modules = ts.SteppedRuntime(), bazaar(fragile=True)
    modules[1].settlements_that_fail = times
    with ts.System(modules, performers=[Pack.performed_by(failing)], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        for letter in system.dead_letters():
            system.redrive(letter, who="ann", why="mended")
        runtime.advance(HOUR)
        events = told(system, "1")
    after = [each for each in events if each.owner == "packers" and each.event_type != "PackingStarted"]
    assert [each.event_type for each in after].count("ReactionFailed") == times
    decided = [each.event_type for each in after if each.event_type in {"ReactionRedriven", "Packed"}]
    assert decided == (["ReactionRedriven", "Packed"] if times == 4 else ["Packed"])
    assert {each.event_type for each in after if each.tags != {**A, "fragile": "yes"}} == set()


@pytest.mark.parametrize("times", [0, 2, 4])
def test_a_late_success_has_its_executions_tags_also_where_its_handler_fails(times: int) -> None:
    runtime, modules = ts.SteppedRuntime(), bazaar(fragile=True)
    modules[1].late_ones_that_fail = times
    with ts.System(modules, performers=[Pack.performed_by(lambda _action, _call: ts.Later())], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.advance(HOUR)
        (started,) = system.events(event_types=("PackingStarted",))
        assert started.token is not None
        assert system.complete(started.token, "after all") is False
        runtime.advance(HOUR)
        for letter in system.dead_letters():
            system.redrive(letter, who="ann", why="mended")
        runtime.advance(HOUR)
        events = told(system, "1")
    after = [each for each in events if each.owner == "packers" and each.event_type != "PackingStarted"]
    types = [each.event_type for each in after]
    assert (types.count("LateSuccess"), types.count("ReactionFailed"), types.count("Unpacked")) == (1, times, 1)
    assert {each.event_type for each in after if each.tags != {**A, "fragile": "yes"}} == set()


def test_people_who_settle_retry_and_redrive_an_execution_add_none_of_their_own() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(), performers=[Pack.performed_by(lambda _action, _call: ts.Later())], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"))
        runtime.run_until_idle()
        with system.bracket("Morning", tags=B):
            (open_one,) = [each for each in system.open_executions() if each.owner == "packers"]
            system.retry(open_one, who="ann", why="again")
            system.abandon(open_one, "enough", who="ann", why="enough")
        runtime.run_until_idle()
        events = [each for each in told(system, "1") if each.owner != "operations"]
    assert {"ExecutionRedriven", "PersonActed"} <= {each.event_type for each in events}
    assert {each.event_type for each in events if each.tags != A} == set()


def test_a_conflict_of_keys_is_written_with_those_of_the_answer_that_stands() -> None:
    with ts.System(bazaar(), performers=[Pack.performed_by(failing)], runtime=ts.SteppedRuntime()) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="1"), idempotency_key="key")
        with pytest.raises(ts.IdempotencyConflict), system.bracket("Morning", tags=B):
            system.ask(Buy(order_id="2"), idempotency_key="key")
        (settled,) = system.events(event_types=("CommandSettled",), owner="stalls")
        (conflicted,) = system.events(event_types=("IdempotencyConflicted",))
    assert (settled.tags, conflicted.tags, conflicted.correlation) == (A, A, settled.correlation)


# Other owners


def test_a_scheduled_command_is_delivered_with_those_of_who_scheduled_it() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System([Bells()], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.schedules.after(HOUR, Ring(bell="a"), id="once")
        runtime.advance(2 * HOUR)
        events = work(system.events())
    assert {"TimeoutFired", "CommandDue", "Rang", "CommandSettled"} <= {each.event_type for each in events}
    assert {each.event_type for each in events if each.tags != A} == set()


def test_a_saga_has_those_of_who_started_it_whoever_turns_it_back() -> None:
    travels = Travels()
    travels.moods.are("car", "later")
    with travels.system.bracket("Evening", tags=A):
        travels.start()
    travels.idle()
    travels.crash()
    with travels.system.bracket("Morning", tags=B):
        travels.trip.cancel("changed plans")
    travels.days(30)
    events = [each for each in work(iter(travels.written)) if each.owner != "operations"]
    assert "BookTripCancelRequested" in {each.event_type for each in events} or travels.trip.status().state == "compensated"
    assert len(events) > 10
    assert {each.event_type for each in events if each.tags != A} == set()


def test_an_operations_own_events_have_its_tags_wherever_they_are_said() -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(runtime=runtime) as system:
        operations = system.operations
        with system.bracket("Outer", tags={"outer": "yes"}) as outer:
            started = operations.start("Import", tags=A, stalled_after=timedelta(minutes=1), timeout=HOUR)
        with system.bracket("Elsewhere", tags=B):
            operations.progress(started, 10)
            operations.note(started, "checkpoint", "half")
            operations.heartbeat(started)
            operations.audit("import.seen", who="ann", operation_id=started)
        runtime.advance(2 * timedelta(minutes=1))
        assert [each.operation_id for each in operations.mark_stalled()] == [started]
        operations.resume(started, by="ann", why="it goes on")
        runtime.advance(2 * HOUR)
        events = list(system.events(correlation=operations.correlation_of(started)))
        assert operations.correlation_of(started) == operations.correlation_of(outer.id)
    of_it = [each for each in events if started in {each.aggregate_id, each.token} or each.event_type == "OperationAudited"]
    assert {"OperationStarted", "BracketStarted", "TimeoutFired", "OperationNoted", "OperationStalled", "OperationResumed"} <= {
        each.event_type for each in of_it
    }
    assert of_it[-1].settles == "abandoned"
    assert {each.event_type for each in of_it if each.tags != {"outer": "yes", **A}} == set()


def test_what_is_said_of_an_operation_of_which_only_a_save_is_left_has_its_tags(tmp_path: Path) -> None:
    log = ts.MemoryLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        started = system.operations.start("Import", tags=A)
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime()) as system:
        system.save(tmp_path / "a.save")
    with ts.System.load(tmp_path / "a.save", runtime=ts.SteppedRuntime()) as system:
        system.operations.note(started, "checkpoint", "half")
        (noted,) = system.events(event_types=("OperationNoted",))
        system.operations.succeed(started)
        (ended,) = system.events(event_types=("OperationSucceeded",))
    assert (noted.tags, ended.tags) == (A, A)
