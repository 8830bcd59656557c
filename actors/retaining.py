"""Retention of a running system's log: what would leave it by a policy, and having it leave, as an operation with its audit record."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from tallystick.actors.closed_work import ClosedWork, Standing
from tallystick.actors.operations.explaining import ExplainsItself
from tallystick.actors.owner.owner import LANE_BATCH, OwnerActor
from tallystick.actors.owner.snapshots import KnownStreamsOutput
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import DefinitionError
from tallystick.domain.operations.events import Anchor, Json
from tallystick.domain.operations.owner import OWNER
from tallystick.domain.record import Record
from tallystick.domain.retention import Retention
from tallystick.domain.sensitive import refuse_sensitive
from tallystick.domain.text import checked_text, checked_who
from tallystick.store.codec import Codec
from tallystick.store.log import ArchivingLog, Sealed

OPERATION: Final = "Log.Archive"
CATCHES_UP: Final = 50
"""How many batches of events an owner takes at most before it says where it stands."""
BY_DEFAULT: Final = Retention()

Told = Callable[[int, int | None], None]
"""Told how far it is: a position, and the last one that is looked at."""


class ArchiveMade(Record):
    """One archive: the positions of its first and last record, how many it has, its length, and the checksum that its log keeps of it."""

    first: int
    last: int
    records: int
    size_bytes: int
    checksum: str


class Archived(Record):
    """What left the live log, and what of the records up to `until` stayed, by why."""

    until: int
    records: int = 0
    archives: tuple[ArchiveMade, ...] = ()
    stays: Mapping[str, int] = {}
    live_bytes_before: int = 0
    live_bytes_after: int = 0


class Leaving(NamedTuple):
    """A record, and why it stays; empty when it may leave."""

    record: Recorded
    stays: str


def _told_to_nobody(done: int, of: int | None) -> None:
    del done, of


class RetainsLog(ExplainsItself):
    """The part of a `System` that keeps its log small."""

    _behaviours: dict[str, Behaviour]
    _codec: Codec

    def retention(self, policy: Retention = BY_DEFAULT) -> Iterator[Leaving]:
        """What `archive` with this policy would look at now, each live record with why it stays, in order. Changes nothing.

        Raises:
            DefinitionError: the log is not one that has archives.
        """
        log = self._archiving_log()
        closed = self._closed_work(log, policy)
        for record in log.live(until=closed.until):
            yield Leaving(record, closed.why_it_stays(record))

    def archive(
        self, policy: Retention = BY_DEFAULT, *, who: str, why: str = "", limit: int | None = None, told: Told = _told_to_nobody
    ) -> Archived:
        """Move closed work to sealed archives beside the log; every query and fold has the same answer as before. At most `limit` archives.

        It is an operation, `Log.Archive`, with a note for each archive and an audit record of who had it done. The system goes on
        meanwhile; interrupted, by a crash too, nothing is lost or doubled, and the next call goes on.

        Raises:
            InvalidPayload: `who` is blank or no text, or `why` is no text; nothing was moved.
            PersonalDataRefused: one of them is a sensitive value; nothing was moved.
            DefinitionError: the log is not one that has archives, the system has no operations to record it as, or the limit is below 1.
            ArchiveError: an archive could not be written; what had not been moved by then is in the live log.
            LogCorrupt: a record, or an archive, is not as it was written; nothing was deleted.
        """
        refuse_sensitive("who has it done, or why", who, why)
        checked_who(who)
        checked_text("why", why)
        if limit is not None and limit < 1:
            msg = f"At most {limit} archives would be none; give a limit of 1 or more, or None."
            raise DefinitionError(msg)
        log = self._archiving_log()
        if OWNER not in self._behaviours:
            msg = "Archiving is recorded as an operation; make the system with operations=True."
            raise DefinitionError(msg)
        closed = self._closed_work(log, policy)
        before = Path(log.path).stat().st_size
        stays: Counter[str] = Counter()

        def moves(record: Recorded) -> bool:
            reason = closed.why_it_stays(record)
            stays[reason] += 1
            return not reason

        with self.bracket(OPERATION) as operation:
            until = self._snapshotted(log, closed.until)

            def looked(position: int) -> None:
                operation.progress(min(100.0, 100.0 * position / max(until, 1)))
                told(position, until)

            made: list[ArchiveMade] = []
            for each in map(_made, islice(log.archive(until, moves, looked), limit)):
                made.append(each)
                data: dict[str, Json] = {"records": each.records, "bytes": each.size_bytes, "checksum": each.checksum}
                operation.note("archived", f"positions {each.first} to {each.last}", data)
            records = sum(each.records for each in made)
            operation.message = f"{records} records to {len(made)} archives"
            anchors = tuple(Anchor(kind="Archive", id=f"{each.first}-{each.last}", role=each.checksum) for each in made)
            self.operations.audit("Log.Archived", f"{operation.message}{': ' if why else ''}{why}", who=who, anchors=anchors)
        del stays[""]
        after = Path(log.path).stat().st_size
        return Archived(
            until=until, records=records, archives=tuple(made), stays=dict(stays), live_bytes_before=before, live_bytes_after=after
        )

    def _archiving_log(self) -> ArchivingLog:
        log = self._life.present_log()
        if not hasattr(log, "archive"):
            msg = f"A {type(log).__name__} has no archives; give the system the path of a file."
            raise DefinitionError(msg)
        return cast("ArchivingLog", log)

    def _closed_work(self, log: ArchivingLog, policy: Retention) -> ClosedWork:
        # The end first: what begins after it is beyond it, so that the standings miss nothing that is open up to there.
        end = log.head().position - log.kept_tail
        now_us = self._life.engine.clock.now_us()
        standings = [self._in_turn(name, _standing) for name in self._behaviours]
        until = min([end, *(each.seen for each in standings if each.joined)])
        return ClosedWork(log, self._codec, self._behaviours.values(), standings, policy, now_us=now_us, until=until)

    def _snapshotted(self, log: ArchivingLog, until: int) -> int:
        """Have each owner take a snapshot, so that no opening reads archives; up to where they all have one."""
        joined = [name for name in self._behaviours if self._in_turn(name, _written_down)]
        journal = self._life.engine.journal
        journal.gate(KnownStreamsOutput(log, journal))
        newest: Iterable[Any] = (next(log.snapshots(name), None) for name in joined)
        return min([until, *(0 if snapshot is None else snapshot.position - 1 for snapshot in newest)])


def _made(sealed: Sealed) -> ArchiveMade:
    first, last, checksum = sealed.first, sealed.last, sealed.checksum.hex()
    return ArchiveMade(first=first, last=last, records=sealed.records, size_bytes=sealed.size_bytes, checksum=checksum)


def _standing(actor: OwnerActor) -> Standing:
    # One that nothing concerned has not looked for a while: its cursor would hold everything up.
    for _ in range(CATCHES_UP):
        if not actor.take_events(LANE_BATCH):
            break
    state = actor.state
    return Standing(actor.name, state.joined, state.seen, state.executions, state.parking, state.abandoned)


def _written_down(actor: OwnerActor) -> bool:
    actor.write_down()
    return actor.state.joined
