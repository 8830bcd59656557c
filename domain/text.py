"""Text from outside that is to stand in a log beside payloads: ids, correlations, keys, names of people. Codecs check payloads."""

from tallystick.domain.errors import InvalidPayload


def checked_text(what: str, text: object) -> None:
    """Refuse what no log can hold. JSON has lone surrogates, and so has what was decoded from it; UTF-8, and so SQLite, has not.

    Raises:
        InvalidPayload: it is no text, or none that can be written down.
    """
    if not isinstance(text, str):
        msg = f"{what} is {text!r}: it is recorded, so say it in words."
        raise InvalidPayload(msg)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            msg = f"{what} is {text!r}, which is no Unicode text: {error.reason}."
            raise InvalidPayload(msg) from error
