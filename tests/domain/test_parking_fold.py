"""Parking as a fold: what a failing handler holds up, by source; the same as a plain dictionary after any sequence of events."""

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain import parking
from tallystick.domain.envelope import Recorded, Settles, from_micros, to_micros
from tallystick.domain.parking import REACTION_RETRY, Parked, Parking, Source
from tallystick.domain.protocol import EXECUTION, CursorAdvanced, ReactionFailed, ReactionRedriven, ReactionResumed
from tallystick.domain.token import Token

NOON_US = 1_767_268_800_000_000
OUTCOME = msgspec.Raw(b'{"type":"Failed","code":"X"}')


def recorded(position: int, payload: Any, token: Token | None = None, settles: Settles | None = None) -> Recorded:
    return Recorded(
        position=position,
        event_type=type(payload).__name__,
        schema_version=1,
        aggregate_type="Owner",
        aggregate_id="doers",
        aggregate_version=position,
        occurred_at_us=NOON_US + position,
        owner="doers",
        correlation="c",
        payload=b"",
        token=token,
        settles=settles,
    )


# Names that would be one if they were joined by a separator.
sources = st.sampled_from([("Order", "a"), ("Order:a", ""), ("Order", ":a"), (EXECUTION, "a"), (EXECUTION, "Order:a")])
moments = st.none() | st.integers(min_value=NOON_US, max_value=NOON_US + 1000).map(from_micros)
numbers = st.integers(min_value=1, max_value=9)


@st.composite
def events(draw: st.DrawFn) -> tuple[Any, Token | None, Settles | None]:
    kind, key = draw(sources)
    which = draw(st.sampled_from(["failed", "resumed", "redriven", "settled", "other"]))
    if which == "failed":
        failed = ReactionFailed(
            aggregate_type=kind, aggregate_id=key, position=draw(numbers), attempt=draw(numbers), error="E", retry_at=draw(moments)
        )
        return failed, None, None
    if which == "resumed":
        return ReactionResumed(aggregate_type=kind, aggregate_id=key, position=1, next_position=draw(st.none() | numbers)), None, None
    if which == "redriven":
        return ReactionRedriven(aggregate_type=kind, aggregate_id=key, position=1, who="me"), None, None
    if which == "settled":
        return CursorAdvanced(), Token(key), "failed"
    return CursorAdvanced(), draw(st.none() | st.just(Token(key))), None


@given(st.lists(events(), max_size=30))
def test_after_any_sequence_of_events_the_parking_is_the_models(given_events: list[tuple[Any, Token | None, Settles | None]]) -> None:
    folded: Parking = parking.nothing_parked()
    model: dict[tuple[str, str], tuple[int, int, int | None]] = {}
    for position, (payload, token, settles) in enumerate(given_events, start=1):
        folded = parking.folded(folded, recorded(position, payload, token, settles), payload)
        now_us = NOON_US + position
        if settles is not None:
            model.pop((EXECUTION, str(token)), None)
        elif isinstance(payload, ReactionFailed):
            retry_at_us = None if payload.retry_at is None else to_micros(payload.retry_at)
            model[payload.aggregate_type, payload.aggregate_id] = (payload.position, payload.attempt, retry_at_us)
        elif isinstance(payload, ReactionResumed):
            model.pop((payload.aggregate_type, payload.aggregate_id), None)
            if payload.next_position is not None:
                model[payload.aggregate_type, payload.aggregate_id] = (payload.next_position, 0, now_us)
        elif isinstance(payload, ReactionRedriven) and (payload.aggregate_type, payload.aggregate_id) in model:
            waits_first = model[payload.aggregate_type, payload.aggregate_id][0]
            model[payload.aggregate_type, payload.aggregate_id] = (waits_first, 0, now_us)
    assert {tuple(source): (each.position, each.attempt, each.retry_at_us) for source, each in folded.items()} == model


def failed(role: str = "reaction", *, dead: bool = False) -> ReactionFailed:
    retry_at = None if dead else from_micros(NOON_US + 5)
    fields: dict[str, Any] = {"role": role, "outcome": OUTCOME, "token": "a"} if role != "reaction" else {}
    return ReactionFailed(aggregate_type=EXECUTION, aggregate_id="a", position=7, attempt=2, error="Boom: no", retry_at=retry_at, **fields)


def after(*payloads: Any) -> Parking:
    folded = parking.nothing_parked()
    for position, payload in enumerate(payloads, start=1):
        folded = parking.folded(folded, recorded(position, payload), payload)
    return folded


def test_a_failure_keeps_all_that_is_needed_to_try_again_p13() -> None:
    parked = after(failed("settlement"))[Source(EXECUTION, "a")]
    expected = Parked(position=7, attempt=2, error="Boom: no", retry_at_us=NOON_US + 5, role="settlement", outcome=OUTCOME)
    assert parked == msgspec.structs.replace(expected, since_us=NOON_US + 1)
    assert not parked.dead


def test_what_is_tried_no_more_is_dead_until_somebody_redrives_it_with_its_attempts_reset() -> None:
    dead = after(failed("settlement", dead=True))
    assert dead[Source(EXECUTION, "a")].dead
    redriven = ReactionRedriven(aggregate_type=EXECUTION, aggregate_id="a", position=7)
    again = parking.folded(dead, recorded(9, redriven), redriven)[Source(EXECUTION, "a")]
    assert (again.dead, again.attempt, again.retry_at_us) == (False, 0, NOON_US + 9)
    assert (again.role, bytes(again.outcome), again.position) == ("settlement", bytes(OUTCOME), 7), "what is tried again stays what it was"


def test_a_redrive_of_what_is_not_parked_changes_nothing() -> None:
    nothing = parking.nothing_parked()
    redriven = ReactionRedriven(aggregate_type=EXECUTION, aggregate_id="a", position=7)
    assert parking.folded(nothing, recorded(1, redriven), redriven) is nothing


def test_a_handler_is_tried_four_times_p12() -> None:
    assert REACTION_RETRY.max_retries == 3
    delays = [REACTION_RETRY.delay(retry, 0.5) for retry in range(REACTION_RETRY.max_retries)]
    assert delays == [timedelta(seconds=1), timedelta(seconds=2), timedelta(seconds=4)]
