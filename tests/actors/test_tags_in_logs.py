"""Tags in a log: in memory, in SQLite, in archives and in saves they are the same, and find the same events."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

import tallystick as ts
from tests.actors.bazaar import Buy, Pack, bazaar
from tests.actors.test_tags import HOUR, A, failing, silent, work
from tests.store.archived import small_archives


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A log of two orders, one of them without tags, with all that they led to."""
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(), performers=[Pack.performed_by(silent)], log=tmp_path / "log.db", runtime=runtime) as system:
        with system.bracket("Evening", tags={"tenant": "a", "shelf": "x"}):
            system.ask(Buy(order_id="1"))
        system.ask(Buy(order_id="2"))
        runtime.advance(HOUR)
    return tmp_path / "log.db"


def test_what_has_none_has_nothing_in_its_column_and_others_have_sorted_text(filled: Path) -> None:
    with closing(apsw.Connection(str(filled))) as connection:
        rows = connection.execute("SELECT tags_json FROM event").fetchall()
    texts = [text for (text,) in rows]
    assert set(texts) == {None, '{"shelf":"x","tenant":"a"}'}
    assert texts.count(None) > 10 < len(texts) - texts.count(None)


def test_memory_and_sqlite_say_the_same_of_them(filled: Path) -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(), performers=[Pack.performed_by(silent)], runtime=runtime) as system:
        with system.bracket("Evening", tags={"shelf": "x", "tenant": "a"}):
            system.ask(Buy(order_id="1"))
        system.ask(Buy(order_id="2"))
        runtime.advance(HOUR)
        in_memory = [(each.event_type, each.tags_json) for each in work(system.events())]
        found = [each.position for each in system.events(tag=("tenant", "a"))]
        assert found == [each.position for each in system.events() if each.tags.get("tenant") == "a"]
    with closing(ts.SqliteReader(filled)) as reader:
        assert [(each.event_type, each.tags_json) for each in work(reader.read())] == in_memory
        assert [each.position for each in reader.read(ts.Query(tag=("tenant", "a")))] == found


def test_archived_events_have_them_and_are_found_by_them(filled: Path) -> None:
    with closing(ts.SqliteReader(filled)) as reader:
        before = [(each.position, each.tags_json) for each in reader.read()]
        later = ts.SteppedRuntime(ts.ManualClock(max(each.occurred_at for each in reader.read()) + HOUR))
    performers = [Pack.performed_by(silent)]
    with small_archives(records=10, tail=0), ts.System(bazaar(), performers=performers, log=filled, runtime=later) as system:
        assert system.archive(ts.Retention(keep=timedelta()), who="ann").records > 0
        now = {each.position: each.tags_json for each in system.events()}
        assert [(position, now[position]) for position, _ in before] == before
        tagged = [position for position, text in before if text is not None]
        assert [each.position for each in system.events(tag=("shelf", "x"))] == tagged
        assert list(system.events(tag=("shelf", "y"))) == []
    with closing(ts.SqliteReader(filled)) as reader:
        assert len(list(reader.verify())) == len(now)


def test_a_save_keeps_them(tmp_path: Path) -> None:
    runtime = ts.SteppedRuntime()
    with ts.System(bazaar(), performers=[Pack.performed_by(lambda _action, _call: ts.Later())], runtime=runtime) as system:
        with system.bracket("Evening", tags=A):
            system.ask(Buy(order_id="3"))
        runtime.run_until_idle()
        system.save(tmp_path / "a.save")
    again = ts.SteppedRuntime()
    with ts.System.load(tmp_path / "a.save", bazaar(), performers=[Pack.performed_by(failing)], runtime=again) as system:
        kept = work(system.events())
        again.advance(HOUR)
        events = work(system.events())
    assert kept
    assert len(events) > len(kept)
    assert {each.event_type for each in events if each.tags != A} == set()
