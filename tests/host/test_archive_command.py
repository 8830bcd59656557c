"""`tallystick archive` and `tallystick retention`: on a log that is free, and on one that a host has."""

import json
import re
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tallystick as ts
from tallystick.domain.envelope import from_micros
from tallystick.host import control
from tallystick.host.cli import cli
from tallystick.host.operator import operations
from tests.host import shop
from tests.store.archived import small_archives

LONG_AGO = timedelta(days=90)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with sixty operations of three months ago, one of them open, and one of today."""
    runtime = ts.SteppedRuntime(ts.ManualClock(from_micros(ts.SystemClock().now_us()) - LONG_AGO))
    with small_archives(), ts.System(log=tmp_path / "log.db", runtime=runtime) as system:
        system.operations.start("Nightly.Open")
        for number in range(60):
            with system.bracket("Nightly.Import", tags={"number": str(number)}):
                pass
        runtime.advance(LONG_AGO)
        with system.bracket("Nightly.Today"):
            pass
    return tmp_path / "log.db"


def run(*args: Any) -> Result:
    with small_archives(tail=64):
        return CliRunner().invoke(cli, [str(each) for each in args])


def lines(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_log_of_operations_alone_needs_no_program_to_be_named(path: Path) -> None:
    (summary,) = lines(run("retention", path, "--dry-run", "--json"))
    (done,) = lines(run("archive", path, "--json", "--why", "full"))
    assert done["records"] == summary["records"] > 25


def parcels(**given: Any) -> ts.System:
    """A shop without its clerk."""
    return ts.System([shop.Shop()], performers=[shop.Carry.performed_by(shop.carry)], **given)


def test_what_is_of_owners_that_the_program_lacks_stays_for_nobody_knows_whether_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with small_archives(), parcels(log=path) as system:
        for number in range(60):
            system.ask(shop.Send(parcel_id=f"parcel {number}", street="Elm"))
        list(zip(range(60), system.subscribe(event_types=("Sent",)), strict=False))
    keep = ("--dry-run", "--json", "--keep", "0s")
    (summary,) = lines(run("retention", path, *keep, "--program", "operations"))
    assert (summary["records"], summary["stays"]["of an owner that this program lacks"] > 50) == (0, True)
    (known,) = lines(run("retention", path, *keep, "--program", "tests.host.test_archive_command:parcels"))
    assert known["records"] > 50
    refused = run("retention", path, *keep)
    assert (refused.exit_code, "are of shop: say by --program" in " ".join(refused.output.split())) == (2, True)


def test_a_log_that_was_archived_is_verified_with_its_scenarios_code_though_the_archiving_is_none_of_the_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert run("scenario", "run", "cancellation", "--log", path).exit_code == 0
    assert run("archive", path, "--keep", "1s", "--program", "tiny-store", "--why", "full").exit_code == 0
    verified = run("verify", path, "--scenario", "tiny-store")
    assert (verified.exit_code, verified.output.startswith("OK: ")) == (0, True), verified.output


def test_a_dry_run_lists_what_archive_then_moves(path: Path) -> None:
    *listed, summary = lines(run("retention", path, "--dry-run", "--list", "--json", "--program", "operations"))
    assert summary["records"] == len(listed) > 25
    assert "open work" in summary["stays"]
    assert not list(path.parent.glob("*-archive*"))
    (done,) = lines(run("archive", path, "--json", "--program", "operations", "--who", "Ann", "--why", "full"))
    assert done["records"] == len(listed)
    with closing(ts.SqliteReader(path)) as reader:
        assert len(list(reader.verify())) == reader.head().position
        live = {record.position for record in reader.live(until=reader.head().position)}
        assert live.isdisjoint(each["position"] for each in listed)
        assert any(b"Nightly.Open" in record.payload for record in reader.live(until=reader.head().position))
        audits = [json.loads(each.payload) for each in reader.read(ts.Query(event_types=("OperationAudited",)))]
    assert [(each["who"], "full" in each["message"]) for each in audits] == [("Ann", True)]
    assert run("verify", path).exit_code == 0


def test_people_are_told_in_tables(path: Path) -> None:
    told = run("retention", path, "--dry-run", "--program", "operations")
    assert "records would leave" in told.stdout
    assert "open work" in told.stdout
    done = run("retention", path, "--program", "operations")
    assert re.search(r"^\d+ records left for (1 archive|\d+ archives);", done.stdout)
    assert "Checksum" in done.stdout


def test_a_policy_keeps_longer(path: Path) -> None:
    def leaving(*options: str) -> int:
        return int(lines(run("retention", path, "--dry-run", "--json", "--program", "operations", *options))[-1]["records"])

    assert leaving() > 25
    assert leaving("--keep", "100d") == 0
    assert leaving("--keep-status", "succeeded=100d") == 0
    assert leaving("--keep-type", "Operation=100d") == 0
    assert leaving("--keep-status", "failed=100d") > 25


def test_a_host_that_has_the_log_is_asked(path: Path) -> None:
    with operations(log=path) as system, control.serve(system, control.path_beside(path)):
        (said,) = lines(run("retention", path, "--dry-run", "--json"))
        assert "another process" not in str(said)
        (done,) = lines(run("archive", path, "--json", "--who", "Ann"))
        assert done["records"] >= said["records"] > 25
        assert system.operations.page(name_prefix="Log.Archive").operations


def test_a_log_that_somebody_has_who_does_not_serve_is_left_alone(path: Path) -> None:
    with operations(log=path):
        refused = run("archive", path, "--program", "operations")
    assert refused.exit_code == 2
    assert not list(path.parent.glob("*-archive*"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--keep-status", "failed"], "NAME=TIME"),
        (["--keep-status", "lost=3d"], "is no end"),
        (["--keep-type", "Order=soon"], "is no time"),
        (["--list"], "--dry-run"),
    ],
)
def test_options_that_mean_nothing_are_refused(path: Path, options: list[str], problem: str) -> None:
    refused = run("retention", path, "--program", "operations", *options)
    assert refused.exit_code == 2
    assert problem in refused.output


@pytest.mark.parametrize("name", ["archive", "retention"])
def test_there_is_help(name: str) -> None:
    assert "--keep" in run(name, "--help").stdout


def test_a_damaged_archive_is_told_by_verify(path: Path) -> None:
    run("archive", path, "--program", "operations")
    archive = min(path.parent.glob("*-archive*"))
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    refused = run("verify", path)
    assert refused.exit_code == 1
    assert archive.name in refused.output
