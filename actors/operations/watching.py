"""The watcher: looks for operations that are stalled, silent or overdue, marks them, and tells a callback, once in a while for each."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from tallystick.actors.operations.tracker import OperationTracker
from tallystick.actors.telling import warn
from tallystick.domain.envelope import MICROSECOND, from_micros
from tallystick.domain.errors import DefinitionError
from tallystick.domain.evidence import said_by
from tallystick.domain.operations.operation import OperationSnapshot
from tallystick.domain.operations.watching import Alert, alerts_in, orphans_in, silent_in, threshold_of

TellAlert = Callable[[Alert], None]


class Look(NamedTuple):
    """What one look has found: all that is in trouble, what of it was marked as stalled now, and what the callback was told."""

    alerts: tuple[Alert, ...]
    marked: tuple[OperationSnapshot, ...]
    told: tuple[Alert, ...]


class Sweep(NamedTuple):
    """What one sweep has done. `by_type`: how many orphans there were of each type; `overflow`: how many are left for the next one."""

    given_up: tuple[OperationSnapshot, ...]
    by_type: Mapping[str, int]
    overflow: int
    in_doubt: tuple[OperationSnapshot, ...]


class OperationWatcher:
    """Watches the operations of one system. `thresholds`: how long operations may go without progress, by the beginning of their names.

    Each trouble of each operation is told to `on_alert` once per `cool_down`; what it raises is warned about, and holds up nothing. Which
    ones were told is remembered by this object only: after a restart they are told again.

    Raises:
        DefinitionError: a threshold is not positive.
    """

    def __init__(
        self,
        tracker: OperationTracker,
        *,
        thresholds: Mapping[str, timedelta] | None = None,
        on_alert: TellAlert | None = None,
        cool_down: timedelta = timedelta(minutes=15),
    ) -> None:
        for name_prefix, threshold in (thresholds or {}).items():
            if threshold <= timedelta(0):
                msg = f"A threshold of {threshold} for {name_prefix!r} leaves no time to get on; give a positive one."
                raise DefinitionError(msg)
        self._tracker = tracker
        self._thresholds = thresholds or {}
        self._on_alert = on_alert
        self._cool_down_us = cool_down // MICROSECOND
        self._told_us: dict[tuple[str, str], int] = {}

    def look(self) -> Look:
        """Look once: mark what is stalled, and tell of what is new or was last told longer ago than the cool-down."""
        now_us = self._tracker.clock.now_us()
        index, now = self._tracker.index(), from_micros(now_us)
        silent = silent_in(index, now, self._thresholds)
        alerts = alerts_in(index, now, silent)
        marked = [alert.operation for alert in alerts if alert.operation.operation_id in silent and self._mark(alert)]
        told = [alert for alert in alerts if self._tell(alert, now_us)]
        # What is well by now is remembered, too: it may be in the same trouble again before the cool-down is over.
        self._told_us = {key: told_us for key, told_us in self._told_us.items() if now_us - told_us < self._cool_down_us}
        return Look(tuple(alerts), tuple(marked), tuple(told))

    def _mark(self, alert: Alert) -> bool:
        return self._tracker.mark(alert.operation, threshold_of(alert.operation.name, self._thresholds))

    def _tell(self, alert: Alert, now_us: int) -> bool:
        key = (alert.operation.operation_id, alert.trouble)
        told_us = self._told_us.get(key)
        if told_us is not None and now_us - told_us < self._cool_down_us:
            return False
        self._told_us[key] = now_us
        if self._on_alert is not None:
            try:
                self._on_alert(alert)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the host's own code, which would end the thread that watches
                warn("watcher.callback_failed", operation_id=alert.operation.operation_id, error=said_by(error))
        return True

    def sweep(self, *, older_than: timedelta = timedelta(days=1)) -> Sweep:
        """Abandon orphans: strictly older than their time, or than `older_than` where they were given none; a hundred at most.

        What ends meanwhile is left as it ended. Those in doubt, whose code ran in a process that is gone, are listed and left to people.
        """
        now = from_micros(self._tracker.clock.now_us())
        orphans = orphans_in(self._tracker.index(), now, older_than, self._tracker.running)
        given_up = [each for each in orphans.found if self._tracker.give_up(each, "orphan: nobody completed it in its time")]
        if orphans.overflow:
            warn("watcher.sweep_overflow", left=orphans.overflow, swept=len(orphans.found))
        return Sweep(tuple(given_up), orphans.by_type, orphans.overflow, orphans.in_doubt)

    @contextmanager
    def every(self, interval: timedelta) -> Generator[None]:
        """Look so often, in a thread of its own, until the block is left. In the stepped runtime call `look` in a step instead.

        Raises:
            DefinitionError: the interval is not positive: it would look without a pause.
        """
        if interval <= timedelta(0):
            msg = f"A watcher that looks every {interval} would do nothing else; give a positive interval."
            raise DefinitionError(msg)
        ending = threading.Event()
        thread = threading.Thread(target=self._run, args=(ending, interval.total_seconds()), name="tallystick-watcher", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()

    def _run(self, ending: threading.Event, interval_s: float) -> None:
        while not ending.wait(interval_s):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a log that is being opened again, most likely; the next look finds out
                warn("watcher.look_failed", error=said_by(error))
