"""Times, ids and tags of records: exact microseconds, ids that say when and where an event stands, tags as text."""

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.envelope import LATEST, Recorded, event_id_of, from_micros, log_tag_of, position_in, tags_text, to_micros

moments = st.datetimes(timezones=st.just(UTC))
positions = st.integers(min_value=1, max_value=(1 << 44) - 1)
times = st.integers(min_value=0, max_value=((1 << 48) - 1) * 1000)
tags = st.text().map(log_tag_of)


@given(moments)
def test_microseconds_lose_nothing_of_a_moment(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_a_moment_of_another_zone_is_the_same_moment() -> None:
    assert to_micros(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake that is refused


@given(tags, positions, times)
def test_an_events_id_is_a_uuid_of_version_7_that_names_its_position(tag: int, position: int, at_us: int) -> None:
    event_id = event_id_of(tag, position, at_us)
    parsed = uuid.UUID(event_id)
    assert str(parsed) == event_id
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert position_in(event_id) == position


@given(tags, positions, positions, times, times)
def test_ids_of_one_log_sort_as_its_positions_do(tag: int, one: int, other: int, early_us: int, late_us: int) -> None:
    early_us, late_us = sorted((early_us, late_us))
    first, second = sorted({one, other, max(one, other) + 1 if max(one, other) + 1 < 1 << 44 else 1})[:2]
    assert event_id_of(tag, first, early_us) < event_id_of(tag, second, late_us)


@pytest.mark.parametrize("text", ["", "x", "order-1", "0" * 32, str(uuid.UUID(int=4 << 76)), "g" * 12 + "7" + "g" * 19])
def test_what_is_no_events_id_names_no_position(text: str) -> None:
    assert position_in(text) is None


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))))
def test_tags_are_one_text_in_whatever_order_they_were_given_and_come_back(given_tags: dict[str, str]) -> None:
    text = tags_text(given_tags)
    assert text == tags_text(MappingProxyType(dict(reversed(given_tags.items()))))
    assert (text is None) == (not given_tags)
    recorded = Recorded(1, "Happened", 1, "Thing", "thing", 1, 1, "things", "c", b"{}", tags_json=text)
    assert recorded.tags == given_tags
    assert text is None or [*json.loads(text)] == sorted(given_tags)


@pytest.mark.parametrize("micros", [1 << 62, 10**30, to_micros(datetime.max.replace(tzinfo=UTC)) + 1])
def test_a_moment_that_no_calendar_has_is_the_latest_in_every_zone(micros: int) -> None:
    latest = from_micros(micros)
    assert latest == LATEST
    for hours in (-23, 23):
        assert latest.astimezone(timezone(timedelta(hours=hours))) == LATEST
