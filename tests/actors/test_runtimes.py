"""The same tests on all three runtimes: what a program sees of a system does not depend on who runs its actors."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, Provider, wait_until
from tests.actors.workshop import Desk, Do, Done, Drop, JobState, Ledger, Making, Order, Undo, Work, Workshop

Open = Callable[..., ts.System]


def settle_down(system: ts.System, condition: Callable[[], bool]) -> None:
    """Let the actors run until it holds: by stepping, or by waiting."""
    if system._runtime.inline:
        assert system._runtime.until(condition, PATIENCE_S)
    else:
        wait_until(condition)


def names(system: ts.System) -> list[str]:
    return [each.event_type for each in system.events() if each.event_type != "OwnerJoined"]


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def start(runtime: Runtime, provider: Provider) -> Iterator[Open]:
    """Systems on the runtime under test; the first gets that one, further ones their own of the same kind."""
    started: list[ts.System] = []

    def start(
        *modules: ts.Module, performers: list[ts.Performer] | None = None, log: ts.EventLog | None = None, limits: ts.Limits | None = None
    ) -> ts.System:
        own = type(runtime)() if started else runtime
        system = ts.System(
            modules or [Desk(), Workshop(), Ledger()],
            performers=performers or provider.performers(),
            log=log,
            runtime=own,
            limits=limits,
        )
        started.append(system)
        return system.__enter__()

    yield start
    for system in started:
        system.stop()


def reply(system: ts.System, future: "Future[str]") -> str:
    """What a command was answered; in the stepped runtime somebody has to let it run."""
    settle_down(system, future.done)
    return future.result()


def test_a_job_is_begun_done_and_heard_of(start: Open, provider: Provider) -> None:
    system = start()
    assert system.ask(Order(order_id="a")) == "a"
    settle_down(system, lambda: names(system).count("Entered") == 2)
    assert sorted(names(system)) == sorted(["Ordered", "JobBegun", "MakingStarted", "Entered", "JobDone", "Entered"])
    assert [call.key for call in provider.calls] == [next(system.events(event_types=("MakingStarted",))).token]
    state = system.get(JobState, "a")
    assert state is not None
    assert state.status == "done"
    assert system.resident(Done).count == 1
    assert system.open_executions() == ()


def test_a_final_no_fails_the_job(start: Open, provider: Provider) -> None:
    provider.answers("a", ts.Rejected("NO_FUNDS"))
    system = start()
    system.ask(Do(job_id="a"))
    settle_down(system, lambda: "JobFailed" in names(system))
    assert [call.attempt for call in provider.calls] == [1]


def test_a_failed_attempt_is_repeated(start: Open, provider: Provider) -> None:
    provider.answers("a", ValueError("not now"))
    system = start(AtOnceWorkshop())
    system.ask(Do(job_id="a"))
    settle_down(system, lambda: "JobDone" in names(system))
    assert [call.attempt for call in provider.calls] == [1, 2]
    assert "AttemptStarted" in names(system)


class AtOnceWorkshop(Workshop):
    """Retries without waiting, so that no test waits either."""

    @ts.handles(Do)
    def do(self, _turn: ts.Turn, command: Do) -> ts.Decision[str]:
        at_once = ts.FixedDelay(interval=timedelta())
        yield ts.Begin(intent=Making(job_id=command.job_id), actions=(Work(job_id=command.job_id),), retry=at_once)
        return command.job_id


def test_commands_are_answered_in_the_order_in_which_they_were_sent(start: Open) -> None:
    system = start()
    futures = [system.submit(Do(job_id=f"{number}", steps=0)) for number in range(50)]
    assert [reply(system, future) for future in futures] == [f"{number}" for number in range(50)]
    assert [each.aggregate_id for each in system.events(event_types=("JobBegun",))] == [f"{number}" for number in range(50)]


def test_a_refusal_reaches_the_caller_and_writes_nothing(start: Open) -> None:
    system = start()
    system.ask(Do(job_id="a", steps=0))
    before = names(system)
    with pytest.raises(ts.Rejected, match="KNOWN"):
        system.ask(Do(job_id="a", steps=0))
    assert names(system) == before


def test_a_key_carries_a_command_out_once(start: Open) -> None:
    system = start()
    futures: list[Future[str]] = [system.submit(Do(job_id="a", steps=0), idempotency_key="k") for _ in range(10)]
    assert {reply(system, future) for future in futures} == {"a"}
    with pytest.raises(ts.IdempotencyConflict):
        system.ask(Do(job_id="b"), idempotency_key="k")
    assert names(system).count("JobBegun") == 1


def test_an_error_in_a_handler_is_the_callers_and_the_system_goes_on(start: Open) -> None:
    raising: list[BaseException] = [ValueError("a bug"), SystemExit("rude")]

    def hook(_what: str, _job_id: str) -> None:
        if raising:
            raise raising.pop(0)

    system = start(Workshop(hook))
    with pytest.raises(ValueError, match="a bug"):
        system.ask(Do(job_id="a"))
    with pytest.raises(ts.EffectError, match="SystemExit"):
        system.ask(Do(job_id="a"))
    assert system.ask(Do(job_id="a")) == "a"
    assert system.health().restarts == 0


def test_a_performer_that_raises_base_exceptions_fails_its_call_only(start: Open, runtime: Runtime, provider: Provider) -> None:
    interrupt = BaseException("ruder") if runtime.inline else KeyboardInterrupt()  # in the host's own thread that is the host's
    provider.answers("a", SystemExit("rude"), interrupt, GeneratorExit())
    system = start(AtOnceWorkshop())
    system.ask(Do(job_id="a"))
    settle_down(system, lambda: len(provider.calls) == 4)
    settle_down(system, lambda: "JobDone" in names(system))
    assert system.health().restarts == 0


def test_a_dead_letter_is_found_and_discarded(start: Open) -> None:
    def hook(_what: str, _job_id: str) -> None:
        raise ValueError

    system = start(Desk(), Ledger(hook))
    system.ask(Order(order_id="a"))
    settle_down(system, lambda: "ReactionFailed" in names(system))
    assert system.health().owners["ledger"].parked == 1
    assert system.dead_letters() == (), "it is still to be tried again"


def test_work_without_a_performer_is_completed_failed_or_abandoned_by_hand(start: Open) -> None:
    system = start(Workshop(), Ledger())
    for job_id in ("a", "b", "c"):
        system.ask(Do(job_id=job_id, steps=0))
    first, second, third = system.open_executions()
    assert system.complete(first.execution.token, "by hand")
    assert system.fail(second.execution.token, ts.Failed(code="NO"))
    system.abandon(third, "forgotten")
    assert [name for name in names(system) if name in {"JobDone", "JobFailed"}] == ["JobDone", "JobFailed", "JobFailed"]
    assert not system.complete(first.execution.token, "again")
    with pytest.raises(ts.Rejected, match="NOT_OPEN"):
        system.abandon(third, "again")


def test_a_performer_may_promise_its_answer_for_later(start: Open, provider: Provider) -> None:
    provider.answers("a", ts.Later())
    system = start()
    system.ask(Do(job_id="a"))
    settle_down(system, lambda: bool(provider.calls))
    (waiting,) = system.open_executions()
    assert system.complete(waiting.execution.token, "by webhook")
    assert "JobDone" in names(system)


def test_an_async_performer_is_awaited(start: Open, provider: Provider) -> None:
    async def work(action: Work, _call: ts.Call) -> str:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        if action.job_id == "b":
            code = "NO"
            raise ts.Rejected(code)
        return f"{action.job_id} was awaited"

    system = start(Workshop(), performers=[Work.performed_by(work), Undo.performed_by(provider.undo)])
    for job_id in ("a", "b"):
        system.ask(Do(job_id=job_id))
    settle_down(system, lambda: {"JobDone", "JobFailed"} <= set(names(system)))
    (done,) = system.events(event_types=("JobDone",))
    assert b"a was awaited" in done.payload


def test_several_systems_in_one_process_do_not_meet(start: Open) -> None:
    first, second = start(log=ts.MemoryLog(identity="first")), start(log=ts.MemoryLog(identity="second"))
    first.ask(Do(job_id="a", steps=0), idempotency_key="k")
    assert second.ask(Do(job_id="b", steps=0), idempotency_key="k") == "b"
    assert second.open_executions()[0].execution.intent == Making(job_id="b")
    first.stop()
    assert second.ask(Do(job_id="c", steps=0)) == "c"
    assert [each.aggregate_id for each in second.events(event_types=("JobBegun",))] == ["b", "c"]


def test_commands_can_be_awaited(start: Open) -> None:
    system = start()

    async def ask() -> list[str]:
        return [await system.ask_async(Do(job_id=f"{number}", steps=0)) for number in range(3)]

    assert asyncio.run(ask()) == ["0", "1", "2"]

    async def refused() -> None:
        await system.ask_async(Do(job_id="0"))

    with pytest.raises(ts.Rejected):
        asyncio.run(refused())


def test_a_system_is_an_async_context_manager(runtime: Runtime) -> None:
    async def run() -> str:
        async with ts.System([Workshop()], performers=Provider().performers(), runtime=runtime) as system:
            return await system.ask_async(Do(job_id="a"))

    assert asyncio.run(run()) == "a"


def test_a_subscriber_gets_what_is_there_and_what_comes(start: Open) -> None:
    system = start(Desk())
    system.ask(Order(order_id="a"))
    subscription = system.subscribe(event_types=("Ordered",))
    assert next(subscription).aggregate_id == "a"
    system.ask(Order(order_id="b"))
    assert next(subscription).aggregate_id == "b"
    if system._runtime.inline:
        assert list(subscription) == []
        return
    rest: list[str] = []
    reader = threading.Thread(target=lambda: rest.extend(each.aggregate_id for each in subscription), daemon=True)
    reader.start()
    system.ask(Order(order_id="c"))
    wait_until(lambda: rest == ["c"])
    system.stop()
    reader.join(PATIENCE_S)
    assert not reader.is_alive(), "a subscription ends when the system stops"


def test_health_tells_how_a_system_stands(start: Open) -> None:
    system = start()
    for job_id in ("a", "b"):
        system.ask(Do(job_id=job_id, steps=0))
    health = system.health()
    assert (health.status, health.epoch, health.restarts, health.commands_in_flight) == ("running", 1, 0, 0)
    assert health.tail == health.watermark == len(list(system.events()))
    assert (health.timers, health.commits > 0) == (2, True)
    assert (health.owners["workshop"].open_executions, health.owners["workshop"].aggregates_in_memory) == (2, 2)
    assert set(health.owners) == {"desk", "workshop", "ledger", "operations", "schedules"}
    system.stop()
    assert system.health().status == "stopped"


def test_a_stop_answers_what_was_accepted_and_the_next_start_finds_it(start: Open) -> None:
    log = ts.MemoryLog()
    system = start(log=log)
    futures = [system.submit(Do(job_id=f"{number}", steps=0)) for number in range(20)]
    system.stop()
    assert [future.result(0) for future in futures] == [f"{number}" for number in range(20)]
    again = start(log=log.reopened())
    assert len(again.open_executions()) == 20
    with pytest.raises(ts.Rejected, match="KNOWN"):
        again.ask(Do(job_id="7"))


def test_no_room_is_an_explicit_error_for_those_who_do_not_wait(start: Open) -> None:
    """S16."""
    entered, leave = threading.Event(), threading.Event()

    def hook(_what: str, job_id: str) -> None:
        entered.set()
        assert job_id != "held" or system._runtime.inline or leave.wait(PATIENCE_S)

    system = start(Workshop(hook), limits=ts.Limits(commands=2))
    held = system.submit(Do(job_id="held", steps=0))
    if not system._runtime.inline:
        assert entered.wait(PATIENCE_S)
    second = system.submit(Do(job_id="second", steps=0))
    with pytest.raises(ts.Overloaded, match="limit 2"):
        system.submit(Drop(job_id="third"))
    leave.set()
    assert [reply(system, future) for future in (held, second)] == ["held", "second"]
    assert system.ask(Drop(job_id="nobody's")) == 2


def test_those_who_wait_get_in_when_there_is_room(start: Open) -> None:
    system = start(Workshop(), limits=ts.Limits(commands=1))
    futures = [system.submit(Do(job_id=f"{number}", steps=0), when_full="wait") for number in range(20)]
    assert [reply(system, future) for future in futures] == [f"{number}" for number in range(20)]


ASKS_IN_A_TURN: dict[str, Callable[[ts.System], object]] = {
    "a command of its own": lambda system: system.ask(Do(job_id="inner", steps=0)),
    "another's command": lambda system: system.ask(Order(order_id="inner", text="nothing")),
    "what is open": lambda system: system.open_executions(),
    "what waits for a person": lambda system: system.dead_letters(),
    "an answer from outside": lambda system: system.complete(system.open_executions()[0].execution.token, "done"),
    "an operation": lambda system: system.operations.start("Billing.Invoice.Generate"),
}


@pytest.mark.parametrize("what", ASKS_IN_A_TURN)
@pytest.mark.parametrize("limits", [None, ts.Limits(commands=1)], ids=["room for more", "no room for another"])
def test_a_handler_that_asks_its_own_system_is_told_that_no_reply_can_come(start: Open, what: str, limits: ts.Limits | None) -> None:
    workshop, told = Workshop(), list[str]()
    system = start(Desk(), workshop, Ledger(), limits=limits)

    def ask(doing: str, job_id: str) -> None:
        if (doing, job_id) == ("do", "outer"):
            with pytest.raises(ts.TimedOutWaiting):
                ASKS_IN_A_TURN[what](system)
            told.append(job_id)

    workshop.hook = ask
    asked = system.submit(Do(job_id="outer", steps=0))
    assert reply(system, asked) == "outer"
    assert told == ["outer"]
    system.stop()
    assert system.health().status == "stopped"


def test_what_a_handler_asked_for_comes_after_its_turn_and_no_fold_of_it_is_lost(start: Open) -> None:
    workshop, log = Workshop(), ts.MemoryLog()
    system = start(Desk(), workshop, Ledger(), log=log)

    def ask(doing: str, job_id: str) -> None:
        if (doing, job_id) == ("settle", "outer"):
            with pytest.raises(ts.TimedOutWaiting):
                system.complete(next(token for token in tokens if token != first), "inner")

    system.ask(Do(job_id="outer", steps=0))
    system.ask(Do(job_id="inner", steps=0))
    opened = system.open_executions()
    first, tokens = opened[0].execution.token, [each.execution.token for each in opened]
    workshop.hook = ask
    assert system.complete(first, "outer")
    settle_down(system, lambda: names(system).count("JobDone") == 2)
    assert system.resident(Done).count == 2
    system.stop()
    assert start(log=log.reopened()).resident(Done).count == 2, "the snapshot of the stop says so too"


def test_a_stepped_system_is_not_stepped_by_a_handler(provider: Provider) -> None:
    runtime, workshop, told = ts.SteppedRuntime(), Workshop(), list[str]()
    with ts.System([workshop], performers=provider.performers(), runtime=runtime) as system:

        def drive(_doing: str, _job_id: str) -> None:
            for driven in (runtime.step, runtime.run_until_idle, lambda: system.step(timedelta(seconds=1))):
                with pytest.raises(ts.TimedOutWaiting, match="in the midst of a turn"):
                    driven()
            told.append("no")

        workshop.hook = drive
        assert system.ask(Do(job_id="a", steps=0)) == "a"
    assert told == ["no"]


def test_a_performer_that_runs_in_the_thread_that_drives_may_ask() -> None:
    told: list[str] = []

    def work(_action: Work, _call: ts.Call) -> str:
        told.append(system.ask(Order(order_id="x", text="nothing")))
        return "done"

    performers = [Work.performed_by(work), *Provider().performers()[1:]]
    with ts.System([Desk(), Workshop()], performers=performers, runtime=ts.SteppedRuntime()) as system:
        system.ask(Do(job_id="a"))
        settle_down(system, lambda: "JobDone" in names(system))
    assert told == ["x"]
