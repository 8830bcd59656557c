"""Brackets of tasks: no thread of the event loop's is needed for them, and no cancellation leaves one open that nobody would end."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from unittest import mock

import pytest

import tallystick as ts
from tallystick.actors.landing import Awaited, InThread, Landing, outlasting
from tallystick.actors.replies import HostReply
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import FaultyLog, in_a_thread, wait_until
from tests.actors.workshop import Desk, Order


class OthersRun:
    """Awaited, lets each other task of the loop that can go on do so."""

    def __await__(self) -> Generator[None, None, None]:
        for _ in range(4):
            yield


class NoThreads(ThreadPoolExecutor):
    """What runs what a loop is not to wait for; here, nothing."""

    def submit(self, call: Callable[..., Any], /, *_arguments: Any, **_named: Any) -> "Future[Any]":
        msg = f"{call} was to run on a thread of the loop's, all of which may be busy"
        raise AssertionError(msg)


@asynccontextmanager
async def running(runtime: Runtime, log: ts.EventLog | None = None, **options: Any) -> AsyncGenerator[ts.System, None]:
    """A system that is stopped by another thread, since a stalled disk may have to go on before that."""
    system = ts.System(log=log, runtime=runtime, **options)
    with system:
        yield system
        await asyncio.to_thread(system.stop)


def statuses(system: ts.System) -> list[str]:
    return [operation.status.value for operation in system.operations.find()]


async def reached(log: FaultyLog) -> None:
    """Until a write waits in the disk."""
    await asyncio.to_thread(log.disk.reached.wait)


def test_no_thread_of_the_loop_is_needed(real_runtime: Runtime) -> None:
    async def main() -> None:
        async with running(real_runtime, modules=[Desk()]) as system:
            asyncio.get_running_loop().set_default_executor(NoThreads())
            async with system.bracket("Outer"), system.bracket("Inner") as inner:
                assert await system.ask_async(Order(order_id="a", text="desk")) == "a"
                inner.progress(50)
            with pytest.raises(ZeroDivisionError):
                async with system.bracket("Failing"):
                    raise ZeroDivisionError
            assert sorted(statuses(system)) == ["Failed", "Succeeded", "Succeeded"]
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    asyncio.run(main())


async def cancelled_while_it_waits(log: FaultyLog, task: "asyncio.Task[None]", *, times: int = 1) -> None:
    """Cancel a task that waits for the disk; then the disk goes on."""
    await reached(log)
    for _ in range(times):
        task.cancel()
        await OthersRun()
    assert not task.done()
    log.disk.goes_on()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("times", [1, 3])
def test_who_is_cancelled_while_an_operation_begins_leaves_none_open(real_runtime: Runtime, times: int) -> None:
    async def main() -> list[str]:
        log = FaultyLog()
        async with running(real_runtime, log) as system:

            async def body() -> None:
                async with system.bracket("Import"):
                    pytest.fail("the body must not run")

            log.disk.stalls()
            await cancelled_while_it_waits(log, asyncio.create_task(body()), times=times)
            assert system.operations.running == {}
            return statuses(system)

    assert asyncio.run(main()) == ["Canceled"]


def test_who_is_cancelled_while_an_operation_ends_has_ended_it(real_runtime: Runtime, lines: list[Any]) -> None:
    async def main() -> list[str]:
        log = FaultyLog()
        async with running(real_runtime, log) as system:
            entered, go_on = asyncio.Event(), asyncio.Event()

            async def body() -> None:
                async with system.bracket("Import"):
                    entered.set()
                    await go_on.wait()

            task = asyncio.create_task(body())
            await entered.wait()
            log.disk.stalls()
            go_on.set()
            await cancelled_while_it_waits(log, task)
            return statuses(system)

    assert asyncio.run(main()) == ["Succeeded"]
    assert [line["event"] for line in lines if line["event"].startswith("operation.")] == ["operation.started", "operation.completed"]


def test_where_there_is_no_room_tasks_wait_for_it(real_runtime: Runtime) -> None:
    async def one(system: ts.System) -> None:
        async with system.bracket("Import"):
            await OthersRun()

    async def main() -> list[str]:
        async with running(real_runtime, limits=ts.Limits(commands=1)) as system:
            await asyncio.gather(*(one(system) for _ in range(8)))
            return statuses(system)

    assert asyncio.run(main()) == ["Succeeded"] * 8


def fail_and_stay_closed(system: ts.System, log: FaultyLog) -> None:
    """Have the engine fail by its log, which cannot be opened again yet."""
    log.disk.openable.clear()
    log.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        system.operations.start("Lost")
    wait_until(lambda: system.health().status != "running")


def test_while_an_engine_is_rebuilt_tasks_wait_for_the_next(real_runtime: Runtime) -> None:
    async def main() -> list[str]:
        log = FaultyLog()
        async with running(real_runtime, log) as system:
            entered, go_on = asyncio.Event(), asyncio.Event()

            async def end() -> None:
                async with system.bracket("Ended.Meanwhile"):
                    entered.set()
                    await go_on.wait()

            async def begin() -> None:
                async with system.bracket("Begun.Meanwhile"):
                    assert log.disk.openable.is_set()

            ending = asyncio.create_task(end())
            await entered.wait()
            fail_and_stay_closed(system, log)
            beginning = asyncio.create_task(begin())
            go_on.set()
            await OthersRun()
            assert (ending.done(), beginning.done()) == (False, False)
            log.disk.openable.set()
            await asyncio.gather(ending, beginning)
            return sorted(f"{each.name} {each.status.value}" for each in system.operations.find())

    assert asyncio.run(main()) == ["Begun.Meanwhile Succeeded", "Ended.Meanwhile Succeeded"]


def test_a_body_goes_on_while_its_engine_is_rebuilt(real_runtime: Runtime) -> None:
    """What it says meanwhile of its progress is written when there is an engine again."""
    log = FaultyLog()
    with ts.System(log=log, runtime=real_runtime) as system:
        with system.bracket("Import") as operation:
            fail_and_stay_closed(system, log)
            operation.progress(10)
            operation.heartbeat()
            log.disk.openable.set()
            wait_until(lambda: system.health().status == "running")
        (found,) = system.operations.find()
        assert (found.status, found.percent) == (ts.OperationStatus.SUCCEEDED, 10)


@pytest.mark.parametrize(
    "say", [lambda operation: operation.progress(50), lambda operation: operation.heartbeat()], ids=["progress", "heartbeat"]
)
def test_a_body_goes_on_where_there_is_no_room_for_what_it_says(say: Callable[[ts.Operation], None], real_runtime: Runtime) -> None:
    log = FaultyLog()
    with ts.System([Desk()], log=log, runtime=real_runtime, limits=ts.Limits(commands=1)) as system:
        with system.bracket("Import") as operation:
            log.disk.stalls()
            waiting = system.submit(Order(order_id="a", text="desk"))
            say(operation)
            log.disk.goes_on()
            assert waiting.result() == "a"
            wait_until(lambda: system.health().commands_in_flight == 0)
        assert statuses(system) == ["Succeeded"]


def test_an_operation_that_cannot_be_ended_says_so_in_what_its_body_raised(real_runtime: Runtime) -> None:
    async def main() -> None:
        log = FaultyLog()
        async with running(real_runtime, log) as system:

            @system.bracket("Import")
            async def fail() -> None:
                log.disk.fails(written=False)
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError) as raised:
                await fail()
            assert "could not be ended in the log: CommitUnknown" in raised.value.__notes__[0]

    asyncio.run(main())


# How replies get there.


def reply_to(awaited: Awaited[str], value: str | None) -> None:
    reply = HostReply(lambda _reply: True, awaited.deliver)
    if value is None:
        reply.refuse(OSError("gone"))
    else:
        reply.answer(value)
    reply.release()


def test_replies_that_come_together_wake_the_loop_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        landing = Landing(loop)
        with mock.patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wakes:
            together: list[Awaited[str]] = [Awaited(landing) for _ in range(3)]
            for number, awaited in enumerate(together):
                reply_to(awaited, str(number))
            assert [await awaited for awaited in together] == ["0", "1", "2"]
            assert wakes.call_count == 1
            later: Awaited[str] = Awaited(landing)
            reply_to(later, "later")
            assert (await later, await later, wakes.call_count) == ("later", "later", 2)

    asyncio.run(main())


def test_a_reply_to_a_loop_that_is_closed_is_nobodys_and_harms_nobody(real_runtime: Runtime) -> None:
    log = FaultyLog()
    with ts.System([Desk()], log=log, runtime=real_runtime) as system:
        log.disk.stalls()

        async def main() -> None:
            system.ask_in_loop(Order(order_id="left", text="desk"))
            system.ask_in_loop(Order(order_id="behind", text="desk"))
            await reached(log)

        asyncio.run(main())
        log.disk.goes_on()
        assert system.ask(Order(order_id="next", text="desk")) == "next"
        assert (system.health().restarts, system.health().commands_in_flight) == (0, 0)


def test_each_thread_with_a_loop_gets_its_own_replies(real_runtime: Runtime) -> None:
    with ts.System([Desk()], runtime=real_runtime) as system:
        heard: list[str] = []

        async def ask(name: str) -> None:
            heard.extend(await asyncio.gather(*(system.ask_async(Order(order_id=f"{name}{number}", text="desk")) for number in range(8))))

        for _again in range(2):  # the second loop of a thread is another one
            threads = [in_a_thread(partial(asyncio.run, ask(name))) for name in ("a", "b")]
            for thread in threads:
                thread.join()
            asyncio.run(ask("main"))
        assert sorted(heard) == sorted(f"{name}{number}" for name in ("a", "b", "main") for number in range(8) for _ in range(2))


async def waiting(awaited: Awaited[str] | InThread[str]) -> "asyncio.Task[tuple[str, asyncio.CancelledError | None]]":
    task = asyncio.create_task(outlasting(awaited))
    await OthersRun()
    return task


def test_what_cannot_be_taken_back_is_waited_for() -> None:
    async def main() -> None:
        landing = Landing(asyncio.get_running_loop())
        awaited: Awaited[str] = Awaited(landing)
        task = await waiting(awaited)
        task.cancel("why")
        await OthersRun()
        reply_to(awaited, "done")
        result, cancelled = await task
        assert (result, cancelled is not None and cancelled.args) == ("done", ("why",))

        failing: Awaited[str] = Awaited(landing)
        task = await waiting(failing)
        reply_to(failing, None)
        with pytest.raises(OSError, match="gone"):
            await task

        both: Awaited[str] = Awaited(landing)
        task = await waiting(both)
        task.cancel()
        await OthersRun()
        reply_to(both, None)
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        assert isinstance(raised.value.__cause__, OSError)

    asyncio.run(main())


def test_what_a_thread_does_is_waited_for_too() -> None:
    async def main() -> tuple[str, bool]:
        go_on = threading.Event()
        name = contextvars.ContextVar("name", default="")
        name.set("as here")

        def called() -> str:
            go_on.wait()
            return name.get()

        task = await waiting(InThread(called))
        task.cancel()
        await OthersRun()
        go_on.set()
        result, cancelled = await task
        return result, cancelled is not None

    assert asyncio.run(main()) == ("as here", True)
