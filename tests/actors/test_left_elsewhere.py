"""Brackets that are left in another context than they were entered in, or in another order, or beside another system."""

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime


@pytest.fixture
def system(runtime: Runtime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def statuses(system: ts.System) -> list[str]:
    return [each.status.value for each in system.operations.find()]


def of(system: ts.System, operation: ts.Operation) -> ts.OperationSnapshot:
    snapshot = system.operations.get(operation.id)
    assert snapshot is not None
    return snapshot


def rows(system: ts.System, *, fails: bool) -> Iterator[str]:
    with system.bracket("Export.Rows"):
        yield "a"
        if fails:
            raise LookupError


def stepped_elsewhere(generator: Iterator[str]) -> list[str]:
    """As frameworks stream a response: each step runs in a thread, in a copy of the context."""

    async def main() -> list[str]:
        found: list[str] = []
        while (row := await asyncio.to_thread(next, generator, None)) is not None:
            found.append(row)
        return found

    return asyncio.run(main())


def test_a_generator_that_goes_on_in_another_context_ends_its_operation(system: ts.System) -> None:
    assert stepped_elsewhere(rows(system, fails=False)) == ["a"]
    with pytest.raises(LookupError):
        stepped_elsewhere(rows(system, fails=True))
    assert sorted(statuses(system)) == ["Failed", "Succeeded"]
    assert ts.current_operation() is None


def test_a_bracket_that_is_left_in_another_thread_surrounds_no_longer(system: ts.System) -> None:
    bracket = system.bracket("Import")
    bracket.__enter__()
    thread = threading.Thread(target=bracket.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert (ts.current_operation(), statuses(system)) == (None, ["Succeeded"])
    with system.bracket("Next") as following:
        assert of(system, following).parent == ""


async def pages(system: ts.System) -> AsyncIterator[int]:
    async with system.bracket("Crawl.Pages"):
        yield 1
        yield 2


async def leaves(system: ts.System) -> AsyncIterator[int]:
    with system.bracket("Crawl.Pages"):
        yield 1
        yield 2


@pytest.mark.parametrize("generator", [pages, leaves], ids=["async-with", "with"])
def test_an_async_generator_that_is_left_early_surrounds_nobody(
    generator: Callable[[ts.System], AsyncIterator[int]], system: ts.System
) -> None:
    async def main() -> None:
        async for _page in generator(system):
            assert ts.current_operation() is not None
            break
        for _ in range(1000):  # until the task that closes it has left the bracket
            if ts.current_operation() is None:
                break
            await asyncio.to_thread(gc.collect)
        assert ts.current_operation() is None
        with system.bracket("Next") as following:
            assert of(system, following).parent == ""

    asyncio.run(main())
    assert sorted(statuses(system)) == ["Canceled", "Succeeded"]


def test_brackets_that_are_left_in_another_order_surround_no_longer(system: ts.System) -> None:
    outer, inner = system.bracket("Outer"), system.bracket("Inner")
    outer.__enter__()
    operation = inner.__enter__()
    outer.__exit__(None, None, None)
    assert ts.current_operation() is operation
    inner.__exit__(None, None, None)
    assert ts.current_operation() is None
    assert statuses(system) == ["Succeeded", "Succeeded"]


def test_a_task_that_outlives_the_bracket_in_which_it_was_begun_goes_on_in_it(system: ts.System) -> None:
    async def main() -> tuple[str, str]:
        over = asyncio.Event()

        async def background() -> str:
            await over.wait()
            async with system.bracket("Background") as operation:
                return operation.id

        async with system.bracket("Request") as request:
            task = asyncio.create_task(background())
        assert ts.current_operation() is None
        over.set()
        return request.id, await task

    request, background = asyncio.run(main())
    operation = system.operations.get(background)
    assert operation is not None
    assert operation.parent == request


def test_of_two_systems_each_knows_its_own_operations(system: ts.System) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as other, system.bracket("Outer", tags={"tenant": "a"}) as outer:
        audit = other.operations.audit("import.begun", who="Ann")
        with other.bracket("Inner") as inner, system.bracket("Innermost") as innermost:
            pass
        correlation = of(system, outer).correlation
        assert of(system, innermost).parent == "", "what it was begun in is of the other system"
        found = of(other, inner)
        assert (found.parent, found.correlation, found.tags) == ("", correlation, {"tenant": "a"}), "what both have in common flows"
        assert audit


def test_a_context_of_a_system_that_has_stopped_is_of_no_matter_to_others(runtime: Runtime) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as before, before.bracket("Outer"):
        context = contextvars.copy_context()

    def in_another_system() -> list[Any]:
        with ts.System(runtime=runtime) as system:
            with system.bracket("Fresh") as operation:
                system.operations.audit("import.begun", who="Ann")
            found = of(system, operation)
            return [found.status.value, found.parent]

    assert context.run(in_another_system) == ["Succeeded", ""]


def test_what_is_said_of_an_operation_of_a_system_that_has_stopped_is_not_accepted() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system, system.bracket("Import") as operation:
        pass
    operation.progress(3)  # which can wait, also for ever
    for say in (partial(operation.note, "late"), partial(system.operations.progress, operation.id, 3)):
        with pytest.raises(ts.NotAccepted, match="stopped"):
            say()
