"""`tallystick operations` on a log that is free, and beside a host that serves a control socket."""

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.host import control
from tallystick.host.cli import cli
from tests.actors.outside import PATIENCE_S, wait_until
from tests.host import shop
from tests.store.archived import small_archives


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["operations", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with an operation of each kind, whose host is gone."""
    path = tmp_path / "ops.db"
    with ts.System(log=path) as system:
        with system.bracket("Import.Lines", correlation="night 1") as operation:
            operation.note("checkpoint", "half")
        system.operations.fail(system.operations.start("Import.Lines"), "LOST")
        system.operations.start(
            "Webhook.Process", tags={"provider": "p"}, stalled_after=timedelta(microseconds=1), timeout=timedelta(hours=1)
        )
    return path


def listed(*arguments: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in run("list", *arguments, "--json").stdout.splitlines()]


def test_they_are_listed_newest_first_by_name_status_and_page(log: Path) -> None:
    assert [each["name"] for each in listed(log)] == ["Webhook.Process", "Import.Lines", "Import.Lines"]
    assert [each["status"] for each in listed(log, "--name", "Import")] == ["Failed", "Succeeded"]
    assert [each["name"] for each in listed(log, "--open")] == ["Webhook.Process"]
    assert [each["status"] for each in listed(log, "--limit", 1, "--page", 2)] == ["Failed"]
    assert [each["name"] for each in listed(log, "--status", "succeeded")] == ["Import.Lines"]
    assert listed(log, "--older-than", "1h") == []
    assert [each["name"] for each in listed(log, "--tag", "provider=p")] == ["Webhook.Process"]
    assert listed(log, "--tag", "provider=q") == []
    assert [each["status"] for each in listed(log, "--correlation", "night 1")] == ["Succeeded"]
    first = str(listed(log)[-1]["startedAt"])
    assert len(listed(log, "--since", first)) == 3
    assert listed(log, "--before", first) == []
    nothing = run("list", log, "--name", "Nothing")
    assert (nothing.exit_code, nothing.stdout) == (0, "No operations.\n")
    assert "KEY=VALUE" in run("list", log, "--tag", "provider").stderr
    assert "Webhook.Process" in run("list", log).stdout


def test_statistics_add_up(log: Path) -> None:
    statistics = json.loads(run("list", log, "--statistics", "--json").stdout)
    assert statistics["total"] == sum(sum(each.values()) for each in statistics["byName"].values()) == 3
    assert statistics["durations"]["Import.Lines"]["ended"] == 2
    assert "1 Failed, 1 Succeeded" in run("list", log, "--statistics").stdout


def test_statistics_are_of_those_that_the_filters_mean(log: Path) -> None:
    def of(*filters: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(run("list", log, "--statistics", "--json", *filters).stdout)["byName"]
        return found

    assert of("--name", "Import") == {"Import.Lines": {"Failed": 1, "Succeeded": 1}}
    assert of("--status", "failed") == {"Import.Lines": {"Failed": 1}}
    assert of("--open") == {"Webhook.Process": {"Pending": 1}}
    assert of("--name", "Nothing") == {}


def test_children_are_listed_by_their_parent(tmp_path: Path) -> None:
    path = tmp_path / "family.db"
    with ts.System(log=path) as system, system.bracket("Outer") as outer, system.bracket("Inner"):
        pass
    assert [each["name"] for each in listed(path, "--parent", outer.id)] == ["Inner"]


def test_one_is_shown_and_explained_by_id_or_by_name(log: Path) -> None:
    (webhook,) = listed(log, "--open")
    for named in ("Webhook.Process", webhook["operationId"]):
        assert json.loads(run("show", log, named, "--json").stdout)["tags"] == {"provider": "p"}
        assert run("why", log, named).stdout.startswith("Webhook.Process waits for somebody to complete it by its id")
    assert json.loads(run("why", log, "Webhook.Process", "--json").stdout)["standing"]["owner"] == "operations"
    assert run("why", log, "Nobody").exit_code == run("show", log, "Nobody").exit_code == 2


CRASHES = """
import os, sys
import tallystick as ts

with ts.System(log=sys.argv[1]) as system, system.bracket("Import.Night"):
    os._exit(9)
"""


def test_of_a_process_that_is_gone_nothing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "crashed.db"
    assert subprocess.run([sys.executable, "-c", CRASHES, str(path)], check=False).returncode == 9  # noqa: S603 - our own
    said = run("why", path, "Import.Night").stdout
    assert said.startswith("Import.Night waits for a person: the process that ran it is gone")
    with ts.System(log=path) as system, system.bracket("Import.Day"):
        said = run("why", path, "Import.Day").stdout
        assert said.startswith("Import.Day waits for the code inside its bracket to leave")
        assert f"process {os.getpid()}" in " ".join(said.split())


def test_actions_that_were_out_wait_for_a_process_to_open_the_log(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with shop.compose(log=path, performs=False) as system:
        system.ask(shop.Send(parcel_id="a", street="Elm"))
        (open_one,) = system.open_executions()
        assert "waits for the answer of Carry, attempt 1" in run("why", path, open_one.execution.token).stdout
    assert "waits for a process to open the log: Carry, attempt 1" in run("why", path, open_one.execution.token).stdout


def test_how_far_a_performer_is_stands_in_what_is_said_of_it(tmp_path: Path) -> None:
    path, go = tmp_path / "shop.db", threading.Event()

    def carry(_action: shop.Carry, call: ts.Call) -> str:
        call.progress(60, "on the bridge")
        assert go.wait(PATIENCE_S)
        return "carried"

    with ts.System([shop.Shop(), shop.Clerk()], performers=[shop.Carry.performed_by(carry)], log=path) as system:
        system.ask(shop.Send(parcel_id="a", street="Elm"))
        wait_until(lambda: system.open_executions()[0].execution.progress is not None)
        token = system.open_executions()[0].execution.token
        said = " ".join(run("why", path, token).stdout.split())
        shown = json.loads(run("why", path, token, "--json").stdout)
        timeline = " ".join(run("timeline", path, token).stdout.split())
        go.set()
    assert 's ago it said 60 %, "on the bridge"; nothing ends it by itself.' in said
    assert (shown["standing"]["progress"]["percent"], shown["standing"]["progress"]["message"]) == (60, "on the bridge")
    assert "ProgressReported" in timeline
    assert "on the bridge" in timeline


def test_each_has_the_correlation_of_its_records_also_from_an_archive(log: Path) -> None:
    with small_archives(records=5, tail=0), ts.System(log=log) as system:
        wanted = {each.aggregate_id: each.correlation for each in system.events(event_types=("OperationStarted",))}
        assert system.archive(ts.Retention(keep=timedelta()), who="ann").records > 0
    assert "night 1" in wanted.values()
    assert {each["operationId"]: each["correlation"] for each in listed(log) if each["name"] != "Log.Archive"} == wanted
    for operation_id, correlation in wanted.items():
        assert json.loads(run("show", log, operation_id, "--json").stdout)["correlation"] == correlation
        assert correlation in run("show", log, operation_id).stdout


def test_a_timeline_is_a_table_a_diagram_or_json(log: Path) -> None:
    assert "OperationNoted" in run("timeline", log, "night 1").stdout
    (done,) = listed(log, "--status", "succeeded")
    by_id = json.loads(run("timeline", log, done["operationId"], "--json").stdout)
    assert (by_id["correlation"], len(by_id["entries"])) == ("night 1", 4)
    assert run("timeline", log, "night 1", "--mermaid", "sequence").stdout.startswith("sequenceDiagram\n")
    assert "Import.Lines :done" in run("timeline", log, "night 1", "--mermaid", "gantt").stdout
    assert run("timeline", log, "nowhere").exit_code == 2


def test_a_timeline_is_of_a_correlation_however_that_is_written_or_of_the_newest_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "ops.db"
    with ts.System(log=path) as system:
        for number in (17, 18):
            with system.bracket("Import.Lines", correlation=f"Order-{number}"):
                pass
    assert json.loads(run("timeline", path, "Order-17", "--json").stdout)["correlation"] == "Order-17"
    assert json.loads(run("timeline", path, "Import.Lines", "--json").stdout)["correlation"] == "Order-18"
    refused = run("timeline", path, "Order-19")
    assert refused.exit_code == 2
    assert "no operation, execution or correlation 'Order-19'" in refused.stderr


def test_what_a_terminal_would_obey_is_shown_instead(tmp_path: Path) -> None:
    path = tmp_path / "ops.db"
    with ts.System(log=path) as system, system.bracket("Import.Lines", correlation="night \x1b[2J1") as operation:
        operation.note("line", "\x1b]0;mine\x07 \u202edetrevni \x9b31m, a\nnewline and [bold]markup[/bold]")
        operation.message = "\x1b[31mred\x1b[0m"
    for shown in (run("list", path), run("show", path, "Import.Lines"), run("timeline", path, "Import.Lines")):
        assert not set(shown.stdout) & set("\x1b\x07\x9b\u202e")
        assert "\\x1b[31mred" in shown.stdout or "\\x1b]0;mine\\x07 \\u202edetrevni" in shown.stdout


def test_stalled_ones_are_a_reason_to_look(log: Path) -> None:
    stalled = run("stalled", log, "--json")
    assert (json.loads(stalled.stdout)["name"], stalled.exit_code) == ("Webhook.Process", 1)


def test_a_person_settles_in_a_free_log_once(log: Path) -> None:
    assert run("settle", log, "Webhook.Process", "fail", "--code", "GONE", "--who", "ann", "--why", "asked").exit_code == 0
    shown = json.loads(run("show", log, "Webhook.Process", "--json").stdout)
    assert [shown[field] for field in ("status", "code", "by", "why")] == ["Failed", "GONE", "ann", "asked"]
    again = run("settle", log, "Webhook.Process", "complete", "--why", "again")
    assert (again.exit_code, "NOT_OPEN" in again.stderr) == (1, True)


@pytest.mark.parametrize("option", ["--why", "--who", "--code"])
def test_who_why_and_code_are_not_blank_where_a_person_settles(log: Path, option: str) -> None:
    for blank in ("", " "):
        refused = run("settle", log, "Webhook.Process", "fail", "--why", "asked", option, blank)
        assert (refused.exit_code, f"Invalid value for '{option}': say something" in refused.stderr) == (2, True)
    assert json.loads(run("show", log, "Webhook.Process", "--json").stdout)["status"] == "Pending"


def test_a_log_that_needs_its_program_says_so(tmp_path: Path) -> None:
    program = "import os; from tests.host import shop; system = shop.compose(log={!r}).__enter__(); system.operations.start('Import.Night')"
    path = tmp_path / "shop.db"
    killed = [sys.executable, "-c", f"{program.format(str(path))}; system.ask(shop.Send(parcel_id='a', street='Elm')); os._exit(9)"]
    assert subprocess.run(killed, check=False).returncode == 9  # noqa: S603 - our own
    unnamed = run("settle", path, "Import.Night", "abandon", "--why", "x")
    assert (unnamed.exit_code, "say by --program" in " ".join(unnamed.stderr.split())) == (2, True)
    assert run("settle", path, "Import.Night", "abandon", "--why", "x", "--program", "tests.host.shop:compose").exit_code == 0


def test_beside_a_host_its_control_socket_is_asked(log: Path) -> None:
    with ts.System(log=log) as system:
        locked = run("settle", log, "Webhook.Process", "cancel", "--why", "not wanted")
        assert locked.exit_code == 2
        with control.serve(system, control.path_beside(log)):
            for how, status in (("retry", "Pending"), ("cancel", "Canceled")):
                assert run("settle", log, "Webhook.Process", how, "--who", "ann", "--why", "not wanted").exit_code == 0
                assert system.operations.find(name_prefix="Webhook")[0].status == status
