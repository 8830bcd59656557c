"""Archives hold what is sensitive as the log did: sealed, readable while there is a key, and never again after."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import tallystick as ts
from tests.actors.register import ADA, ada


class Visited(ts.Event):
    aggregate_type = "Visit"
    visit_id: str
    email: ts.Sensitive[str]

    @property
    def aggregate_id(self) -> str:
        return self.visit_id


class Visit(ts.Aggregate):
    email: ts.Sensitive[str] | None = None
    closed: ClassVar[bool] = True


class Come(ts.Command[None]):
    visit_id: str
    email: ts.Sensitive[str]


class Door(ts.Module):
    name = "door"

    @ts.handles(Come, emits=[Visited])
    def come(self, _turn: ts.Turn, command: Come) -> ts.Decision[None]:
        yield Visited(visit_id=command.visit_id, email=command.email)

    @ts.folds(Visited, Visit)
    def visited(self, _visit: Visit, event: Visited) -> Visit:
        return Visit(email=event.email)


def opened(path: Path) -> ts.System:
    return ts.System([Door()], log=path, runtime=ts.SteppedRuntime())


def email_of(system: ts.System, visit_id: str) -> str | ts.Forgotten:
    visit = system.get(Visit, visit_id)
    assert visit is not None
    assert visit.email is not None
    return system.reveal(visit.email)


def test_what_was_archived_is_forgotten_with_all_the_rest_and_the_archives_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "door.db"
    with opened(path) as system:
        for number in range(1_200):
            system.ask(Come(visit_id=f"v-{number}", email=ada()))
        archived = system.archive(ts.Retention(keep=timedelta()), who="Ann")
        assert archived.records > 0
        assert next(iter(system.events(aggregate_id="v-0"))).event_type == "Visited"
        assert email_of(system, "v-0") == email_of(system, "v-1199") == ADA
    archives = {each.name: each.read_bytes() for each in tmp_path.glob("door.db-archive*")}
    assert archives
    with opened(path) as system:
        before = [system.get(Visit, visit_id) for visit_id in ("v-0", "v-1199")]
        system.forget("c-ada", who="dpo", why="asked")
        assert [system.get(Visit, visit_id) for visit_id in ("v-0", "v-1199")] == before
        assert email_of(system, "v-0") == email_of(system, "v-1199") == ts.Forgotten(subject="c-ada")
    assert {each.name: each.read_bytes() for each in tmp_path.glob("door.db-archive*")} == archives
    assert not any(b"lovelace" in each.read_bytes() for each in tmp_path.iterdir())
    with closing(ts.SqliteReader(path)) as reader:
        assert sum(1 for _ in reader.verify()) > 1_200
        assert not any(b"lovelace" in recorded.payload for recorded in reader.read())
