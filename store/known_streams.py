"""Known streams: whether a log may have events of an aggregate, without asking it. Every order begins four aggregates that are new.

A Bloom filter (Bloom 1970, "Space/time trade-offs in hash coding with allowable errors"), grown by ever larger layers (Almeida et al. 2007,
"Scalable Bloom filters"): "no" is certain, "maybe" is wrong for a few new aggregates in a hundred and then costs a look into the log.
"""

from typing import cast
from zlib import crc32

import msgspec

from tallystick.domain.errors import SnapshotError

FIRST_BITS = 1 << 20
BITS_A_KEY = 16
SPREAD = 2_654_435_769
"""2**32 over the golden ratio (Knuth, TAOCP 6.4): gives the second of a key's two bits from its one checksum."""
FORMAT = 2
OWNER = "\0streams"
"""The name under which it is kept among the owners' snapshots; no module can have it."""

Layer = tuple[int, bytearray]
"""The mask for a bit's number, and the bits."""


class Saved(msgspec.Struct, frozen=True):
    """The filter as bytes."""

    keys: int
    layers: tuple[bytes, ...]


class KnownStreams:
    """Which aggregates have events, as far as `position`. Adding and asking are for one thread at a time."""

    def __init__(self) -> None:
        self._layers: list[Layer] = []
        self._keys = 0
        self._room = 0
        self.complete = True
        """False when it does not know all: then everything is a maybe."""

    def add(self, aggregate_type: str, aggregate_id: str) -> None:
        """There are events of it."""
        if self._keys >= self._room:
            self._grow()
        self._keys += 1
        mask, bits = self._layers[-1]
        one = crc32(f"{aggregate_type}\0{aggregate_id}".encode())
        other = one * SPREAD >> 9 & mask
        one &= mask
        bits[one >> 3] |= 1 << (one & 7)
        bits[other >> 3] |= 1 << (other & 7)

    def maybe(self, aggregate_type: str, aggregate_id: str) -> bool:
        """False only if there is certainly no event of it."""
        if not self.complete:
            return True
        checksum = crc32(f"{aggregate_type}\0{aggregate_id}".encode())
        spread = checksum * SPREAD >> 9
        for mask, bits in self._layers:
            one = checksum & mask
            if bits[one >> 3] >> (one & 7) & 1:
                other = spread & mask
                if bits[other >> 3] >> (other & 7) & 1:
                    return True
        return False

    def _grow(self) -> None:
        size = FIRST_BITS << 2 * len(self._layers)
        self._layers.append((size - 1, bytearray(size >> 3)))
        self._room += size // BITS_A_KEY

    def saved(self) -> bytes:
        """As bytes, for a snapshot."""
        return msgspec.msgpack.encode(Saved(self._keys, cast("tuple[bytes, ...]", tuple(bits for _, bits in self._layers))))

    @classmethod
    def restored(cls, form: int, body: bytes) -> "KnownStreams":
        """From bytes of a snapshot's format.

        Raises:
            SnapshotError: they are not those of a filter.
        """
        if form != FORMAT:
            msg = f"The filter of known aggregates has format {form}, this version reads {FORMAT}."
            raise SnapshotError(msg)
        try:
            saved = msgspec.msgpack.decode(body, type=Saved)
        except msgspec.MsgspecError as error:
            msg = f"The filter of known aggregates cannot be read: {error}"
            raise SnapshotError(msg) from error
        known = cls()
        for bits in saved.layers:
            known._grow()
            if len(bits) != len(known._layers[-1][1]):
                msg = "The filter of known aggregates has layers of another size."
                raise SnapshotError(msg)
            known._layers[-1] = (known._layers[-1][0], bytearray(bits))
        known._keys = saved.keys
        return known
