"""Progress: how far performers say that they are, in the log, and seen by whoever asks what is open."""

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.asking import AskedCall
from tallystick.actors.performers.heartbeats import PROGRESS_EVERY_US
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.domain.operations.operation import TEXT_LIMIT_CHARS
from tests.actors.fetcher import NOON, SECOND, Begin, Fetch, Fetcher, Scene, reports
from tests.actors.outside import PATIENCE_S, ByHandRuntime, wait_until

Make = Callable[..., Scene]


# What performers say, in all runtimes.


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_what_a_performer_reports_is_in_the_log_before_its_end(runtime: Runtime, kind: str) -> None:
    def fetch(_action: Fetch, call: ts.Call) -> str:
        call.progress(40, "halfway, nearly")
        call.progress(90)
        return "there"

    async def fetch_async(action: Fetch, call: ts.Call) -> str:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        return fetch(action, call)

    performer = Fetch.performed_by(fetch if kind == "function" else fetch_async)
    with ts.System([Fetcher()], performers=[performer], runtime=runtime) as system:
        token = system.ask(Begin(what="x"))
        if runtime.inline:
            runtime.until(lambda: not system.open_executions(), PATIENCE_S)
        wait_until(lambda: not system.open_executions())
        found = list(system.events(token=token))
        said = reports(system)
    names = [each.event_type for each in found]
    assert names == ["FetchingStarted", "ProgressReported", "ProgressReported", "FetchingSucceeded"]
    assert {each.correlation for each in found} == {found[0].correlation}
    assert said == [(40, "halfway, nearly"), (90, "")]


def test_what_is_open_says_how_far_it_is(real_runtime: Runtime) -> None:
    go = threading.Event()

    def fetch(_action: Fetch, call: ts.Call) -> str:
        call.progress(40, "halfway, nearly")
        assert go.wait(PATIENCE_S)
        return "there"

    with ts.System([Fetcher()], performers=[Fetch.performed_by(fetch)], runtime=real_runtime) as system:
        token = system.ask(Begin(what="x"))
        wait_until(lambda: system.open_executions()[0].execution.progress is not None)
        (open_one,) = system.open_executions()
        why = system.why(token)
        go.set()
    progress = open_one.execution.progress
    assert progress is not None
    assert (progress.percent, progress.message) == (40, "halfway, nearly")
    assert why.standing.progress == progress
    assert 's ago it said 40 %, "halfway, nearly"; its time is up in' in why.sentence


def test_many_threads_may_report_for_one_call_and_the_last_words_are_those_that_are_known(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    call = it.open_call

    def work(number: int) -> None:
        for part in range(200):
            call.progress(part / 2, f"{number}: {part}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    it.runtime.open_calls[-1].returns("there")
    it.settle()
    first, last = it.reports
    assert first[1].endswith(": 0")
    assert last == (99.5, last[1])
    assert it.system.health().restarts == 0


# How often.


def test_in_a_tight_loop_four_a_second_are_written_and_the_last_before_the_answer(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    for part in range(800):
        it.open_call.progress(part / 8, f"part {part}")
        it.advance(0.01)
    it.settle()
    assert len(it.reports) == 8 * 4
    progress = it.progress
    assert progress is not None
    assert progress.message == "part 775"
    it.runtime.open_calls[-1].returns("there")
    it.settle()
    assert it.reports[-1] == (799 / 8, "part 799")
    assert [what for _, what in it.story()][-2:] == ["ProgressReported", "FetchingSucceeded"]


def test_what_was_held_back_goes_with_what_follows_where_that_leaves_it_out(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    it.open_call.progress(1, "one")
    it.open_call.progress(2)
    it.open_call.progress(message="three")
    it.advance(PROGRESS_EVERY_US / 1e6)
    it.open_call.progress()
    it.settle()
    assert it.reports == [(1, "one"), (2, "three")]


def test_what_a_report_leaves_out_stays_as_it_was(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    for percent, message in ((1, "one"), (2, ""), (None, "three"), (None, "")):
        it.open_call.progress(percent, message)
        it.advance(1)
    assert it.progress == ts.Progress(at=NOON + 3 * SECOND, percent=2, message="three")


def test_each_call_is_counted_by_itself(scene: Make) -> None:
    it = scene()
    for _ in range(3):
        it.begin_and_wait()
        it.open_call.progress(5)
    it.settle()
    assert it.reports == [(5, "")] * 3


# What is no progress.


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf"), "50", 10**400])
def test_what_is_no_percentage_is_refused_where_it_is_said(scene: Make, percent: Any) -> None:
    it = scene()
    it.begin_and_wait()
    with pytest.raises(ts.InvalidOperation, match="between 0 and 100"):
        it.open_call.progress(percent)
    it.settle()
    assert it.reports == []


@pytest.mark.parametrize("message", [7, None, b"half", "\ud800"])
def test_what_is_no_text_is_refused_where_it_is_said(scene: Make, message: Any) -> None:
    it = scene()
    it.begin_and_wait()
    with pytest.raises(ts.InvalidPayload, match="message of a call's progress"):
        it.open_call.progress(50, message)
    it.settle()
    assert it.reports == []


def test_what_is_sensitive_is_refused_where_it_is_said(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    with pytest.raises(ts.PersonalDataRefused, match="message of a call's progress"):
        it.open_call.progress(50, ts.sensitive("ann@example.org", of="ann"))  # type: ignore[arg-type]
    it.settle()
    assert it.reports == []


def test_a_percentage_may_be_any_number_and_a_long_message_is_cut(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    it.open_call.progress(Decimal("33.3"), "x" * 3000)  # type: ignore[arg-type]
    it.settle()
    assert it.reports == [(33.3, "x" * (TEXT_LIMIT_CHARS - 1) + "…")]


def test_a_performer_that_reports_nonsense_has_failed_its_attempt(scene: Make) -> None:
    it = scene(lambda call: call.progress(101))
    it.begin()
    assert [what for _, what in it.story()] == ["FetchingStarted", "RetryScheduled"]


# Who else sees it, and who does not.


def test_a_timeline_has_it_as_a_part_of_the_attempt(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(33.33333, "a third")
    it.settle()
    (begun_by,) = [each for each in it.system.events(token=token) if each.event_type == "FetchingStarted"]
    (entry,) = [each for each in it.system.timeline(begun_by.correlation).entries if each.event == "ProgressReported"]
    assert (entry.kind, entry.token) == ("attempt", token)
    assert entry.detail == "message=a third, percent=33.333, attempt=1"


@pytest.mark.parametrize(("percent", "message", "said"), [(None, "", "that it goes on"), (50.0, "", "50 %"), (None, "half", '"half"')])
def test_why_says_what_was_said(scene: Make, percent: float | None, message: str, said: str) -> None:
    it = scene()
    token = it.begin_and_wait()
    it.open_call.progress(percent, message)
    it.advance(3)
    assert f"; 3 s ago it said {said}; its time is up in 57 s." in it.system.why(token).sentence


def test_handlers_see_it(scene: Make) -> None:
    it = scene()
    it.begin_and_wait()
    it.open_call.progress(80, "nearly")
    it.settle()
    (open_one,) = it.system.open_executions()
    assert open_one.execution.view().progress == open_one.execution.progress == ts.Progress(at=NOON, percent=80, message="nearly")


def test_a_probe_may_say_how_far_it_is_and_nobody_hears_it(scene: Make) -> None:
    it = scene()
    token = it.begin_and_wait()
    probed: list[str] = []

    def find(_action: Fetch, call: ts.Call) -> ts.Done[str]:
        call.progress(50, "looking")
        probed.append(call.key)
        return ts.Done(result="found")

    log = it.log.reopened()
    runtime = ByHandRuntime(it.clock)
    with ts.System([Fetcher()], performers=[Fetch.performed_by(it.fetch, probe=find)], log=log, runtime=runtime) as system:
        runtime.run_until_idle()
        assert probed == [token]
        assert reports(system) == []


def test_the_call_of_a_question_passes_on_what_it_is_told() -> None:
    told: list[tuple[float | None, str]] = []

    class Listening:
        def progress(self, percent: float | None = None, message: str = "") -> None:
            told.append((percent, message))

    class Question:
        key = "k"

    AskedCall(Question(), Listening()).progress(50, "asking")  # type: ignore[arg-type]
    assert told == [(50, "asking")]
