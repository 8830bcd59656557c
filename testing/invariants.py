"""The invariants, checked while a system runs and after: what the log says, what is in memory, and what the outside world saw."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from tallystick.actors.actor import EngineActor
from tallystick.actors.engine import Engine
from tallystick.actors.messages import QueueCompleted, QueueFailed, QueueRejected, RetryDue, SettleFromOutside, StartQueue, TimeoutDecision
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.performers.performer import RunningCall
from tallystick.actors.system import System
from tallystick.actors.writer import WriterActor
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import CommitUnknown, NotAccepted, NotCommitted
from tallystick.store.journal import Journal
from tallystick.testing.comparison import compare_all, compare_rebuilt, compare_touched
from tallystick.testing.disk import Disk
from tallystick.testing.model import LogModel, Rules
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.starts import Doubts, Starts
from tallystick.testing.violations import InvariantViolation

EVERYTHING_EVERY_TURNS = 1000
REPORTS = frozenset({QueueCompleted, QueueFailed, QueueRejected, SettleFromOutside, TimeoutDecision, RetryDue})
_content = attrgetter(*(field for field in Recorded.__struct_fields__ if field not in {"log_tag", "event", "hash"}))
"""All that an append makes of a record; its hash is the log's."""
EXPECTED_FAILURES = ("LogPoisoned", "ProcessDied")
FENCED = "Fenced"


class Invariant(Protocol):
    """A program's own invariant. A new one is made for each reading of a log from its beginning."""

    def take(self, recorded: Recorded, event: Any) -> None:
        """One more record, in order, as soon as it is numbered; `event` is None for the library's own.

        Raises:
            InvariantViolation: it does not hold.
        """
        ...

    def end(self, system: System) -> None:
        """The run is over: nothing is under way any more, and everything is durable.

        Raises:
            InvariantViolation: it does not hold.
        """
        ...


def engine_of(system: System) -> Engine:
    """The running engine, which is nobody's business but a checker's."""
    return system._life.engine  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def rules_of(system: System) -> Rules:
    """What is to be known of a system's program."""
    return Rules({behaviour.name: behaviour for behaviour in engine_of(system).program.behaviours})


def check_invariants(system: System, invariants: Iterable[Invariant] = ()) -> LogModel:
    """Check a running system at a moment when nothing is under way: its whole log, its state in memory, and what a rebuilding would make.

    Works on every runtime and log. Timeouts, retries and reactions may have been others when the log was written: it is not measured by
    them. The model of the log is returned: executions, parked sources, states as plain dicts.

    Raises:
        InvariantViolation: S1, S2, S3, S5, S6, S7, S8, S13, P1, P3, P6, P8, P10, P12, P13, P20, P23, or one of the program's own.
    """
    engine = engine_of(system)
    model, own = LogModel(rules_of(system)), list(invariants)
    for recorded in system.events():
        event = model.take(recorded)
        for invariant in own:
            invariant.take(recorded, event)
    if model.tail == engine.journal.tail:
        compare_all({name: owner.state for name, owner in engine.owners.items()}, model)
    compare_rebuilt(engine.program, engine.log, model)
    for invariant in own:
        invariant.end(system)
    return model


class Known(NamedTuple):
    """What was known of a log when it had been opened so many times."""

    records: Sequence[Recorded] = ()
    openings: int = 0
    ends: Collection[int] = ()
    """Where its turns ended: it can end there, and nowhere else (S5)."""
    model: LogModel | None = None
    own: Sequence[Invariant] = ()
    """What the records were taken into; good for as long as all of them are there."""


class Watcher:
    """Looks at a simulated system after each of its turns. The first violation it finds is kept in `violation`.

    It raises nothing, for it is called from within the library, which handles errors; whoever drives looks at `violation`.
    """

    def __init__(
        self,
        runtime: SimulatedRuntime,
        disk: Disk,
        invariants: Callable[[], Sequence[Invariant]],
        denied: dict[str, int] | None = None,
        doubts: Doubts | None = None,
    ) -> None:
        self.violation: InvariantViolation | None = None
        self.model: LogModel | None = None
        self.told: Callable[[Recorded], None] | None = None
        """Told of each record as it is numbered."""
        self._runtime = runtime
        runtime.watch_call = self._call  # before it opens: recovering is to call nobody
        self._disk = disk
        self._denied: dict[str, int] = {} if denied is None else denied
        self._doubts = doubts or Doubts()
        self._starts: Starts | None = None
        self._openings = 0
        self._ends: set[int] = set()
        self._invariants = invariants
        self._own: Sequence[Invariant] = ()
        self._actors: dict[str, EngineActor] = {}
        self._system: System | None = None
        self._journal: Journal | None = None
        self._full_at = EVERYTHING_EVERY_TURNS
        self._rebuilt_at = EVERYTHING_EVERY_TURNS  # then after four times as many each time, since it reads the whole log

    def attach(self, system: System, known: Known) -> None:
        """Begin with a system that has just been opened. What was known of its log, as far as it was durable, must still be there."""
        self._system = system
        self._runtime.watch = self._turn
        self._guarded(self._begin_again, known)

    @property
    def known(self) -> Known | None:
        """What is known of the log by now; None if it was not read."""
        return None if self.model is None else Known(self.model.records, self._openings, self._ends, self.model, self._own)

    def _guarded(self, check: Callable[..., None], *arguments: Any) -> None:
        if self.violation is None:
            try:
                check(*arguments)
            except InvariantViolation as violation:
                self.violation = violation

    # A new engine.

    def _begin_again(self, known: Known) -> None:
        """Read the log anew: a prefix of what was there before, and what the recovery has added (S4, S5)."""
        runtime, system = self._runtime, self._system
        if system is None:
            return
        if runtime.actors:
            self._check_failure(system)
        self._actors = runtime.actors
        journal = next((actor.acting.journal for actor in runtime.actors.values() if isinstance(actor, OwnerActor)), None)
        if journal is None or system.health().status != "running":
            return
        durable = list(system.events())
        survived = self._check_survival(known, durable)
        self._openings = len(self._disk.openings)
        rules = rules_of(system)
        if known.model is not None and survived >= len(known.records):
            self.model, self._own = known.model.continued(rules), known.own
        else:
            self.model, self._own = LogModel(rules), self._invariants()
        self._journal = journal
        for recorded in durable[self.model.tail :]:
            self._take(self.model, recorded, None)
        self._ends = set(range(len(durable) + 1))  # of what has survived nothing else is known; it may have been cut off anywhere
        performers, first = engine_of(system).program.pool.performers, self._starts is None
        self._starts = Starts(self.model, self._disk.position, performers, self._doubts, first=first)
        self._catch_up(self.model, journal)
        self._live(self.model)
        for owner in runtime.actors.values():
            if isinstance(owner, OwnerActor) and owner.state.seen < self._disk.position_opened:
                text = f"{owner.name} has seen {owner.state.seen} when all is said to be recovered up to {self._disk.position_opened}"
                raise InvariantViolation("P2", text, position=self._disk.position_opened)

    def _check_survival(self, known: Known, durable: Sequence[Recorded]) -> int:
        """All that was acknowledged is there (S4); it is what was appended, and no append is there in part (S5). How much is there."""
        openings = self._disk.openings[known.openings :]
        survived = openings[0].position if openings else self._disk.position
        for opening in openings:
            if opening.position < opening.acknowledged:
                text = f"the log ends at {opening.position}, but was acknowledged up to {opening.acknowledged}"
                raise InvariantViolation("S4", text, position=opening.position + 1)
        for before, after in zip(known.records[:survived], durable, strict=False):
            if before is not after and _content(before) != _content(after):
                raise InvariantViolation("S5", "after a crash another record stands there than was appended", position=before.position)
        if survived < len(known.records) and survived not in known.ends:
            raise InvariantViolation("S5", f"only a part of the append around position {survived} has survived", position=survived)
        if len(durable) < survived:
            raise InvariantViolation("S4", f"the log ends at {len(durable)}, but was durable up to {survived}", position=survived)
        for recorded in durable[:survived]:
            if recorded.aggregate_type == "Command" and self._denied.get(recorded.aggregate_id, survived) < recorded.position:
                text = f"the command with key {recorded.aggregate_id!r} was said not to have been carried out"
                raise InvariantViolation("P18", text, position=recorded.position)
        self._denied.clear()
        return survived

    def _check_failure(self, system: System) -> None:
        health = system.health()
        expected = (*EXPECTED_FAILURES, FENCED) if self._disk.fenced else EXPECTED_FAILURES
        if health.last_failure and not any(name in health.last_failure for name in expected):
            raise InvariantViolation("P14", f"the engine failed by itself: {health.last_failure}")

    # Turns.

    def _turn(self, actor: EngineActor, message: Any) -> None:
        if self.violation is not None:
            return
        model, journal = self.model, self._journal
        if self._runtime.actors is not self._actors or (journal is not None and journal.failure is not None):
            self._guarded(self._begin_again, self.known or Known())
        elif model is not None and journal is not None:
            try:
                self._look(model, journal, actor, message)
            except InvariantViolation as violation:
                self.violation = violation

    def _look(self, model: LogModel, journal: Journal, actor: EngineActor, message: Any) -> None:
        stale = _is_stale(model, actor, message) if type(message) in REPORTS else None
        reply = getattr(message, "reply", None)
        records = self._catch_up(model, journal) if journal.tail > len(model.records) else ()
        if records and isinstance(actor, OwnerActor):
            _check_lane(actor, records)
        if stale is not None:
            _check_stale(stale, message, records)
        if reply is not None:
            self._follow(reply, model.tail)
        if records or type(message) is StartQueue or type(actor) is WriterActor:
            self._look_at_starts(actor, message, records)
        turns = self._runtime.turns
        if turns >= self._full_at:
            self._full_at = turns + EVERYTHING_EVERY_TURNS
            self._live(model)
            if turns >= self._rebuilt_at and journal.tail == self._disk.position:
                self._rebuilt_at = 4 * turns
                self._rebuilt(model)

    def _look_at_starts(self, actor: EngineActor, message: Any, records: Sequence[Recorded]) -> None:
        starts = self._starts
        if starts is not None:
            if type(message) is StartQueue:
                starts.taken(message)
            elif type(actor) is WriterActor:
                starts.released(self._disk.position)
            else:
                starts.appended(records)

    def _catch_up(self, model: LogModel, journal: Journal) -> Sequence[Recorded]:
        """Take what has been numbered since."""
        records = journal.after(model.tail, journal.tail - model.tail)
        now_us = self._runtime.clock.now_us()
        for recorded in records:
            self._take(model, recorded, now_us)
        self._ends.add(model.tail)
        for recorded in records:
            owner = self._actors.get(recorded.owner)
            if isinstance(owner, OwnerActor):
                compare_touched(owner.state, model, recorded)
        return records

    def _take(self, model: LogModel, recorded: Recorded, now_us: int | None) -> None:
        event = model.take(recorded, now_us)
        for invariant in self._own:
            invariant.take(recorded, event)
        if self.told is not None and now_us is not None:
            self.told(recorded)

    # What leaves the system (S14).

    def _follow(self, reply: Any, tail: int) -> None:
        future: Future[Any] = reply.future
        if future.done():
            self._check_released(future, tail)
        else:
            future.add_done_callback(lambda done: self._guarded(self._check_released, done, tail))

    def _check_released(self, future: "Future[Any]", tail: int) -> None:
        if not self._runtime.world.alive or future.cancelled():
            return
        if tail > self._disk.position and not isinstance(future.exception(), NotAccepted | NotCommitted | CommitUnknown):
            text = f"a reply left that rests on position {tail}, while the log was durable up to {self._disk.position}"
            raise InvariantViolation("S14", text, position=tail)

    def _call(self, call: RunningCall) -> None:
        self._guarded(self._check_call, call)

    def _check_call(self, call: RunningCall) -> None:
        if self._runtime.world.recovering:
            raise InvariantViolation("S8", f"recovering called the performer of {type(call.action).__name__}", token=call.token)
        if self.model is None:
            return
        if self._starts is not None:
            self._starts.called(call)
        execution = self.model.executions.get(call.token)
        started = None if execution is None else execution["starts"].get(call.attempt)
        if call.key not in (call.token, f"{call.token}/{call.index}"):
            raise InvariantViolation("P5", f"the outside world is given the key {call.key!r}", token=call.token)
        if started is None:
            raise InvariantViolation("P16", f"attempt {call.attempt} is performed, and no record says that it began", token=call.token)
        if started > self._disk.position:
            text = f"attempt {call.attempt} is performed, while the log is durable up to {self._disk.position}"
            raise InvariantViolation("S14", text, position=started, token=call.token)

    # Everything.

    def _live(self, model: LogModel) -> None:
        compare_all({name: actor.state for name, actor in self._actors.items() if isinstance(actor, OwnerActor)}, model)

    def _rebuilt(self, model: LogModel, *, without_snapshots: bool = True) -> None:
        system = self._system
        if system is not None and model.tail == self._disk.position:
            engine = engine_of(system)
            compare_rebuilt(engine.program, engine.log, model, without_snapshots=without_snapshots)

    def check_everything(self, *, without_snapshots: bool) -> None:
        """Hold all that is in memory against the model, and what a rebuilding would make of the log.

        Raises:
            InvariantViolation: the first one that was found, now or before.
        """
        if self.model is not None:
            self._guarded(self._live, self.model)
            self._guarded(partial(self._rebuilt, without_snapshots=without_snapshots), self.model)
        if self.violation is not None:
            raise self.violation

    def end(self, system: System) -> None:
        """Have the program's own invariants look at the end.

        Raises:
            InvariantViolation: one does not hold.
        """
        for invariant in self._own:
            invariant.end(system)


def _token_of(report: Any) -> str:
    return report.token if type(report) is SettleFromOutside else report.context.token


def _is_stale(model: LogModel, actor: EngineActor, report: Any) -> bool | None:
    """Whether a report must change nothing (S3); None for what is on its way to its owner."""
    if not isinstance(actor, OwnerActor):
        return None
    token = _token_of(report)
    execution = model.executions.get(token)
    stale = (
        execution is None
        or execution["owner"] != actor.name
        or execution["settled"] is not None
        or ("Execution", token) in model.parked[actor.name]
    )
    if execution is None or stale:
        return True
    current: bool
    match report:
        case QueueFailed(attempt=int(attempt)):
            current = attempt == execution["attempt"] and execution["status"] != "retrying"
        case TimeoutDecision(fired=fired):
            current = execution["status"] == "fired" and fired.event.attempt == execution["attempt"]
        case RetryDue(attempt=attempt):
            current = execution["status"] == "retrying" and attempt == execution["attempt"]
        case _:
            current = True
    return not current


def _check_lane(owner: OwnerActor, records: Sequence[Recorded]) -> None:
    """An append says that its owner has seen what it has taken by then, and not what still waits in its lane (P1)."""
    pending = owner.lane.pending
    if not pending:
        return
    for recorded in records:
        if recorded.owner == owner.name and recorded.seen is not None and recorded.seen >= pending[0].position:
            text = f"{owner.name} says that it has seen {recorded.seen}, while {pending[0].position} waits in its lane"
            raise InvariantViolation("P1", text, position=recorded.position)


def _check_stale(stale: bool, message: Any, records: Sequence[Recorded]) -> None:
    """A stale report changes nothing, evidence of a late success aside (S3); a success that is not stale ends something (P4)."""
    token = _token_of(message)
    if stale and records and not (isinstance(message, QueueCompleted | SettleFromOutside) and records[0].event_type == "LateSuccess"):
        text = f"a stale {type(message).__name__} made {', '.join(each.event_type for each in records)}"
        raise InvariantViolation("S3", text, position=records[0].position, token=token)
    if not stale and isinstance(message, QueueCompleted) and not records:
        raise InvariantViolation("P4", "a success of an open execution was not taken", token=token)
