"""The control socket: what a second process may ask of the host that has a log (P27). Opt-in: nothing listens unless a host says `serve`.

A Unix socket, mode 0600, in a folder where nobody else can put things in its place: whoever may connect is the host's own user. One JSON
object a line in, one a line out, typed and bounded both ways. Who asks is what they say; it is recorded, not proved.
"""

import os
import select
import socket
import stat
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

import tallystick as ts
from tallystick.actors.dead_letters import Decided
from tallystick.host.requests import (
    NOT_EDITED,
    Archive,
    Discard,
    DiscardAll,
    ForgetPerson,
    Redrive,
    RedriveAll,
    Request,
    Settle,
    SettleOperation,
)
from tallystick.host.settling import Words, settle_operation

REQUEST_LIMIT_BYTES: Final = 2 << 20
ANSWER_LIMIT_BYTES: Final = 2 << 20
REQUEST_TIME_S: Final = 10.0
"""How long a caller may take over one request before it is hung up on; others wait meanwhile."""
ANSWER_TIME_S: Final = 60.0
PATH_LIMIT_BYTES: Final = 100
"""Longer paths do not fit into a Unix socket's address everywhere."""


class ControlError(ts.TallystickError):
    """The control socket cannot be used; the message says why, and what to do."""


class NobodyServes(ControlError):
    """No host serves there; nothing was asked."""


class Answer(ts.Record):
    """What came of a request. `error` is empty, or the name of the error; `code` is a refusal's."""

    done: Decided = Decided(done=0)
    error: str = ""
    code: str = ""
    message: str = ""


_request: Final = msgspec.json.Decoder(Request, strict=True)
_answer: Final = msgspec.json.Decoder(Answer, strict=True)


def carry_out(system: ts.System, request: Request) -> Decided:
    """Do what is asked, durably.

    Raises:
        Rejected: the letter is gone, or cannot be edited or discarded.
        TallystickError: the system does not run, or its log or its keys failed, or it has none.
    """
    who, why = request.who, request.why
    match request:
        case Redrive(letter=letter, edited=edited):
            actions = bytes(edited)
            changed = None if actions == bytes(NOT_EDITED) else actions
            system.redrive(letter_of(system, letter), edited=changed, who=who, why=why)
        case Discard(letter=letter):
            system.discard(letter_of(system, letter), who=who, why=why)
        case Settle(letter=letter):
            system.settle(letter_of(system, letter), _outcome_of(request), who=who, why=why)
        case RedriveAll(query=query):
            return system.redrive_all(query, who=who, why=why)
        case DiscardAll(query=query):
            return system.discard_all(query, who=who, why=why)
        case SettleOperation(operation=operation, how=how):
            settle_operation(system, operation, how, Words(who, why, request.message, request.code))
        case ForgetPerson(person=person):
            return Decided(done=int(system.forget(person, who=who, why=why)))
        case Archive(policy=policy, dry_run=True):
            return Decided(done=sum(not each.stays for each in system.retention(policy)))
        case Archive(policy=policy):
            return Decided(done=system.archive(policy, who=who, why=why, limit=1).records)
    return Decided(done=1)


def _outcome_of(request: Settle) -> ts.Succeeded[Any] | ts.Failed | ts.Cancelled:
    match request.ends:
        case "completed":
            return ts.Succeeded(result=msgspec.json.decode(request.result))
        case "failed":
            return ts.Failed(code=request.code, message=request.message)
        case "abandoned":
            return ts.Cancelled(reason=request.why)


def letter_of(system: ts.System, name: str) -> ts.DeadLetter:
    """The dead letter with that id.

    Raises:
        Rejected: there is none (any more).
    """
    owner = name.rpartition(":")[0]
    found = next((letter for letter in system.dead_letters(ts.DeadLetterQuery(owner=owner)) if letter.id == name), None)
    if found is None:
        code = "NO_DEAD_LETTER"
        raise ts.Rejected(code, f"{name} is no dead letter (any more); list them.")
    return found


# Where.


def path_beside(log: str | os.PathLike[str]) -> Path:
    """Where the control socket of a log is looked for: beside it."""
    real = Path(os.path.realpath(log))
    return real.with_name(f"{real.name}.control")


def _check_folder(path: Path) -> None:
    folder = path.parent.stat()
    if len(os.fsencode(path)) > PATH_LIMIT_BYTES:
        msg = f"{path} is longer than the {PATH_LIMIT_BYTES} bytes that a socket's address may have; give a shorter path."
        raise ControlError(msg)
    others_write = folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not folder.st_mode & stat.S_ISVTX
    if others_write or folder.st_uid not in {0, os.geteuid()}:
        msg = f"{path.parent} can be changed by other users, who could put a socket of their own there; use a folder of your own."
        raise ControlError(msg)


def _listening(path: Path) -> socket.socket:
    """A socket that listens at the path, its user's alone before anybody can connect. A socket that nobody answers at is replaced."""
    _check_folder(path)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(8)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        msg = f"No control socket can be made at {path}: {error.strerror}."
        raise ControlError(msg) from error
    return listener


def _clear(path: Path) -> None:
    """Remove what a host that was killed has left.

    Raises:
        ControlError: somebody answers there, or it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        msg = f"{path} is no socket; nothing was removed. Give another path."
        raise ControlError(msg)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as asking:
        asking.settimeout(REQUEST_TIME_S)
        try:
            asking.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        else:
            msg = f"Another host serves at {path} already."
            raise ControlError(msg)


# The host's side.


@contextmanager
def serve(system: ts.System, path: str | os.PathLike[str]) -> Generator[Path]:
    """Answer requests about a running system at a Unix socket, by a thread of its own, until the block is left.

    `path_beside(log)` is where the command line looks. One caller is served at a time.

    Raises:
        ControlError: no socket can be made there safely.
    """
    where = Path(path)
    listener = _listening(where)
    made = where.lstat()
    ending, end = socket.socketpair()
    server = threading.Thread(target=_serve, args=(system, listener, ending), name="tallystick-control", daemon=True)
    server.start()
    try:
        yield where
    finally:
        end.close()
        server.join(ANSWER_TIME_S)
        listener.close()
        ending.close()
        _remove(where, made)


def _remove(path: Path, made: os.stat_result) -> None:
    """Remove our socket, and not one that another has put in its place."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if (there.st_dev, there.st_ino) == (made.st_dev, made.st_ino):
        path.unlink(missing_ok=True)


def _serve(system: ts.System, listener: socket.socket, ending: socket.socket) -> None:
    while ending not in _readable(None, listener, ending):
        try:
            caller, _ = listener.accept()
        except OSError as error:
            _tell("control.not_accepted", error)
            continue
        with closing(caller):
            try:
                _talk(system, caller, ending)
            except OSError as error:  # whoever asked has gone, or takes too long
                _tell("control.hung_up", error)


def _readable(timeout_s: float | None, *sockets: socket.socket) -> list[socket.socket]:
    return select.select(sockets, (), (), timeout_s)[0]


def _tell(event: str, error: Exception) -> None:
    from tallystick.actors.telling import warn  # noqa: PLC0415 - only when there is something to tell

    warn(event, error=type(error).__name__)


def _talk(system: ts.System, caller: socket.socket, ending: socket.socket) -> None:
    """Answer one caller's requests, one after another."""
    caller.settimeout(REQUEST_TIME_S)
    pending = b""
    while True:
        while b"\n" not in pending:
            ready = _readable(REQUEST_TIME_S, caller, ending)
            if ending in ready or not ready:
                return
            piece = caller.recv(1 << 16)
            pending += piece
            if not piece or len(pending) > REQUEST_LIMIT_BYTES:
                if piece:
                    caller.sendall(_line(Answer(error="ControlError", message=f"A request has at most {REQUEST_LIMIT_BYTES} bytes.")))
                return
        request, _, pending = pending.partition(b"\n")
        caller.sendall(_line(_answered(system, request)))


def _answered(system: ts.System, line: bytes) -> Answer:
    try:
        return Answer(done=carry_out(system, _request.decode(line)))
    except ts.Rejected as error:
        return Answer(error="Rejected", code=error.code, message=error.message)
    except msgspec.MsgspecError as error:
        return Answer(error="ControlError", message=f"not a request: {error}")
    except ts.TallystickError as error:
        return Answer(error=type(error).__name__, message=str(error))


def _line(answer: Answer) -> bytes:
    line = msgspec.json.encode(answer)
    if len(line) >= ANSWER_LIMIT_BYTES:
        refused = len(answer.done.refused)
        cut = Decided(done=answer.done.done, refused=answer.done.refused[:100])
        line = msgspec.json.encode(Answer(done=cut, message=f"{refused} refused; the first 100 are told."))
    return line + b"\n"


# The caller's side.


def ask(path: str | os.PathLike[str], request: Request) -> Decided:
    """Have the host that serves at a path carry out a request; it is durable when this returns.

    Raises:
        NobodyServes: nothing was asked.
        ControlError: no answer came: the request may have been carried out.
        Rejected: as `carry_out`.
        TallystickError: whatever else the host's library raised, by its message.
    """
    try:
        line = _exchange(path, msgspec.json.encode(request) + b"\n")
        answer = _answer.decode(line)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        msg = f"Nobody serves at {os.fspath(path)}."
        raise NobodyServes(msg) from error
    except (OSError, msgspec.MsgspecError) as error:
        msg = f"No whole answer came from {os.fspath(path)} ({error}); look whether it was done."
        raise ControlError(msg) from error
    if answer.error == "Rejected":
        raise ts.Rejected(answer.code, answer.message)
    if answer.error:
        raise _error_named(answer.error)(answer.message)
    return answer.done


def _exchange(path: str | os.PathLike[str], line: bytes) -> bytes:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as host:
        host.settimeout(ANSWER_TIME_S)
        host.connect(os.fspath(path))
        host.sendall(line)
        received = b""
        while not received.endswith(b"\n") and len(received) <= ANSWER_LIMIT_BYTES:
            piece = host.recv(1 << 16)
            if not piece:
                break
            received += piece
    return received


def _error_named(name: str) -> type[ts.TallystickError]:
    """One of those that a running system raises with nothing but a message; never by a name that the other side makes up."""
    known: tuple[type[ts.TallystickError], ...] = (ts.NotAccepted, ts.NotCommitted, ts.CommitUnknown, ts.InvalidPayload, ts.Overloaded)
    return next((kind for kind in known if kind.__name__ == name), ControlError)
