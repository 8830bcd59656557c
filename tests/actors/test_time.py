"""Time, ids and chance: one seam for all three (P24, P25)."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

import tallystick as ts
from tallystick.actors import clock as clock_module
from tallystick.actors.actor import ALARM
from tallystick.actors.messages import Context
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.timer import Deadlines
from tests.actors.outside import PATIENCE_S, Provider, StillRunning
from tests.actors.stage import NOON, Stage
from tests.actors.workshop import Do, Order, Workshop


class Hands:
    """The operating system's clocks, as a test sets them."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000 * 10**9
        self.monotonic = 5 * 10**9

    def time_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock_module, "time", hands)
    return hands


@pytest.mark.parametrize("jump_s", [-10 * 365 * 86400, -3600, 3600, 10 * 365 * 86400])
def test_p24_jumps_of_the_wall_clock_while_it_runs_have_no_effect(hands: Hands, jump_s: int) -> None:
    clock = ts.SystemClock()
    start = clock.now_us()
    assert start == hands.wall // 1000
    hands.wall += jump_s * 10**9
    hands.monotonic += 2 * 10**9
    assert clock.now_us() == start + 2_000_000
    assert clock.sleeping_us(start + 3_000_000) == 1.0
    assert clock.sleeping_us(start) == 0.0


def test_p24_a_manual_clock_stands_still_and_does_not_run_backwards() -> None:
    clock = ts.ManualClock(NOON)
    assert (clock.now, clock.now) == (NOON, NOON)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))


def test_p24_a_timeout_fires_at_its_deadline_and_not_before(stage: Stage) -> None:
    """S12."""
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.advance(59.999999)
    stage.engine.timer.post.tell(ALARM)  # a runtime that wakes it too soon: what is early is judged where the timeout is written
    stage.idle()
    assert "TimeoutFired" not in stage.types()
    stage.advance(0.000001)
    assert [each.occurred_at for each in stage.of_type("TimeoutFired")] == [NOON + timedelta(minutes=1)]


def test_p24_the_next_attempts_deadline_counts_from_when_it_was_due_and_not_from_when_it_came(stage: Stage) -> None:
    stage.provider.answers("a", ValueError("no"), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.clock.advance(timedelta(seconds=17))
    stage.idle()
    (started,) = stage.events("AttemptStarted")
    assert started.deadline == NOON + timedelta(seconds=10 + 60)
    assert stage.of_type("AttemptStarted")[0].occurred_at == NOON + timedelta(seconds=17)


@pytest.mark.parametrize("down_s", [5, 3600])
def test_p24_across_a_restart_the_wall_clock_decides_and_the_recorded_deadline_stands(stage: Stage, down_s: int) -> None:
    stage.provider.answers("a", *[StillRunning()] * 5)
    stage.system.ask(Do(job_id="a"))
    stage.advance(10)
    stage.clock.advance(timedelta(seconds=down_s))
    stage.crash()
    stage.idle()
    assert ("TimeoutFired" in stage.types()) == (down_s > 60)
    stage.advance(max(0, 50 - down_s))
    fired = stage.of_type("TimeoutFired")[0]
    assert fired.occurred_at == NOON + timedelta(seconds=max(60, 10 + down_s))


def test_p24_a_clock_that_is_behind_at_the_next_start_fires_nothing_early_and_times_never_decrease(stage: Stage) -> None:
    """P23: ids and times of a log never decrease."""
    stage.provider.answers("a", *[StillRunning()] * 5)
    stage.system.ask(Do(job_id="a"))
    stage.advance(10)
    stage.clock = ts.ManualClock(NOON - timedelta(days=365))
    stage.crash()
    stage.system.ask(Order(order_id="x"))
    stage.advance(86400)
    assert "TimeoutFired" not in stage.types()
    stage.advance(365 * 86400)
    assert "TimeoutFired" in stage.types()
    times = [each.occurred_at_us for each in stage.written]
    ids = [each.event_id for each in stage.written]
    assert times == sorted(times)
    assert ids == sorted(set(ids))


def test_p24_what_is_due_in_the_same_moment_fires_in_the_order_of_its_deadlines(stage: Stage) -> None:
    for number in range(5):
        stage.provider.answers(f"{number}", StillRunning())
        stage.system.ask(Do(job_id=f"{number}"))
        stage.advance(1)
    stage.clock.advance(timedelta(hours=1))
    stage.idle()
    tokens = [each.token for each in stage.of_type("MakingStarted")]
    assert [each.token for each in stage.of_type("TimeoutFired")] == tokens


def story(stage: Stage) -> list[bytes]:
    stage.provider.answers("a", ValueError("no"), StillRunning())
    stage.system.ask(Do(job_id="a"), idempotency_key="k")
    stage.advance(60)
    stage.system.ask(Order(order_id="x"))
    stage.crash()
    stage.advance(600)
    return [each.hash for each in stage.written]


def test_p25_the_same_seed_gives_the_same_log_byte_for_byte_and_another_seed_another() -> None:
    first, again, other = story(Stage(seed=1)), story(Stage(seed=1)), story(Stage(seed=2))
    assert first == again
    assert first[-1] != other[-1]


def test_p25_a_rebuilt_or_reopened_system_makes_no_id_twice(stage: Stage) -> None:
    """With the seed alone, the tokens of a second generation would be those of the first, and its calls answered by the first one's."""
    ways: list[Callable[[], None]] = [stage.crash, stage.reopen, lambda: lose_a_batch(stage)]
    for way in ways:
        stage.system.ask(Do(job_id=f"{way!r}", steps=0))
        way()
    stage.system.ask(Do(job_id="last", steps=0))
    tokens = [each.token for each in stage.of_type("MakingStarted")]
    assert len(set(tokens)) == len(tokens) == 4


def lose_a_batch(stage: Stage) -> None:
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Order(order_id="lost", text="nothing"))


def test_p25_generations_of_a_seeded_source_differ_and_its_ids_ascend() -> None:
    sources = [ts.SeededIdentity(7, generation) for generation in (1, 2)]
    ids = [[source.new_id(1_000_000) for _ in range(100)] for source in sources]
    assert not set(ids[0]) & set(ids[1])
    assert all(made == sorted(set(made)) for made in ids)
    assert all(0 <= source.draw() < 1 for source in sources)


def test_p25_callbacks_of_futures_run_on_a_thread_of_their_own(real_runtime: Runtime) -> None:
    """A callback that blocks holds up no actor and no commit."""
    release, done = threading.Event(), threading.Event()
    names: list[str] = []

    def block(_future: object) -> None:
        names.append(threading.current_thread().name)
        assert release.wait(PATIENCE_S)
        done.set()

    with ts.System([Workshop()], performers=Provider().performers(), runtime=real_runtime) as system:
        system.submit(Do(job_id="a")).add_done_callback(block)
        assert system.ask(Do(job_id="b"), timeout_s=PATIENCE_S) == "b"
        release.set()
        assert done.wait(PATIENCE_S)
    assert names == ["tallystick-replies"]


def test_deadlines_that_were_taken_back_do_not_pile_up() -> None:
    deadlines = Deadlines()
    kept = [Context("workshop", ts.Token(f"kept {number}")) for number in range(100)]
    for number, context in enumerate(kept):
        deadlines.arm(context, 1_000_000 + number, context)
    for number in range(20_000):
        context = Context("workshop", ts.Token(f"{number}"))
        deadlines.arm(context, number, context)
        deadlines.disarm(context)
    assert len(deadlines._heap) <= 2 * len(kept) + 1025
    assert [deadlines.pop(2_000_000) for _ in range(101)] == [*kept, None]
