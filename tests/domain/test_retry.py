"""The delays before retries, as formulas: over any number of retries, any settings and any draw of the jitter."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.retry import NEVER_LATER, AnyRetry, ExponentialBackoff, FixedDelay, LinearBackoff, RetryPolicy

SECOND = timedelta(seconds=1)
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta.max)
short = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30))
retries = st.integers(min_value=0, max_value=60)
any_retry = st.integers(min_value=0, max_value=1 << 4096)
shares = st.floats(min_value=0.0, max_value=1.0)
draws = st.floats(min_value=0.0, max_value=1.0, exclude_max=True)
policies: st.SearchStrategy[AnyRetry] = st.one_of(
    st.builds(FixedDelay, interval=durations, jitter=shares),
    st.builds(ExponentialBackoff, initial=durations, maximum=durations, jitter=shares),
    st.builds(LinearBackoff, initial=durations, increment=durations, maximum=durations, jitter=shares),
)


@given(durations, any_retry, draws)
def test_a_fixed_delay_is_the_same_before_every_retry(interval: timedelta, retry: int, draw: float) -> None:
    assert FixedDelay(interval=interval).delay(retry, draw) == min(interval, NEVER_LATER)


@given(short, short, retries, draws)
def test_exponential_backoff_doubles_up_to_its_maximum(initial: timedelta, maximum: timedelta, retry: int, draw: float) -> None:
    exact_us = (initial // timedelta(microseconds=1)) * 2**retry
    wanted_us = min(exact_us, maximum // timedelta(microseconds=1))
    assert ExponentialBackoff(initial=initial, maximum=maximum).delay(retry, draw) == timedelta(microseconds=wanted_us)


@given(short, short, short, retries, draws)
def test_linear_backoff_grows_by_the_same_step_up_to_its_maximum(
    initial: timedelta, increment: timedelta, maximum: timedelta, retry: int, draw: float
) -> None:
    policy = LinearBackoff(initial=initial, increment=increment, maximum=maximum)
    assert policy.delay(retry, draw) == min(initial + increment * retry, maximum)


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        (FixedDelay(interval=3 * SECOND), [3, 3, 3, 3, 3]),
        (ExponentialBackoff(initial=SECOND, maximum=10 * SECOND), [1, 2, 4, 8, 10]),
        (LinearBackoff(initial=SECOND, increment=3 * SECOND, maximum=10 * SECOND), [1, 4, 7, 10, 10]),
        (LinearBackoff(initial=SECOND, increment=3 * SECOND), [1, 4, 7, 10, 13]),
    ],
)
def test_the_first_delays_are_those_of_the_textbook(policy: AnyRetry, seconds: list[int]) -> None:
    assert [policy.delay(retry, 0.5) for retry in range(5)] == [each * SECOND for each in seconds]


@given(policies, any_retry, draws)
def test_no_policy_overflows_or_goes_below_nothing_at_any_retry(policy: AnyRetry, retry: int, draw: float) -> None:
    assert timedelta() <= policy.delay(retry, draw) <= NEVER_LATER


@given(policies, retries, draws)
def test_jitter_shortens_a_delay_by_no_more_than_its_share_and_never_lengthens_it(policy: AnyRetry, retry: int, draw: float) -> None:
    longest = policy.delay(retry, 0.0)
    jittered = policy.delay(retry, draw)
    assert jittered <= longest
    assert jittered >= longest * (1.0 - policy.jitter) - timedelta(microseconds=1)


@given(policies, retries, draws, draws)
def test_a_larger_draw_never_makes_a_longer_delay(policy: AnyRetry, retry: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert policy.delay(retry, high) <= policy.delay(retry, low)


def test_full_jitter_spreads_the_retries() -> None:
    policy = FixedDelay(interval=10 * SECOND, jitter=1.0)
    assert [policy.delay(0, draw) for draw in (0.0, 0.25, 0.75)] == [10 * SECOND, 7.5 * SECOND, 2.5 * SECOND]


@given(policies, retries, draws)
def test_without_jitter_a_later_retry_never_comes_sooner(policy: AnyRetry, retry: int, draw: float) -> None:
    del draw
    assert policy.delay(retry, 0.0) <= policy.delay(retry + 1, 0.0)


def test_every_policy_of_the_library_is_one_for_the_engine() -> None:
    for policy in (FixedDelay(interval=SECOND), ExponentialBackoff(initial=SECOND), LinearBackoff(initial=SECOND, increment=SECOND)):
        assert isinstance(policy, RetryPolicy)
        assert policy.max_retries == 3
