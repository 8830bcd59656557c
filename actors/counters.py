"""Counters: what happened that changed no state, so that a no-op is counted and not silent. Read by `health()`."""

import threading
from collections import Counter


class Counters:
    """Named counts; any thread may count."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str, times: int = 1) -> None:
        """One more, or several."""
        with self._lock:
            self._counts[name] += times

    def snapshot(self) -> dict[str, int]:
        """All counts as of now, by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
