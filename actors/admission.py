"""Admission: how much of the host's work is let in. Events are never held back here, commands only (S16)."""

import math
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

from tallystick.actors.replies import HostReply
from tallystick.domain.errors import DefinitionError, NotAccepted, Overloaded

WhenFull = Literal["wait", "raise"]
"""What a call does when a limit is reached: wait until there is room, or raise `Overloaded`."""


PRESSURE_CHECK_S = 0.05


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be in flight: commands without a reply, records numbered but not yet durable, and records an owner lags behind.

    Raises:
        DefinitionError: one of them is not positive, so that no command would ever be let in.
    """

    commands: int = 10_000
    undurable_records: int = 100_000
    lag_records: int = 1_000_000

    def __post_init__(self) -> None:
        if min(self.commands, self.undurable_records, self.lag_records) < 1:
            msg = f"{self} let no command in; give positive numbers."
            raise DefinitionError(msg)


class Admission:
    """The gate that host calls pass. Thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._waiting = 0
        self._outstanding: dict[int, HostReply] = {}
        self._open = False
        self._closed_for: BaseException | None = None
        self._started = False
        self._ended = False
        self.pressure: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """How many records are not yet durable, and how many the slowest owner lags behind."""
        self.catch_up: Callable[[], None] = lambda: None
        """Have owners look at what they have not seen."""

    @property
    def in_flight(self) -> int:
        """Commands without a reply."""
        return len(self._outstanding)

    @property
    def waiting(self) -> int:
        """Callers that wait for room."""
        return self._waiting

    def enter(self, reply: HostReply, when_full: WhenFull, timeout_s: float | None) -> None:
        """Let a command in.

        Raises:
            Overloaded: a limit is reached, and the caller does not wait, or has waited long enough.
            NotAccepted: the system is not running.
        """
        with self._lock:
            if not self.has_room():
                came = when_full == "wait" and self._wait_for_room(timeout_s)
                self._check_running()
                if not came:
                    raise Overloaded(self._full())
            self._outstanding[id(reply)] = reply

    def leave(self, reply: HostReply) -> bool:
        """Its reply is being given; False when that was done before."""
        with self._lock:
            if self._waiting:
                self._room.notify()
            return self._outstanding.pop(id(reply), None) is not None

    def _check_running(self) -> None:
        if self._ended or not self._open:
            raise NotAccepted(self._why()) from self._closed_for

    def _may_decide(self) -> bool:
        return self._ended or not self._started or self.has_room()

    def _wait_for_room(self, timeout_s: float | None) -> bool:
        """Looks again now and then, for nobody tells when the disk or a slow owner has caught up."""
        left_s = math.inf if timeout_s is None else timeout_s
        self._waiting += 1
        try:
            while not self._room.wait_for(self._may_decide, min(left_s, PRESSURE_CHECK_S)):
                left_s -= PRESSURE_CHECK_S
                if left_s <= 0:
                    return False
        finally:
            self._waiting -= 1
        return True

    def has_room(self) -> bool:
        """Whether a command would be let in at once."""
        if not self._open or len(self._outstanding) >= self._limits.commands:
            return False
        undurable, lag = self.pressure()
        if lag > self._limits.lag_records // 2:
            self.catch_up()
        return undurable < self._limits.undurable_records and lag < self._limits.lag_records

    def _full(self) -> str:
        undurable, lag = self.pressure()
        return (
            f"{len(self._outstanding)} commands are in flight (limit {self._limits.commands}), {undurable} records are not yet durable "
            f"(limit {self._limits.undurable_records}), the slowest owner lags by {lag} (limit {self._limits.lag_records}). "
            "Wait, or raise the system's limits."
        )

    def _why(self) -> str:
        if not self._started and not self._ended:
            return "The system was not started: use it inside `with system:`."
        return "The system is not running: it has stopped, is stopping, or its log has failed. It is safe to send the command again."

    # Opening and closing.

    def open(self) -> None:
        """Let commands in."""
        with self._lock:
            self._open, self._started, self._closed_for = True, True, None
            self._room.notify_all()

    def pause(self, cause: BaseException) -> None:
        """Let none in while the engine is rebuilt; those that can wait, wait."""
        with self._lock:
            self._open, self._closed_for = False, cause

    def end(self, cause: BaseException | None = None) -> None:
        """Let none in any more, in the thread that says so (P26)."""
        with self._lock:
            self._open, self._ended, self._closed_for = False, True, cause
            self._room.notify_all()

    def withdraw_all(self, cause: BaseException | None) -> None:
        """Answer those that were never run (P18)."""
        with self._lock:
            left = list(self._outstanding.values())
        for reply in left:
            reply.withdraw(cause)
