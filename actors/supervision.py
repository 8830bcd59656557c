"""Supervision: when an engine fails, throw it away and build the next on the same log; after too many failures, stop (P14, P18)."""

from collections import deque
from datetime import timedelta
from typing import Literal

import msgspec

from tallystick.domain.clock import Clock
from tallystick.domain.evidence import said_by

Status = Literal["new", "recovering", "running", "stopping", "stopped", "failed"]


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many failures within a period a system survives."""

    restarts: int = 5
    period: timedelta = timedelta(minutes=1)


class OwnerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one owner stands. `lag` is in log positions."""

    lag: int
    open_executions: int
    waiting_for_person: int
    parked: int
    dead_letters: int
    aggregates_in_memory: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a system stands, as of now; positions may be speculative, nothing here is a promise."""

    status: Status
    epoch: int
    restarts: int
    last_failure: str
    tail: int
    watermark: int
    commits: int
    commands_in_flight: int
    calls_running: int
    calls_waiting_for_rates: int
    queues_waiting: int
    queues_parked: int
    queues_ticking: int
    timers: int
    slow_turns: int
    owners: dict[str, OwnerHealth]
    counters: dict[str, int]


class Restarts:
    """Counts failures against the policy."""

    def __init__(self, policy: RestartPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._recent: deque[int] = deque()
        self.total = 0
        self.last_failure = ""

    def allow(self, actor: str, error: BaseException) -> bool:
        """Note a failure; whether there may be another restart."""
        now_us = self._clock.now_us()
        self.total += 1
        self.last_failure = f"{actor}: {said_by(error)}"
        self._recent.append(now_us)
        period_us = self._policy.period // timedelta(microseconds=1)
        while self._recent and self._recent[0] < now_us - period_us:
            self._recent.popleft()
        return len(self._recent) <= self._policy.restarts
