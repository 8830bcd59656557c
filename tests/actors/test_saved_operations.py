"""Operations of a system that goes on from a save: they are found, counted and paged as before, though their records are not in its log."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tallystick as ts
from tallystick.host.cli import cli

MINUTE = timedelta(minutes=1)


def a_few(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    """Open ones and ended ones of every kind, begun at different times and at the same one."""
    operations = system.operations
    operations.start("Import", timeout=MINUTE)
    silent = operations.start("Import", heartbeat_within=MINUTE)
    with system.bracket("Nightly.Run", tags={"tenant": "a"}, correlation="night 1"):
        operations.start("Nightly.Child")
    runtime.advance(2 * MINUTE)
    operations.mark_stalled()
    operations.fail(operations.start("Billing.Run"), "LOST")
    operations.cancel(operations.start("Billing.Run"))
    operations.progress(operations.start("Billing.Run", timeout=60 * MINUTE), 50)
    operations.abandon(operations.start("Import"), by="ann", why="not wanted")
    assert operations.index().get(silent) is not None


def answers(system: ts.System) -> dict[str, Any]:
    """What is said of them, in all ways that there are."""
    operations = system.operations
    pages: list[list[ts.OperationSnapshot]] = []
    before: int | None = None
    while not pages or before is not None:
        page = operations.page(size=2, before=before)
        pages.append(list(page.operations))
        before = page.next
    statistics = operations.statistics()
    return {
        "found": operations.find(),
        "pages": [each for page in pages for each in page],
        "child": operations.find(correlation="night 1"),
        "tagged": operations.find(tag=("tenant", "a")),
        "late": operations.find(since=operations.find()[0].started_at),
        "early": operations.find(until=operations.find()[0].started_at),
        "failed": operations.find(status=ts.OperationStatus.FAILED),
        "abandoned": operations.abandoned(),
        "statistics": (statistics.by_name, statistics.durations),
    }


def gone_on(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    """What was saved goes on, and there is more."""
    operations = system.operations
    (silent,) = operations.find(status=ts.OperationStatus.STALLED)
    operations.heartbeat(silent.operation_id)
    (running,) = operations.find(status=ts.OperationStatus.RUNNING, name_prefix="Billing")
    operations.succeed(running.operation_id)
    operations.start("Import")
    runtime.advance(MINUTE)
    operations.start("Import")


def with_its_records(log: ts.MemoryLog, runtime: ts.SteppedRuntime, path: Path) -> None:
    with ts.System(log=log, runtime=runtime) as system:
        a_few(system, runtime)
        system.save(path)


def without_records(log: ts.MemoryLog, runtime: ts.SteppedRuntime, path: Path) -> None:
    with ts.System(log=log, runtime=runtime) as system:
        a_few(system, runtime)
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(runtime.clock)) as system:  # which has seen all that there is
        system.save(path)


Saves = Callable[[ts.MemoryLog, ts.SteppedRuntime, Path], None]


@pytest.mark.parametrize("saves", [with_its_records, without_records])
@pytest.mark.parametrize("name", [None, "loaded.db"])
def test_all_are_found_and_counted_as_before(saves: Saves, name: str | None, tmp_path: Path) -> None:
    log, runtime = ts.MemoryLog(), ts.SteppedRuntime(ts.ManualClock())
    saves(log, runtime, tmp_path / "a.save")
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(runtime.clock)) as system:
        wanted = answers(system)
        assert len(wanted["pages"]) == 8
    loaded = None if name is None else tmp_path / name
    runtime = ts.SteppedRuntime(ts.ManualClock())
    with ts.System.load(tmp_path / "a.save", log=loaded, runtime=runtime) as system:
        started = len(list(system.events(event_types=("OperationStarted",))))
        assert started == (8 if saves is with_its_records else 0)
        assert answers(system) == wanted
        gone_on(system, runtime)
        after = answers(system)
        assert after["pages"] == after["found"]
        assert [each.name for each in after["found"][:2]] == ["Import", "Import"]
        assert {each.operation_id for each in after["found"][2:]} == {each.operation_id for each in wanted["found"]}
        statuses = system.operations.statistics().by_status
        assert statuses == {status: len(system.operations.find(status=status)) for status in statuses}
        assert sum(statuses.values()) == 10
        assert statuses[ts.OperationStatus.SUCCEEDED] == 2
    if loaded is not None:
        runner = CliRunner()
        listed = runner.invoke(cli, ["operations", "list", str(loaded), "--json"], catch_exceptions=False).output.splitlines()
        assert [json.loads(line)["operationId"] for line in listed] == [each.operation_id for each in after["found"]]
        assert "Nightly.Child waits for" in runner.invoke(cli, ["operations", "why", str(loaded), "Nightly.Child"]).output
