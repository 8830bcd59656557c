"""Stopping: who is still answered, what is not begun any more, and what stays open (P26)."""

import asyncio
import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors import lifecycle
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, StillRunning, wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Order, Work, Workshop


def test_p26_accepted_commands_run_and_are_answered_once(stage: Stage) -> None:
    answered: list[str] = []
    futures = [stage.system.submit(Do(job_id=job_id)) for job_id in "abc"]
    for future in futures:
        future.add_done_callback(lambda done: answered.append(done.result()))
    stage.system.stop()
    assert answered == ["a", "b", "c"]
    stage.system.stop()
    assert answered == ["a", "b", "c"]
    assert stage.system.health().status == "stopped"


def test_p26_no_command_is_let_in_once_a_stop_was_asked_for(stage: Stage) -> None:
    stage.system.stop()
    for send in (stage.system.ask, stage.system.submit):
        with pytest.raises(ts.NotAccepted):
            send(Do(job_id="a"))


def test_p26_a_system_that_was_not_started_accepts_nothing_and_can_be_stopped() -> None:
    system = ts.System([Workshop()], performers=Provider().performers(), runtime=ts.DispatcherRuntime())
    refused = threading.Event()

    def ask() -> None:
        with pytest.raises(ts.NotAccepted):
            system.ask(Do(job_id="a"))
        refused.set()

    threading.Thread(target=ask, daemon=True).start()
    assert refused.wait(PATIENCE_S)
    system.stop()
    with pytest.raises(ts.NotAccepted):
        system.ask(Do(job_id="a"))


def test_p26_a_system_is_started_once(stage: Stage) -> None:
    with pytest.raises(ts.NotAccepted, match="running"):
        stage.system.__enter__()
    stage.system.stop()
    with pytest.raises(ts.NotAccepted, match="stopped"):
        stage.system.__enter__()


def test_p26_a_drain_starts_no_calls_and_what_was_begun_is_performed_after_the_next_start(stage: Stage) -> None:
    asked = stage.system.submit(Do(job_id="a"))
    stage.reopen()
    assert asked.result() == "a"
    stage.idle()
    assert [call.attempt for call in stage.provider.calls] == [1]
    assert len(stage.of_type("JobDone")) == 1
    assert stage.of_type("AttemptStarted")[0].position > stage.of_type("MakingStarted")[0].position


def test_p26_a_drain_starts_neither_the_next_of_a_place_nor_the_next_action(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.provider.answers("c", StillRunning())
    stage.system.ask(Do(job_id="a", place="here"))
    stage.system.ask(Do(job_id="b", place="here"))
    stage.system.ask(Do(job_id="c", steps=2))
    stage.idle()
    stage.engine.drain()
    stage.open_call("a").returns("done")
    stage.open_call("c").returns("done")
    stage.idle()
    assert sorted((call.job_id, call.step) for call in stage.provider.calls) == [("a", 1), ("c", 1)]
    stage.reopen()
    stage.idle()
    assert sorted(event.job_id for event in stage.events("JobDone")) == ["a", "b", "c"]


def test_p26_a_drain_starts_no_retry_and_fires_no_timer(stage: Stage) -> None:
    stage.provider.answers("a", ValueError("no"))
    stage.provider.answers("b", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.system.ask(Do(job_id="b"))
    stage.idle()
    before = stage.types()
    stage.clock.advance(timedelta(hours=1))
    stage.system.stop()
    log = stage.log.reopened()
    log.open()
    assert [each.event_type for each in log.read() if each.event_type not in {"OwnerJoined", "CursorAdvanced"}] == before


def test_p26_what_is_still_open_stays_open_as_after_a_crash(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning(), "done")
    stage.system.ask(Do(job_id="a"))
    stage.system.ask(Do(job_id="b", steps=0))
    stage.idle()
    stage.reopen()
    assert {each.execution.intent.job_id for each in stage.system.open_executions()} == {"a", "b"}  # type: ignore[attr-defined]
    stage.idle()
    assert [event.job_id for event in stage.events("JobDone")] == ["a"]


def test_p26_a_report_that_comes_during_the_drain_settles(stage: Stage) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.open_call("a").returns("done")
    stage.reopen()
    assert len(stage.of_type("JobDone")) == 1
    assert len(stage.provider.calls) == 1


def test_p26_a_write_that_fails_while_stopping_tells_the_callers_and_stops(stage: Stage) -> None:
    stage.idle()
    future = stage.system.submit(Do(job_id="a"))
    stage.disk.fails(written=False)
    stage.system.stop()
    assert isinstance(future.exception(), ts.CommitUnknown)
    assert stage.system.health().status == "stopped"


def test_p26_a_hung_call_does_not_keep_a_system_from_stopping(real_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "DRAIN_S", 0.02)
    hung, release = threading.Event(), threading.Event()

    def hang(_action: Work, _call: ts.Call) -> str:
        hung.set()
        assert release.wait(PATIENCE_S)
        return "too late"

    performers = [Work.performed_by(hang), *Provider().performers()[1:]]
    with ts.System([Workshop()], performers=performers, runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        assert hung.wait(PATIENCE_S)
    assert system.health().status == "stopped"
    release.set()


def test_p26_an_async_call_that_still_waits_is_cancelled_by_the_stop(real_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "DRAIN_S", 0.02)
    waiting, cancelled = threading.Event(), threading.Event()

    async def wait(_action: Work, _call: ts.Call) -> str:
        waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        return "never"

    performers = [Work.performed_by(wait), *Provider().performers()[1:]]
    with ts.System([Workshop()], performers=performers, runtime=real_runtime) as system:
        system.ask(Do(job_id="a"))
        assert waiting.wait(PATIENCE_S)
        assert not cancelled.is_set()
    assert cancelled.wait(PATIENCE_S)
    system.stop()


class OneAtATime:
    """A provider that has to be waited for, as a function or as a coroutine."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.first = threading.Event()
        self.may_end = threading.Event()

    def work(self, action: Work, _call: ts.Call) -> str:
        self.called.append(action.job_id)
        self.first.set()
        assert self.may_end.wait(PATIENCE_S)
        return "done"

    async def work_async(self, action: Work, call: ts.Call) -> str:
        return await asyncio.to_thread(self.work, action, call)


@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_p26_calls_that_wait_for_a_thread_are_neither_made_in_the_drain_nor_after_it_nor_waited_for(
    real_runtime: Runtime, kind: str
) -> None:
    provider, log = OneAtATime(), ts.MemoryLog()
    run = provider.work if kind == "threads" else provider.work_async
    performers = [Work.performed_by(run, concurrency=1), *Provider().performers()[1:]]
    system = ts.System([Workshop()], performers=performers, log=log, runtime=real_runtime)
    with system:
        for job_id in "abc":
            system.ask(Do(job_id=job_id))
        assert provider.first.wait(PATIENCE_S)
        wait_until(lambda: system.health().calls_running == 3)
        stopping = threading.Thread(target=system.stop, daemon=True)
        stopping.start()
        wait_until(lambda: system.health().calls_running == 1)
        provider.may_end.set()
        stopping.join(PATIENCE_S)
    assert provider.called == ["a"]
    fresh = log.reopened()
    fresh.open()
    ended = [each for each in fresh.read() if each.event_type == "JobDone"]
    assert len(ended) == 1, "the others stay open"


def test_p26_a_call_that_comes_to_the_pool_once_it_drains_is_not_made(stage: Stage) -> None:
    stage.idle()
    stage.system._pool.drain()
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    assert stage.provider.calls == []
    assert stage.system.health().calls_running == 0
    stage.reopen()
    stage.idle()
    assert len(stage.provider.calls) == 1


def test_p26_commands_in_flight_are_answered_when_the_disk_is_slow(real_runtime: Runtime) -> None:
    log = FaultyLog()
    system = ts.System([Workshop()], performers=Provider().performers(), log=log, runtime=real_runtime)
    system.__enter__()
    log.disk.stalls()
    futures = [system.submit(Do(job_id=job_id)) for job_id in "abc"]
    stopping = threading.Thread(target=system.stop, daemon=True)
    stopping.start()
    wait_until(lambda: system.health().status == "stopping")
    with pytest.raises(ts.NotAccepted):
        system.submit(Do(job_id="d"))
    log.disk.goes_on()
    stopping.join(PATIENCE_S)
    assert [future.result(PATIENCE_S) for future in futures] == ["a", "b", "c"]


def test_p26_a_command_that_waits_for_room_when_a_stop_comes_is_not_accepted(real_runtime: Runtime) -> None:
    log, refused = FaultyLog(), threading.Event()
    system = ts.System([Workshop()], performers=Provider().performers(), log=log, runtime=real_runtime, limits=ts.Limits(commands=1))
    system.__enter__()
    log.disk.stalls()
    first = system.submit(Do(job_id="a"))

    def wait_for_room() -> None:
        with pytest.raises(ts.NotAccepted):
            system.ask(Do(job_id="b"))
        refused.set()

    waiting: Any = threading.Thread(target=wait_for_room, daemon=True)
    waiting.start()
    wait_until(lambda: system._admission.waiting > 0)
    stopping = threading.Thread(target=system.stop, daemon=True)
    stopping.start()
    assert refused.wait(PATIENCE_S)
    log.disk.goes_on()
    stopping.join(PATIENCE_S)
    assert first.result(PATIENCE_S) == "a"


def test_p26_stopping_from_a_callback_of_ones_own_reply_does_not_hang(real_runtime: Runtime) -> None:
    stopped = threading.Event()
    system = ts.System([Workshop()], performers=Provider().performers(), runtime=real_runtime)
    system.__enter__()

    def stop(_future: object) -> None:
        system.stop()
        stopped.set()

    system.submit(Do(job_id="a")).add_done_callback(stop)
    assert stopped.wait(PATIENCE_S)


def test_p26_leaving_the_block_stops_it_even_when_the_body_raised() -> None:
    stage = Stage()
    with pytest.raises(KeyError), ts.System([Workshop()], performers=Provider().performers(), runtime=ts.SteppedRuntime()) as system:
        raise KeyError
    assert system.health().status == "stopped"
    del stage


def test_p26_orders_that_wait_in_mailboxes_of_a_failed_system_hear_of_it() -> None:
    stage = Stage(restarts=ts.RestartPolicy(restarts=0))
    stage.idle()
    stage.disk.fails(written=False)
    futures = [stage.system.submit(Order(order_id=str(number))) for number in range(5)]
    stage.idle()
    assert all(future.done() for future in futures)
    kinds = {type(future.exception()) for future in futures}
    assert kinds <= {ts.CommitUnknown, ts.NotCommitted, ts.NotAccepted}
    assert ts.CommitUnknown in kinds
    stage.system.stop()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of newer Pythons: that it has threads is what is tested
def test_in_a_forked_child_nothing_is_accepted_and_the_stop_waits_for_nobody(real_runtime: Runtime) -> None:
    log = FaultyLog()
    with ts.System([Workshop()], performers=Provider().performers(), log=log, runtime=real_runtime) as system:
        log.disk.stalls()
        asked = system.submit(Do(job_id="a"))
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE_S))  # else who waits here would do so for ever
            refused = False
            try:
                system.ask(Do(job_id="b"), timeout_s=60)
            except ts.NotAccepted as error:
                refused = "forked" in str(error) and not system._runtime.until(lambda: False, 60)
            os._exit(0 if refused else 1)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.disk.goes_on()
        assert asked.result(PATIENCE_S) == "a"
    assert ended == 0
