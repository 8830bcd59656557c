"""`tallystick forget` on a log that is free, and beside a host that serves a control socket."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host import control
from tallystick.host.cli import cli
from tests.actors.register import Directory, compose, enrol


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["forget", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "r.db"
    with compose(log=path, runtime=ts.SteppedRuntime()) as system:
        system.ask(enrol())
    return path


def email_in(path: Path) -> str | ts.Forgotten:
    with compose(log=path, runtime=ts.SteppedRuntime()) as system:
        return system.reveal(system.resident(Directory).emails["c-ada"])


def test_a_person_is_forgotten_in_a_free_log_once_and_it_is_recorded(path: Path) -> None:
    assert run(path, "c-ada", "--why", "asked", "--who", "Ann").output == "c-ada: forgotten, by Ann.\n"
    assert run(path, "c-ada", "--why", "asked", "--who", "Ann").output == "c-ada: had been forgotten before, by Ann.\n"
    assert email_in(path) == ts.Forgotten(subject="c-ada")
    events = list(ts.SqliteReader(path).read(ts.Query(event_types=("SubjectForgotten",))))
    assert [b'"who":"Ann","why":"asked"' in event.payload for event in events] == [True]


def test_the_host_that_has_the_log_is_asked(path: Path) -> None:
    with compose(log=path, runtime=ts.DispatcherRuntime()) as system, control.serve(system, path.with_name("r.db.control")):
        assert run(path, "c-ada", "--why", "asked", "--who", "Ann").output == "c-ada: forgotten, by Ann.\n"
        assert system.reveal(system.resident(Directory).emails["c-ada"]) == ts.Forgotten(subject="c-ada")


def test_a_host_that_has_the_log_and_serves_nobody_is_named(path: Path) -> None:
    with compose(log=path, runtime=ts.DispatcherRuntime()):
        refused = run(path, "c-ada", "--why", "asked")
    assert (refused.exit_code, "is being written by process" in refused.output) == (2, True)


def test_a_blank_id_is_refused(path: Path) -> None:
    refused = run(path, " ", "--why", "asked")
    assert refused.exit_code == 2
    assert "is blank" in refused.output
    assert email_in(path) != ts.Forgotten(subject="c-ada")
