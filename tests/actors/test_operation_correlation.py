"""An operation's snapshot has the correlation of its records, from wherever it is read: nothing but an envelope says it, and once."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tallystick.domain.operations.index import OpenOperations
from tests.store.archived import small_archives

NOW = ts.Retention(keep=timedelta())
Begun = dict[str, str]
"""Correlations by operation, as records have them."""


def a_few(system: ts.System) -> None:
    """Ended and open ones: given a correlation, given none, inside of another, begun by key; some said more of, from elsewhere."""
    operations = system.operations
    with system.bracket("Nightly.Given", correlation="night 1") as outer, system.bracket("Nightly.Inner"):
        outer.progress(50)
    with system.bracket("Nightly.Alone"):
        pass
    operations.start("Nightly.Open", correlation="night 2", idempotency_key="open")
    still = operations.start("Nightly.OpenAlone")
    operations.progress(still, 10)
    operations.note(still, "checkpoint", "half")


def begun(system: ts.System) -> Begun:
    """What the log says, of those that `a_few` has begun."""
    started = system.events(event_types=("OperationStarted",))
    return {each.aggregate_id: each.correlation for each in started if b"Nightly" in each.payload}


def check(system: ts.System, wanted: Begun) -> None:
    """Whoever asks hears what the records say."""
    operations = system.operations
    for operation_id, correlation in wanted.items():
        found = operations.get(operation_id)
        assert found is not None
        assert (found.correlation, operations.correlation_of(operation_id)) == (correlation, correlation)
    still_open = {each.operation_id: each.correlation for each in operations.open(name_prefix="Nightly")}
    assert len(still_open) == 2
    assert still_open.items() <= wanted.items()


def test_it_is_that_of_all_its_records_also_where_none_was_given() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        a_few(system)
        wanted = begun(system)
        check(system, wanted)
        assert {each.operation_id: each.correlation for each in system.operations.find()} == wanted
        for operation_id, correlation in wanted.items():
            assert {each.correlation for each in system.events(token=operation_id)} == {correlation}
            assert {each.correlation for each in system.events(aggregate_type="Operation", aggregate_id=operation_id)} == {correlation}
        outer, inner, alone, *_ = wanted.values()
        assert outer == inner == "night 1"
        first = next(iter(system.events(correlation=alone)))
        assert alone == first.event_id


def cleared(log: Any) -> None:
    log._storage.snapshots.clear()


def of_an_older_form(log: Any) -> None:
    """As they were when the index had no correlation."""
    (snapshot,) = log._storage.snapshots["operations"]
    older = snapshot.body.replace(b'"OpenOperations":2', b'"OpenOperations":1')
    older = older.replace(b'"correlation":"night 2","tags"', b'"tags"')
    assert len(older) < len(snapshot.body)
    log._storage.snapshots["operations"] = (msgspec.structs.replace(snapshot, body=older),)


def kept(log: Any) -> None:
    assert any(b"night 2" in each.body for each in log._storage.snapshots["operations"])


@pytest.mark.parametrize("snapshots", [kept, cleared, of_an_older_form])
def test_another_process_knows_it_from_its_snapshot_or_without(snapshots: Callable[[Any], None]) -> None:
    log = ts.MemoryLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        a_few(system)
        wanted, index = begun(system), system.resident(OpenOperations)
    log = log.reopened()
    snapshots(log)
    with capture_logs() as told, ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        check(system, wanted)
        assert system.resident(OpenOperations) == index
    assert any(line["event"] == "snapshot.left_out" for line in told) == (snapshots is of_an_older_form)


@pytest.mark.parametrize("name", [None, "loaded.db"])
def test_a_save_keeps_it_though_the_records_are_not_in_it(name: str | None, tmp_path: Path) -> None:
    log = ts.MemoryLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system:
        a_few(system)
        wanted = begun(system)
    with ts.System(log=log.reopened(), runtime=ts.SteppedRuntime()) as system:  # which has seen all that there is
        system.save(tmp_path / "a.save")
    with ts.System.load(tmp_path / "a.save", log=None if name is None else tmp_path / name, runtime=ts.SteppedRuntime()) as system:
        assert begun(system) == {}
        check(system, wanted)
        (alone,) = system.operations.open(name_prefix="Nightly.OpenAlone")
        system.operations.note(alone.operation_id, "checkpoint", "more")
        check(system, wanted)
        *_, noted = system.events(event_types=("OperationNoted",))
        assert noted.correlation == alone.correlation


def test_what_was_archived_has_it(tmp_path: Path) -> None:
    with small_archives(records=10, tail=0), ts.System(log=tmp_path / "log.db") as system:
        a_few(system)
        wanted = begun(system)
        assert system.archive(NOW, who="ann").records > 0
        assert begun(system) == wanted
        check(system, wanted)
