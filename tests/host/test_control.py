"""The control socket: who may connect, what may be asked, and what becomes of whatever is not a request."""

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import tallystick as ts
from tallystick.host import control, requests
from tallystick.host.control import ControlError, NobodyServes
from tests.host import shop


@pytest.fixture
def system() -> Iterator[ts.System]:
    log = ts.MemoryLog()
    with shop.stepped(log) as (stepped, runtime):
        for parcel_id in ("a", "b"):
            stepped.ask(shop.Send(parcel_id=parcel_id))
        runtime.advance(timedelta(hours=1))
    with shop.compose(log=log.reopened(), performs=False) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def talk(path: Path, line: bytes) -> bytes:
    """Say something, and hear what is answered before the line is closed."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as caller:
        caller.connect(os.fspath(path))
        caller.sendall(line)
        caller.shutdown(socket.SHUT_WR)
        heard = b""
        while piece := caller.recv(1 << 16):
            heard += piece
    return heard


def hung_up(caller: socket.socket) -> bool:
    """Whether nobody is at the other end any more."""
    try:
        return caller.recv(1) == b""
    except ConnectionResetError:  # before anybody had picked up
        return True


def redrive(letter: str) -> requests.Redrive:
    return requests.Redrive(letter=letter, who="Ann", why="mended")


def test_nothing_listens_unless_it_is_asked_to(system: ts.System, path: Path) -> None:
    assert system.dead_letters()
    with pytest.raises(NobodyServes):
        control.ask(path, redrive("shop:1"))


def test_the_socket_is_its_users_alone_and_goes_when_the_block_ends(system: ts.System, path: Path) -> None:
    with control.serve(system, path) as where:
        mode = where.lstat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()


def test_requests_are_carried_out_durably_and_recorded(system: ts.System, path: Path) -> None:
    first, second = system.dead_letters()
    with control.serve(system, path):
        assert control.ask(path, redrive(first.id)).done == 1
        assert control.ask(path, requests.Discard(letter=second.id, who="Bo", why="no")).done == 1
    assert system.dead_letters() == ()
    said = [json.loads(each.payload) for each in system.events(event_types=("ExecutionRedriven", "PersonActed"))]
    assert [(each["who"], each["why"]) for each in said] == [("Ann", "mended"), ("Bo", "no")]


def test_many_are_decided_on_by_a_query(system: ts.System, path: Path) -> None:
    with control.serve(system, path):
        query = ts.DeadLetterQuery(code="OSError")
        assert control.ask(path, requests.RedriveAll(query=ts.DeadLetterQuery(code="X"), who="", why="")).done == 0
        assert control.ask(path, requests.DiscardAll(query=query, who="Ann", why="enough")).done == 2
    assert system.dead_letters() == ()


def test_what_is_refused_is_raised_where_it_was_asked(system: ts.System, path: Path) -> None:
    letter = system.dead_letters()[0]
    with control.serve(system, path):
        with pytest.raises(ts.Rejected, match="NO_DEAD_LETTER"):
            control.ask(path, redrive("shop:99"))
        with pytest.raises(ts.InvalidPayload, match="not actions"):
            control.ask(path, requests.Redrive(letter=letter.id, edited=msgspec.Raw(b'[{"type":"Steal"}]'), who="", why=""))
        system.stop()
        with pytest.raises(ts.NotAccepted):
            control.ask(path, redrive(letter.id))


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{broken\n",
        b'{"request":"eval","code":"1"}\n',
        b'{"request":"redrive","letter":3,"who":"","why":""}\n',
        b'{"request":"redrive","letter":"x","who":"","why":"","more":1}\n',
        b"\xff\xfe\n",
    ],
    ids=["nothing", "no JSON", "unknown", "wrong type", "unknown field", "no text"],
)
def test_what_is_no_request_is_answered_as_an_error_and_changes_nothing(system: ts.System, path: Path, line: bytes) -> None:
    before = system.health().tail
    with control.serve(system, path):
        assert b'"error":"ControlError"' in talk(path, line)
        assert control.ask(path, redrive(system.dead_letters()[0].id)).done == 1, "the next one is served"
    assert system.health().tail > before


def test_a_request_without_an_end_is_bounded(system: ts.System, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_LIMIT_BYTES", 1000)
    with control.serve(system, path):
        assert b"at most 1000 bytes" in talk(path, b"x" * 1001)


def test_one_who_says_nothing_is_hung_up_on(system: ts.System, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "REQUEST_TIME_S", 0.5)
    with control.serve(system, path), closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as silent:
        silent.connect(os.fspath(path))
        assert control.ask(path, redrive(system.dead_letters()[0].id)).done == 1
        assert silent.recv(1) == b""


def test_serving_ends_although_somebody_is_connected(system: ts.System, path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as silent:
        with control.serve(system, path):
            silent.connect(os.fspath(path))
        assert hung_up(silent)


def test_an_answer_that_is_none_is_an_error(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listener:
        listener.bind(os.fspath(path))
        listener.listen(1)

        def hang_up() -> None:
            listener.accept()[0].close()

        other = threading.Thread(target=hang_up)
        other.start()
        with pytest.raises(ControlError, match="look whether it was done"):
            control.ask(path, redrive("shop:1"))
        other.join()


# Where it may be.


def test_a_socket_that_nobody_answers_at_is_replaced(system: ts.System, path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as stale:
        stale.bind(os.fspath(path))
    with control.serve(system, path):
        assert control.ask(path, redrive(system.dead_letters()[0].id)).done == 1


def test_one_that_somebody_answers_at_is_not(system: ts.System, path: Path) -> None:
    with control.serve(system, path), pytest.raises(ControlError, match="already"), control.serve(system, path):
        pass


def test_a_file_in_its_place_is_left_there(system: ts.System, path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ControlError, match="no socket"), control.serve(system, path):
        pass
    assert path.read_text() == "precious"


def test_a_folder_that_others_may_change_is_refused(system: ts.System, path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(ControlError, match="a folder of your own"), control.serve(system, path):
        pass
    path.parent.chmod(0o1777)
    with control.serve(system, path):
        assert path.exists()


@pytest.mark.parametrize("name", ["x" * 120, "no folder/s"])
def test_a_place_where_none_can_be_is_refused(system: ts.System, path: Path, name: str) -> None:
    with pytest.raises((ControlError, FileNotFoundError)), control.serve(system, path.parent / name):
        pass


def test_another_socket_in_our_place_is_not_removed(system: ts.System, path: Path) -> None:
    with control.serve(system, path):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"
