"""Brackets as decorators: each call is an operation, which has succeeded when the function has run, and not when it was only called."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors.runtimes.runtime import Runtime


@pytest.fixture
def system(runtime: Runtime) -> Iterator[ts.System]:
    with ts.System(runtime=runtime) as system:
        yield system


def ends(system: ts.System) -> list[tuple[str, str]]:
    return [(each.status.value, each.code) for each in system.operations.find()]


def test_as_a_decorator_each_call_is_an_operation_of_its_own(system: ts.System) -> None:
    @system.bracket("Report.Make")
    def make(pages: int) -> int:
        return pages + 1

    @system.bracket("Report.Send")
    async def send(pages: int) -> int:
        return pages + 2

    assert (make(1), make(pages=2), asyncio.run(send(3))) == (2, 3, 5)
    assert make.__name__ == "make"
    assert sorted(each.name for each in system.operations.find()) == ["Report.Make", "Report.Make", "Report.Send"]


def test_a_generator_is_refused_as_its_call_runs_nothing_of_it(system: ts.System) -> None:
    def lines() -> Iterator[int]:
        yield 1

    async def rows() -> AsyncIterator[int]:
        yield 1

    for generator in (lines, rows):
        with pytest.raises(ts.InvalidOperation, match="is a generator"):
            system.bracket("Report.Make")(generator)


def lines(number: int) -> Iterator[int]:
    yield number


async def rows(number: int) -> AsyncIterator[int]:
    yield number


class Lines:
    def __call__(self) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("generator", "name"),
    [(functools.partial(lines, 1), "lines"), (functools.partial(functools.partial(rows), 1), "rows"), (Lines(), "Lines")],
    ids=["partial", "partial-of-partial", "object"],
)
def test_so_is_one_that_is_not_a_function(generator: Callable[[], Any], name: str, system: ts.System) -> None:
    with pytest.raises(ts.InvalidOperation, match=f"^{name} is a generator"):
        system.bracket("Report.Make")(generator)


def test_what_is_no_function_yet_is_refused(system: ts.System) -> None:
    method: Any = classmethod(lambda cls: cls)
    with pytest.raises(ts.InvalidOperation, match="below @classmethod"):
        system.bracket("Report.Make")(method)


class Sending:
    """Sends, when it is awaited."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, pages: int) -> int:
        self.sent += pages
        if not pages:
            raise ZeroDivisionError
        return pages


def test_an_object_whose_call_is_awaited_has_succeeded_when_it_was(system: ts.System) -> None:
    sending = Sending()
    for send in (system.bracket("Report.Send")(sending), system.bracket("Report.Send")(functools.partial(sending))):
        assert asyncio.run(send(3)) == 3
        with pytest.raises(ZeroDivisionError):
            asyncio.run(send(0))
    assert sending.sent == 6
    assert sorted(ends(system)) == [("Failed", "ZeroDivisionError")] * 2 + [("Succeeded", "")] * 2


@pytest.mark.parametrize(
    ("returned", "kind"),
    [(lambda: Sending()(1), "coroutine"), (lambda: lines(1), "generator"), (lambda: rows(1), "async_generator")],
    ids=["coroutine", "generator", "async-generator"],
)
def test_a_call_that_returned_what_is_still_to_be_run_has_not_succeeded(returned: Callable[[], Any], kind: str, system: ts.System) -> None:
    @system.bracket("Report.Send")
    def send() -> Any:
        return returned()

    with pytest.raises(ts.InvalidOperation, match=f"send returned a {kind}, which is still to be run.*inside of it"):
        send()
    assert ends(system) == [("Failed", "InvalidOperation")]


def test_a_call_that_returned_what_is_not_awaited_yet_has_not_succeeded(system: ts.System) -> None:
    @system.bracket("Report.Send")
    def send() -> Any:
        return asyncio.get_running_loop().create_task(Sending()(1))

    async def main() -> None:
        with pytest.raises(ts.InvalidOperation, match=r"returned a .*Task, which is still to be run"):
            send()

    asyncio.run(main())
    assert ends(system) == [("Failed", "InvalidOperation")]
