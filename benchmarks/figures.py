"""What is measured of a run, the same for every side of a comparison. Not the workloads themselves."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.peak_memory import peak_rss_bytes


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run. Latency is from placing an order until its last event is durable; CPU is of all threads, user and system."""

    orders_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_order: float
    peak_rss_mb: float
    bytes_per_order: float
    commits_per_order: float | None = None
    """None where nobody counts them."""

    def as_json(self) -> str:
        """One line for programs."""
        return msgspec.json.encode(self).decode()

    def as_text(self) -> str:
        """One figure a line, for people."""
        figures = {name: getattr(self, name) for name in self.__struct_fields__}
        return "\n".join(f"{name:>18} {figure:12,.3f}" for name, figure in figures.items() if figure is not None)


class Stopwatch:
    """Measures from its making until `stop`: wall-clock time, and the CPU time of every thread of this process."""

    def __init__(self) -> None:
        self._began_wall_s = time.perf_counter()
        self._began_cpu_s = time.process_time()
        self._wall_s = 0.0
        self._peak_rss_bytes = 0
        self._cpu_s = 0.0

    def stop(self) -> None:
        """The last order is through; closing and counting come after this."""
        self._wall_s = time.perf_counter() - self._began_wall_s
        self._cpu_s = time.process_time() - self._began_cpu_s
        self._peak_rss_bytes = peak_rss_bytes()

    def figures(self, latencies_s: Sequence[float], *, stored_bytes: int, commits: int | None = None) -> Figures:
        """The figures of the orders that were carried out, one latency each.

        Raises:
            ValueError: there is no latency.
        """
        orders = len(latencies_s)
        return Figures(
            p50_ms=round(percentile(latencies_s, 50) * 1_000, 3),
            p99_ms=round(percentile(latencies_s, 99) * 1_000, 3),
            orders_per_s=round(orders / self._wall_s, 1),
            cpu_ms_per_order=round(self._cpu_s * 1_000 / orders, 4),
            peak_rss_mb=round(self._peak_rss_bytes / 1_000_000, 1),
            bytes_per_order=round(stored_bytes / orders, 1),
            commits_per_order=None if commits is None else round(commits / orders, 4),
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of a hundred values (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        msg = "there is no percentile of no values"
        raise ValueError(msg)
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def stored_bytes(path: Path) -> int:
    """The size of a SQLite database, its write-ahead log included."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
