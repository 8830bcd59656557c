"""Saves of the version before, whose queues say what they are for: each gets a token, and its owner the record of it."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tallystick as ts
from tallystick.scenarios.settlers.migration import Begun, migrated
from tallystick.store.save_file import framed

FIXTURE = Path(__file__).with_name("saves") / "hamlet-v1.json"
LINE = ts.Line("villagers")


class Worked(ts.Event):
    aggregate_type = "Villager"
    who: str
    step: str
    outcome: str

    @property
    def aggregate_id(self) -> str:
        return self.who


class NeedEnded(ts.Event):
    aggregate_type = "Need"
    who: str
    need: str
    outcome: str

    @property
    def aggregate_id(self) -> str:
        return self.who


class Done(ts.Resident):
    steps: tuple[str, ...] = ()


class Met(ts.Resident):
    needs: tuple[str, ...] = ()


class Toil(ts.Action[None]):
    ticks: int


class Toiling(ts.Ticker[Toil, None]):
    ticks: int = 0

    def tick(self, action: Toil, _step: ts.Step, /) -> ts.Running | ts.Done[None] | ts.Failed:
        self.ticks += 1
        return ts.Done(result=None) if self.ticks == action.ticks else ts.Running()


class Working(ts.Intent[None]):
    line = LINE.name
    timeout = timedelta(minutes=1)
    ends_with = (Worked,)
    who: str
    step: str

    @property
    def subject(self) -> str:
        return self.who


class Pursuing(ts.Intent[None]):
    line = LINE.name
    ends_with = (NeedEnded,)
    who: str
    need: str

    @property
    def subject(self) -> str:
        return self.who


class Work(ts.Module):
    name = "work"

    @Working.settled
    def settle(self, _turn: ts.Turn, working: Working, outcome: ts.Outcome[None]) -> ts.Effects:
        yield Worked(who=working.who, step=working.step, outcome=type(outcome).__name__)

    @ts.folds(Worked, Done)
    def worked(self, done: Done, event: Worked) -> Done:
        return Done(steps=(*done.steps, event.step))


class Needs(ts.Module):
    name = "needs"

    @Pursuing.settled
    def settle(self, _turn: ts.Turn, pursuing: Pursuing, outcome: ts.Outcome[None]) -> ts.Effects:
        yield NeedEnded(who=pursuing.who, need=pursuing.need, outcome=type(outcome).__name__)

    @ts.folds(NeedEnded, Met)
    def met(self, met: Met, event: NeedEnded) -> Met:
        return Met(needs=(*met.needs, event.need))


def read_work(old: dict[str, Any]) -> Begun:
    return Begun("work", "Working", {"who": old["settlerId"], "step": old["step"]}, timeout_us=60_000_000)


def read_need(old: dict[str, Any]) -> Begun:
    return Begun("needs", "Pursuing", {"who": old["settlerId"], "need": old["needType"]})


def upcast(document: dict[str, Any]) -> dict[str, Any]:
    return migrated(document, {"Work": read_work, "Need": read_need})


SAVES = ts.SaveFormat(name="hamlet", version=2, upcast=upcast)


def load(path: Path, saves: ts.SaveFormat = SAVES) -> ts.System:
    performers = [Toil.ticked_by(Toiling)]
    return ts.System.load(path, [Work(), Needs()], performers=performers, lines=[LINE], runtime=ts.SteppedRuntime(), saves=saves)


def written(path: Path, **changes: Any) -> Path:
    """The fixture as a file, with these of its parts replaced."""
    path.write_bytes(framed(json.dumps(json.loads(FIXTURE.read_text("utf-8")) | changes).encode()))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return written(tmp_path / "hamlet.save")


def test_what_stood_in_the_queue_is_the_owners_now_and_the_queue_has_owner_and_token_only(old: Path) -> None:
    with load(old) as system:
        opened = {(each.owner, each.execution.intent): each.execution for each in system.open_executions()}
        assert set(opened) == {
            ("work", Working(who="ann", step="carry")),
            ("work", Working(who="bob", step="fell")),
            ("needs", Pursuing(who="ann", need="hunger")),
        }
        tokens = [execution.token for execution in opened.values()]
        assert len(set(tokens)) == len(tokens)
        saved = system._life.engine.queue.saved()
        assert saved.tokens() == set(tokens)
        assert opened["work", Working(who="ann", step="carry")].index == 1
        assert system.health().queues_parked == 1


def test_everything_goes_on_and_its_end_is_heard(old: Path) -> None:
    with load(old) as system:
        for _ in range(8):
            system.step(timedelta(seconds=1))
        ends = [(each.event_type, each.aggregate_id, json.loads(each.payload)["outcome"]) for each in system.events() if each.settles]
        assert ends == [("NeedEnded", "ann", "Succeeded"), ("Worked", "bob", "Succeeded"), ("Worked", "ann", "Succeeded")]
        assert system.open_executions() == ()
        assert system.resident(Done) == Done(steps=("fetch", "fell", "carry"))
        assert system.resident(Met) == Met(needs=("hunger",))
        assert [each.position for each in system._life.log.verify()] == list(range(41, system.health().tail + 1))


def test_what_was_migrated_times_out_as_what_is_begun_now(old: Path) -> None:
    with load(old) as system:
        for _ in range(2):
            system.step(timedelta(seconds=40))
        timed_out = [each.owner for each in system.events() if each.event_type == "TimeoutFired"]
        assert timed_out == ["work", "work"]


def test_a_migrated_system_is_saved_in_the_present_version(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "present.save"
    with load(old) as system:
        system.step(timedelta(seconds=1))
        system.save(path)
    with load(path, ts.SaveFormat(name="hamlet", version=2)) as system:
        for _ in range(8):
            system.step(timedelta(seconds=1))
        assert system.resident(Met) == Met(needs=("hunger",))
        assert system.open_executions() == ()


@pytest.mark.parametrize(("found", "present"), [(1, 3), (1, 4), (3, 2), (7, 2)], ids=["two back", "three back", "newer", "much newer"])
def test_two_versions_back_and_newer_ones_are_refused(tmp_path: Path, found: int, present: int) -> None:
    path = written(tmp_path / "hamlet.save", program={"name": "hamlet", "version": found})
    with pytest.raises(ts.SaveVersionError) as refused:
        load(path, ts.SaveFormat(name="hamlet", version=present, upcast=upcast))
    assert (refused.value.found, refused.value.read) == (found, (present - 1, present))
    assert str(path) in str(refused.value)


def test_without_a_migration_the_version_before_is_refused_too(old: Path) -> None:
    with pytest.raises(ts.SaveVersionError) as refused:
        load(old, ts.SaveFormat(name="hamlet", version=2))
    assert refused.value.read == (2,)


def test_another_programs_save_is_refused(old: Path) -> None:
    with pytest.raises(ts.SaveMismatch, match="hamlet"):
        load(old, ts.SaveFormat(name="town", version=2, upcast=upcast))


def test_an_old_context_of_a_kind_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    alone = [{"context": {"kind": "Love", "settlerId": "ann"}, "actions": []}]
    queues = {"lines": [], "alone": alone, "ticking": [], "rates": []}
    with pytest.raises(ts.SaveError, match="Love"):
        load(written(tmp_path / "hamlet.save", queues=queues))


def test_a_migration_that_yields_no_document_is_refused(old: Path) -> None:
    with pytest.raises(ts.SaveMismatch):
        load(old, ts.SaveFormat(name="hamlet", version=2, upcast=lambda document: {"owners": document["owners"]}))


def test_the_file_is_left_as_it_is(old: Path) -> None:
    before = base64.b64encode(old.read_bytes())
    with load(old) as system:
        system.step(timedelta(seconds=10))
    assert base64.b64encode(old.read_bytes()) == before
    assert list(old.parent.iterdir()) == [old]
