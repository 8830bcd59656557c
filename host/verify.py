"""Verifying a log from its first record to its last: nothing lost, nothing settled twice, nothing that its program could not have written.

The chain, positions and versions are the log's own check (S5, S6); this adds times and references (P23, P1, P3), the brackets (S1, S2) and,
with a program's code, that all can be decoded and folded (S7). It takes no lock and writes nothing.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from os import PathLike
from typing import Any, Final, Protocol, cast, get_args

import msgspec

import tallystick as ts
from tallystick.actors.owner import saved_states
from tallystick.actors.owner.snapshots import residents_in
from tallystick.actors.scheduling import module_of_schedules
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Settles
from tallystick.domain.operations.owner import AttendOperation, Operations
from tallystick.domain.privacy import Privacy
from tallystick.domain.protocol import ENGINE_EVENTS, EXECUTION
from tallystick.host.dead_letters import letters_in
from tallystick.host.kept_head import KeptHead
from tallystick.host.output import Progress
from tallystick.host.programs import Audit, Program
from tallystick.store.codec import Codec
from tallystick.store.log import NO_START, Beginning, StreamStart

TELLS_EVERY: Final = 500
_ENDS: Final = frozenset(get_args(Settles))
_ENGINE = frozenset(kind.__name__ for kind in ENGINE_EVENTS)


class BadLog(ts.TallystickError):
    """A rule is broken; `position` is the first record that breaks it, None where no single one does."""

    def __init__(self, position: int | None, rule: str, problem: str) -> None:
        super().__init__(f"{f'Position {position}' if position is not None else 'The log'}: {problem} ({rule}).")
        self.position = position
        self.rule = rule


class Verified(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a verified log holds. `head` is where it ends, as text: who keeps it elsewhere can later tell whether a tail was cut off.

    `begins_after` is the position that a log goes on from that was loaded from a save; what was before could not be looked at.
    """

    events: int
    head: str
    owners: dict[str, int]
    begun: int
    succeeded: int
    failed: int
    abandoned: int
    open: int
    retried: int
    late_successes: int
    dead_letters: int
    scenario: str | None = None
    begins_after: int = 0


def _to_nobody(done: int, of: int | None) -> None:
    del done, of


class Check(Protocol):
    """A rule that is checked record by record."""

    def take(self, recorded: ts.Recorded) -> None:
        """One more record, in order."""
        ...


def verify(
    path: str | PathLike[str], program: Program | None = None, progress: Progress = _to_nobody, *, kept: KeptHead | None = None
) -> Verified:
    """Read all of a log and check it; `progress` is told how many records have been read, and of how many, from time to time.

    `kept` is a head that the log once had: no chain shows that its last records are missing.

    Raises:
        LogCorrupt: chain, positions, versions or kept head are not as they were written; the message names the first bad position.
        BadLog: a rule is broken.
        UnreadableEvent: the program cannot read an event.
        LogError: there is no log there.
    """
    with closing(ts.SqliteReader(path)) as reader:
        brackets = Brackets(reader)
        checks: list[Check] = [Envelopes(reader), brackets]
        folds = None if program is None else Folds(reader, program)
        if folds is not None:
            checks.append(folds)
        counts: Counter[str] = Counter()
        owners: Counter[str] = Counter()
        head = KeptHead()
        for recorded in reader.verify():
            for check in checks:
                check.take(recorded)
            head = KeptHead(recorded.position, recorded.hash)
            if kept is not None:
                kept.check(head)
            if recorded.position % TELLS_EVERY == 1:
                progress(recorded.position, reader.head().position)
            counts[recorded.event_type] += 1
            owners[recorded.owner] += 1
        if kept is not None:
            kept.check_reached(head)
        if folds is not None:
            folds.finish()
        return Verified(
            events=owners.total(),
            head=str(head),
            owners=dict(sorted(owners.items())),
            begun=brackets.begun,
            succeeded=brackets.ended["succeeded"],
            failed=brackets.ended["failed"],
            abandoned=brackets.ended["abandoned"],
            open=len(brackets.open),
            retried=counts["RetryScheduled"],
            late_successes=counts["LateSuccess"],
            dead_letters=len(letters_in(reader)) if counts["ReactionFailed"] or counts["PersonNeeded"] else 0,
            scenario=None if program is None else program.name,
            begins_after=0 if reader.beginning is None else reader.beginning.head.position,
        )


class Envelopes:
    """Time never decreases (P23), a record says of none that it was before it that was not, and settles in one of the ways there are."""

    def __init__(self, reader: ts.SqliteReader) -> None:
        self._last_us = 0 if reader.beginning is None else reader.beginning.head.occurred_at_us

    def take(self, recorded: ts.Recorded) -> None:
        """One more record, in order."""
        at = recorded.position
        if recorded.occurred_at_us < self._last_us:
            raise BadLog(at, "P23", "it happened before the record before it")
        self._last_us = recorded.occurred_at_us
        if recorded.settles is not None and recorded.settles not in _ENDS:
            raise BadLog(at, "S1", f"it settles as {recorded.settles!r}, which no operation does")
        if recorded.seen is not None and not 0 <= recorded.seen < at:
            raise BadLog(at, "P1", f"its owner had seen position {recorded.seen} by then, it says")
        if recorded.causation is not None and not 0 < recorded.causation < at:
            raise BadLog(at, "P3", f"it was caused by position {recorded.causation}, it says, which does not come before it")


UNKNOWN: Final = ""
"""Whose an execution is that a migrated save had in a queue, and no record of."""


def open_at(beginning: Beginning) -> dict[str, str]:
    """Whose executions were open, by token, when the save was made that a log begins with."""
    begun = {record.token: record.owner for record in beginning.kept if record.token is not None and _begins(record)}
    migrated = {key: UNKNOWN for kind, key in beginning.streams if kind == EXECUTION}
    ended = {record.token for record in beginning.kept if record.settles is not None}
    return {token: owner for token, owner in (migrated | begun).items() if token not in ended}


class Brackets:
    """Each operation is begun once and ends at most once, by its own owner (S1, S2). In memory: the open ones."""

    def __init__(self, reader: ts.SqliteReader) -> None:
        self._reader = reader
        self.open: dict[str, str] = {} if reader.beginning is None else open_at(reader.beginning)
        self.begun = len(self.open)
        self.ended: Counter[str] = Counter()

    def take(self, recorded: ts.Recorded) -> None:
        """One more record, in order."""
        token, at = recorded.token, recorded.position
        if token is None:
            return
        if recorded.settles is not None:
            self._settled(recorded, token)
        elif _begins(recorded):
            self.begun += 1
            self.open[token] = recorded.owner
        elif not self._known(token, recorded.owner, before=at):
            raise BadLog(at, "S2", f"{recorded.event_type} is about token {token}, which {recorded.owner} has not begun before")

    def _settled(self, recorded: ts.Recorded, token: str) -> None:
        owner = self.open.pop(token, None)
        if owner in {recorded.owner, UNKNOWN}:
            self.ended[recorded.settles or ""] += 1
        elif owner is not None:
            raise BadLog(recorded.position, "S2", f"{recorded.owner} settles token {token}, which belongs to {owner}")
        elif self._known(token, recorded.owner, before=recorded.position):
            raise BadLog(recorded.position, "S1", f"token {token} is settled a second time")
        else:
            raise BadLog(
                recorded.position, "S2", f"{recorded.event_type} settles token {token}, which {recorded.owner} has not begun before"
            )

    def _known(self, token: str, owner: str, *, before: int) -> bool:
        if token in self.open:
            return self.open[token] in {owner, UNKNOWN}
        return any(_begins(each) and each.owner == owner for each in self._reader.read(ts.Query(token=token, until=before - 1)))


def _begins(recorded: ts.Recorded) -> bool:
    """Whether it is an intent event: the first of its execution."""
    return recorded.aggregate_type == EXECUTION and recorded.aggregate_version == 1 and recorded.event_type not in _ENGINE


def _of_the_library() -> tuple[ts.Module, ...]:
    """Owners that any log may have: archiving is an operation, too."""
    return Operations(), Privacy(), module_of_schedules()


class Folds:
    """Everything decodes and folds as the program says (S7), and its audit has nothing to find. In memory: what is not closed."""

    def __init__(self, reader: ts.SqliteReader, program: Program) -> None:
        own = {module.name: module for module in (*_of_the_library(), *program.modules())}
        behaviours = [Behaviour(module) for module in own.values()]
        self._reader = reader
        self._folds = {each.name: {kind.__name__: folds for kind, folds in each.folds.items()} for each in behaviours}
        self._codec = Codec(behaviours, {*program.actions, AttendOperation})
        self._states: dict[tuple[type[ts.Aggregate], str], ts.Aggregate] = {}
        self._residents: dict[type[ts.Resident], ts.Resident] = {}
        self._folded_to: dict[str, int] = {}
        """Up to where an owner's events are in the residents that were saved."""
        self._audit: Audit | None = program.audit()
        if reader.beginning is not None:
            self._audit = None  # it would have to see all events
            self._go_on_from(reader.beginning, behaviours)

    def take(self, recorded: ts.Recorded) -> None:
        """One more record, in order."""
        event: Any = self._codec.decode(recorded)
        if self._audit is not None:
            self._audit.take(event)
        folds = self._folds.get(recorded.owner)
        if folds is None:
            raise BadLog(recorded.position, "S2", f"its owner {recorded.owner!r} is no module of this scenario")
        for fold in folds.get(recorded.event_type, ()):
            try:
                if issubclass(fold.into, ts.Resident):
                    if recorded.position <= self._folded_to.get(recorded.owner, 0):
                        continue
                    self._residents[fold.into] = fold.after(self._residents.get(fold.into, fold.into()), event, recorded)
                elif recorded.aggregate_version > self._start_of(recorded).version:
                    self._keep(fold.into, recorded, fold.after(self._before(fold.into, recorded), event, recorded))
            except ts.TallystickError as error:
                raise BadLog(recorded.position, "S7", f"{recorded.event_type} does not fold: {error}") from error

    def finish(self) -> None:
        """When all records have been taken."""
        for problem in () if self._audit is None else self._audit.problems(self._residents):
            raise BadLog(None, "S9", problem)

    def _go_on_from(self, beginning: Beginning, behaviours: Sequence[Behaviour]) -> None:
        for behaviour in behaviours:
            snapshot = beginning.snapshots.get(behaviour.name)
            if snapshot is not None:
                self._residents |= cast("dict[type[ts.Resident], ts.Resident]", residents_in(snapshot, behaviour))
                self._folded_to[behaviour.name] = snapshot.position

    def _start_of(self, recorded: ts.Recorded) -> StreamStart:
        """An aggregate as it was saved, if the log goes on from a save."""
        begins = self._reader.beginning
        return NO_START if begins is None else begins.start_of(recorded.aggregate_type, recorded.aggregate_id)

    def _keep(self, kind: type[ts.Aggregate], recorded: ts.Recorded, state: ts.Aggregate) -> None:
        key = (kind, recorded.aggregate_id)
        if state.closed:
            self._states.pop(key, None)
        else:
            self._states[key] = state

    def _before(self, kind: type[ts.Aggregate], recorded: ts.Recorded) -> ts.Aggregate:
        """The state before a record; read back where it was closed, as the owner does."""
        state = self._states.get((kind, recorded.aggregate_id))
        if state is not None or recorded.aggregate_version == 1:
            return state or kind()
        start = self._start_of(recorded)
        name = kind.__name__
        state = saved_states.read({name: start.states[name]}, {name: kind})[kind] if name in start.states else kind()
        query = ts.Query(aggregate_type=recorded.aggregate_type, aggregate_id=recorded.aggregate_id, until=recorded.position - 1)
        for earlier in self._reader.read(query):
            for fold in self._folds[recorded.owner].get(earlier.event_type, ()):
                if fold.into is kind and earlier.aggregate_version > start.version:
                    state = fold.after(state, self._codec.decode(earlier), earlier)
        return state
