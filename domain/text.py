"""Text from outside that is to stand in a log beside payloads: ids, correlations, keys, names of people. Codecs check payloads."""

from typing import Final

from tallystick.domain.errors import InvalidPayload

TEXT_LIMIT_CHARS: Final = 50_000
"""The longest text beside a payload. An event of the engine has up to three of them, with six bytes for a character at worst."""


def checked_text(what: str, text: object) -> None:
    """Refuse what no log can hold. JSON has lone surrogates, and so has what was decoded from it; UTF-8, and so SQLite, has not.

    Raises:
        InvalidPayload: it is no text, or none that can be written down; or it is too long.
    """
    if not isinstance(text, str):
        msg = f"{what} is {text!r}: it is recorded, so say it in words."
        raise InvalidPayload(msg)
    if len(text) > TEXT_LIMIT_CHARS:
        msg = f"{what} is {len(text)} characters long; the limit is {TEXT_LIMIT_CHARS}. Keep the content elsewhere, and say where."
        raise InvalidPayload(msg)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            msg = f"{what} is {text!r}, which is no Unicode text: {error.reason}."
            raise InvalidPayload(msg) from error


def writable(text: str) -> str:
    """A text that explains, with what no log can hold of it written out: half an emoji, a file's name that is no Unicode."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def plain_text(what: str, text: object) -> str:
    """The text itself of what is more than that, such as a member of an enumeration: a log gives back plain text.

    Raises:
        InvalidPayload: it is no text.
    """
    if not isinstance(text, str):
        msg = f"{what} is {text!r}: a log holds text and would give that back, which is something else; say it in text."
        raise InvalidPayload(msg)
    return "".join(text)


def checked_id(what: str, text: str) -> None:
    """As `checked_text`, for what tells one thing from all others of its kind.

    Raises:
        InvalidPayload: it is blank, or no text.
    """
    checked_text(what, text)
    if not text.strip():
        msg = f"{what} is blank: all that had such a one would be one and the same."
        raise InvalidPayload(msg)


def checked_who(who: str) -> None:
    """As `checked_text`, for what is not done without the name of who has it done; a reason is welcome.

    Raises:
        InvalidPayload: nobody is named, or it is no text.
    """
    checked_text("who", who)
    if not who.strip():
        msg = "Say who has it done: it is recorded, and is not blank."
        raise InvalidPayload(msg)


def checked_person(who: str, why: str) -> None:
    """As `checked_text`, for what is not done without somebody who answers for it.

    Raises:
        InvalidPayload: nobody or no reason is named, or it is no text.
    """
    checked_text("who", who)
    checked_text("why", why)
    if not who.strip() or not why.strip():
        msg = "Say who decides it and why: both are recorded with what a person does, and are not blank."
        raise InvalidPayload(msg)
