"""The hash chain: each record's hash covers the record before it, so that no row can be changed, swapped or left out unseen (P23).

Not a signature: whoever may write the file may also make a new chain.

A hash is BLAKE2b over the hash before it, followed by the covered values as one array of MessagePack. The first record has the log's
identity before it instead, so the chain covers what the events' ids are derived from without a byte more in any row.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import PositionConflict

GENESIS: Final = b""
"""The hash of the record at position 0, which there is not: an empty log's, and that of a snapshot of nothing."""

HASH_BYTES: Final = 16
"""The length of a hash: collisions by accident are out of reach, and a row stays small."""

COVERED: Final = Recorded.__struct_fields__[: Recorded.__struct_fields__.index("log_tag")]
"""The fields that a hash covers, in the order in which they are hashed. The order is part of the log's format."""

_encode = msgspec.msgpack.Encoder().encode
_fields_of = msgspec.structs.astuple
_COUNT: Final = len(COVERED)
# A copy of it costs less than another one: no keyword is parsed.
_fresh = hashlib.blake2b(digest_size=HASH_BYTES).copy


def start(identity: str) -> bytes:
    """What the first record's hash covers in the place of a hash before it."""
    return identity.encode()


def link(previous: bytes, record: Recorded) -> bytes:
    """The hash of `record`, standing after a record whose hash is `previous` (`start(identity)` for the first).

    Raises:
        UnicodeEncodeError: a text of the record is not Unicode (a lone surrogate), so that no log could store it.
    """
    own: bytes = linked(previous, (record,))[-1]
    return own


def linked(previous: bytes, records: Sequence[Recorded]) -> list[Any]:
    """The covered values and the hash of each record, all one after the other; `previous`, and errors, as for `link`.

    Flat, and nothing in it is a call that could be left out: it runs for every record under the interpreter lock.
    """
    values: list[Any] = []
    for record in records:
        covered = _fields_of(record)[:_COUNT]
        state = _fresh()
        state.update(previous + _encode(covered))
        previous = state.digest()
        values += covered
        values.append(previous)
    return values


def stored_values(record: Recorded) -> tuple[Any, ...]:
    """What is kept of a record wherever it is: the covered values and its hash."""
    return (*_fields_of(record)[:_COUNT], record.hash)


def check_follows(position: int, records: Sequence[Recorded]) -> None:
    """The records' positions must follow that position without a gap.

    Raises:
        PositionConflict: naming the first that does not.
    """
    offered = [record.position for record in records]
    if offered != [*range(position + 1, position + 1 + len(records))]:
        wrong, expected = next((found, wanted) for wanted, found in enumerate(offered, start=position + 1) if found != wanted)
        msg = f"A record at position {wrong} was offered where {expected} comes next."
        raise PositionConflict(msg)
