"""What must not hold up or bring down what: hung calls, blocked disks, other people's actors, threads in unlucky moments (S16, P18)."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import pykka
import pytest

import tallystick as ts
from tallystick.actors import lifecycle
from tallystick.actors.messages import Context, StartQueue
from tallystick.actors.performers.executors import ThreadExecutor
from tallystick.actors.performers.performer import Answered, RunningCall
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, wait_until
from tests.actors.workshop import Desk, Do, Drop, Ledger, Order, Ordered, Undo, Work, Workshop


class Hanging:
    """A provider whose calls hang until they are let go."""

    def __init__(self) -> None:
        self.hung: SimpleQueue[str] = SimpleQueue()
        self.let_go = threading.Event()

    def work(self, action: Work, _call: ts.Call) -> str:
        self.hung.put(action.job_id)
        assert self.let_go.wait(PATIENCE_S)
        return "at last"

    async def work_async(self, action: Work, _call: ts.Call) -> str:
        self.hung.put(action.job_id)
        assert self.let_go.wait(PATIENCE_S)  # it blocks the performers' own loop, as bad code does
        return "at last"


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    monkeypatch.setattr(lifecycle, "DRAIN_S", 0.05)
    hanging = Hanging()
    yield hanging
    hanging.let_go.set()


class Waiting(ts.Intent[str]):
    order_id: str


class Impatient(ts.Module):
    """Begins what nobody answers, and gives it up at once."""

    name = "impatient"

    @ts.reacts_to(Ordered)
    def ordered(self, _turn: ts.Turn, event: Ordered) -> ts.Effects:
        yield ts.Begin(intent=Waiting(order_id=event.order_id), timeout=timedelta())

    @Waiting.settled
    def settled(self, _turn: ts.Turn, _waiting: Waiting, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_a_saturated_and_hung_performer_delays_no_timer_no_report_and_no_other_owner(
    real_runtime: Runtime, hanging: Hanging, kind: str
) -> None:
    run = hanging.work if kind == "threads" else hanging.work_async
    undo = Undo.performed_by(Provider().undo)
    performers = [Work.performed_by(run, concurrency=2), undo]
    with ts.System([Desk(), Workshop(), Ledger(), Impatient()], performers=performers, runtime=real_runtime) as system:
        for number in range(10):
            system.ask(Do(job_id=f"{number}"))
        first = hanging.hung.get(timeout=PATIENCE_S)
        assert system.ask(Order(order_id="x", text="nothing"), timeout_s=PATIENCE_S) == "x"
        wait_until(lambda: bool(list(system.events(event_types=("WaitingAbandoned",)))))
        assert list(system.events(event_types=("Entered",)))
        assert system.ask(Drop(job_id=first)) == 10
        (late,) = system.events(event_types=("JobFailed",))
        assert late.aggregate_id == first
        assert list(system.events(event_types=("JobDone",))) == []


def test_no_more_calls_run_at_once_than_the_performer_allows(real_runtime: Runtime, hanging: Hanging) -> None:
    provider = Provider()
    performers = [Work.performed_by(hanging.work, concurrency=3), *provider.performers()[1:]]
    with ts.System([Workshop()], performers=performers, runtime=real_runtime) as system:
        for number in range(8):
            system.ask(Do(job_id=f"{number}"))
        for _ in range(3):
            hanging.hung.get(timeout=PATIENCE_S)
        wait_until(lambda: system.health().calls_running == 8)
        assert hanging.hung.empty()
        hanging.let_go.set()
        wait_until(lambda: len(list(system.events(event_types=("JobDone",)))) == 8)


class PausedQueue(SimpleQueue[Any]):
    """A thread that has taken a call is stopped before it can say so, as the interpreter may do at any time."""

    def __init__(self, go_on: threading.Event) -> None:
        super().__init__()
        self.go_on = go_on
        self.taken = threading.Event()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        item = super().get(block, timeout)
        if not self.taken.is_set():
            self.taken.set()
            assert self.go_on.wait(PATIENCE_S)
        return item


def test_a_call_does_not_wait_behind_a_hung_one_while_there_is_room_for_another_thread() -> None:
    go_on, answered = threading.Event(), SimpleQueue[Answered]()
    executor = ThreadExecutor(Work.performed_by(Provider().work), answered.put)
    executor._calls = queue = PausedQueue(go_on)
    calls = [RunningCall(start_of(job_id), 0) for job_id in ("a", "b")]
    executor.submit(calls[0])
    assert queue.taken.wait(PATIENCE_S)
    executor.submit(calls[1])
    assert answered.get(timeout=PATIENCE_S).call is calls[1]
    go_on.set()
    assert answered.get(timeout=PATIENCE_S).call is calls[0]
    executor.stop()


def start_of(job_id: str) -> StartQueue:
    return StartQueue(Context("workshop", ts.Token(job_id)), 1, "", (Work(job_id=job_id),), None)


class Stranger(pykka.ThreadingActor):
    """Somebody else's actor in the same process."""

    def on_receive(self, message: Any) -> Any:
        raise message


def test_other_actors_of_the_process_and_pykkas_registry_stop_nothing_here(real_runtime: Runtime) -> None:
    with ts.System([Workshop()], performers=Provider().performers(), runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        stranger = Stranger.start()
        bystander = Stranger.start()
        stranger.tell(SystemExit("it takes all registered actors with it"))
        wait_until(lambda: not bystander.is_alive())
        pykka.ActorRegistry.stop_all()
        assert system.ask(Do(job_id="b"), timeout_s=PATIENCE_S) == "b"
        wait_until(lambda: len(list(system.events(event_types=("JobDone",)))) == 2)
        assert system.health().restarts == 0


def test_a_failure_of_ours_stops_no_stranger(real_runtime: Runtime) -> None:
    bystander = Stranger.start()
    log = FaultyLog()
    with ts.System([Workshop()], performers=Provider().performers(), log=log, runtime=real_runtime) as system:
        log.disk.fails(written=False)
        with pytest.raises(ts.CommitUnknown):
            system.ask(Do(job_id="a"))
        wait_until(lambda: system.health().status == "running")
        assert bystander.is_alive()
    bystander.stop()


def test_p18_each_future_hears_what_became_of_its_command(real_runtime: Runtime) -> None:
    """Durable; in the failing batch; numbered but never written; not run."""
    in_handler, leave_handler = threading.Event(), threading.Event()

    def hook(what: str, job_id: str) -> None:
        if (what, job_id) == ("do", "being decided"):
            in_handler.set()
            assert leave_handler.wait(PATIENCE_S)

    log = FaultyLog()
    disk = log.disk
    with ts.System([Workshop(hook)], performers=Provider().performers(), log=log, runtime=real_runtime) as system:
        assert system.ask(Do(job_id="durable", steps=0)) == "durable"
        disk.stalls()
        disk.fails(written=False)
        failing = system.submit(Do(job_id="being written", steps=0))
        assert disk.reached.wait(PATIENCE_S)
        tail = system.health().tail
        numbered = system.submit(Do(job_id="numbered", steps=0))
        wait_until(lambda: system.health().tail > tail)
        deciding = system.submit(Do(job_id="being decided", steps=0))
        assert in_handler.wait(PATIENCE_S)
        waiting = system.submit(Do(job_id="waiting", steps=0))
        disk.goes_on()
        assert isinstance(failing.exception(PATIENCE_S), ts.CommitUnknown)
        assert isinstance(numbered.exception(PATIENCE_S), ts.NotCommitted)
        leave_handler.set()
        assert isinstance(deciding.exception(PATIENCE_S), ts.NotAccepted)
        assert isinstance(waiting.exception(PATIENCE_S), ts.NotAccepted)
        assert system.ask(Do(job_id="numbered", steps=0)) == "numbered"
        found = [each.aggregate_id for each in system.events(event_types=("JobBegun",))]
        assert found == ["durable", "numbered"]


def test_p18_those_who_ask_while_the_engine_is_rebuilt_wait_and_are_answered(real_runtime: Runtime) -> None:
    log = FaultyLog()
    opening, go_on = threading.Event(), threading.Event()
    open_log = FaultyLog.open

    class SlowToOpen(FaultyLog):
        def open(self) -> Any:
            if opening.is_set():
                assert go_on.wait(PATIENCE_S)
            return open_log(self)

    log = SlowToOpen()
    with ts.System([Workshop()], performers=Provider().performers(), log=log, runtime=real_runtime) as system:
        opening.set()
        log.disk.fails(written=False)
        with pytest.raises(ts.CommitUnknown):
            system.ask(Do(job_id="a", steps=0))
        wait_until(lambda: system.health().status == "recovering")
        answers: SimpleQueue[str] = SimpleQueue()
        asking = threading.Thread(target=lambda: answers.put(system.ask(Do(job_id="b", steps=0))), daemon=True)
        asking.start()
        go_on.set()
        assert answers.get(timeout=PATIENCE_S) == "b"


def test_p18_a_subscription_outlives_a_rebuild(real_runtime: Runtime) -> None:
    log = FaultyLog()
    seen: SimpleQueue[str] = SimpleQueue()
    with ts.System([Desk()], log=log, runtime=real_runtime) as system:

        def read() -> None:
            for each in system.subscribe(event_types=("Ordered",)):
                seen.put(each.aggregate_id)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for number in range(3):
            assert system.ask(Order(order_id=f"kept {number}")) == f"kept {number}"
            assert seen.get(timeout=PATIENCE_S) == f"kept {number}"
            log.disk.fails(written=False)
            with pytest.raises(ts.CommitUnknown):
                system.ask(Order(order_id="lost"))
        system.ask(Order(order_id="last"))
        assert seen.get(timeout=PATIENCE_S) == "last"
    reader.join(PATIENCE_S)
    assert not reader.is_alive()


def test_who_waits_for_the_disk_gets_in_when_it_has_caught_up(real_runtime: Runtime) -> None:
    """S16: no reply is given at that moment that could tell that there is room again."""
    log, leave, stalled = FaultyLog(), threading.Event(), threading.Event()

    def hook(_what: str, _job_id: str) -> None:
        assert leave.wait(PATIENCE_S)
        if not stalled.is_set():
            log.disk.stalls()
            stalled.set()

    limits = ts.Limits(undurable_records=1)
    with ts.System([Desk(), Ledger(hook)], log=log, runtime=real_runtime, limits=limits) as system:
        system.ask(Order(order_id="a"))
        leave.set()
        assert stalled.wait(PATIENCE_S)
        assert log.disk.reached.wait(PATIENCE_S)
        refused_then_let_in(system, log.disk.goes_on)


def test_who_waits_for_a_slow_owner_gets_in_when_it_has_caught_up() -> None:
    """S16."""
    entered, leave = threading.Event(), threading.Event()

    def hook(_what: str, _job_id: str) -> None:
        entered.set()
        assert leave.wait(PATIENCE_S)

    limits = ts.Limits(lag_records=2)
    with ts.System([Desk(), Ledger(hook)], runtime=ts.ThreadsRuntime(), limits=limits) as system:
        for number in range(3):
            system.ask(Order(order_id=f"{number}"))
            assert entered.wait(PATIENCE_S)
        wait_until(lambda: system.health().owners["ledger"].lag >= 2)
        refused_then_let_in(system, leave.set)


def refused_then_let_in(system: ts.System, make_room: Callable[[], None]) -> None:
    wait_until(lambda: not system._admission.has_room())
    with pytest.raises(ts.Overloaded):
        system.submit(Order(order_id="b"))
    with pytest.raises(ts.Overloaded):
        system.ask(Order(order_id="b"), timeout_s=0.01)
    answers: SimpleQueue[str] = SimpleQueue()
    asking = threading.Thread(target=lambda: answers.put(system.ask(Order(order_id="c"))), daemon=True)
    asking.start()
    wait_until(lambda: system._admission.waiting > 0)
    make_room()
    assert answers.get(timeout=PATIENCE_S) == "c"


def test_an_owner_that_is_not_concerned_does_not_lag(real_runtime: Runtime) -> None:
    with ts.System(
        [Desk(), Impatient(), Workshop()], performers=Provider().performers(), runtime=real_runtime, limits=ts.Limits(lag_records=50)
    ) as system:
        for number in range(200):
            system.ask(Do(job_id=f"{number}", steps=0), timeout_s=PATIENCE_S)
        assert {owner.lag for owner in system.health().owners.values()} == {0}


def test_many_callers_at_once_are_all_answered_and_versions_stay_contiguous(real_runtime: Runtime) -> None:
    """S6."""
    answered: SimpleQueue[str] = SimpleQueue()
    with ts.System([Desk(), Ledger()], runtime=real_runtime) as system:

        def ask(caller: int) -> None:
            for number in range(50):
                answered.put(system.ask(Order(order_id=f"{number % 5}", text=f"{caller}/{number}")))

        callers = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE_S)
        assert answered.qsize() == 400
        wait_until(lambda: len(list(system.events(event_types=("Entered",)))) == 400)
        for order_id in map(str, range(5)):
            records = list(system.events(aggregate_type="Order", aggregate_id=order_id))
            assert [each.aggregate_version for each in records] == list(range(1, 81))
            entries = list(system.events(aggregate_type="Entry", aggregate_id=order_id))
            assert [each.causation for each in entries] == [each.position for each in records], (
                "an owner takes an aggregate's events in order"
            )
