"""What may be wrong with a save, and what a save leaves alone: damage, other programs, other runtimes, calls that are out, stale tokens."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors.saves.document import ANY_SAVES
from tallystick.actors.saves.loading import Loaded
from tallystick.host.verify import verify
from tallystick.store.save_file import framed, read_save
from tests.actors.outside import Provider, wait_until
from tests.actors.stage import NOON, Stage
from tests.actors.workshop import Desk, Do, Done, Drop, JobState, Ledger, Order, Workshop


@pytest.fixture
def saved(tmp_path: Path, stage: Stage) -> Path:
    """A save with something in every part of it."""
    path = tmp_path / "shop.save"
    stage.provider.answers("later", ts.Later())
    for command in (Do(job_id="later", place="hall"), Do(job_id="waits", place="hall"), Do(job_id="open", steps=0), Order(order_id="x")):
        stage.system.ask(command, idempotency_key=f"key {command}")
    stage.system.save(path)
    return path


def load(path: Path, modules: list[ts.Module] | None = None, provider: Provider | None = None, **options: Any) -> ts.System:
    modules = modules if modules is not None else [Desk(), Workshop(), Ledger()]
    performers = (provider or Provider()).performers()
    options.setdefault("runtime", ts.SteppedRuntime(ts.ManualClock(NOON)))
    return ts.System.load(path, modules, performers=performers, **options)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The same save with another content, whole and checked all the same."""
    document = msgspec.json.decode(read_save(path))
    change(document)
    path.write_bytes(framed(msgspec.json.encode(document)))
    return path


# Damage


def test_a_damaged_save_is_always_a_save_error_and_changes_nothing(saved: Path) -> None:
    content = saved.read_bytes()
    rng = random.Random(7)  # noqa: S311 - repeatable on purpose
    for _ in range(150):
        at, bit = rng.randrange(len(content)), rng.randrange(8)
        saved.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        with pytest.raises(ts.SaveError):
            load(saved)
    for length in {0, 1, 7, 8, 25, 26, 42, len(content) - 1, *(rng.randrange(len(content)) for _ in range(60))}:
        saved.write_bytes(content[:length])
        with pytest.raises(ts.SaveDamaged):
            load(saved)
    assert list(saved.parent.iterdir()) == [saved]


def test_a_document_with_anything_missing_or_changed_is_a_save_error_or_loads(saved: Path) -> None:
    """Past the checksum: what a broken migration might produce. Never another error, and nothing runs."""
    body = read_save(saved)
    paths: list[tuple[Any, ...]] = []

    def walk(value: Any, path: tuple[Any, ...]) -> None:
        paths.append(path)
        parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, part in parts:
            walk(part, (*path, key))

    walk(msgspec.json.decode(body), ())
    refused = 0
    chosen = [path for path in paths if path]
    for path in random.Random(3).sample(chosen, min(len(chosen), 250)):  # noqa: S311 - repeatable on purpose
        values: tuple[Any, ...] = (None, -1, "x", {})
        for value in values:
            document = msgspec.json.decode(body)
            inner = document
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            saved.write_bytes(framed(msgspec.json.encode(document)))
            try:
                load(saved)
            except ts.SaveError:
                refused += 1
    assert refused > len(chosen) // 4


def test_records_that_were_changed_are_found_by_the_chain(saved: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["log"]["tail"][-1][9] = {"changed": True}

    with pytest.raises(ts.SaveDamaged):
        load(rewritten(saved, change))


# Other programs


def test_a_module_that_is_missing_is_named(saved: Path) -> None:
    with pytest.raises(ts.SaveMismatch, match="ledger"):
        load(saved, [Desk(), Workshop()])


def test_another_fold_version_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Done, "fold_version", 2)
    with pytest.raises(ts.SaveMismatch, match="fold versions"):
        load(saved)


def test_a_module_that_is_new_joins(saved: Path) -> None:
    class Newcomer(ts.Module):
        name = "newcomer"

    with load(saved, [Desk(), Workshop(), Ledger(), Newcomer()]) as system:
        joined = list(system.events(owner="newcomer"))
        assert [each.event_type for each in joined] == ["OwnerJoined"]


def test_a_state_that_cannot_be_saved_is_a_save_error_and_leaves_no_file(stage: Stage, tmp_path: Path) -> None:
    workshop = stage.engine.owners["workshop"]
    workshop.state.residents = {Done: Done(count=object())}  # type: ignore[arg-type]
    with pytest.raises(ts.SaveError, match="cannot be saved"):
        stage.system.save(tmp_path / "shop.save")
    assert list(tmp_path.iterdir()) == []


def test_a_save_is_not_written_over_the_log(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with ts.System([Desk()], log=path, runtime=ts.SteppedRuntime()) as system:
        system.ask(Order(order_id="x"))
        for side in ("", "-wal", "-shm", ".lock", "-archive000001e1"):
            with pytest.raises(ts.SaveError, match="the log itself"):
                system.save(f"{path}{side}")
        assert [each.event_type for each in system.events(owner="desk")] == ["OwnerJoined", "Ordered"]


# Stale tokens


def test_a_queue_whose_token_its_owner_does_not_know_is_stale_counted_and_told_once(saved: Path, lines: list[Any]) -> None:
    def change(document: dict[str, Any]) -> None:
        state = document["owners"]["workshop"]["state"]
        state["executions"] = [each for each in state["executions"] if each["started"]["intent"]["jobId"] != "later"]

    provider, runtime = Provider(), ts.SteppedRuntime(ts.ManualClock(NOON))
    with load(rewritten(saved, change), provider=provider, runtime=runtime) as system:
        runtime.run_until_idle()
        assert system.health().counters["stale_queue_tokens"] == 1
        assert [line["count"] for line in lines if line["event"] == "save.stale_tokens"] == [1]
        assert [call.job_id for call in provider.calls] == ["waits"], "whoever it held up goes on"


# What it leaves alone


def test_a_save_can_be_loaded_twice_and_stays_as_it_is(saved: Path) -> None:
    before = saved.read_bytes()
    heads = []
    for _ in range(2):
        with load(saved) as system:
            system.ask(Do(job_id="more"))
            heads.append(system._life.log.head())
    assert heads[0] == heads[1]
    assert saved.read_bytes() == before


def test_loading_writes_nothing(saved: Path, stage: Stage) -> None:
    with load(saved) as system:
        assert system._life.log.head() == stage.log.head()
        assert system.health().epoch == stage.system.health().epoch


def test_closed_and_evicted_aggregates_are_in_a_save(tmp_path: Path) -> None:
    path = tmp_path / "shop.save"
    stage = Stage()
    for number in range(200):
        stage.system.ask(Do(job_id=f"job-{number}"))
    stage.idle()
    assert stage.system.health().owners["workshop"].aggregates_in_memory < 200
    stage.system.save(path)
    with load(path) as system:
        assert all(system.get(JobState, f"job-{number}") == JobState(status="done") for number in range(200))
        with pytest.raises(ts.Rejected, match="KNOWN"):
            system.ask(Do(job_id="job-3"))
        assert system.get(JobState, "never") is None
        again = tmp_path / "again.save"
        system.save(again)
    with load(again) as system:
        assert system.get(JobState, "job-77") == JobState(status="done")
        assert system.resident(Done) == Done(count=200)


def test_the_answer_to_a_key_is_in_a_save(saved: Path) -> None:
    with load(saved) as system:
        command = Do(job_id="open", steps=0)
        tail = system.health().tail
        assert system.ask(command, idempotency_key=f"key {command}") == "open"
        assert system.health().tail == tail
        with pytest.raises(ts.IdempotencyConflict):
            system.ask(Do(job_id="other", steps=0), idempotency_key=f"key {command}")
        assert [each.event_type for each in system.events(after=tail)] == ["IdempotencyConflicted"]


def test_a_loaded_system_that_crashes_recovers_from_its_beginning(saved: Path) -> None:
    with load(saved) as system:
        system.ask(Do(job_id="more", steps=0))
        log = system._life.log.reopened()
    with ts.System([Desk(), Workshop(), Ledger()], performers=Provider().performers(), log=log, runtime=ts.SteppedRuntime()) as again:
        jobs = {each.execution.intent.job_id for each in again.open_executions()}  # type: ignore[attr-defined]
        assert {"open", "more"} <= jobs
        again.ask(Drop(job_id="open"))
        assert again.get(JobState, "open") == JobState(status="failed")


# Into a file


def test_what_goes_on_in_a_file_needs_the_save_no_more(saved: Path, stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "shop.db"
    provider = Provider()
    with load(saved, provider=provider, log=log) as system:
        assert system._life.log.head() == stage.log.head()
        assert system.health().epoch == stage.system.health().epoch
        assert system.ask(Do(job_id="more", steps=0)) == "more"
        executions = {each.execution.token for each in system.open_executions()}
    saved.unlink()
    runtime = ts.SteppedRuntime()
    with ts.System([Desk(), Workshop(), Ledger()], performers=provider.performers(), log=log, runtime=runtime) as again:
        assert {each.execution.token for each in again.open_executions()} == executions
        assert again.get(JobState, "more") == JobState(status="begun")
        command = Do(job_id="open", steps=0)
        assert again.ask(command, idempotency_key=f"key {command}") == "open"
        again.ask(Drop(job_id="open"))
        assert list(again._life.log.verify())
        runtime.run_until_idle()
        left = len(again.open_executions())
    assert 0 < left < len(executions)
    assert verify(log).open == left


def test_a_loaded_file_can_be_saved_and_loaded_again(saved: Path, tmp_path: Path) -> None:
    with load(saved, log=tmp_path / "one.db") as one:
        one.ask(Do(job_id="more", steps=0))
        one.save(saved)
        with load(saved, log=ts.SqliteLog(tmp_path / "other.db")) as other, load(saved) as in_memory:
            for system in (one, other, in_memory):
                system.ask(Do(job_id="and more", steps=0))
            assert one._life.log.head() == other._life.log.head() == in_memory._life.log.head()
            assert sorted(other._life.log.streams()) == sorted(in_memory._life.log.streams())


def test_a_save_that_does_not_fit_makes_no_file(saved: Path) -> None:
    with pytest.raises(ts.SaveMismatch):
        load(saved, [Desk(), Workshop()], log=saved.parent / "shop.db")
    assert list(saved.parent.iterdir()) == [saved]


def test_a_save_that_does_not_fit_lets_go_of_the_keys(saved: Path) -> None:
    path = saved.parent / "shop.keys"
    with pytest.raises(ts.SaveMismatch):
        load(saved, [Desk(), Workshop()], keys=ts.KeyFile(path))
    with ts.System([Desk()], log=saved.parent / "shop.db", runtime=ts.SteppedRuntime()), pytest.raises(ts.LogLocked):
        load(saved, log=saved.parent / "shop.db", keys=ts.KeyFile(path))
    again = ts.KeyFile(path)
    again.open()
    again.close()


def test_a_log_that_is_there_already_is_not_written_over(saved: Path) -> None:
    path = saved.parent / "shop.db"
    with ts.System([Desk()], log=path, runtime=ts.SteppedRuntime()) as system:
        system.ask(Order(order_id="x"))
    before = path.read_bytes()
    with pytest.raises(ts.LogError, match="has a log already"):
        load(saved, log=path)
    assert path.read_bytes() == before


def test_a_log_that_cannot_go_on_from_a_save_is_a_definition_error(saved: Path) -> None:
    with pytest.raises(ts.DefinitionError, match="MemoryLog cannot go on from a save"):
        load(saved, log=ts.MemoryLog())


# Other runtimes


@pytest.mark.parametrize("runtime", [ts.DispatcherRuntime, ts.ThreadsRuntime], ids=["dispatcher", "threads"])
def test_a_system_on_threads_is_saved_with_commands_in_flight_and_goes_on_as_after_a_crash(
    tmp_path: Path, runtime: Callable[[], Any]
) -> None:
    path = tmp_path / "shop.save"
    provider = Provider()
    provider.answers("later", ts.Later())
    with ts.System([Desk(), Workshop(), Ledger()], performers=provider.performers(), runtime=runtime()) as system:
        system.ask(Do(job_id="later"), idempotency_key="k")
        wait_until(lambda: len(provider.calls) == 1)
        futures = [system.submit(Do(job_id=f"job-{number}")) for number in range(50)]
        system.save(path)
        futures += [system.submit(Do(job_id=f"after-{number}")) for number in range(5)]
        for future in futures:
            future.result(10)
    provider.found["later"] = ts.Done(result="done meanwhile")
    with load(path, provider=provider, runtime=runtime()) as loaded:
        wait_until(lambda: not loaded.open_executions())
        assert loaded.get(JobState, "later") == JobState(status="done")
        assert list(loaded._life.log.verify())
        begun = {each.aggregate_id for each in loaded.events(event_types=("JobBegun",))}
        assert all(loaded.get(JobState, job_id) == JobState(status="done") for job_id in begun)
        assert loaded.ask(Do(job_id="later"), idempotency_key="k") == "later"


def test_what_the_file_says_is_read_once(saved: Path) -> None:
    loaded = Loaded(str(saved), ANY_SAVES)
    saved.unlink()
    assert loaded.log.open().position > 0
