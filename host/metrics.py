"""Metrics for Prometheus: how systems stand, read from `health()` and their meters when they are scraped, and not before.

Needs `tallystick[metrics]`. Names, labels and units are listed in docs/metrics.md. Every label value stands in a program's code; none is
taken from what users say.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    msg = "tallystick.host.metrics needs prometheus_client: install tallystick[metrics]."
    raise ImportError(msg) from error

import tallystick as ts
from tallystick.actors.metering import Distribution, Measured, Tally
from tallystick.domain.sensitive import refuse_sensitive

STALE: Final = (
    "duplicate_successes",
    "invalid_late_results",
    "stale_advances",
    "stale_failures",
    "stale_parked_retries",
    "stale_queue_tokens",
    "stale_rejections",
    "stale_retries",
    "stale_timeouts",
    "unknown_tokens",
)
"""The counters of reports that changed nothing, and of queues in a save that nobody knew of."""

_HEALTH: Final = {
    "commands_in_flight": "Commands without a reply.",
    "calls_running": "Calls of performers that have not answered.",
    "calls_waiting_for_rates": "Calls that wait for their rate.",
    "queues_waiting": "Executions whose actions wait for others of their subject.",
    "queues_parked": "Executions whose actions were interrupted, and go on later.",
    "timers": "Deadlines, retries and the like that are armed.",
    "tail": "The last position that was numbered.",
    "watermark": "The last position that is durable.",
    "epoch": "How often the log was opened for writing.",
}
_OWNER: Final = {
    "lag": "Positions that the owner has still to look at.",
    "parked": "Sources that wait because a handler fails.",
    "aggregates_in_memory": "Aggregates that are held.",
}

Labels = tuple[str, ...]


class SystemCollector(Collector):
    """Collects from systems by name; register one for all systems of a process: `REGISTRY.register(SystemCollector({"shop": system}))`.

    A system without a meter (`System(…, meter=ts.Meter())`) gives what its health says, and no counts of what was begun and ended.
    """

    def __init__(self, systems: Mapping[str, ts.System]) -> None:
        refuse_sensitive("a metric's label", *systems)
        self._systems = dict(systems)

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on what has happened, and registering does not ask the systems."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """How the systems stand now; asks no actor, and waits for nobody."""
        families = _Families()
        for name, system in self._systems.items():
            _add_health(families, name, system.health())
            if system.meter is not None:
                _add_measured(families, name, system.meter.read())
        yield from families.made.values()


class _Families:
    """Families by name, each made once however many systems have it."""

    def __init__(self) -> None:
        self.made: dict[str, Metric] = {}

    def gauge(self, name: str, text: str, labels: Mapping[str, str], value: float) -> None:
        family = self.made.setdefault(name, GaugeMetricFamily(f"tallystick_{name}", text, labels=tuple(labels)))
        family.add_metric(tuple(labels.values()), value)  # type: ignore[attr-defined]

    def count(self, name: str, text: str, labels: Mapping[str, str], value: float) -> None:
        family = self.made.setdefault(name, CounterMetricFamily(f"tallystick_{name}", text, labels=tuple(labels)))
        family.add_metric(tuple(labels.values()), value)  # type: ignore[attr-defined]

    def times(self, name: str, text: str, labels: Mapping[str, str], times: Distribution) -> None:
        family = self.made.setdefault(name, HistogramMetricFamily(f"tallystick_{name}", text, labels=tuple(labels)))
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound_s, count in zip((*times.bounds_s, None), times.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound_s is None else repr(bound_s), below))
        family.add_metric(tuple(labels.values()), buckets, times.sum_s)  # type: ignore[attr-defined]


def _add_health(families: _Families, name: str, health: ts.Health) -> None:
    system = {"system": name}
    families.gauge("running", "1 while the system runs, 0 otherwise.", system, health.status == "running")
    for field, text in _HEALTH.items():
        families.gauge(field, text, system, getattr(health, field))
    families.count("restarts", "Times the engine was rebuilt.", system, health.restarts)
    families.count("slow_turns", "Turns that took longer than 100 ms.", system, health.slow_turns)
    for owner, stands in health.owners.items():
        labels = {**system, "owner": owner}
        for field, text in _OWNER.items():
            families.gauge(f"owner_{field}", text, labels, getattr(stands, field))
        waiting = stands.dead_letters + stands.waiting_for_person
        families.gauge("dead_letters", "What waits for a person.", labels, waiting)
    for what, count in health.counters.items():
        if what in STALE:
            text = "Reports, timeouts, retries and loaded queues of tokens or attempts that had ended; they changed nothing."
            families.count("stale_tokens", text, {**system, "what": what}, count)
        else:
            families.count("counted", "Whatever else the engine counts, by its name there.", {**system, "what": what}, count)


def _add_measured(families: _Families, name: str, measured: Measured) -> None:
    _add_tally(families, "executions", name, measured.executions, named=("owner", "operation"))
    _add_tally(families, "processes", name, measured.processes, named=("process",))
    for (what, owner), count in sorted(measured.happened.items()):
        family = {"dead_letters": "dead_letters_made"}.get(what, what)
        families.count(family, _HAPPENED[what], {"system": name, "owner": owner}, count)
    families.times("commit_seconds", "How long a batch took to become durable.", {"system": name}, measured.commits)


_HAPPENED: Final = {
    "records": "Records that became durable.",
    "retries": "Attempts that are made again.",
    "timeouts": "Deadlines that passed.",
    "dead_letters": "Times that something became a dead letter.",
    "persons_needed": "Times that an execution was put before a person, for another reason than its retries.",
}


def _add_tally(families: _Families, what: str, name: str, tally: Tally, *, named: Labels) -> None:
    def labels(work: tuple[str, ...]) -> dict[str, str]:
        return {"system": name, **dict(zip(named, work, strict=False))}

    for work, count in sorted(tally.started.items()):
        families.count(f"{what}_started", f"{what.capitalize()} that were begun.", labels(work), count)
    for (work, outcome), count in sorted(tally.ended.items()):
        if outcome in {"succeeded", "completed"}:
            families.count(f"{what}_completed", f"{what.capitalize()} that ended well.", labels(work), count)
        else:
            ended = {**labels(work), "outcome": outcome}
            families.count(f"{what}_failed", f"{what.capitalize()} that ended otherwise, and how.", ended, count)
    for work, times in sorted(tally.durations.items(), key=lambda each: each[0]):
        families.times(f"{what}_duration_seconds", "From the beginning to the end.", labels(work), times)
    for work, count in sorted(tally.active.items()):
        families.gauge(f"{what}_active", f"{what.capitalize()} that are under way.", labels(work), count)
