"""Rates: how many calls in a time, exactly, whatever the times."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.rate import Bucket

SECOND_US = 1_000_000


def test_a_full_bucket_gives_its_burst_at_once_and_then_one_call_each_interval() -> None:
    bucket = Bucket(ts.Rate(calls=2, per=timedelta(seconds=1)))
    assert [bucket.take(at) for at in (0, 0, 0, 499_999, 500_000, 500_000, 1_000_000)] == [True, True, False, False, True, False, True]
    assert bucket.free_at_us() == 1_500_000


def test_with_a_burst_of_one_calls_are_spaced_evenly() -> None:
    bucket = Bucket(ts.Rate(calls=10, per=timedelta(seconds=1), burst=1))
    taken = [at for at in range(0, SECOND_US, 1000) if bucket.take(at)]
    assert taken == list(range(0, SECOND_US, 100_000))


def test_intervals_that_are_no_whole_microseconds_are_rounded_up_by_less_than_one() -> None:
    bucket = Bucket(ts.Rate(calls=3, per=timedelta(seconds=1), burst=1))
    taken = []
    for _ in range(3001):
        taken.append(bucket.free_at_us())
        assert bucket.take(taken[-1])
    assert 1000 * SECOND_US <= taken[-1] < 1000 * SECOND_US + 3000


@pytest.mark.parametrize(("calls", "per", "burst"), [(0, 1, None), (1, 0, None), (1, 1, 0), (-1, 1, None)])
def test_a_rate_that_lets_nothing_through_is_refused(calls: int, per: int, burst: int | None) -> None:
    with pytest.raises(ts.DefinitionError):
        ts.Rate(calls=calls, per=timedelta(seconds=per), burst=burst)


rates = st.builds(
    lambda calls, per, burst: ts.Rate(calls=calls, per=timedelta(microseconds=per), burst=burst),
    st.integers(1, 50),
    st.integers(1, 5 * SECOND_US),
    st.one_of(st.none(), st.integers(1, 60)),
)


@given(rates, st.lists(st.integers(0, SECOND_US), max_size=200))
def test_no_window_has_more_calls_than_the_burst_and_what_flows_in_meanwhile(rate: ts.Rate, pauses: list[int]) -> None:
    bucket, now, taken = Bucket(rate), 0, list[int]()
    for pause in pauses:
        now += pause
        if bucket.take(now):
            taken.append(now)
        else:
            assert bucket.free_at_us() > now
    per_us = rate.per // timedelta(microseconds=1)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            flowed_in = (taken[last] - start) * rate.calls // per_us
            assert last - first + 1 <= (rate.burst or rate.calls) + flowed_in


@given(rates)
def test_when_it_says_that_it_is_free_it_is_and_not_a_microsecond_before(rate: ts.Rate) -> None:
    bucket, moments = Bucket(rate), list[int]()
    for _ in range(100):
        moment = bucket.free_at_us()
        assert moment <= 0 or not bucket.take(moment - 1)
        assert bucket.take(max(moment, 0))
        moments.append(moment)
    assert all(earlier <= later for earlier, later in pairwise(moments))
