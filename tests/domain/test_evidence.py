"""Evidence of exceptions: whatever one says, what is written down of it can be."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.evidence import (
    MESSAGE_LIMIT_CHARS,
    NAME_LIMIT_CHARS,
    WITHHELD,
    fitted,
    is_withheld,
    members_of,
    message_of,
    name_of,
    said_by,
    withhold,
)

HALF_AN_EMOJI = "\ud83d"
any_text = st.text(st.characters(), max_size=50)


class SpeechlessError(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


class TextlessError(Exception):
    """Its text is none."""

    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - the mistake that is survived


class SecretiveError(Exception):
    """Whatever is asked of it that it does not have raises, and not what should be raised then."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class MaskedError(Exception):
    """Nobody is to know what it is."""

    @property  # type: ignore[misc]  # the mistake that is survived
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise RuntimeError


@given(any_text, st.integers(min_value=1, max_value=60))
def test_any_text_can_be_written_within_any_limit_and_stays_as_it_is_if_it_could_be(text: str, limit: int) -> None:
    said = fitted(text, limit)
    assert len(said) <= limit
    assert msgspec.json.decode(msgspec.json.encode(said)) == said
    if len(text) <= limit and not any("\ud800" <= each <= "\udfff" for each in text):
        assert said == text


def test_of_a_group_the_first_members_are_told_of_however_deep_they_are() -> None:
    deep = ExceptionGroup("inner", [ValueError(HALF_AN_EMOJI), ExceptionGroup("innermost", [SpeechlessError()])])
    group = BaseExceptionGroup("outer", [KeyboardInterrupt(), deep, *(KeyError(number) for number in range(100))])
    assert [name_of(each) for each in members_of(group)] == ["KeyboardInterrupt", "ValueError", "SpeechlessError", "KeyError", "KeyError"]
    assert message_of(group) == (
        "outer (102 sub-exceptions): KeyboardInterrupt: ; ValueError: \\ud83d; SpeechlessError: (its message raises RuntimeError); "
        "KeyError: 0; KeyError: 1"
    )
    assert members_of(ValueError("alone")) == []
    assert len(message_of(ExceptionGroup("large", [ValueError("x" * 3_000_000)] * 9))) <= MESSAGE_LIMIT_CHARS
    withhold(deep.exceptions[0])
    assert message_of(group) == WITHHELD


def test_what_is_no_unicode_can_be_read_still() -> None:
    assert fitted(f"nice {HALF_AN_EMOJI}", 100) == "nice \\ud83d"


ODD: dict[str, Callable[[], Exception]] = {
    "its text raises": SpeechlessError,
    "its text is none": TextlessError,
    "its attributes raise": lambda: SecretiveError("no"),
    "its class raises": lambda: MaskedError("no"),
    "endless name": lambda: type("E" * 3_000_000, (Exception,), {})("x"),
    "endless": lambda: ValueError("x" * 3_000_000),
}


@pytest.mark.parametrize("what", ODD)
def test_of_any_exception_there_is_text_that_can_be_written(what: str) -> None:
    error = ODD[what]()
    for say, limit in ((name_of, NAME_LIMIT_CHARS), (message_of, MESSAGE_LIMIT_CHARS), (said_by, MESSAGE_LIMIT_CHARS)):
        say_it: Callable[[BaseException], str] = say
        said = say_it(error)
        assert 0 < len(said) <= limit
        msgspec.json.encode(said)
    assert len(said_by(error, 10)) == 10
    assert not is_withheld(error)
    withhold(error)
    assert is_withheld(error)
