"""A system's life: opened, run, rebuilt when its engine fails, stopped. The one place that makes engines and ends them."""

import threading
from collections.abc import Callable

from tallystick.actors.admission import Admission
from tallystick.actors.engine import Engine, Program
from tallystick.actors.owner.snapshots import KnownStreamsOutput
from tallystick.actors.privacy import forget_again
from tallystick.actors.recovery import recover
from tallystick.actors.supervision import RestartPolicy, Restarts, Status
from tallystick.actors.telling import LINES_LOST, lines_lost, note, warn
from tallystick.domain.errors import Fenced, LogError, NotAccepted
from tallystick.domain.evidence import said_by
from tallystick.store.journal import Journal
from tallystick.store.log import EventLog

DRAIN_S = 5.0
"""How long a stop waits for commands that were let in, and for calls that run."""


class Lifecycle:
    """Owns the present engine and its log; thread-safe."""

    def __init__(self, program: Program, log: EventLog, admission: Admission, policy: RestartPolicy) -> None:
        self._program = program
        self._log = log
        self._vault = program.vault
        self._has_keys = False
        self._admission = admission
        self._changing = threading.RLock()
        self._engine: Engine | None = None
        self._prepared: Engine | None = None
        self._failed_by: BaseException | None = None
        self.restarts = Restarts(policy, program.runtime.clock)
        self.take_up: Callable[[Engine], object] = recover
        """How the first engine finds out where it stands; those after it recover."""
        self.status: Status = "new"
        self._lines_lost_before = lines_lost()
        admission.catch_up = self._catch_up

    @property
    def engine(self) -> Engine:
        """The present generation.

        Raises:
            NotAccepted: there is none: the system was not started, or has stopped.
        """
        engine = self._engine
        if engine is None:
            if self._failed_by is not None:
                msg = f"The system has failed, and only a new one can go on when its cause is mended: {said_by(self._failed_by)}"
                raise NotAccepted(msg) from self._failed_by
            msg = f"The system is {self.status}; use it inside `with system:`."
            raise NotAccepted(msg)
        return engine

    @property
    def running_engine(self) -> Engine | None:
        """The present generation, None while there is none that runs."""
        return self._engine if self.status == "running" else None

    def present_journal(self) -> Journal | None:
        """The present generation's journal; waits while it is being rebuilt. None when the system has stopped, or was not started."""
        self._wait_for_rebuild()
        engine = self._engine
        return None if engine is None else engine.journal

    def present_log(self) -> EventLog:
        """The log of the present generation; waits while it is being opened anew."""
        self._wait_for_rebuild()
        return self._log

    def _wait_for_rebuild(self) -> None:
        runtime = self._program.runtime
        while self.status == "recovering":
            if not runtime.until(lambda: self.status != "recovering", DRAIN_S) and runtime.inline:
                msg = "The system is being rebuilt by the very thread that asks; ask again when that is done."
                raise NotAccepted(msg)

    @property
    def log(self) -> EventLog:
        """The present log."""
        return self._log

    def counts_of_lines(self) -> dict[str, int]:
        """How many lines the host's logger has refused since this system was made; empty where none."""
        lost = lines_lost() - self._lines_lost_before
        return {LINES_LOST: lost} if lost else {}

    def _catch_up(self) -> None:
        engine = self._engine
        if engine is not None:
            engine.catch_up()

    # Starting.

    def move_to(self, log: EventLog) -> None:
        """Have another log, on which everything begins anew: instead of one that was only looked at."""
        self._log.close()
        self._log, self._prepared = log, None

    def prepare(self, look: Callable[[Engine], object]) -> None:
        """Open the log and make the first engine before the start, so that it can be looked at; it is the one that is taken up then.

        Whatever `look` raises closes the log, and lets go of the keys.
        """
        try:
            self._prepared = self._opened(self._log)
            look(self._prepared)
        except BaseException:
            self._close()
            raise

    def start(self) -> None:
        """Open the log, recover, run.

        Raises:
            LogError: the log cannot be opened or read; nothing runs then.
        """
        with self._changing:
            if self.status != "new":
                msg = f"This system is {self.status}; make a new one for another start."
                raise NotAccepted(msg)
            self.status = "recovering"
            try:
                self._run(self._log)
            except BaseException as error:
                self.status, self._failed_by = "failed", error
                self._close()
                raise

    def _opened(self, log: EventLog) -> Engine:
        log.open()
        if self._vault is not None and not self._has_keys:
            self._vault.open_store()
            self._has_keys = True
        engine = Engine(self._program, log, lambda actor, error: self._crashed(engine, actor, error))
        return engine

    def _run(self, log: EventLog) -> None:
        engine, self._prepared = self._prepared or self._opened(log), None
        take_up, self.take_up = self.take_up, recover
        take_up(engine)
        if self._vault is not None:
            forget_again(self._vault, engine)
        self._engine = engine
        self._admission.pressure = engine.pressure
        self.status = "running"  # before anything runs that could fail, else nobody would hear of it
        self._admission.open()
        engine.begin()
        self._program.runtime.start()

    # Failing.

    def _crashed(self, engine: Engine, actor: str, error: BaseException) -> None:
        """An actor could not go on. Called in its thread, so the rebuilding, which waits for that thread's end, is done elsewhere."""
        if engine is not self._engine or self.status in {"stopping", "stopped", "failed", "recovering"}:
            return
        self.status = "recovering"
        self._admission.pause(error)
        self._program.pool.report_to(None)
        try:
            warn("engine.failed", actor=actor, error=said_by(error), epoch=engine.log.epoch)
        finally:  # who interrupts the telling leaves a system that is rebuilt all the same
            self._program.runtime.background("rebuild", lambda: self._rebuild(engine, actor, error))

    def _rebuild(self, engine: Engine, actor: str, error: BaseException) -> None:
        with self._changing:
            if engine is not self._engine:
                return
            self._throw_away(engine, error)
            cause = error
            while self.restarts.allow(actor, cause) and not isinstance(cause, Fenced):
                try:
                    self._log = self._log.reopened()
                    self._run(self._log)
                except BaseException as failure:  # noqa: BLE001 - whatever it was, it counts as one more failure
                    warn("engine.not_rebuilt", error=said_by(failure))
                    self.status = "recovering"
                    self._admission.pause(failure)
                    self._log.close()
                    cause = failure
                else:
                    return
            self.status, self._failed_by = "failed", cause
            self._admission.end(cause)
            warn("system.failed", error=said_by(cause), restarts=self.restarts.total)

    def _throw_away(self, engine: Engine, error: BaseException) -> None:
        """Drop messages, gated outputs, timers, pending snapshots and caches; futures hear what became of their commands (P18)."""
        engine.journal.end(error)
        self._program.runtime.stop()
        self._engine = None
        self._admission.withdraw_all(error)
        self._log.close()

    # Stopping.

    def _close(self) -> None:
        """Close the log for good, and let go of the keys."""
        self._log.close()
        if self._vault is not None and self._has_keys:
            self._has_keys = False
            self._vault.close_store()

    def stop(self) -> None:
        """Close admission, let accepted commands run, start nothing new, write what there is, close the log (P26). Again: no effect."""
        self._admission.end()
        with self._changing:
            engine, running = self._engine, self.status == "running"
            self.status = "stopping" if running else "stopped"
            try:
                if engine is not None and running:
                    self._drain(engine)
            finally:
                self._engine = None
                self._admission.withdraw_all(None)
                self._program.pool.report_to(None)
                self._program.pool.stop()
                self._close()
                self.status = "stopped"

    def _drain(self, engine: Engine) -> None:
        """Who interrupts this waits no longer; the rest is done all the same."""
        runtime, pool = self._program.runtime, self._program.pool
        engine.drain()
        try:
            runtime.until(lambda: self._admission.in_flight == 0, DRAIN_S)
            runtime.until(lambda: pool.running == 0, DRAIN_S)
        finally:
            runtime.stop()
            self._write_the_rest(engine)

    def _write_the_rest(self, engine: Engine) -> None:
        try:
            for owner in engine.owners.values():
                owner.farewell()
            engine.journal.gate(KnownStreamsOutput(engine.log, engine.journal))
            while engine.journal.commit():
                pass
        except (LogError, NotAccepted) as error:
            engine.journal.end(error)
            warn("stop.unclean", error=str(error))
        note("system.stopped", tail=engine.journal.tail, watermark=engine.journal.watermark)
