"""Reading while the engine is rebuilt: whoever asks waits, as commands do, and gets what is durable."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Desk, Do, JobState, Workshop

READS: dict[str, Callable[[ts.System, ts.Token], Any]] = {
    "get": lambda system, _token: system.get(JobState, "a"),
    "events": lambda system, _token: [each.event_type for each in system.events(event_types=("JobBegun", "JobDone"))],
    "newest first": lambda system, _token: next(system.events(newest_first=True, event_types=("JobBegun",))).event_type,
    "complete": lambda system, token: system.complete(token, "by hand"),
    "subscribe": lambda system, _token: next(system.subscribe(event_types=("JobBegun",))).event_type,
}
ANSWERS = {
    "get": JobState(status="begun"),
    "events": ["JobBegun"],
    "newest first": "JobBegun",
    "complete": True,
    "subscribe": "JobBegun",
}


@pytest.mark.parametrize("read", READS)
def test_p18_who_reads_while_the_engine_is_rebuilt_waits_for_the_next(real_runtime: Runtime, read: str) -> None:
    log, provider = FaultyLog(), Provider()
    provider.answers("a", ts.Later())
    with ts.System([Desk(), Workshop()], performers=provider.performers(), log=log, runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        wait_until(lambda: len(provider.calls) == 1 and system._pool.running == 0)
        ((_, execution),) = system.open_executions()
        waits: Future[None] = Future()
        until = real_runtime.until

        def watched(condition: Callable[[], bool], timeout_s: float) -> bool:
            if not waits.done():
                waits.set_result(None)
            return until(condition, timeout_s)

        real_runtime.until = watched  # type: ignore[method-assign]
        log.disk.openable.clear()
        log.disk.fails(written=False)
        lost = system.submit(Do(job_id="b"))
        assert isinstance(lost.exception(PATIENCE_S), ts.TallystickError)
        assert system.health().status == "recovering"
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(READS[read], system, execution.token)
            waits.result(PATIENCE_S)
            log.disk.openable.set()
            assert answer.result(PATIENCE_S) == ANSWERS[read]


def test_a_read_goes_on_where_the_rebuild_interrupted_it(stage: Stage) -> None:
    for job_id in "abc":
        stage.system.ask(Do(job_id=job_id))
        stage.idle()
    found = stage.system.events(event_types=("JobDone",))
    backwards = stage.system.events(event_types=("JobDone",), newest_first=True, limit=2)
    firsts = [stage.system._codec.decode(next(records)).job_id for records in (found, backwards)]
    stage.disk.fails(written=False)
    stage.system.submit(Do(job_id="lost"))
    stage.idle()
    assert stage.system.health().restarts == 1
    rest = [[stage.system._codec.decode(each).job_id for each in records] for records in (found, backwards)]
    assert (firsts, rest) == (["a", "c"], [["b", "c"], ["b"]])
