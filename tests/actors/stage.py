"""A stage for one program in virtual time: it can be run on, crashed at any step, and opened again on what was durable."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import tallystick as ts
from tallystick.actors.engine import Engine
from tallystick.actors.messages import Context, TimeoutDue
from tallystick.domain.envelope import Recorded
from tests.actors.outside import ByHandRuntime, FaultyLog, OpenCall, Provider, StillRunning
from tests.actors.workshop import Desk, Do, Ledger, Workshop

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Stage:
    """A system that runs, and what stands around it: log, clock, provider."""

    def __init__(
        self,
        modules: Sequence[ts.Module] | None = None,
        *,
        probes: bool = True,
        seed: int = 0,
        limits: ts.Limits | None = None,
        restarts: ts.RestartPolicy | None = None,
    ) -> None:
        self.workshop = Workshop()
        self.ledger = Ledger()
        self.provider = Provider()
        self.clock = ts.ManualClock(NOON)
        self._log = FaultyLog()
        self.disk = self._log.disk
        self._modules = modules
        self._probes = probes
        self._seed = seed
        self._limits = limits
        self._restarts = restarts
        self._open()

    def _open(self) -> None:
        self.runtime = ByHandRuntime(self.clock, seed=self._seed)
        modules = self._modules if self._modules is not None else [Desk(), self.workshop, self.ledger]
        performers = self.provider.performers(probes=self._probes)
        self.system = ts.System(
            modules, performers=performers, log=self._log, runtime=self.runtime, limits=self._limits, restarts=self._restarts
        )
        self.system.__enter__()

    # Driving.

    def idle(self) -> None:
        """Run until nothing is left, without letting time pass."""
        self.runtime.run_until_idle()

    def step_until(self, condition: Callable[[], bool]) -> None:
        """Step by step, no further than needed."""
        while not condition():
            assert self.runtime.step(), "nothing is left to run, and the condition does not hold"

    def advance(self, seconds: float) -> None:
        self.runtime.advance(timedelta(seconds=seconds))

    def times_out(self, job_id: str) -> None:
        """No attempt for that job is answered: it is abandoned after the third, while all its calls are still out."""
        self.provider.answers(job_id, StillRunning(), StillRunning(), StillRunning())
        self.system.ask(Do(job_id=job_id))
        self.advance(60 + 10 + 60 + 10 + 60)

    def fires(self, job_id: str, *, attempt: int) -> None:
        """The timer fires for an attempt, whether or not that is due."""
        due = TimeoutDue(Context("workshop", self.token(job_id)), attempt)
        self.engine.router.post.tell(self.engine.timer._timeout(due))

    def crash(self) -> None:
        """The process is gone in the middle of whatever it was doing; another one opens the log."""
        self._log = self.log.reopened()
        self._open()

    def reopen(self, modules: Sequence[ts.Module] | None = None) -> None:
        """A clean stop, and a new start, of another program if one is given."""
        self.system.stop()
        self._log = self.log.reopened()
        self._modules = modules if modules is not None else self._modules
        self._open()

    # Looking.

    @property
    def engine(self) -> Engine:
        return self.system._life.engine

    @property
    def log(self) -> FaultyLog:
        """The present log: a rebuilt engine has another than the one before."""
        log = self.system._life.log
        assert isinstance(log, FaultyLog)
        return log

    @property
    def written(self) -> list[Recorded]:
        """What is durable."""
        return list(self.log.read())

    def types(self, *, of: str | None = None) -> list[str]:
        """The types of what is durable, in order, of one owner or all; how owners joined says nothing here."""
        return [each.event_type for each in self.written if each.owner == (of or each.owner) and each.event_type != "OwnerJoined"]

    def of_type(self, event_type: str) -> list[Recorded]:
        return [each for each in self.written if each.event_type == event_type]

    def events(self, event_type: str) -> list[Any]:
        """The payloads of one type."""
        return [self.system._codec.decode(each) for each in self.of_type(event_type)]

    def entered(self) -> list[tuple[str, str]]:
        """What the ledger has entered, in order."""
        return [(each.about, each.what) for each in self.events("Entered")]

    def token(self, job_id: str) -> ts.Token:
        """The token of the execution that was begun for a job."""
        for each in self.engine.journal.after(0, 10_000):
            if each.event_type == "MakingStarted" and self.system._codec.decode(each).intent.job_id == job_id:
                return ts.Token(each.token or "")
        msg = f"no execution was begun for {job_id}"
        raise AssertionError(msg)

    def open_call(self, job_id: str) -> OpenCall:
        """The last call for a job that has not answered."""
        return next(each for each in reversed(self.runtime.open_calls) if each.call.action.job_id == job_id)

    def counted(self, what: str) -> int:
        return self.system.health().counters.get(what, 0)
