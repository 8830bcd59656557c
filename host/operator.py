"""Whom a command speaks to that must write: the log itself where it is free, else the host that has it, else nobody (P27)."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import tallystick as ts
from tallystick.actors.dead_letters import Decided, Refusal
from tallystick.domain import privacy, schedules
from tallystick.domain.operations import owner as operations_owner
from tallystick.host import control, requests
from tallystick.scenarios.tiny_store.system import ACTIONS, modules
from tallystick.store.writer_lock import pid_of_holder

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


OWN: Final = frozenset({operations_owner.OWNER, privacy.OWNER, schedules.OWNER})
"""Owners that are the library's."""
LOOKED_AT: Final = 1000
"""So many records are looked at to see whether a log has others."""


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

    def __init__(self, log: Path, program: str | None, socket: Path | None, *, default: str | None = None) -> None:
        """Where no program is named, the `default` one runs; where there is none either, one of operations, unless others have written."""
        self._log = log
        self._named = program is not None
        self._careful = program is None and default is None
        self._program = program_named(program or default or "operations")
        self._socket = socket if socket is not None else control.path_beside(log)

    def carry_out(self, requests: Sequence[requests.Request]) -> Decided:
        """Have all done, each durably: by the program, run here without performing anything, or by the host that has the log.

        What refuses is told of, and keeps nothing else back.

        Raises:
            LogLocked: another process has the log, and serves no control socket here; its pid is named.
            NoProgram: the log is free, no program was named, and the log has records of others than the one that would do.
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
        others = self._others() if self._careful else None
        if others is not None:
            pid = pid_of_holder(self._log)
            return self._ask(there, others if pid is None else ts.LogLocked(os.fspath(self._log), pid))
        try:
            with self._program(log=os.fspath(self._log), performs=False) as system:
                return here(system)
        except ts.LogLocked as locked:
            return self._ask(there, locked)
        except ts.LogError as error:
            others = None if self._named else self._others()
            raise error if others is None else others from error

    def _others(self) -> NoProgram | None:
        """What is wrong with a program by default: who besides the library has written in the log, as far as its beginning shows."""
        with closing(ts.SqliteReader(self._log)) as reader:
            others = sorted({record.owner for record in reader.read(ts.Query(limit=LOOKED_AT))} - OWN)
        said = f"Records of {self._log} are of {' and '.join(others)}: say by --program MODULE:FUNCTION what runs on it."
        return NoProgram(said) if others else None

    def _ask(self, there: Callable[[Path], R], otherwise: ts.TallystickError) -> R:
        try:
            return there(self._socket)
        except control.NobodyServes as error:
            raise otherwise from error


def _all(requests: Sequence[requests.Request], carry_out: Callable[[requests.Request], Decided]) -> Decided:
    done, refused = 0, list[Refusal]()
    for request in requests:
        try:
            each = carry_out(request)
        except ts.Rejected as error:
            refused.append(Refusal(id=getattr(request, "letter", "") or getattr(request, "operation", ""), error=str(error)))
        else:
            done += each.done
            refused += each.refused
    return Decided(done=done, refused=tuple(refused))
