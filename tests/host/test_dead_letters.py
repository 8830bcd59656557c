"""`tallystick dead-letters`: the list that any process may read, and decisions by whoever has the log (P27)."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host import control
from tallystick.host.cli import cli
from tallystick.host.dead_letters import letters_in
from tests.actors.outside import wait_until
from tests.host import shop

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "tests.host.shop:compose"
PATIENCE_S = 60


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A shop with two parcels that nobody could carry, and one that the clerk cannot file."""
    path = tmp_path / "shop.db"
    with shop.stepped(path) as (system, runtime):
        for parcel_id, street in (("a", ""), ("b", ""), ("illegible", "Elm"), ("done", "Elm")):
            system.ask(shop.Send(parcel_id=parcel_id, street=street))
        runtime.advance(timedelta(hours=1))
    return path


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["dead-letters", *(str(each) for each in arguments)], input=stdin)


def listed(log: Path, *options: object) -> list[dict[str, Any]]:
    result = run("list", log, "--json", *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def decided(*arguments: object, stdin: str | None = None) -> dict[str, Any]:
    result = run(*arguments, "--why", "mended", "--who", "Ann", "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def payloads(log: Path, event_type: str) -> list[dict[str, Any]]:
    with closing(ts.SqliteReader(log)) as reader:
        return [json.loads(each.payload) for each in reader.read(ts.Query(event_types=(event_type,)))]


def ids(log: Path, *options: object) -> list[str]:
    return [each["id"] for each in listed(log, *options)]


# Reading.


def test_what_is_read_from_the_log_is_what_the_running_system_says(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with shop.stepped(path) as (system, runtime):
        for parcel_id, street in (("a", ""), ("b", ""), ("c", ""), ("illegible", "Elm")):
            system.ask(shop.Send(parcel_id=parcel_id, street=street))
        runtime.advance(timedelta(hours=1))
        first, second, third, _ = system.dead_letters()
        system.redrive(first, who="Ann", why="again")
        system.redrive(second, edited=[shop.Carry(parcel_id="edited")], who="Ann", why="another")
        system.discard(third)
        runtime.advance(timedelta(hours=1))
        with closing(ts.SqliteReader(path)) as reader:
            read = letters_in(reader)
        assert read == sorted(system.dead_letters(), key=lambda letter: (letter.owner, letter.position))
        assert [letter.kind for letter in read] == ["reaction", "actions", "actions"]
        system.redrive(system.dead_letters()[2])
        with closing(ts.SqliteReader(path)) as reader:
            assert len(letters_in(reader)) == 2, "it is being tried again"


def test_a_settlement_that_is_parked_and_one_that_was_settled_since_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with shop.stepped(path) as (system, runtime):

        def failing(*_given: object) -> ts.Effects:
            raise ValueError

        system._behaviours["shop"].settlements[shop.Sending] = failing
        for parcel_id in ("a", "b"):
            system.ask(shop.Send(parcel_id=parcel_id, street="Elm"))
        runtime.advance(timedelta(hours=1))
        system.discard(system.dead_letters()[0])
        with closing(ts.SqliteReader(path)) as reader:
            read = letters_in(reader)
        assert tuple(read) == system.dead_letters()
        assert [letter.kind for letter in read] == ["settlement"]


def test_a_table_for_people_says_what_waits_and_why(log: Path) -> None:
    result = run("list", log)
    assert result.exit_code == 0
    for text in ("shop:", "clerk:", "SendingStarted", "OSError: no street", "ValueError: illegible", "reaction", "actions"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 3),
        (("--owner", "shop"), 2),
        (("--kind", "reaction"), 1),
        (("--code", "OSError"), 2),
        (("--event-type", "Sent"), 1),
        (("--before", "1970-01-01"), 0),
        (("--older-than", "1s"), 3),
        (("--older-than", "999999d"), 0),
    ],
)
def test_letters_are_listed_by_what_they_are(log: Path, options: tuple[str, ...], count: int) -> None:
    assert len(listed(log, *options)) == count


@pytest.mark.parametrize("wrong", ["1", "h", "1w", "-1h", "1.5h"])
def test_what_is_no_time_is_refused(log: Path, wrong: str) -> None:
    result = run("list", log, f"--older-than={wrong}")
    assert result.exit_code == 2
    assert "36h" in result.stderr


def test_where_nothing_waits_it_is_said(log: Path) -> None:
    assert run("list", log, "--owner", "nobody").stdout == "Nothing waits for a person.\n"


def test_one_letter_is_shown_whole(log: Path) -> None:
    letter = listed(log, "--kind", "actions")[0]
    result = run("show", log, letter["id"])
    assert result.exit_code == 0
    for text in (letter["token"], letter["correlation"], '"parcelId": "a"'):
        assert text in result.stdout
    assert json.loads(run("show", log, letter["id"], "--json").stdout) == letter
    assert letter["payload"] == [{"type": "Carry", "parcelId": "a", "street": ""}]


def test_what_is_no_letter_is_neither_shown_nor_decided_on(log: Path) -> None:
    for arguments in (("show", log, "shop:99"), ("redrive", log, "shop:99", "--why", "x", "--dry-run")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "shop:99: no dead letter" in result.stderr


# Deciding on a log that is free.


def test_a_redrive_on_a_free_log_is_recorded_and_carried_out_by_the_next_host(log: Path) -> None:
    (first, _) = ids(log, "--kind", "actions")
    edit = json.dumps([{"type": "Carry", "parcelId": "a", "street": "Oak"}])
    assert decided("redrive", log, first, "--program", PROGRAM, "--edited", "-", stdin=edit) == {"done": 1, "refused": []}
    assert payloads(log, "Sent") == payloads(log, "Sent")[:2], "nothing was performed here"
    assert first not in ids(log)
    (redriven,) = payloads(log, "ExecutionRedriven")
    assert (redriven["who"], redriven["why"], redriven["actions"][0]["street"]) == ("Ann", "mended", "Oak")
    with shop.stepped(log) as (system, runtime):
        runtime.advance(timedelta(minutes=1))
        assert [json.loads(each.payload)["how"] for each in system.events(event_types=("Sent",))][-1] == "carried to Oak"


def test_what_is_under_way_is_left_alone_by_an_opening_that_performs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"

    def pends(_action: shop.Carry, _call: ts.Call) -> ts.Later:
        return ts.Later()

    def compose() -> ts.System:
        runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
        return ts.System([shop.Shop(), shop.Clerk()], performers=[shop.Carry.performed_by(pends)], log=path, runtime=runtime)

    with compose() as system:
        system.ask(shop.Send(parcel_id="a", street="Elm"))
        open_before = system.open_executions()
    with shop.compose(log=path, performs=False) as system:
        assert system.open_executions() == open_before
        assert system.health().counters.get("recovery.performed_again", 0) == 0
    assert payloads(path, "AttemptStarted") == []


def test_a_discard_on_a_free_log_settles_and_lets_what_waits_go_on(log: Path) -> None:
    assert decided("discard", log, "--all", "--program", PROGRAM) == {"done": 3, "refused": []}
    assert ids(log) == []
    assert [each["how"] for each in payloads(log, "Sent")] == ["carried to Elm", "carried to Elm", "Failed", "Failed"]
    assert [each["who"] for each in payloads(log, "PersonActed")] == ["Ann", "Ann"]


def test_several_are_decided_on_by_filter_and_a_dry_run_changes_nothing(log: Path) -> None:
    meant = ids(log, "--code", "OSError")
    before = log.read_bytes()
    assert decided("redrive", log, "--code", "OSError", "--dry-run") == {"would": meant}
    assert log.read_bytes() == before
    assert decided("redrive", log, "--code", "OSError", "--program", PROGRAM) == {"done": 2, "refused": []}
    assert ids(log) == ids(log, "--kind", "reaction")


def test_one_that_refuses_keeps_no_other_back_and_is_told(log: Path) -> None:
    first, second = ids(log, "--kind", "actions")
    result = run("redrive", log, "shop:999", first, second, "--why", "mended", "--program", PROGRAM)
    assert result.exit_code == 1
    assert "2 done, 1 refused" in result.stdout
    assert "shop:999: NO_DEAD_LETTER" in result.stderr


@pytest.mark.parametrize(
    ("options", "how"), [(("--result", "-"), "by hand"), (("--failed", "LOST"), "Failed"), (("--abandoned",), "Cancelled")]
)
def test_what_waits_is_ended_in_a_persons_word(log: Path, options: tuple[str, ...], how: str) -> None:
    first = ids(log, "--kind", "actions")[0]
    assert decided("settle", log, first, *options, "--program", PROGRAM, stdin='"by hand"') == {"done": 1, "refused": []}
    assert payloads(log, "Sent")[-1]["how"] == how
    assert payloads(log, "PersonActed")[0]["who"] == "Ann"
    assert run("settle", log, ids(log, "--kind", "reaction")[0], *options, "--why", "x", "--program", PROGRAM, stdin='""').exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("redrive", "LOG", "--why", "x"), "by ID, by filters, or --all"),
        (("redrive", "LOG", "shop:1", "--all", "--why", "x"), "by ID, by filters, or --all"),
        (("redrive", "LOG", "--all"), "--why"),
        (("redrive", "LOG", "--all", "--why", "x"), "say by --program"),
        (("discard", "LOG", "--all", "--why", "x", "--program", "no.such:module"), "is no program"),
        (("discard", "LOG", "--all", "--why", "x", "--program", "json:nothing"), "is no program"),
        (("discard", "LOG", "--all", "--why", "x", "--program", "json"), "MODULE:FUNCTION"),
        (("discard", "LOG", "--all", "--why", "x", "--program", "sys:path"), "is no function"),
        (("redrive", "LOG", "--all", "--why", "x", "--edited", "-"), "the ID of the one letter"),
        (("redrive", "LOG", "shop:1", "--why", "x", "--edited", "-"), "no JSON"),
        (("settle", "LOG", "shop:1", "--why", "x"), "how it ends"),
        (("settle", "LOG", "shop:1", "--why", "x", "--abandoned", "--failed", "X"), "how it ends"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(log: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*(log if each == "LOG" else each for each in arguments), stdin="{broken")
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert message in line


def test_an_example_is_a_program_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert CliRunner().invoke(cli, ["scenario", "run", "happy-path", "--log", str(path)]).exit_code == 0
    assert decided("redrive", path, "--all", "--program", "tiny-store") == {"done": 0, "refused": []}


# Deciding on a log that another process has.


@contextmanager
def hosting(log: Path, socket: Path | None) -> Generator["subprocess.Popen[str]"]:
    """A process that has the log, until the block ends."""
    command = [sys.executable, "-m", "tests.host.shop", json.dumps([str(log), "" if socket is None else str(socket)])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.stdin.close()
            process.wait(PATIENCE_S)


def test_p27_a_second_process_redrives_through_the_hosts_socket_and_the_host_performs_it(log: Path) -> None:
    socket = control.path_beside(log)
    with hosting(log, socket) as host:
        (first, second) = ids(log, "--kind", "actions")
        edit = json.dumps([{"type": "Carry", "parcelId": "a", "street": "Oak"}])
        for program in ((), ("--program", PROGRAM)):
            letter = second if program else first
            assert decided("redrive", log, letter, "--edited", "-", *program, stdin=edit) == {"done": 1, "refused": []}
        assert host.poll() is None
        with closing(ts.SqliteReader(log)) as reader:
            wait_until(lambda: len(list(reader.read(ts.Query(event_types=("Sent",))))) == 4)
        assert run("redrive", log, first, "--why", "x").exit_code == 1
        assert decided("discard", log, "--all") == {"done": 1, "refused": []}
    assert not socket.exists()
    assert [each["who"] for each in payloads(log, "ExecutionRedriven")] == ["Ann", "Ann"]
    assert [each["how"] for each in payloads(log, "Sent")][-2:] == ["carried to Oak"] * 2
    assert ids(log) == []


def test_p27_a_host_without_a_socket_is_named_by_its_pid(log: Path) -> None:
    with hosting(log, None) as host:
        result = run("redrive", log, "--all", "--why", "x", "--program", PROGRAM)
        assert result.exit_code == 2
        assert f"process {host.pid}" in result.stderr
        unnamed = run("redrive", log, "--all", "--why", "x")
        assert (unnamed.exit_code, f"process {host.pid}" in unnamed.stderr) == (2, True)
        assert len(ids(log)) == 3, "anybody may read"


def test_p27_after_a_host_was_killed_its_socket_holds_up_nobody(log: Path) -> None:
    socket = control.path_beside(log)
    with hosting(log, socket) as host:
        host.kill()
        host.wait(PATIENCE_S)
        assert socket.exists()
        result = run("redrive", log, "--kind", "actions", "--why", "x")
        assert result.exit_code == 2
        assert "are of clerk and shop: say by --program" in " ".join(result.stderr.split())
        assert decided("redrive", log, "--kind", "actions", "--program", PROGRAM)["done"] == 2
        with shop.compose(log=log, performs=False) as system, control.serve(system, socket):
            assert decided("discard", log, "--all")["done"] == 1
