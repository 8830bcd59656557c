"""An event's id is derived from its log, position and time (P23): what follows for the ids of logs."""
# ruff: noqa: S106 - a token is an execution's id, no password

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.envelope import Recorded, event_id_of, log_tag_of, position_in
from tallystick.store.log import EventLog, Query
from tallystick.store.memory import MemoryLog
from tallystick.store.sqlite.log import SqliteLog
from tallystick.store.sqlite.reader import SqliteReader

MakeMany = Callable[..., list[Recorded]]

TAGS = st.text(max_size=40).map(log_tag_of)
POSITIONS = st.integers(1, (1 << 44) - 1)
MOMENTS_US = st.integers(0, ((1 << 48) - 1) * 1_000 + 999)


@given(st.tuples(TAGS, POSITIONS), st.tuples(TAGS, POSITIONS), MOMENTS_US)
def test_two_places_have_two_ids(one: tuple[int, int], other: tuple[int, int], moment_us: int) -> None:
    assert (event_id_of(*one, moment_us) == event_id_of(*other, moment_us)) == (one == other)


@given(TAGS, POSITIONS, MOMENTS_US)
def test_an_id_is_a_uuid_of_version_7_that_says_when_where_and_in_which_log(tag: int, position: int, moment_us: int) -> None:
    made = UUID(event_id_of(tag, position, moment_us))
    assert (made.version, made.variant) == (7, RFC_4122)
    assert (made.int >> 80, made.int & 0x3FFFFFFF, position_in(str(made))) == (moment_us // 1_000, tag, position)


def test_the_form_of_an_id_is_known() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    recorded = Recorded(
        (5 << 32) + 6,
        "Happened",
        1,
        "Thing",
        "a",
        1,
        int(moment.timestamp() * 1_000_000),
        "things",
        "c",
        b"{}",
        log_tag=log_tag_of("a log"),
    )
    assert recorded.event_id == "019b7ca9-8f2e-7005-8000-0001b23cb709"


def found(log: EventLog, **query: object) -> list[int]:
    return [record.position for record in log.read(Query(**query))]  # type: ignore[arg-type]


def filled(log: EventLog, records: MakeMany) -> EventLog:
    log.write([*records(1, 3), *records(4, 4, token="t", settles="succeeded"), *records(5, 6)])
    return log


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, [4]),
        ({"newest_first": True, "limit": 3}, [4]),
        ({"after": 3, "until": 4, "owner": "things", "token": "t", "correlation": "c", "aggregate_id": "thing-4"}, [4]),
        ({"after": 4}, []),
        ({"until": 3}, []),
        ({"limit": 0}, []),
        ({"owner": "others"}, []),
        ({"token": "u"}, []),
        ({"event_types": ("Started",)}, []),
        ({"since_us": 1_005}, []),
    ],
)
def test_an_event_is_found_by_its_id_if_the_other_filters_hold(
    log: EventLog, records: MakeMany, query: dict[str, object], wanted: list[int]
) -> None:
    event_id = next(filled(log, records).read(Query(after=3))).event_id
    assert found(log, event_id=event_id, **query) == wanted


def test_every_event_is_found_by_its_id_and_by_no_other(log: EventLog, records: MakeMany) -> None:
    tag = log_tag_of(log.identity)
    for read in filled(log, records).read():
        moment = read.occurred_at_us
        assert found(log, event_id=read.event_id) == [read.position]
        for foreign in (
            event_id_of(tag ^ 1, read.position, moment),
            event_id_of(tag, read.position, moment + 1_000),
            event_id_of(tag, read.position + (1 << 32), moment),
            read.event_id.replace("-", ""),
            read.event_id[:-1],
            read.event_id + "0",
        ):
            assert found(log, event_id=foreign) == [], foreign


@pytest.mark.parametrize("position", [0, 7, (1 << 44) - 1])
def test_an_id_of_a_position_that_the_log_does_not_have_finds_nothing(log: EventLog, records: MakeMany, position: int) -> None:
    assert found(filled(log, records), event_id=event_id_of(log_tag_of(log.identity), position, 1_004)) == []


@pytest.mark.parametrize("event_id", ["", "9", "no id at all", "-" * 36, "x" * 32, "00000000-0000-7000-8000-" + "ä" * 12])
def test_what_is_no_id_finds_nothing(log: EventLog, records: MakeMany, event_id: str) -> None:
    assert found(filled(log, records), event_id=event_id) == []


def test_a_record_has_its_id_from_the_log_that_it_stands_in(log: EventLog, records: MakeMany) -> None:
    log.write(records(1, 1, log_tag=5))
    (read,) = log.read()
    assert read.event_id == event_id_of(log_tag_of(log.identity), 1, read.occurred_at_us)


@pytest.fixture(params=["memory", "sqlite"])
def two_logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[EventLog, EventLog]]:
    logs: list[EventLog] = [
        MemoryLog(identity=name) if request.param == "memory" else SqliteLog(tmp_path / f"{name}.db") for name in ("one", "two")
    ]
    for log in logs:
        log.open()
    yield logs[0], logs[1]
    for log in logs:
        log.close()


def test_ids_differ_between_logs_whose_records_are_the_same(two_logs: tuple[EventLog, EventLog], records: MakeMany) -> None:
    ids = set[str]()
    for log in two_logs:
        log.write(records(1, 100, occurred_at_us=1))
        ids.update(read.event_id for read in log.read())
    assert len(ids) == 200


def test_a_foreign_id_finds_nothing(two_logs: tuple[EventLog, EventLog], records: MakeMany) -> None:
    one, other = two_logs
    for log in two_logs:
        log.write(records(1, 100))
    for read in one.read():
        assert [found.position for found in one.read(Query(event_id=read.event_id))] == [read.position]
        assert list(other.read(Query(event_id=read.event_id))) == []


def test_ids_are_the_same_in_every_opening_and_for_every_reader(sqlite_log: SqliteLog, records: MakeMany) -> None:
    sqlite_log.write(records(1, 1_500))
    ids = [read.event_id for read in sqlite_log.read()]
    assert ids == sorted(set(ids))
    again = sqlite_log.reopened()
    again.open()
    assert [read.event_id for read in again.verify()] == ids
    again.close()
    reader = SqliteReader(sqlite_log.path)
    assert [read.event_id for read in reader.read(Query(newest_first=True))] == ids[::-1]
    assert [found.position for found in reader.read(Query(event_id=ids[1_200]))] == [1_201]
    reader.close()
