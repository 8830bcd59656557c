"""Decorating: functions each of whose calls runs in a bracket of its own. A call that runs nothing of its function is refused."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from tallystick.domain.operations.operation import InvalidOperation

P = ParamSpec("P")
R = TypeVar("R")


class Scope(AbstractContextManager[Any, None], AbstractAsyncContextManager[Any, None], Protocol):
    """A bracket, for `with` and `async with`."""


def decorated(function: Callable[P, R], name: str, scope: Callable[[], Scope]) -> Callable[P, R]:
    """The function, with each of its calls in a new bracket.

    Raises:
        InvalidOperation: it cannot be called, or is a generator, whose call runs nothing of it. In its calls: they returned something that
            is still to be run or awaited, which the operation would have succeeded before.
    """
    called = _called_by(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise InvalidOperation(_runs_nothing(f"{_named(function)} is a generator: its call", name))
    if inspect.iscoroutinefunction(called):

        @functools.wraps(function)
        async def bracketed_async(*arguments: P.args, **named: P.kwargs) -> Any:
            async with scope():
                return await cast("Awaitable[Any]", function(*arguments, **named))

        return cast("Callable[P, R]", bracketed_async)

    @functools.wraps(function)
    def bracketed(*arguments: P.args, **named: P.kwargs) -> R:
        with scope():
            return _finished(function(*arguments, **named), function, name)

    return bracketed


def _called_by(function: Any) -> Any:
    """What is called when it is: of an object its class's method, of a partial function the function."""
    while isinstance(function, functools.partial):
        function = function.func
    if not callable(function):
        msg = f"{_named(function)} cannot be called: a bracket decorates functions; of a class method it stands below @classmethod."
        raise InvalidOperation(msg)
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


def _finished(result: R, function: Any, name: str) -> R:
    """What a call returned, unless the work is still to be done."""
    if inspect.iscoroutine(result):
        result.close()  # else Python would say later, somewhere, that it was never awaited
    elif not inspect.isawaitable(result) and not inspect.isgenerator(result) and not inspect.isasyncgen(result):
        return result
    raise InvalidOperation(
        _runs_nothing(f"{_named(function)} returned a {type(result).__name__}, which is still to be run: its call", name)
    )


def _runs_nothing(what: str, name: str) -> str:
    return f"{what} runs nothing of it, and would be said to have succeeded. Say `with system.bracket({name!r}):` inside of it."


def _named(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__qualname__", type(function).__qualname__))
