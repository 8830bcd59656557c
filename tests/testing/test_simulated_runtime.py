"""The simulated runtime by itself: a drop-in for others, in virtual time; and the parts of a simulated world."""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.replies import HostReply
from tallystick.testing import Chance, FakeProvider, Hit, NeverHit, SimulatedRuntime, UnknownFault, check_all_hit, probabilities
from tallystick.testing.faults import GROUPS, KINDS, Injector
from tallystick.testing.world import SECOND, World, WorldClock
from tests.actors.workshop import Desk, Do, Ledger, Order, Work, Workshop


def workshop(runtime: SimulatedRuntime, **performed: Any) -> ts.System:
    provider = FakeProvider(Chance(0))
    performer = performed.get("performer") or provider.performs(Work, lambda work, _key: f"{work.job_id} is done")
    return ts.System([Desk(), Workshop(), Ledger()], performers=[performer], runtime=runtime)


@pytest.fixture(params=["uniform", "priorities"])
def runtime(request: pytest.FixtureRequest) -> SimulatedRuntime:
    return SimulatedRuntime(seed=3, strategy=request.param)


def types(system: ts.System) -> list[str]:
    return [recorded.event_type for recorded in system.events()]


def test_a_program_runs_on_it_as_on_any_other(runtime: SimulatedRuntime) -> None:
    with workshop(runtime) as system:
        assert system.ask(Do(job_id="a")) == "a"
        runtime.advance(timedelta(minutes=5))
        assert "JobDone" in types(system)
        assert system.open_executions() == ()


def test_waiting_for_a_reply_lets_time_pass_and_running_does_not(runtime: SimulatedRuntime) -> None:
    with workshop(runtime) as system:
        begun = runtime.clock.now
        system.submit(Do(job_id="a"))
        runtime.run_until_idle()
        assert runtime.clock.now == begun
        due = runtime.next_due()
        assert due is not None
        assert due > begun, "the performer has not answered yet"
        assert runtime.jump()
        assert runtime.clock.now == due


def test_a_reply_that_only_an_answer_from_outside_can_bring_is_no_endless_wait(runtime: SimulatedRuntime) -> None:
    with workshop(runtime), pytest.raises(TimeoutError):
        runtime.wait(HostReply(lambda _reply: True, HostReply.resolve), 5.0)


def test_a_timer_fires_when_virtual_time_gets_there_and_not_before(runtime: SimulatedRuntime) -> None:
    def never(_work: Work, _call: ts.Call) -> ts.Later:
        return ts.Later()

    with workshop(runtime, performer=Work.performed_by(never)) as system:
        system.ask(Do(job_id="a"))
        runtime.advance(timedelta(seconds=59))
        assert "TimeoutFired" not in types(system)
        runtime.advance(timedelta(seconds=1))
        assert "TimeoutFired" in types(system)


def test_a_coroutine_is_a_performer_too_unless_it_waits_for_something_real(runtime: SimulatedRuntime) -> None:
    class Real:
        def __await__(self) -> Generator[None]:
            yield

    async def at_once(work: Work, _call: ts.Call) -> str:
        return work.job_id

    async def waits(work: Work, _call: ts.Call) -> str:
        await Real()
        return work.job_id

    with workshop(runtime, performer=Work.performed_by(at_once)) as system:
        system.ask(Do(job_id="a"))
        runtime.advance(timedelta(minutes=1))
        assert "JobDone" in types(system)
    with workshop(SimulatedRuntime(4), performer=Work.performed_by(waits)) as system:
        system.ask(Do(job_id="a"))
        runtime_of_it: Any = system._runtime
        runtime_of_it.advance(timedelta(hours=1))
        (failed,) = system.events(event_types=("JobFailed",))
        assert b"AwaitsTheWorld" in failed.payload


def test_the_seed_chooses_who_goes_first() -> None:
    orders: set[tuple[str, ...]] = set()
    for seed in range(20):
        runtime = SimulatedRuntime(seed)
        with workshop(runtime) as system:
            for job in range(4):
                system.submit(Do(job_id=f"job-{job}"))
                system.submit(Order(order_id=f"order-{job}"))
            runtime.advance(timedelta(minutes=10))
            orders.add(tuple(types(system)))
    assert len(orders) > 10


# The world


def test_a_process_clock_knows_nothing_of_jumps_of_the_wall_clock() -> None:
    world = World(Chance(1), Injector({}, Chance(1)))
    clock = WorldClock(world)
    begun = clock.now_us()
    world.wall_us += 3600 * SECOND
    world.pass_time(5 * SECOND)
    assert clock.now_us() == begun + 5 * SECOND
    assert WorldClock(world).now_us() == begun + 3605 * SECOND
    with pytest.raises(ValueError, match="does not run backwards"):
        clock.advance_to_us(begun)


def test_what_a_process_was_to_do_dies_with_it_and_what_outlives_it_happens() -> None:
    world = World(Chance(1), Injector({}, Chance(1)))
    happened: list[str] = []
    world.after(10, lambda: happened.append("the process"))
    world.after(20, lambda: happened.append("the world"), outlives=True)
    world.begin_process()
    assert world.next_us() == 20
    world.pass_time(20)
    while world.is_due():
        world.happen()
    assert happened == ["the world"]
    assert world.next_us() is None


# Faults


def test_faults_are_named_by_kind_or_group() -> None:
    assert set(probabilities("all")) == set(KINDS)
    assert probabilities("none") == {}
    assert set(probabilities("crash, late")) == {kind for kind in KINDS if kind.startswith("crash.")} | {"late"}
    assert probabilities({"crash.step": 0.5}) == {"crash.step": 0.5}
    assert set(probabilities(GROUPS)) == set(KINDS)
    with pytest.raises(UnknownFault, match="'crush'"):
        probabilities("crush")


def test_faults_come_about_as_often_as_they_are_likely_and_again_from_a_script() -> None:
    drawn = Injector({"late": 0.1}, Chance(5))
    moments = [number for number in range(1, 5001) if drawn.happens("late")]
    assert 400 < len(moments) < 600
    assert drawn.hits == [Hit("late", number) for number in moments]
    scripted = Injector({}, Chance(6), drawn.hits[::2])
    assert [number for number in range(1, 5001) if scripted.happens("late")] == moments[::2]


def test_certain_faults_always_happen_and_impossible_ones_never() -> None:
    injector = Injector({"late": 1.0, "hung": 0.0}, Chance(5))
    assert [injector.happens("late") for _ in range(5)] == [True] * 5
    assert [injector.happens("hung") for _ in range(5)] == [False] * 5
    injector.stop()
    assert not injector.happens("late")


def test_opportunities_that_bring_nothing_are_passed_over_at_once() -> None:
    one, other = Injector({"late": 0.02, "hung": 0.05}, Chance(8)), Injector({"late": 0.02, "hung": 0.05}, Chance(8))
    for _ in range(500):
        one.happens("late")
        one.happens("hung")
    asked = 0
    while asked < 500:
        asked += other.skip(("late", "hung")) + 1
        other.happens("late")
        other.happens("hung")
    assert other.hits[: len(one.hits)] == one.hits


def test_a_fault_that_was_enabled_and_never_hit_makes_the_runs_worthless() -> None:
    check_all_hit(["late"], {"late": 1})
    with pytest.raises(NeverHit, match="hung"):
        check_all_hit(["late", "hung"], {"late": 1})


def test_draws_depend_on_seed_and_label_only() -> None:
    chance = Chance(7)
    assert chance.at("a", 1) == Chance(7).at("a", 1)
    assert len({chance.at("a", number) for number in range(100)}) == 100
    assert {chance.between(1, 3, number) for number in range(100)} == {1, 2, 3}
    assert {chance.pick("ab", number) for number in range(100)} == {"a", "b"}
    draw, again = chance.stream("x"), Chance(7).stream("x")
    assert [draw() for _ in range(5)] == [again() for _ in range(5)]


# The provider


def test_a_provider_does_a_thing_once_for_each_key_and_can_be_asked_whether_it_did() -> None:
    provider = FakeProvider(Chance(1))
    performer = provider.performs(Work, lambda work, key: f"{work.job_id} by {key}")
    assert performer.probe is not None

    class Call:
        key = "k"

    work, call = Work(job_id="a"), Call()
    assert performer.probe(work, call) == ts.NotDone()  # type: ignore[arg-type]
    assert [performer.run(work, call), performer.run(work, call)] == ["a by k", "a by k"]  # type: ignore[arg-type]
    assert performer.probe(work, call) == ts.Done(result="a by k")  # type: ignore[arg-type]
    assert [entry.result for entry in provider.done(Work)] == ["a by k"]
    assert list(provider.asked.values()) == [2]


def test_a_provider_declines_the_same_keys_for_good() -> None:
    provider = FakeProvider(Chance(1), declines_percent=50)
    performer = provider.performs(Work, lambda work, _key: work.job_id)

    class Call:
        def __init__(self, key: str) -> None:
            self.key = key

    def declined(key: str) -> bool:
        try:
            performer.run(Work(job_id="a"), Call(key))  # type: ignore[arg-type]
        except ts.Rejected:
            return True
        return False

    first = [declined(str(number)) for number in range(100)]
    assert 30 < sum(first) < 70
    assert [declined(str(number)) for number in range(100)] == first


def test_a_provider_does_later_what_it_has_promised_and_says_so_until_somebody_listens() -> None:
    provider = FakeProvider(Chance(1), later_percent=100)
    performer = provider.performs(Work, lambda work, _key: f"{work.job_id} is done")
    heard: list[tuple[str, str]] = []

    class Call:
        key, token = "k", ts.Token("t")

    def nobody(_token: ts.Token, _result: str) -> bool:
        raise ts.NotAccepted

    work, call = Work(job_id="a"), Call()
    assert performer.probe is not None
    assert performer.run(work, call) == ts.Later()  # type: ignore[arg-type]
    assert performer.probe(work, call) == ts.Later()  # type: ignore[arg-type]
    with pytest.raises(ts.NotAccepted):
        provider.deliver(nobody)
    for _ in range(2):
        provider.deliver(lambda token, result: heard.append((token, result)))
    assert heard == [("t", "a is done")]
    assert performer.probe(work, call) == ts.Done(result="a is done")  # type: ignore[arg-type]
