"""Chance from a seed: the one seam for randomness in a simulation. The same seed and labels give the same draws in every process."""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws in [0, 1) that depend on the seed and on what they are for, never on what was drawn before.

    So leaving one decision out of a run changes no other: what makes a failing run shrink.
    """

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self._prefix = hashlib.blake2b(str(seed).encode(), digest_size=16)

    def at(self, *label: object) -> float:
        """The draw for a label: words and numbers."""
        state = self._prefix.copy()
        state.update("/".join(map(str, label)).encode())
        return int.from_bytes(state.digest()[:7]) / (1 << 56)

    def between(self, low: int, high: int, *label: object) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.at(*label) * (high - low + 1))

    def pick(self, items: Sequence[T], *label: object) -> T:
        """One of the items."""
        return items[int(self.at(*label) * len(items))]

    def stream(self, *label: object) -> Callable[[], float]:
        """An endless row of draws for one purpose; quicker than a label for each."""
        # Of all that the generator can do, only `random` itself is promised to stay the same in later versions of Python.
        return random.Random("/".join(map(str, (self.seed, *label)))).random  # noqa: S311 - repeatable on purpose
