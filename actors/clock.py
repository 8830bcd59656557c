"""The one seam for time, ids and randomness: the real ones, and those that a host or test drives by hand."""

import os
import random
import threading
import time
from datetime import datetime, timedelta

import msgspec
import uuid_utils

from tallystick.domain.envelope import from_micros, to_micros

LONGEST_SLEEP_S = 86_400.0


class SystemClock:
    """Wall clock at the start plus monotonic time since: jumps of the wall clock while it runs have no effect (P24)."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return (self._offset_ns + time.monotonic_ns()) // 1000

    def sleeping_us(self, until_us: int) -> float:
        """Seconds until then, or a day if that is longer: no thread can be put to sleep for three hundred years."""
        return min(max(until_us - self.now_us(), 0) / 1e6, LONGEST_SLEEP_S)


class ManualClock:
    """A clock that stands still until it is told: virtual time for the stepped runtime."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now_us = to_micros(start) if start is not None else 0

    @property
    def now(self) -> datetime:
        """What it shows, UTC."""
        return from_micros(self._now_us)

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._now_us

    def sleeping_us(self, until_us: int) -> float:
        """Never a wait: whoever drives the clock moves it."""
        del until_us
        return 0.0

    def advance(self, duration: timedelta) -> None:
        """Move it forward; backwards is refused."""
        self.advance_to_us(self._now_us + duration // timedelta(microseconds=1))

    def advance_to_us(self, moment_us: int) -> None:
        """Move it forward to a moment.

        Raises:
            ValueError: the moment has passed.
        """
        if moment_us < self._now_us:
            msg = f"A clock does not run backwards: it shows {self.now.isoformat()}, asked for {from_micros(moment_us).isoformat()}."
            raise ValueError(msg)
        self._now_us = moment_us


class SystemIdentity:
    """UUIDs of version 7 from the operating system's randomness."""

    def new_id(self, now_us: int) -> str:
        """A new UUID; the library keeps those of one process in order, the journal keeps those of one log so."""
        del now_us
        return str(uuid_utils.uuid7())

    def draw(self) -> float:
        """For jitter only, so no cryptography."""
        return random.random()  # noqa: S311


def random_bytes(count: int) -> bytes:
    """Bytes that nobody can guess, for keys; never from a seed."""
    return os.urandom(count)


class SavedIdentity(msgspec.Struct, frozen=True, rename="camel"):
    """Where a seeded source stands: the state of its generator, and the last id as a hexadecimal number."""

    version: int
    state: tuple[int, ...]
    gauss: float | None
    last: str


class SeededIdentity:
    """Ids and draws that repeat from a seed. The generation is part of the seed, so that a rebuilt system makes no id twice (P25)."""

    def __init__(self, seed: int, generation: int = 0) -> None:
        self._random = random.Random(f"{seed}/{generation}")  # noqa: S311 - repeatable on purpose
        self._lock = threading.Lock()
        self._last = 0

    def new_id(self, now_us: int) -> str:
        """A UUID of version 7: 48 bits of milliseconds, then the rest from the seed; never below the last one."""
        with self._lock:
            made = (now_us // 1000 << 80) | (7 << 76) | (self._random.getrandbits(12) << 64) | (2 << 62) | self._random.getrandbits(62)
            if made <= self._last:
                made = self._last + 1
            self._last = made
        digits = f"{made:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def draw(self) -> float:
        """A repeatable number in [0, 1)."""
        with self._lock:
            return self._random.random()

    def saved(self) -> SavedIdentity:
        """Where it stands."""
        with self._lock:
            version, state, gauss = self._random.getstate()
            return SavedIdentity(version, state, gauss, f"{self._last:x}")

    def restore(self, saved: SavedIdentity) -> None:
        """Go on from there.

        Raises:
            ValueError, TypeError: it is not the state of a generator.
        """
        with self._lock:
            self._random.setstate((saved.version, saved.state, saved.gauss))
            self._last = int(saved.last, 16)
