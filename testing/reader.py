"""Somebody outside who reads the log as it becomes durable, process after process: what they have read stays true (S14, S4)."""

from tallystick.domain.envelope import Recorded
from tallystick.testing.disk import Disk
from tallystick.testing.processes import Process
from tallystick.testing.violations import InvariantViolation


class Reader:
    """Subscribes to a system, and goes on with the next one where they were."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._last: Recorded | None = None

    def read(self, process: Process) -> None:
        """Read on, as far as there is anything.

        Raises:
            InvariantViolation: S4, S5 or S14.
        """
        model = process.watcher.model
        if model is None or process.system.health().status != "running":
            return
        last = self._last
        if last is not None:
            there = model.records[last.position - 1] if last.position <= model.tail else None
            if there is None or (there.event_type, there.payload, there.token) != (last.event_type, last.payload, last.token):
                raise InvariantViolation("S4", "somebody has read another record there", position=last.position)
        position = 0 if last is None else last.position
        for recorded in process.system.subscribe(after=position):
            if recorded.position != position + 1:
                text = f"a reader was given position {recorded.position} after {position}"
                raise InvariantViolation("S5", text, position=recorded.position)
            if recorded.position > self._disk.position:
                text = f"a reader was given it, while the log is durable up to {self._disk.position}"
                raise InvariantViolation("S14", text, position=recorded.position)
            position, self._last = recorded.position, recorded
