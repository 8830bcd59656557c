"""The world around a simulated process: what outlives it. Time, what is still to happen, faults, and the story of what happened."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from tallystick.actors.clock import ManualClock
from tallystick.domain.envelope import MICROSECOND, from_micros, to_micros
from tallystick.testing.chance import Chance
from tallystick.testing.faults import Injector

MORNING: Final = to_micros(datetime(2026, 1, 5, 9, tzinfo=UTC))
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = 1 << 62

Deed = Callable[[], None]


class ProcessDied(BaseException):
    """The simulated process is gone, in the middle of whatever it was doing. Not an error of the library: nothing may handle it."""


class Happening(NamedTuple):
    """One line of a story. `at_us` is virtual time since the beginning; a "note" stands over its source, and goes nowhere."""

    at_us: int
    kind: str
    source: str
    target: str
    text: str


class World:
    """Virtual time, an agenda, and the present process. Only ever used by one thread."""

    def __init__(self, chance: Chance, faults: Injector) -> None:
        self.chance = chance
        self.faults = faults
        self.first_us = NEVER
        """Nothing on the agenda is due before; it is a bound, for whoever asks at every step."""
        self.now_us = 0
        """Microseconds since the world's beginning; the time that never jumps."""
        self.wall_us = MORNING
        """What the wall clock shows beyond that; faults change it."""
        self.process = 0
        self.alive = True
        self.recovering = False
        """Whether the process reads its log, and runs no actor yet."""
        self.story: list[Happening] | None = None
        self._agenda: list[tuple[int, int, int | None, Deed]] = []
        self._entered = 0

    # Time, and what is to happen.

    def after(self, delay_us: int, deed: Deed, *, outlives: bool = False) -> None:
        """Let something happen after that time; by the present process, unless it outlives it."""
        self._entered += 1
        process = None if outlives else self.process
        heapq.heappush(self._agenda, (self.now_us + delay_us, self._entered, process, deed))
        self.first_us = self._agenda[0][0]

    def next_us(self) -> int | None:
        """When the next thing happens; None when nothing does."""
        agenda = self._agenda
        while agenda and agenda[0][2] not in (None, self.process):
            heapq.heappop(agenda)  # whoever was to do it is gone
        self.first_us = agenda[0][0] if agenda else NEVER
        return agenda[0][0] if agenda else None

    def is_due(self) -> bool:
        """Whether something is to happen by now."""
        due_us = self.next_us() if self._agenda else None
        return due_us is not None and due_us <= self.now_us

    def happen(self) -> None:
        """Let what is due first happen."""
        deed = heapq.heappop(self._agenda)[3]
        self.first_us = self._agenda[0][0] if self._agenda else NEVER
        deed()

    def pass_time(self, until_us: int) -> None:
        """Let time pass; what was to happen meanwhile is late."""
        self.now_us = max(self.now_us, until_us)

    # The process.

    def begin_process(self) -> None:
        """Another process begins; what only the last one would have done never happens."""
        self.process += 1
        self.alive = True
        self.recovering = False

    def die(self, kind: str) -> None:
        """The process is gone.

        Raises:
            ProcessDied: always, so that it does nothing further.
        """
        self.alive = False
        what, _, where = kind.replace("_", " ").partition(".")
        self.tell("fault", "Fault", "Fault", f"{what} ({where})" if where else what)
        raise ProcessDied(kind)

    def may_die(self, kind: str) -> None:
        """An opportunity for a crash; also where a process that is dead already would go on."""
        if not self.alive:
            raise ProcessDied(kind)
        if self.faults.happens(kind):
            self.die(kind)

    # The story.

    def tell(self, kind: str, source: str, target: str, text: str) -> None:
        """A line of the story, if somebody listens."""
        if self.story is not None:
            self.story.append(Happening(self.now_us, kind, source, target, text))


class WorldClock(ManualClock):
    """A process's clock: the wall clock when it began, and the world's time since. Jumps of the wall clock do not reach it (P24)."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._offset_us = world.wall_us

    @property
    def now(self) -> datetime:
        """What it shows, UTC."""
        return from_micros(self.now_us())

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._world.now_us + self._offset_us

    def advance(self, duration: timedelta) -> None:
        """Let so much of the world's time pass."""
        self.advance_to_us(self.now_us() + duration // MICROSECOND)

    def advance_to_us(self, moment_us: int) -> None:
        """Let the world's time pass up to a moment.

        Raises:
            ValueError: the moment has passed.
        """
        if moment_us < self.now_us():
            msg = f"A clock does not run backwards: it shows {self.now.isoformat()}, asked for {from_micros(moment_us).isoformat()}."
            raise ValueError(msg)
        self._world.pass_time(moment_us - self._offset_us)

    def world_us(self, moment_us: int) -> int:
        """A moment of this clock in the world's time."""
        return moment_us - self._offset_us
