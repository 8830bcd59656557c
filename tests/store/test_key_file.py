"""Key files: keys of people beside a log, of which nothing is left once they are deleted."""

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import tallystick as ts
from tallystick.store.keys import FORGOTTEN
from tallystick.store.writer_lock import WriterLock


def key_of(number: int) -> bytes:
    return random.Random(number).randbytes(64)  # noqa: S311 - keys that are looked for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db.keys"


@pytest.fixture
def file(path: Path) -> Iterator[ts.KeyFile]:
    made = ts.KeyFile(path)
    made.open()
    yield made
    made.close()


def on_disk(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def test_keys_are_kept_from_one_opening_to_the_next(path: Path) -> None:
    for opening in range(2):
        file = ts.KeyFile(path)
        file.open()
        if not opening:
            file.put({"a": key_of(1), "b": key_of(2)})
        assert (file.get("a"), file.get("b"), file.get("c")) == (key_of(1), key_of(2), None)
        file.close()


def test_a_key_is_not_made_twice_and_never_again_for_a_forgotten_person(file: ts.KeyFile) -> None:
    file.put({"a": key_of(1)})
    with pytest.raises(ts.KeyStoreError, match="'a' has another key by now"):
        file.put({"b": key_of(2), "a": key_of(2)})
    assert (file.get("a"), file.get("b")) == (key_of(1), None), "all or nothing"
    file.put({"a": key_of(1), "b": key_of(3)})
    file.forget(["a", "nobody"])
    file.put({"a": key_of(4), "nobody": key_of(5)})
    assert (file.get("a"), file.get("nobody"), file.get("b")) == (FORGOTTEN, FORGOTTEN, key_of(3))
    assert file.forgotten() == {"a", "nobody"}


@pytest.mark.parametrize("seed", range(8))
def test_nothing_of_a_deleted_key_is_left_in_any_file(path: Path, seed: int) -> None:
    """The keys' order, the people's names and the sizes of transactions are drawn, so that pages of the index are split in many ways."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    file = ts.KeyFile(path)
    file.open()
    names = [f"{chance.randrange(10**12):x}" for _ in range(600)]
    keys = {name: key_of(number) for number, name in enumerate(names)}
    gone: set[str] = set()
    left = list(keys)
    while left:
        batch, left = left[: (size := chance.randrange(1, 60))], left[size:]
        file.put({name: keys[name] for name in batch})
        gone |= (chosen := {name for name in batch if chance.random() < 0.5})
        if chosen:
            file.forget(sorted(chosen))
            content = on_disk(path)
            assert [name for name in gone if keys[name] in content or keys[name][:16] in content] == []
    file.close()
    content = on_disk(path)
    assert [name for name in gone if keys[name][:16] in content] == []
    assert all(keys[name] in content for name in keys.keys() - gone), "the others are found, so this way of looking finds keys"


def test_a_process_that_dies_between_deleting_a_key_and_its_copy_in_the_journal_leaves_that_to_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ts.KeyFile(path)
    file.open()
    file.put({"a": key_of(1)})
    monkeypatch.setattr(file, "_wipe_journal", lambda: None)
    file.forget(["a"])
    assert key_of(1) in on_disk(path), "SQLite keeps the page as it was"
    file.close()
    again = ts.KeyFile(path)
    again.open()
    assert key_of(1) not in on_disk(path)
    again.close()


def test_the_files_are_their_users_alone(path: Path, file: ts.KeyFile) -> None:
    file.put({"a": key_of(1)})
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {
        path.name: 0o600,
        f"{path.name}-journal": 0o600,
        f"{path.name}.lock": 0o600,
    }


@pytest.mark.usefixtures("file")
def test_one_process_has_a_key_file_at_a_time(path: Path) -> None:
    other = WriterLock(path)
    with pytest.raises(ts.LogLocked):
        other.acquire()
    with pytest.raises(ts.LogLocked):
        ts.KeyFile(path).open()


def test_systems_of_one_process_may_share_a_file(path: Path) -> None:
    file = ts.KeyFile(path)
    file.open()
    file.open()
    file.put({"a": key_of(1)})
    file.close()
    assert file.get("a") == key_of(1)
    file.close()
    with pytest.raises(ts.KeyStoreError, match="is not open"):
        file.get("a")


def test_with_a_master_key_the_file_alone_opens_nothing(path: Path) -> None:
    master = key_of(99)
    file = ts.KeyFile(path, master_key=master)
    file.open()
    file.put({"a": key_of(1)})
    assert file.get("a") == key_of(1)
    file.close()
    assert key_of(1)[:16] not in on_disk(path)
    assert master[:16] not in on_disk(path)
    for wrong in (None, key_of(98)):
        other = ts.KeyFile(path, master_key=wrong)
        with pytest.raises(ts.KeyStoreError, match="was made with a"):
            other.open()
    again = ts.KeyFile(path, master_key=master)
    again.open()
    assert again.get("a") == key_of(1)
    again.forget(["a"])
    assert again.get("a") == FORGOTTEN
    again.close()


def test_a_file_that_was_made_without_a_master_key_is_not_opened_with_one(path: Path, file: ts.KeyFile) -> None:
    file.close()
    with pytest.raises(ts.KeyStoreError, match="was made without a master key"):
        ts.KeyFile(path, master_key=key_of(1)).open()


def test_a_key_that_was_wrapped_for_another_person_is_refused(path: Path) -> None:
    file = ts.KeyFile(path, master_key=key_of(99))
    file.open()
    file.put({"a": key_of(1), "b": key_of(2)})
    file.close()
    with apsw.Connection(str(path)) as connection:
        connection.execute("UPDATE subject SET slot = 3 - slot")
    connection.close()
    file.open()
    with pytest.raises(ts.KeyStoreError, match="cannot be unwrapped"):
        file.get("a")
    file.close()


@pytest.mark.parametrize("length", [0, 16, 31, 65])
def test_a_master_key_of_another_length_is_refused_at_once(path: Path, length: int) -> None:
    with pytest.raises(ts.DefinitionError, match=f"not {length}"):
        ts.KeyFile(path, master_key=bytes(length))
    assert not path.exists()


def test_what_is_no_key_file_is_left_alone(path: Path) -> None:
    with apsw.Connection(str(path)) as connection:
        connection.execute("CREATE TABLE ours (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ts.KeyStoreError, match="is no key file"):
        ts.KeyFile(path).open()
    path.write_bytes(b"something else" * 100)
    with pytest.raises(ts.KeyStoreError, match="cannot be opened"):
        ts.KeyFile(path).open()
    assert len(before) > 0
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ts.LogError, match="not a plain file"):
        ts.KeyFile(path).open()


def test_a_file_that_cannot_be_read_is_an_error_of_its_own(path: Path, file: ts.KeyFile) -> None:
    connection = file._connection
    assert connection is not None
    file.put({"a": key_of(1)})
    connection.execute("DROP TABLE key")
    with pytest.raises(ts.KeyStoreError, match=str(path)):
        file.get("a")
    with pytest.raises(ts.KeyStoreError, match=str(path)):
        file.put({"b": key_of(1)})
    with pytest.raises(ts.KeyStoreError, match=str(path)):
        file.forget(["a"])
