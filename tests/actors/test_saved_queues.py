"""Saved queues: whoever stands in a line, or is under way, goes on after a load as if nothing had happened, and nothing is written."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors import lifecycle, recovery
from tallystick.actors.engine import Engine
from tallystick.actors.messages import Context
from tallystick.actors.queue.saved import SavedQueue, SavedQueues
from tallystick.actors.recovery import Recovered
from tests.actors.village import Village, ticked

LINE = ts.Line("villagers", arbitration="each_step", origins=("needs", "works"))


@pytest.fixture
def village() -> Village:
    return Village(LINE, rate=ts.Rate(20, timedelta(seconds=1)))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SavedQueues]]:
    """The queues with which the next openings go on."""
    saved: list[SavedQueues] = []

    def recover(engine: Engine) -> Recovered:
        records = recovery.folded(engine)
        if saved:
            engine.queue.restore(saved.pop(0))
        return recovery.go_on(engine, records)

    monkeypatch.setattr(lifecycle, "recover", recover)
    yield saved
    assert saved == []


def populate(village: Village) -> None:
    """Somebody active, parked, waiting and just come; ticking, called, waiting for a rate, and for an answer from outside."""
    village.work("walk ann", walks=(1, 6), interruption="deferred")
    village.work("walk bob", who="bob", walks=(3, 5))
    village.step(2)
    village.need("eat ann", who="ann", tasks=1)
    village.work("sow ann")
    village.outside.answers["ask cid"] = [ts.Later()]
    village.work("ask cid", who="cid", tasks=2)
    village.step(1)
    village.work("mow dan", who="dan", tasks=1)
    village.step(1)
    village.need("drink bob", who="bob", walks=(2,))


def saved_of(village: Village) -> SavedQueues:
    """As it comes out of a file."""
    return msgspec.json.decode(msgspec.json.encode(village.engine.queue.saved()), type=SavedQueues)


def load(village: Village, loads: list[SavedQueues]) -> None:
    loads.append(saved_of(village))
    village.crash()


def go_on(village: Village) -> tuple[list[str], list[tuple[str, int]], list[str]]:
    """The rest of the story: what was told, ticked and called."""
    told, ticks, calls = len(village.told), len(ticked), len(village.outside.calls)
    village.step(2)
    village.returns("eat ann")
    village.step(2)
    village.system.complete(village.token("ask cid"), "answered")
    village.step(3)
    for name in ("ask cid", "mow dan"):
        village.returns(name)
    village.step(10)
    village.returns("sow ann")
    village.step(12)
    assert village.nothing_left
    return village.told[told:], ticked[ticks:], village.outside.called[calls:]


def test_a_loaded_queue_goes_on_as_one_that_was_never_left(village: Village, loads: list[SavedQueues]) -> None:
    populate(village)
    written = len(village.written)
    load(village, loads)
    assert len(village.written) == written, "nothing is written by it"
    loaded = go_on(village)
    again = Village(LINE, rate=ts.Rate(20, timedelta(seconds=1)))
    populate(again)
    told, ticks, calls = go_on(again)
    assert (loaded[0], loaded[1]) == (told, ticks)
    assert sorted(loaded[2]) == sorted(calls)
    assert village.outside.called.count("eat ann 0") == 2, "the call that was out when it was saved is made again"


def test_saving_what_was_loaded_gives_the_same(village: Village, loads: list[SavedQueues]) -> None:
    populate(village)
    before = saved_of(village)
    load(village, loads)
    assert saved_of(village) == before


def test_what_is_saved_of_an_execution_is_owner_and_token(village: Village) -> None:
    populate(village)
    text = msgspec.json.encode(village.engine.queue.saved()).decode()
    assert all(name not in text for name in ("walk ann", "eat ann", "actions"))
    contexts = _contexts(msgspec.json.decode(text))
    assert len(contexts) == 7
    assert {tuple(context) for context in contexts} == {("owner", "token")}


def _contexts(saved: Any) -> list[dict[str, str]]:
    if isinstance(saved, dict):
        own = [saved["context"]] if "context" in saved else []
        return own + [each for value in saved.values() for each in _contexts(value)]
    return [each for value in saved for each in _contexts(value)] if isinstance(saved, list) else []


def test_a_queue_whose_execution_is_not_open_any_more_is_left_out_with_a_warning(
    village: Village, loads: list[SavedQueues], lines: list[Any]
) -> None:
    stranger = SavedQueue(context=Context("works", ts.Token("nobody")), attempt=1)
    loads.append(SavedQueues(alone=(stranger,), ticking=(ts.Token("nobody"),)))
    village.crash()
    assert village.engine.queue.saved() == SavedQueues(rates=village.engine.queue.saved().rates)
    assert [each["event"] for each in lines if each["log_level"] == "warning"] == ["queue.not_restored"]


def test_progress_of_another_program_is_refused(village: Village, loads: list[SavedQueues]) -> None:
    village.work("walk", walks=(5,))
    village.step(2)
    saved = saved_of(village)
    (line,) = saved.lines
    assert line.active is not None
    for change in ({"ticker": "Running"}, {"progress": msgspec.Raw(b'{"done": "much"}')}):
        active = msgspec.structs.replace(line.active, **change)
        loads.append(msgspec.structs.replace(saved, lines=(msgspec.structs.replace(line, active=active),)))
        with pytest.raises(ts.SnapshotError, match="progress"):
            village.crash()


def test_what_waits_for_a_rate_waits_for_it_still(loads: list[SavedQueues]) -> None:
    village = Village(LINE, rate=ts.Rate(2, timedelta(seconds=1)))
    for name in "abcd":
        village.work(name, who=name)
    village.step()
    assert village.system.health().calls_waiting_for_rates == 2
    load(village, loads)
    assert village.system.health().calls_waiting_for_rates == 2
    called = len(village.outside.calls)
    village.advance(1)
    assert len(village.outside.calls) == called + 2
    assert len(set(village.outside.called)) == 4
