"""Ctrl-C: whose it is. Not a failure of whatever it interrupts, so nobody here answers it, or goes on as if nothing had been.

Python raises it in the main thread alone, between any two instructions. Only with the stepped runtime do actors, performers and probes run
there, in the midst of a call of the host's: it ends the engine, as any error does that nobody handles (P14), and reaches the host. What had
been written stays, what was interrupted is done again by the engine that is rebuilt. Where actors have threads of their own, a
`KeyboardInterrupt` in one of them was raised by user code, and is its error.

A commit it does not interrupt: what somebody has heard of by then cannot be taken back. It waits until that is through; and so it does
where a caller lends the dispatcher its thread, for one turn of ours and its commit.
"""

import _signal  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports] - what `signal` is made of
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

R = TypeVar("R")


def leave_to_the_host(error: BaseException) -> None:
    """Raise it again, if somebody has interrupted the host in the midst of this.

    Raises:
        KeyboardInterrupt: it is the host's.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


# Without `signal`'s own search for a member of an enumeration, which takes longer in each call than a small commit.
_handler_of: Callable[[int], Any] = _signal.getsignal
_set_handler: Callable[[int, Any], Any] = _signal.signal
_INTERRUPT = int(signal.SIGINT)
_ENDING = (_INTERRUPT, int(signal.SIGTERM))
"""The signals by which a program is ended, and whose handlers therefore raise."""
_OTHERS = tuple(int(number) for number in signal.valid_signals() if number != _INTERRUPT)


def only_ctrl_c_can_come() -> bool:
    """Whether nothing can be raised in the calling thread from outside but Ctrl-C, as Python raises it itself.

    So it is in the main thread of a program that handles no signals. Into other threads exceptions are raised that nobody can hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    interrupt = _handler_of(_INTERRUPT)
    return (interrupt is signal.default_int_handler or not callable(interrupt)) and not any(map(callable, map(_handler_of, _OTHERS)))


def undisturbed(run: Callable[[], R]) -> R:
    """Run it; the handlers of signals that come meanwhile are called when it is through. For what must not be left half done."""
    if threading.current_thread() is not threading.main_thread():  # Python calls handlers in the main thread alone
        return run()
    held = {number: handler for number in _ENDING if callable(handler := _handler_of(number))}
    return _held_back(held, run) if held else run()


def _held_back(held: Mapping[int, Callable[[int, Any], Any]], run: Callable[[], R]) -> R:
    came: dict[int, Any] = {}

    def remember(number: int, frame: Any) -> None:
        came[number] = frame

    try:
        try:
            for number in held:
                _set_handler(number, remember)
        except ValueError:  # not the first thread, or interpreter, of the process: no handlers are called in it
            held = {}
        return run()
    finally:
        for number, handler in held.items():
            if _handler_of(number) is remember:  # else a callback of the host's has set another, which stays
                _set_handler(number, handler)
        if came:
            with ExitStack() as called:  # each of them, whatever another one raises; the first that came is the first
                for number in reversed(came):
                    called.callback(held[number], number, came[number])
