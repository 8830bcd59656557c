"""The hash chain: each record's hash covers the record before it, so that no row can be changed, swapped or left out unseen (P23).

Not a signature: whoever may write the file may also make a new chain.
"""

import hashlib
from typing import Any

import msgspec

from tallystick.domain.envelope import Recorded

GENESIS = b""
"""What stands before the first record."""

HASH_BYTES = 16
"""The length of a hash: collisions by accident are out of reach, and a row stays small."""

COVERED = tuple(name for name in Recorded.__struct_fields__ if name not in {"hash", "event"})
"""The fields that a hash covers, in the order in which they are hashed. The order is part of the log's format."""

_encode = msgspec.msgpack.Encoder().encode
_fields_of = msgspec.structs.astuple
_COUNT = len(COVERED)


def covered(record: Recorded) -> tuple[Any, ...]:
    """The values that the record's hash covers, in the order of `COVERED`."""
    return _fields_of(record)[:_COUNT]


def link_values(previous: bytes, values: tuple[Any, ...]) -> bytes:
    """The hash of a record whose covered values these are; as `link`."""
    return hashlib.blake2b(previous + _encode(values), digest_size=HASH_BYTES).digest()


def link(previous: bytes, record: Recorded) -> bytes:
    """The hash of `record`, standing after a record whose hash is `previous` (`GENESIS` for the first).

    Raises:
        UnicodeEncodeError: a text of the record is not Unicode (a lone surrogate), so that no log could store it.
    """
    return link_values(previous, covered(record))
