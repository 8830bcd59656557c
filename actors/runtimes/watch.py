"""The watch: sees from another thread that a turn holds the dispatcher up, and says where in the code it is while it still is there."""

import sys
import threading
import traceback
from collections.abc import Callable

from tallystick.actors.telling import warn
from tallystick.domain.clock import Clock

SLOW_TURN_US = 100_000
LOOKS_EVERY_S = 0.1


class Watch:
    """Looks ten times a second at what one thread is busy with. The thread writes `turn` down; nothing else is asked of it."""

    def __init__(self, clock: Clock, watched: Callable[[], int | None]) -> None:
        self._clock = clock
        self._watched = watched
        self._stop = threading.Event()
        self._looking = threading.Lock()
        self._reported: tuple[str, str, int] | None = None
        self.turn: tuple[str, str, int] | None = None
        """Actor, message and beginning (microseconds since 1970 UTC) of the present turn; None between turns."""
        self.slow_turns = 0

    def start(self) -> None:
        """Begin to look; also again, after a stop."""
        self._stop = threading.Event()
        threading.Thread(target=self._run, args=(self._stop,), name="tallystick-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(LOOKS_EVERY_S):
            self.look()

    def look(self) -> None:
        """Report the present turn, once, if it takes too long already."""
        with self._looking:
            turn = self.turn
            if turn is None or turn is self._reported or self._clock.now_us() - turn[2] <= SLOW_TURN_US:
                return
            self._reported = turn
            self.slow_turns += 1
        frame = sys._current_frames().get(self._watched() or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
        stack = "" if frame is None else "".join(traceback.format_stack(frame, limit=-12))
        actor, message, began_us = turn
        warn("dispatcher.slow_turn", actor=actor, message=message, milliseconds=(self._clock.now_us() - began_us) // 1000, stack=stack)
