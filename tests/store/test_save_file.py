"""The file of a save: whole or not at all, and whatever is wrong with it is said so."""

import os
import stat
import zlib
from pathlib import Path

import pytest

from tallystick.domain.errors import SaveDamaged, SaveError, SaveVersionError
from tallystick.store import save_file
from tallystick.store.save_file import FORMAT, framed, read_save, write_save

BODY = b'{"program":"colony","owners":{}}' * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "colony.save"


def test_what_is_written_is_read_back(path: Path) -> None:
    write_save(path, BODY)
    assert read_save(path) == BODY


@pytest.mark.parametrize("body", [b"", b"x", bytes(1 << 20), os.urandom(100_000)], ids=["empty", "one byte", "zeros", "noise"])
def test_any_bytes_will_do(path: Path, body: bytes) -> None:
    write_save(path, body)
    assert read_save(path) == body


def test_a_save_is_its_users_alone(path: Path) -> None:
    write_save(path, BODY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_save_takes_the_place_of_the_one_before_and_leaves_nothing_else_behind(path: Path) -> None:
    write_save(path, b"first")
    write_save(path, BODY)
    assert read_save(path) == BODY
    assert list(path.parent.iterdir()) == [path]


def test_a_link_to_a_save_stays_a_link(path: Path) -> None:
    link = path.with_name("latest.save")
    link.symlink_to(path)
    write_save(link, BODY)
    assert link.is_symlink()
    assert read_save(path) == read_save(link) == BODY


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_save_before_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    write_save(path, b"first")

    def fails(*_arguments: object) -> None:
        raise OSError(28, "planted")

    owner: object = os if call == "fsync" else Path
    monkeypatch.setattr(owner, call, fails)
    with pytest.raises(SaveError, match="stands there still"):
        write_save(path, BODY)
    monkeypatch.undo()
    assert read_save(path) == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_it_is_synced_before_it_has_its_name_and_its_folder_after(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def replaced(part: Path, target: Path) -> Path:
        done.append("named")
        return replace(part, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write_save(path, BODY)
    assert done == [f"{path.stat().st_size} bytes", "named", "folder"]


def test_it_is_not_written_over_what_is_no_plain_file(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="not a plain file"):
        write_save(tmp_path, BODY)


def test_nor_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="could not be written"):
        write_save(tmp_path / "gone" / "colony.save", BODY)


def test_a_body_beyond_the_limit_is_refused_before_anything_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save_file, "BODY_LIMIT_BYTES", len(BODY) - 1)
    with pytest.raises(SaveError, match="the limit is"):
        write_save(path, BODY)
    assert list(path.parent.iterdir()) == []


# Reading what is not as it was written


def test_there_is_none(path: Path) -> None:
    with pytest.raises(SaveError, match="could not be read"):
        read_save(path)


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + bytes(84), b"{}", bytes(1000)], ids=["a log", "JSON", "zeros"])
def test_what_is_no_save_is_told_from_a_damaged_one(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SaveError, match="no save"):
        read_save(path)
    assert path.read_bytes() == content


def test_folders_and_pipes_are_no_saves(path: Path) -> None:
    os.mkfifo(path)
    for place in (path, path.parent):
        with pytest.raises(SaveError):
            read_save(place)


def test_every_flipped_bit_is_found(path: Path) -> None:
    content = framed(BODY)
    for at in range(len(content)):
        for bit in (0, 3, 7):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with pytest.raises(SaveError):
                read_save(path)


def test_every_length_that_it_is_cut_to_is_found(path: Path) -> None:
    content = framed(BODY)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(SaveDamaged):
            read_save(path)


def test_what_is_missing_is_counted(path: Path) -> None:
    path.write_bytes(framed(BODY)[:-5])
    with pytest.raises(SaveDamaged, match="its last 5 bytes are missing"):
        read_save(path)


def test_what_was_appended_is_found(path: Path) -> None:
    path.write_bytes(framed(BODY) + b"\0")
    with pytest.raises(SaveDamaged):
        read_save(path)


@pytest.mark.parametrize(("form", "which"), [(FORMAT - 1, "an older"), (FORMAT + 1, "a newer"), (999, "a newer")])
def test_another_format_is_an_error_that_names_file_and_versions(path: Path, form: int, which: str) -> None:
    path.write_bytes(framed(BODY, form))
    with pytest.raises(SaveVersionError) as refused:
        read_save(path)
    message = str(refused.value)
    assert which in message
    assert str(path) in message
    assert (refused.value.found, refused.value.read) == (form, (FORMAT,))


def test_a_body_that_is_larger_than_it_says_is_not_unpacked(path: Path) -> None:
    header = save_file._HEADER
    packed = zlib.compress(bytes(50 << 20))
    content = header.pack(b"TALLYSAV", FORMAT, len(packed), 10) + packed
    path.write_bytes(content + save_file._checksum(content))
    with pytest.raises(SaveDamaged, match="another length"):
        read_save(path)


@pytest.mark.parametrize("packed", [b"no such thing", zlib.compress(BODY)[:-6]], ids=["not packed", "cut off"])
def test_a_body_that_cannot_be_unpacked_is_damage(path: Path, packed: bytes) -> None:
    content = save_file._HEADER.pack(b"TALLYSAV", FORMAT, len(packed), len(BODY)) + packed
    path.write_bytes(content + save_file._checksum(content))
    with pytest.raises(SaveDamaged):
        read_save(path)
