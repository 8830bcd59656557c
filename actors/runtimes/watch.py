"""The watch: sees from another thread that a turn holds everybody up, and says where in the code it is while it still is there."""

import sys
import threading
import traceback
from collections.abc import Callable

from tallystick.actors.telling import warn
from tallystick.domain.clock import Clock

SLOW_TURN_US = 100_000
LOOKS_EVERY_S = 0.05
STACK_FRAMES = 12
"""So many frames of it are reported, the innermost ones: the program's own code, and how it was called."""

Turn = tuple[str, object]
"""Actor and message; a new one for each turn, so that one can be told from the next."""


class Watch:
    """Looks twenty times a second at the present turn, and reports what it still sees a tenth of a second after it first did.

    Whoever takes the turn writes it down, and is asked for nothing else. A turn of over 0.15 s is always caught, one of under 0.1 s never.
    """

    def __init__(self, clock: Clock, watched: Callable[[], int | None]) -> None:
        self._clock = clock
        self._watched = watched
        self._stop = threading.Event()
        self._looking = threading.Lock()
        self._seen: Turn | None = None
        self._seen_us = 0
        self._reported: Turn | None = None
        self.turn: Turn | None = None
        """The present turn; None between turns."""
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
            turn, now_us = self.turn, self._clock.now_us()
            if turn is None or turn is not self._seen:
                self._seen, self._seen_us = turn, now_us
            elif turn is not self._reported and now_us - self._seen_us >= SLOW_TURN_US:
                self._reported = turn
                self.slow_turns += 1
                self._report(turn, now_us - self._seen_us)

    def _report(self, turn: Turn, seen_for_us: int) -> None:
        frame = sys._current_frames().get(self._watched() or 0)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the documented way
        stack = "" if frame is None else "".join(traceback.format_stack(frame, limit=STACK_FRAMES))
        warn("dispatcher.slow_turn", actor=turn[0], message=type(turn[1]).__name__, milliseconds=seen_for_us // 1000, stack=stack)
