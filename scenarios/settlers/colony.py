"""A colony that lives: a system in virtual time, and what befalls it, step by step."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import tallystick as ts
from tallystick.scenarios.settlers.fate import arrivals, befalls
from tallystick.scenarios.settlers.land import Land
from tallystick.scenarios.settlers.levels import micros
from tallystick.scenarios.settlers.migration import SAVES
from tallystick.scenarios.settlers.picture import Picture, taken
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.system import LINES, modules, performers
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

MORNING: Final = datetime(2026, 1, 1, 6, tzinfo=UTC)
STEPS_A_SECOND: Final = 20
STEP: Final = timedelta(seconds=1) / STEPS_A_SECOND


class Colony:
    """So many settlers on the land of a seed. Its log is a file, or is not kept. Not thread-safe.

    With `save`, where `system.save` has written one of the same seed, it goes on there. Errors as `System.load`.
    """

    def __init__(self, seed: int, settlers: int, log: Path | ts.EventLog | None = None, *, save: Path | None = None) -> None:
        self.settlers = settlers
        self.land = Land.generated(seed, settlers)
        self.clock = ts.ManualClock(MORNING)
        self.steps = 0
        self._begins = save is None
        owners, ticked, runtime = modules(self.land), performers(), ts.SteppedRuntime(self.clock, seed=seed)
        limits = ts.Limits(commands=max(1_000, 2 * settlers))
        if save is None:
            self.system = ts.System(owners, performers=ticked, lines=LINES, log=log, runtime=runtime, limits=limits, saves=SAVES)
        else:
            self.system = ts.System.load(save, owners, performers=ticked, lines=LINES, log=log, runtime=runtime, limits=limits, saves=SAVES)

    def __enter__(self) -> Self:
        """Open the log, and let the settlers come, or go on from the save."""
        self.system.__enter__()
        if self._begins:
            for arrival in arrivals(self.land, self.settlers):
                self.system.ask(arrival)
        else:
            self.steps = (self.clock.now - MORNING) // STEP
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the log."""
        self.system.__exit__(kind, error, trace)

    def step(self) -> None:
        """One step, and before it what befalls the colony in this second."""
        second, part = divmod(self.steps, STEPS_A_SECOND)
        if part == 0:
            for command in befalls(self.land, self.settlers, second):
                try:
                    self.system.ask(command)
                except ts.Rejected as refusal:
                    if refusal.code != "UNDER_WAY":  # somebody who is on an errand is sent on none
                        raise
        self.system.step(STEP)
        self.steps += 1

    def live(self, duration: timedelta) -> None:
        """Many steps."""
        for _ in range(duration // STEP):
            self.step()

    @property
    def now_us(self) -> int:
        """The time, in microseconds since 1970."""
        return micros(self.clock.now)

    def picture(self) -> Picture:
        """The whole of its state."""
        look = self.system.resident
        return taken(self.land, self.now_us, look(Roster), look(Works), look(Wellbeing))
