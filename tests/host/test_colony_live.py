"""The colony on a terminal: it is shown while it lives, and Ctrl-C ends it at once."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import Timer

MAIN = "from tallystick.host.cli import main; main()"
GIVE_UP_S = 300
"""When the command is killed whatever it is at, so that a test of it fails where it would hang."""


@contextmanager
def on_a_terminal(*arguments: str) -> Generator[tuple["subprocess.Popen[bytes]", int]]:
    """A command that runs, and the terminal on which it does."""
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-c", MAIN, "scenario", "run", "settlers", *arguments]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "50"}
    with subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment) as process:  # noqa: S603 - our own program
        os.close(its_end)
        giving_up = Timer(GIVE_UP_S, process.kill)
        giving_up.start()
        try:
            yield process, terminal
        finally:
            giving_up.cancel()
            process.kill()
            os.close(terminal)


def shown(terminal: int, until: bytes) -> bytes:
    """What is shown, up to when that has been; or all of it."""
    seen = b""
    while until not in seen and (more := read(terminal)):
        seen += more
    return seen


def read(terminal: int) -> bytes:
    """Some of what came, nothing when the other end is closed."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that nobody has the other end any more
        return b""


def test_it_is_shown_while_it_lives_and_told_how_it_ended() -> None:
    with on_a_terminal("--settlers", "3", "--minutes", "15") as (process, terminal):
        seen = shown(terminal, b"Hash    ")
        assert process.wait(timeout=60) == 0
    assert b"Open executions" in seen
    assert b"settler-00003" in seen
    assert seen.count(b"of 15 minutes") > 1, "drawn again and again"
    assert b"3 settlers, 15 minutes in 18000 steps" in seen


def test_ctrl_c_ends_it_whatever_it_is_at() -> None:
    for settlers in ("40", "80"):
        with on_a_terminal("--settlers", settlers, "--minutes", "100000") as (process, terminal):
            shown(terminal, b"settler-00001")
            process.send_signal(signal.SIGINT)
            said = shown(terminal, b"Aborted!")
            assert b"Aborted!" in said
            assert process.wait(timeout=60) == 1
