"""One writer per log, across processes (P22, S15)."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import LogError, LogLocked
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader
from tallystick.store.writer_lock import WriterLock, pid_of_holder

HOLDER = """
import sys
from tallystick.store.writer_lock import WriterLock
lock = WriterLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_holder(path: Path) -> Generator[subprocess.Popen[str], None, None]:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:  # noqa: S603 - our own program
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def lock(path: Path) -> Iterator[WriterLock]:
    lock = WriterLock(path)
    yield lock
    lock.release()


def test_the_other_process_is_named(path: Path) -> None:
    with another_holder(path) as holder:
        log = SqliteLog(path)
        with pytest.raises(LogLocked, match=str(holder.pid)) as refused:
            log.open()
        assert (refused.value.pid, refused.value.path) == (holder.pid, str(path))
        assert not path.exists()


def test_a_log_can_be_held_before_it_is_opened_and_is_not_changed_by_it(path: Path) -> None:
    log, rival = SqliteLog(path), SqliteLog(path)
    log.hold()
    assert not path.exists()
    for refused in (rival.hold, rival.open):
        with pytest.raises(LogLocked, match=str(os.getpid())):
            refused()
    assert log.open().position == 0
    log.close()
    rival.hold()
    rival.close()
    again = log.reopened()
    assert again.open().position == 0
    again.close()


def test_whoever_holds_it_is_found_without_taking_it(path: Path, lock: WriterLock) -> None:
    assert pid_of_holder(path) is None
    with another_holder(path) as holder:
        assert pid_of_holder(path) == holder.pid
        holder.kill()
        holder.wait()
        assert pid_of_holder(path) is None
    lock.acquire()
    assert pid_of_holder(path) == os.getpid()
    lock.release()
    assert pid_of_holder(path) is None


def test_a_killed_holder_frees_the_lock(path: Path) -> None:
    with another_holder(path) as holder:
        holder.kill()
        holder.wait()
    log = SqliteLog(path)
    log.open()
    log.close()


def test_a_refused_log_may_be_opened_when_the_other_is_gone(path: Path) -> None:
    log = SqliteLog(path)
    with another_holder(path) as holder:
        with pytest.raises(LogLocked):
            log.open()
        holder.kill()
        holder.wait()
    assert log.open().position == 0
    log.close()


def test_a_second_opening_in_this_process_is_refused_with_our_own_pid(sqlite_log: SqliteLog) -> None:
    with pytest.raises(LogLocked) as refused:
        SqliteLog(sqlite_log.path).open()
    assert refused.value.pid == os.getpid()


def test_one_lock_is_not_taken_twice(lock: WriterLock) -> None:
    lock.acquire()
    with pytest.raises(LogLocked):
        lock.acquire()
    assert lock.held


def test_another_name_of_the_same_file_is_the_same_log(sqlite_log: SqliteLog, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(sqlite_log.path)
    with pytest.raises(LogLocked):
        SqliteLog(link).open()


def test_a_forked_child_neither_holds_nor_frees_the_lock(lock: WriterLock, path: Path) -> None:
    lock.acquire()
    child = os.fork()
    if child == 0:
        still_held = lock.held
        lock.release()
        os._exit(int(still_held))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.held
    with pytest.raises(LogLocked):
        WriterLock(path).acquire()


def test_a_forked_child_that_lives_on_does_not_keep_the_lock(lock: WriterLock, path: Path) -> None:
    lock.acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    lock.release()
    again = WriterLock(path)
    again.acquire()
    again.release()
    os.close(write)
    os.close(read)
    os.waitpid(child, 0)


def test_a_forked_child_cannot_write_the_log(sqlite_log: SqliteLog, record: Callable[..., Recorded]) -> None:
    child = os.fork()
    if child == 0:
        refused = False
        try:
            sqlite_log.write([record(1)])
        except LogError:
            refused = True
        os._exit(0 if refused else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sqlite_log.write([record(1)]).position == 1


def test_a_program_started_by_the_holder_does_not_inherit_the_lock(lock: WriterLock) -> None:
    lock.acquire()
    assert lock._descriptor is not None
    assert not os.get_inheritable(lock._descriptor)


def test_a_lock_file_that_was_replaced_is_not_taken_for_the_lock(lock: WriterLock, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, replaced = WriterLock._open, list[int]()

    def open_and_lose(self: WriterLock) -> int:
        descriptor = opened(self)
        if not replaced:
            replaced.append(Path(self.path).stat().st_ino)
            Path(self.path).rename(f"{self.path}.old")
            Path(self.path).touch()
        return descriptor

    monkeypatch.setattr(WriterLock, "_open", open_and_lose)
    lock.acquire()
    assert lock._descriptor is not None
    assert os.fstat(lock._descriptor).st_ino == Path(lock.path).stat().st_ino != replaced[0]


def test_a_lock_file_that_is_replaced_again_and_again_is_an_error(lock: WriterLock, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = WriterLock._open

    def open_and_lose(self: WriterLock) -> int:
        descriptor = opened(self)
        Path(self.path).unlink()
        return descriptor

    monkeypatch.setattr(WriterLock, "_open", open_and_lose)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(LogError, match="replaced again and again"):
        lock.acquire()
    assert not lock.held
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_the_lock_file_is_for_its_user_alone_and_names_the_holder(lock: WriterLock) -> None:
    lock.acquire()
    assert stat.S_IMODE(Path(lock.path).stat().st_mode) == 0o600
    assert Path(lock.path).read_text() == str(os.getpid())
    lock.release()
    assert Path(lock.path).read_text() == ""


def test_a_lock_file_that_is_a_symbolic_link_is_refused(lock: WriterLock, tmp_path: Path) -> None:
    Path(lock.path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogError, match="cannot be opened"):
        lock.acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="folder"):
        SqliteLog(tmp_path / "missing" / "log.db").open()


def test_a_reader_takes_no_lock(sqlite_log: SqliteLog, record: Callable[..., Recorded]) -> None:
    sqlite_log.write([record(1)])
    sqlite_log.close()
    reader = SqliteReader(sqlite_log.path)
    assert reader.head().position == 1
    again = sqlite_log.reopened()
    again.open()
    again.write([record(2)])
    assert reader.head().position == 2
    again.close()
    reader.close()
