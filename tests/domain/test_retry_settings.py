"""Retry settings that make no sense are refused where they are made."""

from datetime import timedelta

import pytest

import tallystick as ts

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: ts.FixedDelay(interval=-SECOND), "interval"),
        (lambda: ts.FixedDelay(interval=SECOND, max_retries=-1), "max_retries"),
        (lambda: ts.ExponentialBackoff(initial=SECOND, jitter=2.0), "jitter"),
        (lambda: ts.ExponentialBackoff(initial=SECOND, maximum=-SECOND), "maximum"),
        (lambda: ts.LinearBackoff(initial=SECOND, increment=-SECOND), "increment"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(make: object, what: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=what):
        make()
