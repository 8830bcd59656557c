"""Whom a command speaks to that must write: the log itself where it is free, else the host that has it, else nobody (P27)."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import tallystick as ts
from tallystick.actors.dead_letters import Done, Refusal
from tallystick.host import control, requests
from tallystick.scenarios.tiny_store.system import ACTIONS, modules

R = TypeVar("R")

Compose = Callable[..., ts.System]
"""A program's own function that makes its `System`, with `log=` and `performs=` handed on."""


def _nobody(action: ts.Action[Any], call: ts.Call) -> Any:
    msg = f"{type(action).__name__} is not to be performed here ({call.key})."
    raise NotImplementedError(msg)


def tiny_store(**given: Any) -> ts.System:
    """The example store, as far as deciding goes."""
    return ts.System(modules(), performers=[action.performed_by(_nobody) for action in ACTIONS], **given)


def operations(**given: Any) -> ts.System:
    """A program that has nothing but operations."""
    return ts.System(**given)


def keys_beside(**given: Any) -> ts.System:
    """A program that has nothing but the keys beside its log."""
    return ts.System(keys=ts.KeyFile(f"{os.path.realpath(given['log'])}.keys"), **given)


PROGRAMS: Final = {"keys-beside": keys_beside, "operations": operations, "tiny-store": tiny_store}


class NoProgram(ts.TallystickError):
    """The log is free, so that this command would have to run its program: say which, with --program."""


def program_named(name: str) -> Compose:
    """The program that a person names on the command line: one of the examples, or MODULE:FUNCTION, found as `python -m` would.

    Raises:
        NoProgram: there is none of that name.
    """
    if name.replace("_", "-") in PROGRAMS:
        return PROGRAMS[name.replace("_", "-")]
    module, _, function = name.partition(":")
    if not module or not function:
        msg = f"{name!r} is no program; say {', '.join(PROGRAMS)}, or MODULE:FUNCTION for a function that makes your system."
        raise NoProgram(msg)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        compose = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        msg = f"{name!r} is no program: {error}."
        raise NoProgram(msg) from error
    if not callable(compose):
        msg = f"{name!r} is no function that makes a system."
        raise NoProgram(msg)
    return compose  # type: ignore[no-any-return]  # what it makes is seen when it is called


class Operator:
    """Carries out requests about one log."""

    def __init__(self, log: Path, program: str | None, socket: Path | None) -> None:
        self._log = log
        self._program = None if program is None else program_named(program)
        self._socket = socket if socket is not None else control.path_beside(log)

    def carry_out(self, requests: Sequence[requests.Request]) -> Done:
        """Have all done, each durably: by the program, run here without performing anything, or by the host that has the log.

        What refuses is told of, and keeps nothing else back.

        Raises:
            LogLocked: another process has the log, and serves no control socket here; its pid is named.
            NoProgram: nobody serves, and no program was named.
            TallystickError: the log cannot be opened, or failed.
        """
        return self.either(
            lambda system: _all(requests, lambda request: control.carry_out(system, request)),
            lambda socket: _all(requests, lambda request: control.ask(socket, request)),
        )

    def either(self, here: Callable[[ts.System], R], there: Callable[[Path], R]) -> R:
        """Have something done here, by the program on a log that is free, or there, by the host that serves at a socket.

        Raises:
            LogLocked, NoProgram, TallystickError: as `carry_out`.
        """
        if self._program is None:
            free = f"Nobody serves at {self._socket}. If the log is free, say by --program what runs on it; else its host must serve."
            return self._ask(there, NoProgram(free))
        try:
            with self._program(log=os.fspath(self._log), performs=False) as system:
                return here(system)
        except ts.LogLocked as locked:
            return self._ask(there, locked)

    def _ask(self, there: Callable[[Path], R], otherwise: ts.TallystickError) -> R:
        try:
            return there(self._socket)
        except control.NobodyServes as error:
            raise otherwise from error


def _all(requests: Sequence[requests.Request], carry_out: Callable[[requests.Request], Done]) -> Done:
    done, refused = 0, list[Refusal]()
    for request in requests:
        try:
            each = carry_out(request)
        except ts.Rejected as error:
            refused.append(Refusal(id=getattr(request, "letter", "") or getattr(request, "operation", ""), error=str(error)))
        else:
            done += each.done
            refused += each.refused
    return Done(done=done, refused=tuple(refused))
