"""The live state held against the model (S7): what one turn touched, and everything; also what a rebuilding makes of the log (S7, S8)."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from tallystick.actors.counters import Counters
from tallystick.actors.engine import Engine, Program
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.recovery import fold
from tallystick.actors.runtimes.stepped import SteppedRuntime
from tallystick.domain.envelope import Recorded
from tallystick.domain.token import Token
from tallystick.store.log import EventLog, Head, Query, Snapshot
from tallystick.testing.model import LogModel
from tallystick.testing.violations import InvariantViolation


def compare_touched(state: OwnerState, model: LogModel, recorded: Recorded) -> None:
    """Hold what one record of an owner changed against the model.

    Raises:
        InvariantViolation: S7.
    """
    stream = (recorded.aggregate_type, recorded.aggregate_id)
    entry = state.entries.get(stream)
    if entry is not None:
        _compare_entry(entry, model, stream)
    if recorded.token is not None:
        _compare_execution(state, model, recorded.owner, recorded.token)
    for owner, into, resident, _ in model.rules.folds.get(recorded.event_type, ()):
        if resident and owner == recorded.owner and state.residents[into] != model.residents[owner][into]:
            raise InvariantViolation("S7", f"{owner}'s {into.__name__} is not the fold of its log", position=recorded.position)


def _compare_entry(entry: tuple[int, Mapping[type[Any], Any]], model: LogModel, stream: tuple[str, str]) -> None:
    version, states = entry
    if version != model.versions.get(stream, 0) or states != model.states.get(stream, {}):
        text = f"{stream[0]} {stream[1]!r} is {states} at version {version}; its events fold into {model.states.get(stream, {})}"
        raise InvariantViolation("S7", text, position=model.tail)


def _compare_execution(state: OwnerState, model: LogModel, owner: str, token: str) -> None:
    live, expected = state.open.get(Token(token)), model.open[owner].get(token)
    if live is None or expected is None:
        if live is not None or expected is not None:
            text = f"{owner} holds the execution {'open' if live is not None else 'ended'}, the log says otherwise"
            raise InvariantViolation("S7", text, position=model.tail, token=token)
        return
    stands: tuple[Any, ...] = (live.attempt, live.call, live.status, live.due_us)
    due_us = expected["due_us"] if expected["status"] in ("running", "retrying") else None
    should: tuple[Any, ...] = (expected["attempt"], expected["call"], expected["status"], due_us)
    # A timeout is in the log before its owner has taken it (P8).
    if stands != should and not (expected["status"] == "fired" and stands[:3] == (*should[:2], "running")):
        raise InvariantViolation("S7", f"{owner} has it at {stands}, the log at {should}", position=model.tail, token=token)


def compare_all(states: Mapping[str, OwnerState], model: LogModel) -> None:
    """Hold everything that is in memory against the model.

    Raises:
        InvariantViolation: S7.
    """
    for owner, state in states.items():
        for stream, entry in state.entries.items():
            _compare_entry(entry, model, stream)
        for token in {*state.open, *map(Token, model.open[owner])}:
            _compare_execution(state, model, owner, token)
        for kind, resident in model.residents[owner].items():
            if state.residents[kind] != resident:
                text = f"{owner}'s {kind.__name__} is {state.residents[kind]}, its log folds into {resident}"
                raise InvariantViolation("S7", text, position=model.tail)
        parked = {tuple(source): (each.position, each.attempt, each.dead) for source, each in state.parking.items()}
        expected = {source: (each["position"], each["attempt"], each["dead"]) for source, each in model.parked[owner].items()}
        if parked != expected:
            raise InvariantViolation("S7", f"{owner} has parked {parked}, the log says {expected}", position=model.tail)
        if state.seen < model.seen.get(owner, 0):
            text = f"{owner}'s cursor is {state.seen}, behind {model.seen[owner]} in the log"
            raise InvariantViolation("P1", text, position=model.tail)


# Rebuilding.


class _Untouchable:
    """What nothing may ask while state is rebuilt (S8)."""

    def _touched(self, *_arguments: Any) -> NoReturn:
        raise InvariantViolation("S8", "rebuilding asked for time, an id, a draw or a performer")

    now_us = sleeping_us = new_id = draw = submit = stop = _touched


class _Rebuilding(SteppedRuntime):
    """A runtime that has neither clock nor ids nor performers."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = cast("Any", _Untouchable())

    def identity(self, epoch: int) -> Any:
        """None to be had."""
        del epoch
        return _Untouchable()

    def executor(self, performer: Any, report: Any) -> Any:
        """None to be had."""
        del performer, report
        return _Untouchable()


class _WithoutSnapshots:
    """A log whose snapshots were all deleted; it can only be read."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.identity = log.identity
        self.epoch = log.epoch
        self.beginning = log.beginning

    def head(self) -> Head:
        return self._log.head()

    def read(self, query: Query) -> Iterator[Recorded]:
        return self._log.read(query)

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        return self._log.version(aggregate_type, aggregate_id)

    def snapshots(self, owner: str) -> Iterator[Snapshot]:
        del owner
        return iter(())


def compare_rebuilt(program: Program, log: EventLog, model: LogModel, *, without_snapshots: bool = True) -> None:
    """Have the library rebuild its state from the log, with its snapshots and without, and hold each against the model.

    Only where everything is durable that the model has taken. Without `without_snapshots` it is what a recovery would read now.

    Raises:
        InvariantViolation: S7, or S8 when the rebuilding asked for what it must do without.
    """
    for source in (log, cast("EventLog", _WithoutSnapshots(log)))[: 1 + without_snapshots]:
        runtime = _Rebuilding()
        pool = PerformerPool(program.pool.performers.values(), runtime.executor)
        engine = Engine(program._replace(runtime=runtime, pool=pool, counters=Counters()), source, _nobody)
        fold(engine)
        compare_all({name: owner.state for name, owner in engine.owners.items()}, model)


def _nobody(actor: str, error: BaseException) -> None:
    del actor, error
