"""Sealing: text into a box that only one key opens, and back. The one place that knows the library for cryptography, when it is needed.

AES-SIV (RFC 5297) with a key of 512 bits for each person. It takes no nonce, so that there is none to be used twice after a restart, and
the same text of one person always makes the same box: values, fingerprints and states can be compared without being opened. A text is
padded, so that its box does not tell its length for ever, and bound to its person, so that a box cannot be passed off as another's.
"""

import base64
from typing import TYPE_CHECKING, Any, Final

from tallystick.domain.errors import DefinitionError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES: Final = 64
_CONTEXT: Final = b"tallystick sensitive 1"
_BLOCK_BYTES: Final = 32
_END: Final = b"\x80"
MISSING: Final = "Sensitive values are sealed by the package cryptography, which is not installed: pip install 'tallystick[privacy]'."


class WrongKey(Exception):
    """The box was not made with this key, for this person, or is damaged."""


class Cipher:
    """Seals and opens with one key.

    Raises:
        DefinitionError: the library for cryptography is not installed.
    """

    __slots__ = ("_siv",)

    def __init__(self, key: bytes) -> None:
        self._siv: AESSIV = library().AESSIV(key)

    def seal(self, subject: str, text: str) -> str:
        """A box for a person's text."""
        plain = text.encode() + _END
        plain += bytes(-len(plain) % _BLOCK_BYTES)
        return base64.b64encode(self._siv.encrypt(plain, [_CONTEXT, subject.encode()])).decode()

    def open(self, subject: str, box: str) -> str:
        """The text.

        Raises:
            WrongKey: it is not this key's, or not this person's.
        """
        try:
            plain = self._siv.decrypt(base64.b64decode(box, validate=True), [_CONTEXT, subject.encode()])
        except (ValueError, library().InvalidTag) as error:
            raise WrongKey from error
        return plain[: plain.rindex(_END)].decode()

    def wrap(self, name: str, key: bytes) -> bytes:
        """Another key, wrapped with this one; bound to whose it is."""
        return self._siv.encrypt(key, [_CONTEXT, b"key", name.encode()])

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """The other key. Raises `WrongKey`."""
        try:
            return self._siv.decrypt(wrapped, [_CONTEXT, b"key", name.encode()])
        except (ValueError, library().InvalidTag) as error:
            raise WrongKey from error


class _Library:
    """What is used of the library for cryptography."""

    def __init__(self) -> None:
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - 50 ms, for programs that seal something
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - as above
        except ImportError as error:
            raise DefinitionError(MISSING) from error
        self.AESSIV: Any = AESSIV
        self.InvalidTag: Any = InvalidTag


_loaded: list[_Library] = []


def library() -> _Library:
    """The library, imported when it is first asked for.

    Raises:
        DefinitionError: it is not installed.
    """
    if not _loaded:
        _loaded.append(_Library())
    return _loaded[0]
