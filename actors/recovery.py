"""Recovery: from a log to an engine that stands where it stood. No performer, clock or id source takes part in the folding (S8).

Fold; each owner takes the events that it had not yet seen (P2); held reports; probes of calls in doubt (P9); due timers; starts. The host's
calls come last, when the system opens.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tallystick.actors.collector import not_looking
from tallystick.actors.engine import Engine
from tallystick.actors.messages import QueueCompleted
from tallystick.actors.owner.owner import LANE_BATCH, OwnerActor
from tallystick.actors.owner.snapshots import restore
from tallystick.actors.performers.probing import Doubt, Verdict, probe_all
from tallystick.actors.sagas import check_versions
from tallystick.actors.telling import note, warn
from tallystick.domain.errors import LogError, SnapshotError, UnknownEventType
from tallystick.domain.execution import ExecutionRecord, edits_of
from tallystick.domain.protocol import ENGINE_EVENTS, EXECUTION, OWNER, ExecutionRedriven, IntentStarted
from tallystick.domain.token import Token
from tallystick.store import known_streams
from tallystick.store.log import Query, Snapshot

PATHS = (
    "from_snapshot",
    "missed_events",
    "still_running",
    "found_done",
    "answer_to_come",
    "performed_again",
    "left_to_person",
    "late_success",
    "undecided_timeout",
    "timer",
    "parked",
)
"""The ways that a recovery may take; each is counted in `health().counters`, as "recovery.from_snapshot" and so on."""
ENGINE_TYPES = frozenset(kind.__name__ for kind in ENGINE_EVENTS)


class Recovered(NamedTuple):
    """What a recovery found and did."""

    records_folded: int
    open_executions: int
    probed: int


def recover(engine: Engine) -> Recovered:
    """Bring a new engine to where the log says it stands; called before its actors run, by one thread.

    What was under way is left as it was where nothing is performed: the next that opens the log takes it up. Errors as `folded`.
    """
    with not_looking():
        return go_on(engine, folded(engine))


def folded(engine: Engine) -> int:
    """Fold the log into a new engine, and see to it that the program can go on with what comes of it; how many records that took.

    Raises:
        UnknownEventType, UnknownEventVersion, MalformedPayload: the log holds what this program cannot read.
        SagaVersionMissing: it has open sagas of versions that this program lacks.
        LogError: the log failed, or belongs to modules that this system does not have.
    """
    records = fold(engine)
    for owner in engine.owners.values():
        check_versions(engine.behaviour(owner.name).module, owner.state.open.values())
    return records


def go_on(engine: Engine, records: int) -> Recovered:
    """Have an engine into which so many records were folded take up whatever was under way."""
    end = engine.journal.tail
    for owner in engine.owners.values():
        owner.listen()
        if owner.joins_when_used:
            owner.state.seen = end
        elif not owner.state.joined:
            owner.join(0 if owner.acting.setting.behaviour.module.joins_at == "beginning" else end)
    doubtful = [(owner, record) for owner in engine.owners.values() for record in _in_doubt(engine, owner)]
    doubtful.sort(key=lambda each: each[1].position)  # whatever stood in one line comes back in log order (P11)
    for owner in engine.owners.values():
        if owner.state.seen < end:
            _took(engine, "missed_events")
        while owner.state.seen < end:
            owner.catch_up(LANE_BATCH, until=end)
            engine.journal.commit()
    engine.journal.commit()
    still = [(owner, record) for owner, record in doubtful if owner.state.open.get(record.token) == record]
    probed = 0
    if engine.program.performs:
        probed = _take_up(engine, still) + _find_late_successes(engine)
        _set_timers(engine)
        engine.journal.commit()
    found = Recovered(records, sum(len(owner.state.open) for owner in engine.owners.values()), probed)
    note("system.recovered", log=engine.log.identity, epoch=engine.log.epoch, tail=end, **found._asdict())
    return found


def _took(engine: Engine, path: str) -> None:
    engine.program.counters.count(f"recovery.{path}")


# Folding.


def fold(engine: Engine) -> int:
    """Fold the log into the owners' states, from their snapshots on; how many records that took."""
    for owner in engine.owners.values():
        _from_snapshot(engine, owner)
    states = {name: owner.state for name, owner in engine.owners.items()}
    known_to = _known_streams(engine)
    known = engine.journal.known_streams
    start = min([known_to, *(owner.state.position for owner in engine.owners.values() if not _unused(engine, owner))])
    codec = engine.program.codec
    folded = 0
    resident_types = {name: {kind.__name__ for kind in engine.behaviour(name).resident_folds} for name in states}
    for recorded in engine.log.read(Query(after=start)):
        folded += 1
        if recorded.position > known_to and recorded.aggregate_version == 1 and recorded.aggregate_type != EXECUTION:
            known.add(recorded.aggregate_type, recorded.aggregate_id)
        state = states.get(recorded.owner)
        if state is None:
            msg = f"Event {recorded.position} is of owner {recorded.owner!r}, which this system lacks: add its module, or rename it back."
            raise LogError(msg)
        if not codec.knows(recorded.event_type):
            raise UnknownEventType(recorded.position, recorded.event_type, "no module of this system declares it; restore its class.")
        if recorded.position <= state.position:
            continue
        resident = recorded.event_type in resident_types[recorded.owner]
        needed = resident or recorded.token is not None or recorded.event_type in ENGINE_TYPES
        event: Any = codec.decode(recorded) if needed else None
        state.fold_bookkeeping(recorded, event)
        state.joined = True
        if resident:
            state.fold_residents(recorded, event)
    return folded


def _unused(engine: Engine, owner: OwnerActor) -> bool:
    """Whether the log has nothing of an owner that joins it when it is used."""
    return owner.joins_when_used and engine.journal.version(OWNER, owner.name) == 0


def _known_streams(engine: Engine) -> int:
    """Start from the newest filter of known aggregates; the position up to which it knows all."""
    for snapshot in _snapshots(engine, known_streams.OWNER):
        try:
            engine.journal.known_streams = known_streams.KnownStreams.restored(snapshot.format, snapshot.body)
        except SnapshotError as error:
            warn("snapshot.left_out", owner="known streams", position=snapshot.position, error=str(error))
        else:
            return snapshot.position
    beginning = engine.log.beginning
    if beginning is None:
        return 0
    for aggregate_type, aggregate_id in beginning.streams:
        engine.journal.known_streams.add(aggregate_type, aggregate_id)
    for kept in beginning.kept:
        engine.journal.known_streams.add(kept.aggregate_type, kept.aggregate_id)
    return beginning.head.position


def _from_snapshot(engine: Engine, owner: OwnerActor) -> None:
    """Start from the newest snapshot that fits; one that does not costs time only (P21)."""
    for snapshot in _snapshots(engine, owner.name):
        try:
            restore(snapshot, owner.state, engine.behaviour(owner.name), engine.program.codec)
        except SnapshotError as error:
            warn("snapshot.left_out", owner=owner.name, position=snapshot.position, error=str(error))
        else:
            _took(engine, "from_snapshot")
            return
    beginning = engine.log.beginning
    if beginning is not None and owner.name in beginning.snapshots:
        # No event can stand in for this one, so that it must fit.
        restore(beginning.snapshots[owner.name], owner.state, engine.behaviour(owner.name), engine.program.codec)


def _snapshots(engine: Engine, owner: str) -> Iterator[Snapshot]:
    """An owner's snapshots, newest first, each checked to be of this log.

    Raises:
        SnapshotError: one is not; starting from it, or without what it knows, would not be starting from the log (P21).
    """
    tail = engine.journal.tail
    for snapshot in engine.log.snapshots(owner):
        if snapshot.position > tail:
            what = "it is of another log, or events are missing."
            msg = f"A snapshot of {owner} is of position {snapshot.position}, but the log ends at {tail}: {what}"
            raise SnapshotError(msg)
        recorded = next(iter(engine.log.read(Query(after=snapshot.position - 1, limit=1))))
        if recorded.hash != snapshot.hash:
            msg = f"A snapshot of {owner} at {snapshot.position} is not of this log: the record there has another hash."
            raise SnapshotError(msg)
        yield snapshot


# What was under way.


def _in_doubt(engine: Engine, owner: OwnerActor) -> Iterator[ExecutionRecord]:
    """Executions whose call may have been made: nobody knows how far it came. Not those whose outcome is parked with its handler (P13)."""
    held = engine.queue.holds
    for record in sorted(owner.state.open.values(), key=lambda record: record.position):
        if record.status == "running" and record.started.performs and owner.settling.undecided(record.token) and not held(record.token):
            yield record


def _take_up(engine: Engine, doubtful: list[tuple[OwnerActor, ExecutionRecord]]) -> int:
    """Take up calls that still run in this process; ask the outside world about the others, before any timer fires (P9)."""
    pool = engine.program.pool
    asked = [(owner, record) for owner, record in doubtful if not pool.holds(record.token, record.attempt, record.index)]
    doubts = [_doubt_of(owner.name, record) for owner, record in asked]
    verdicts = dict(zip((doubt.token for doubt in doubts), probe_all(pool, engine.program.runtime, doubts), strict=True))
    for owner, record in doubtful:
        verdict = verdicts.get(record.token)
        _took(engine, _take_up_again(owner, record) if verdict is None else _resume(owner, record, verdict))
    return len(doubts)


def _doubt_of(owner: str, record: ExecutionRecord) -> Doubt:
    started = record.started
    around = (record.correlation, started.tags)
    return Doubt(owner, record.token, record.attempt, record.deadline_us, started.actions, record.index, record.edits, *around)


def _take_up_again(owner: OwnerActor, record: ExecutionRecord) -> str:
    owner.acting.journal.gate(owner.acting.start_of(record, record.attempt, record.deadline_us, admitted=True))
    return "still_running"


def _resume(owner: OwnerActor, record: ExecutionRecord, verdict: Verdict) -> str:
    """Go on as the outside world says; which path that is."""
    if verdict.unknown:
        owner.settling.leave_to_person(record, "after a crash its provider cannot tell whether the call had its effect")
        return "left_to_person"
    if verdict.resume:
        owner.acting.journal.gate(owner.acting.start_of(record, record.attempt, record.deadline_us, admitted=True))
        return "found_done" if verdict.done else "answer_to_come"
    owner.settling.start_again(record, again=True)
    return "performed_again"


def _find_late_successes(engine: Engine) -> int:
    """Probe what ended without a word from outside: its success may have come while nobody listened.

    It is asked about at every opening, however old it is: the outside world may take its time, and a clock may have jumped.
    """
    doubts: list[tuple[OwnerActor, Doubt]] = []
    for owner in engine.owners.values():
        for token in sorted(owner.state.abandoned, key=owner.state.abandoned.__getitem__):
            doubt = _asked_for(engine, owner.name, token)
            if doubt.actions and all(engine.program.pool.performers[type(action)].probe for action in doubt.actions):
                doubts.append((owner, doubt))
    verdicts = probe_all(engine.program.pool, engine.program.runtime, [doubt for _, doubt in doubts])
    for (owner, doubt), verdict in zip(doubts, verdicts, strict=True):
        if verdict.done:
            _took(engine, "late_success")
            owner.settling.completed(QueueCompleted(doubt.context, None, verdict.result, verdict.revealed))
    return len(doubts)


def _asked_for(engine: Engine, owner: str, token: Token) -> Doubt:
    """The actions of an execution as they were last edited, and for which attempts they were."""
    doubt = Doubt(owner, token, 0, None, ())
    for recorded in engine.journal.of_token(token):
        event = engine.program.codec.decode(recorded) if recorded.aggregate_type == EXECUTION else None
        if isinstance(event, IntentStarted):
            doubt = doubt._replace(actions=event.actions, correlation=recorded.correlation, tags=event.tags)
        elif isinstance(event, ExecutionRedriven) and event.actions is not None:
            edits = edits_of(doubt.actions, event.actions, event.attempt, doubt.edits)
            doubt = doubt._replace(actions=event.actions, edits=edits)
    return doubt


def _set_timers(engine: Engine) -> None:
    """Hand undecided timeouts to their owners again (P8), and arm what is due later."""
    for owner in engine.owners.values():
        for token in list(owner.state.open):
            record = owner.state.open[token]
            if record.status == "fired" and owner.settling.undecided(token):
                _took(engine, "undecided_timeout")
                owner.settling.decide_timeout(record)
            else:
                _took(engine, "timer")
                owner.acting.arm(token)
        for source in owner.state.parking:
            _took(engine, "parked")
            owner.acting.arm_parked(source)
