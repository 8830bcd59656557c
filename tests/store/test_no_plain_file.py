"""A path that is no plain file is refused before anything is opened: as root, opening alone would change a device's mode."""

import os
import stat
from pathlib import Path

import pytest

import tallystick as ts


@pytest.mark.parametrize("opening", [lambda path: ts.SqliteLog(path).open(), ts.SqliteReader], ids=["for writing", "for reading"])
def test_a_pipe_is_refused_and_left_as_it_is(tmp_path: Path, opening: object) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    assert callable(opening)
    with pytest.raises(ts.LogError, match="not a plain file"):
        opening(pipe)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o666
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ts.LogError, match="not a plain file"):
        ts.SqliteLog(tmp_path).open()


@pytest.mark.parametrize("filters", [{"event_types": "OrderPlaced"}, {"limit": -1}, {"tag": "tenant"}, {"tag": ("tenant",)}])
def test_a_query_that_could_only_find_nothing_by_mistake_is_refused(filters: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"event_types|below zero|a name and a value"):
        ts.Query(**filters)  # type: ignore[arg-type]


@pytest.mark.parametrize("log", ["", 5])
def test_a_system_says_what_it_takes_for_a_log(log: object) -> None:
    with pytest.raises(ts.DefinitionError, match="log is"):
        ts.System(log=log)  # type: ignore[arg-type]
