"""Metrics: what is counted, when, and that a system without a meter pays nothing for it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import tallystick as ts
from tallystick.actors import metering
from tallystick.host import metrics
from tests.actors.errand import Did, Errand, Job, Outside
from tests.actors.outside import FaultyLog
from tests.host import shop

ROOT = Path(__file__).resolve().parents[2]


class Scraped:
    """A shop with a meter, as Prometheus would see it."""

    def __init__(self, log: ts.EventLog) -> None:
        self.runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
        self.system = shop.compose(log=log, runtime=self.runtime, meter=ts.Meter())
        self.registry = CollectorRegistry()
        self.registry.register(metrics.SystemCollector({"shop": self.system}))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tallystick_{name}", {"system": "shop", **labels})

    def send(self, parcel_id: str, street: str = "Elm") -> None:
        self.system.ask(shop.Send(parcel_id=parcel_id, street=street))
        self.runtime.run_until_idle()


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    made = Scraped(FaultyLog())
    with made.system:
        yield made


SENDING = {"owner": "shop", "operation": "Sending"}


def test_executions_are_counted_as_they_begin_and_end_with_how_long_they_took(scraped: Scraped) -> None:
    scraped.send("a")
    scraped.send("b", "")
    assert scraped.value("executions_started_total", **SENDING) == 2
    assert scraped.value("executions_completed_total", **SENDING) == 1
    assert scraped.value("executions_active", **SENDING) == 1
    scraped.runtime.advance(timedelta(seconds=30))
    scraped.system.discard(scraped.system.dead_letters()[0])
    assert scraped.value("executions_failed_total", **SENDING, outcome="failed") == 1
    assert scraped.value("executions_active", **SENDING) is None
    assert scraped.value("executions_duration_seconds_count", **SENDING) == 2
    assert scraped.value("executions_duration_seconds_sum", **SENDING) == 30
    assert scraped.value("executions_duration_seconds_bucket", **SENDING, le="10.0") == 1
    assert scraped.value("executions_duration_seconds_bucket", **SENDING, le="60.0") == 2


def test_only_what_is_durable_counts(scraped: Scraped) -> None:
    log = scraped.system._life.log
    assert isinstance(log, FaultyLog)
    log.disk.fails(written=False)
    with pytest.raises(ts.TallystickError):
        scraped.send("lost")
    assert scraped.value("executions_started_total", **SENDING) is None
    scraped.send("a")
    assert scraped.value("executions_started_total", **SENDING) == 1
    assert scraped.value("restarts_total") == 1


def test_what_is_under_way_at_the_opening_counts_as_active_with_its_own_beginning() -> None:
    log = ts.MemoryLog()
    first = Scraped(log)
    with first.system:
        first.send("b", "")
    again = Scraped(log.reopened())
    with again.system:
        assert again.value("executions_active", **SENDING) == 1
        again.runtime.advance(timedelta(seconds=5))
        again.system.discard(again.system.dead_letters()[0])
        assert again.value("executions_started_total", **SENDING) is None
        assert again.value("executions_failed_total", **SENDING, outcome="failed") == 1
        assert again.value("executions_duration_seconds_count", **SENDING) == 1


def test_dead_letters_are_counted_as_they_come_and_as_they_wait(scraped: Scraped) -> None:
    scraped.send("b", "")
    scraped.send("illegible")
    scraped.runtime.advance(timedelta(hours=1))
    assert scraped.value("dead_letters", owner="shop") == 1
    assert scraped.value("dead_letters", owner="clerk") == 1
    assert scraped.value("dead_letters_made_total", owner="shop") == 1
    assert scraped.value("dead_letters_made_total", owner="clerk") == 1
    scraped.system.discard_all(ts.DeadLetterQuery())
    assert scraped.value("dead_letters", owner="shop") == 0
    assert scraped.value("dead_letters_made_total", owner="shop") == 1


def test_stale_tokens_are_counted_by_what_came_too_late(scraped: Scraped) -> None:
    scraped.send("a")
    assert scraped.system.complete(ts.Token("unknown"), "x") is False
    assert scraped.value("stale_tokens_total", what="unknown_tokens") == 1


def test_queues_of_a_save_that_nobody_knows_of_are_stale_tokens_too(scraped: Scraped) -> None:
    scraped.system._counters.count("stale_queue_tokens", 2)
    assert scraped.value("stale_tokens_total", what="stale_queue_tokens") == 2


def test_commits_are_timed_and_the_rest_is_what_health_says(scraped: Scraped) -> None:
    scraped.send("a")
    health = scraped.system.health()
    assert scraped.value("commit_seconds_count") == health.commits
    assert scraped.value("tail") == scraped.value("watermark") == health.tail
    assert sum(scraped.value("records_total", owner=owner) or 0 for owner in ("shop", "clerk")) == health.tail
    assert scraped.value("running") == 1
    for gauge in ("timers", "queues_waiting", "calls_running", "commands_in_flight"):
        assert scraped.value(gauge) == 0
    assert scraped.value("owner_lag", owner="shop") == 0


def test_a_stopped_system_can_be_scraped(scraped: Scraped) -> None:
    scraped.send("a")
    scraped.system.stop()
    assert scraped.value("running") == 0
    assert scraped.value("executions_completed_total", **SENDING) == 1


def test_several_systems_stand_in_one_exposition_and_each_has_its_name() -> None:
    registry = CollectorRegistry()
    with shop.stepped(ts.MemoryLog()) as (one, _), shop.stepped(ts.MemoryLog()) as (two, _):
        registry.register(metrics.SystemCollector({"one": one, "two": two}))
        text = generate_latest(registry).decode()
    assert text.count("# TYPE tallystick_running gauge") == 1
    assert 'tallystick_running{system="one"} 1.0' in text
    assert 'tallystick_running{system="two"} 1.0' in text
    assert "executions" not in text, "without a meter"


def test_no_label_is_taken_from_what_users_say(scraped: Scraped) -> None:
    for parcel_id, street in (("secret-1", "secret-2"), ("secret-3", "")):
        scraped.send(parcel_id, street)
    scraped.runtime.advance(timedelta(hours=1))
    scraped.system.discard_all(ts.DeadLetterQuery(), who="secret-4", why="secret-5")
    assert "secret" not in generate_latest(scraped.registry).decode()


def test_every_name_is_in_the_documentation(scraped: Scraped) -> None:
    scraped.send("a")
    scraped.send("b", "")
    scraped.system.discard_all(ts.DeadLetterQuery())
    scraped.system.complete(ts.Token("unknown"), "x")
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    names = {family.name for family in scraped.registry.collect()}
    assert {name for name in names if f"`{name}" not in page} == set()


# Without.


def test_without_the_extra_everything_but_the_collector_works() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from tests.host import shop\n"
        "with shop.stepped(None) as (system, runtime):\n"
        "    system.ask(shop.Send(parcel_id='a', street='Elm')); runtime.run_until_idle()\n"
        "    print(len(list(system.events(event_types=('Sent',)))))\n"
        "print(sorted(name for name in sys.modules if 'metering' in name or 'metrics' in name))\n"
        "try:\n    import tallystick.host.metrics\nexcept ImportError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    sent, modules, error = run.stdout.splitlines()
    assert (sent, modules) == ("1", "[]")
    assert "tallystick[metrics]" in error


def calls_during(meter: ts.Meter | None, parcels: int) -> tuple[int, int]:
    """How many Python functions were called while so many parcels were sent, and how many of those are the meter's."""
    counted = {"all": 0, "meter": 0}

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            counted["all"] += 1
            counted["meter"] += frame.f_code.co_filename == metering.__file__

    runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
    with shop.compose(log=ts.MemoryLog(), runtime=runtime, meter=meter) as system:
        sys.setprofile(profile)
        try:
            for number in range(parcels):
                system.ask(shop.Send(parcel_id=str(number), street="Elm"))
                runtime.run_until_idle()
        finally:
            sys.setprofile(None)
    return counted["all"], counted["meter"]


def test_without_a_meter_no_call_is_made_for_it_and_with_one_none_is_made_in_a_turn() -> None:
    """A meter is called by whoever commits, so all calls beyond those without one are its own."""
    without, none = calls_during(None, 20)
    with_one, its_own = calls_during(ts.Meter(), 20)
    assert none == 0
    assert its_own > 0
    clock = 2 * 20 * 10  # two looks at the clock a commit, of a handful of functions each, is all that it asks of others
    assert without <= with_one - its_own <= without + clock


def test_what_a_meter_says_can_be_written_down(scraped: Scraped) -> None:
    scraped.send("a")
    assert scraped.system.meter is not None
    measured = scraped.system.meter.read()
    assert json.dumps({work.operation: count for work, count in measured.executions.started.items()}) == '{"Sending": 1}'


def test_processes_are_counted_as_they_begin_and_end_and_those_under_way_at_the_opening_are_active() -> None:
    outside, log = Outside(), ts.MemoryLog()
    outside.refuses, outside.puts_off = {"bad again"}, {"slow"}

    def value(system: ts.System, name: str, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(metrics.SystemCollector({"x": system}))
        return registry.get_sample_value(f"tallystick_processes_{name}", {"system": "x", "process": "Errand", **labels})

    system, runtime = outside.system(log, ts.Meter())
    with system:
        for what in ("good", "bad", "slow"):
            system.start(Errand, Job(what=what), id=what)
        runtime.run_until_idle()
        assert [value(system, name) for name in ("started_total", "completed_total", "active")] == [3, 1, 1]
        assert value(system, "failed_total", outcome="failed") == 1
        token = system.open_executions()[0].execution.token
    system, runtime = outside.system(log.reopened(), ts.Meter())
    with system:
        assert [value(system, name) for name in ("started_total", "active")] == [None, 1]
        runtime.advance(timedelta(seconds=10))
        assert system.complete(token, Did(what="slow"))
        runtime.run_until_idle()
        assert [value(system, name) for name in ("completed_total", "active", "duration_seconds_count")] == [1, None, 1]


class Asked(ts.Event):
    aggregate_type = "Question"
    question: str

    @property
    def aggregate_id(self) -> str:
        return self.question


class Answered(Asked): ...


class Refused(Asked): ...


class Say(ts.Command[None]):
    what: str
    question: str


class World(ts.Module):
    name = "world"

    @ts.handles(Say, emits=[Asked, Answered, Refused])
    def say(self, _turn: ts.Turn, command: Say) -> ts.Decision[None]:
        yield {kind.__name__: kind for kind in (Asked, Answered, Refused)}[command.what](question=command.question)


class Questions(ts.Process):
    timeout = timedelta(days=2)

    asked = ts.begun_by(Asked, by="question")
    answered = ts.awaits(Answered, by="question")
    refused = ts.failed_by(Refused, by="question")


def test_process_managers_are_processes_too_and_one_that_a_person_has_retried_is_not_begun_twice() -> None:
    def value(name: str, **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(metrics.SystemCollector({"x": system}))
        return registry.get_sample_value(f"tallystick_processes_{name}", {"system": "x", "process": "Questions", **labels})

    log, runtime = ts.MemoryLog(), ts.SteppedRuntime()
    with ts.System([World(), Questions()], log=log, runtime=runtime, meter=ts.Meter()) as system:
        for question in ("a", "b", "c", "d"):
            system.ask(Say(what="Asked", question=question))
        system.ask(Say(what="Answered", question="a"))
        system.ask(Say(what="Refused", question="b"))
        runtime.run_until_idle()
        assert [value(name) for name in ("started_total", "completed_total", "active")] == [4, 1, 2]
        assert [value("failed_total", outcome="failed"), value("duration_seconds_count")] == [1, 2]
        system.ask(Questions.retry_command("b", who="ann", why="they think again"))
        system.ask(Say(what="Answered", question="b"))
        runtime.run_until_idle()
        assert [value(name) for name in ("started_total", "completed_total", "active")] == [4, 2, 2]
    runtime = ts.SteppedRuntime(ts.ManualClock(runtime.clock.now))
    with ts.System([World(), Questions()], log=log.reopened(), runtime=runtime, meter=ts.Meter()) as system:
        assert [value(name) for name in ("started_total", "active")] == [None, 2]
        runtime.advance(timedelta(days=3))
        assert [value("failed_total", outcome="failed"), value("active"), value("duration_seconds_count")] == [2, None, 2]
