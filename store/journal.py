"""The journal: numbers what is appended, publishes it at once from memory, and writes it behind in groups.

Between the watermark (durable) and the tail (numbered) lies speculation: owners react to it, the outside world does not see it. Whatever
leaves the system travels with an append as an output, and is released when its append is durable (output commit). If a crash loses
record 100, it loses all that was derived from it, for that stands later. The log below knows batches only; actors know nothing of batches.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from tallystick.domain.clock import Clock
from tallystick.domain.envelope import Recorded, Settles, event_id_of, log_tag_of
from tallystick.domain.errors import NotAccepted, VersionConflict
from tallystick.domain.protocol import EXECUTION
from tallystick.domain.token import Token
from tallystick.store.codec import Form
from tallystick.store.known_streams import KnownStreams
from tallystick.store.lane import Lane
from tallystick.store.log import NO_START, EventLog, Query, StreamStart

WINDOW_RECORDS = 2048
"""How many durable records stay in memory for owners that are a little behind; the others read from the log."""

Fate = Literal["unknown", "never"]
"""What became of an append when the log failed: it was being written, or it was never written (P18)."""

Stream = tuple[str, str]
"""Aggregate type and aggregate id."""


class Output(Protocol):
    """Something that leaves the system: a start, a cancel, a reply, an exception."""

    def release(self) -> None:
        """Let it out: everything up to its append is durable. Called once, by the thread that commits; must neither block nor raise."""
        ...

    def lost(self, fate: Fate) -> None:
        """The log failed first; called once, instead of `release`."""
        ...


class Draft(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An event on its way into the log, encoded and checked already.

    `expected_version` is the aggregate's version before it; None on engine streams, which the journal versions itself (P20).
    """

    form: Form
    stream: Stream
    expected_version: int | None
    payload: bytes
    event: Any
    token: Token | None = None
    settles: Settles | None = None


class Origin(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Who appends, and why: the envelope's fields that all events of an append share."""

    owner: str
    seen: int | None = None
    correlation: str | None = None
    causation: int | None = None
    tags_json: str | None = None


class Journal:
    """One generation of a log in use. Any thread may append and look up; one at a time commits.

    A journal ends with its first write error: nothing can be appended to it any more, and a new one is made on the log, opened again.
    """

    def __init__(self, log: EventLog, clock: Clock) -> None:
        head = log.head()
        self._log = log
        self._clock = clock
        self._log_tag = log_tag_of(log.identity)
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._durable = threading.Condition()
        self._waiting = 0  # for something to be durable; counted before they look, so that who sees none need tell none
        self._last_us = head.occurred_at_us
        self.known_streams = KnownStreams()
        self._window: list[Recorded] = []
        self._base = head.position + 1
        self._ends: dict[Stream, Recorded] = {}  # the last records of the streams that have some since the last turnover
        self._ends_before: dict[Stream, Recorded] = {}  # and between that turnover and the one before
        self._taken = head.position  # up to here records were handed to the log
        self._outputs: list[Output] = []
        self._resting = 0  # so many of the outputs, from the first, rest on nothing that the log was not handed
        self._unreleased = 0
        self._lanes: list[Lane] = []
        self._lanes_of: dict[str, list[Lane]] = {}
        self.next_nudge = head.position + WINDOW_RECORDS // 4
        """The position at which all lanes are woken; part of a save, since cursors show it."""
        self.tail = head.position
        self.watermark = head.position
        self.commits = 0
        self.failure: BaseException | None = None
        self.on_pending: Callable[[], None] = lambda: None

    # Appending.

    def listen(self, event_types: Iterable[str], wake: Callable[[], None]) -> Lane:
        """A lane for records of these types, not yet attached. `wake` is called under the journal's lock, by the appending thread."""
        lane = Lane(wake)
        with self._lock:
            self._lanes.append(lane)
            for event_type in event_types:
                self._lanes_of.setdefault(event_type, []).append(lane)
        return lane

    def attach(self, lane: Lane, seen: int) -> bool:
        """Have records put into a lane whose listener has seen all up to the tail; False if there is more by now."""
        with self._lock:
            lane.attached = seen == self.tail
        return lane.attached

    def seen_all(self, lane: Lane) -> int | None:
        """The tail, if an attached lane has nothing more to give; else None."""
        with self._lock:
            return None if lane.pending or not lane.attached else self.tail

    def append(self, origin: Origin, drafts: Sequence[Draft], outputs: Sequence[Output] = ()) -> list[Recorded]:
        """Number the events and publish them; all or nothing. Returns at once: they are durable when the watermark has passed them.

        Positions and times never decrease together, and so neither do ids (P23). Every event of every owner comes through here, so there
        are no calls in it that could be left out.

        Raises:
            VersionConflict: an aggregate is not at the version expected; nothing was appended.
            NotAccepted: this journal has ended; nothing was appended.
        """
        window, lanes_of, log_tag = self._window, self._lanes_of, self._log_tag
        records: list[Recorded] = []
        with self._lock:
            ends = self._ends
            if self.failure is not None:
                raise NotAccepted from self.failure
            versions = (self._version_before(drafts[0]),) if len(drafts) == 1 else self._versions_of(drafts)
            position = self.tail
            if position == self._taken and not self._outputs:
                self.on_pending()
            now_us = self._clock.now_us()
            self._last_us = now_us = max(now_us, self._last_us)
            owner, seen, causation, tags_json = origin.owner, origin.seen, origin.causation, origin.tags_json
            correlation = origin.correlation or event_id_of(log_tag, position + 1, now_us)
            for draft, before in zip(drafts, versions, strict=True):
                form, stream, version = draft.form, draft.stream, before + 1
                aggregate_type, aggregate_id = stream
                if version == 1 and aggregate_type != EXECUTION:
                    self.known_streams.add(aggregate_type, aggregate_id)
                position += 1
                record = Recorded(
                    position,
                    form.name,
                    form.version,
                    aggregate_type,
                    aggregate_id,
                    version,
                    now_us,
                    owner,
                    correlation,
                    draft.payload,
                    draft.token,
                    draft.settles,
                    causation,
                    seen,
                    tags_json,
                    log_tag,
                    draft.event,
                )
                ends[stream] = record
                records.append(record)
                window.append(record)
                self.tail = position
                for lane in lanes_of.get(form.name, ()):
                    lane.offer(record)
            if outputs:
                self._outputs += outputs
                self._unreleased += len(outputs)
            if position >= self.next_nudge:
                self._nudge()
        return records

    def _version_before(self, draft: Draft) -> int:
        """The version of its stream before a draft; whatever can fail in an append fails here, where nothing is numbered yet (S6)."""
        stream, expected = draft.stream, draft.expected_version
        last = self._ends.get(stream) or self._ends_before.get(stream)
        actual = self._version_in_log(stream, expected) if last is None else last.aggregate_version
        if expected is not None and expected != actual:
            raise VersionConflict(*stream, expected=expected, actual=actual)
        return actual

    def _versions_of(self, drafts: Sequence[Draft]) -> list[int]:
        """As `_version_before`, for several drafts, of which later ones may follow earlier ones in one stream."""
        versions: list[int] = []
        known: dict[Stream, int] = {}
        for draft in drafts:
            before = known.get(draft.stream)
            if before is None:
                before = self._version_before(draft)
            elif draft.expected_version not in {None, before}:
                raise VersionConflict(*draft.stream, expected=draft.expected_version or 0, actual=before)
            versions.append(before)
            known[draft.stream] = before + 1
        return versions

    def _version_in_log(self, stream: Stream, expected: int | None) -> int:
        """The version of a stream that is not in memory.

        A later version than the first is taken on trust: its owner, who alone writes the stream, has it in memory or has just read it back,
        and asking the log here would hold up every append. So is an execution's first: its token is new, its owner has seen to that.
        """
        if expected is not None and (expected > 0 or stream[0] == EXECUTION):
            return expected
        aggregate_type, aggregate_id = stream
        if aggregate_type != EXECUTION and not self.known_streams.maybe(aggregate_type, aggregate_id):
            return 0
        return self._log.version(aggregate_type, aggregate_id)

    def _nudge(self) -> None:
        """Now and then, wake those too whom nothing concerned, so that their cursors move; and end lanes that have grown too long."""
        self.next_nudge = self.tail + WINDOW_RECORDS // 4
        for lane in self._lanes:
            lane.shorten()
            lane.wake()

    def gate(self, output: Output) -> None:
        """Release an output that comes with no event once all that is in the log by now is durable; at once if it is (P17)."""
        with self._lock:
            if self.failure is not None:
                raise NotAccepted from self.failure
            late = bool(self._unreleased) or self.tail != self.watermark
            first = late and self.tail == self._taken and not self._outputs
            if late:
                self._outputs.append(output)
                self._unreleased += 1
                if self.tail == self._taken:
                    self._resting = len(self._outputs)
        if not late:
            output.release()
        elif first:
            self.on_pending()

    # Committing.

    def commit(self) -> bool:
        """Write what has gathered in one transaction, raise the watermark, release outputs in order; False when nothing had gathered.

        Raises:
            LogError: the log failed. This journal has ended, and its outputs have heard of it.
        """
        with self._committing:
            with self._lock:
                if self.failure is not None or (self.tail == self._taken and not self._outputs):
                    return False
                records = self._window[self._taken + 1 - self._base :]
                self._taken = self.tail
                outputs, self._outputs = self._outputs, []
                resting, self._resting = self._resting, 0
            if records:
                try:
                    self._log.write(records)
                except BaseException as error:
                    for output in outputs[:resting]:
                        output.release()
                    self._end(error, outputs[resting:])
                    raise
                self.commits += 1
                with self._lock:
                    self.watermark = records[-1].position
                    self._trim()
            for output in outputs:
                output.release()
            if outputs:
                with self._lock:
                    self._unreleased -= len(outputs)
        self._tell_waiting()
        return True

    def end(self, error: BaseException) -> None:
        """End this journal because the engine around it has failed (P14); unwritten appends are lost, and their outputs hear of it."""
        with self._committing:
            self._end(error, None)

    def _end(self, error: BaseException, in_doubt: Sequence[Output] | None) -> None:
        """Tell each output what became of what it rests on (P18). `in_doubt` are those of the batch that failed; None when none did."""
        with self._lock:
            if self.failure is not None:
                return
            self.failure = error
            resting, never = self._outputs[: self._resting], self._outputs[self._resting :]
            self._outputs = []
        if in_doubt is None:
            for output in resting:
                output.release()
        else:
            for output in (*in_doubt, *resting):
                output.lost("unknown")
        for output in never:
            output.lost("never")
        self._tell_waiting()

    def _trim(self) -> None:
        """Forget durable records beyond the window, and what is known of their streams (P17: after the commit only)."""
        surplus = min(len(self._window) - WINDOW_RECORDS, self.watermark + 1 - self._base)
        if surplus < WINDOW_RECORDS // 4:
            return
        del self._window[:surplus]
        self._base += surplus
        # What is let go of here came before the last turnover, which was after an earlier commit, so this commit has written it.
        self._ends_before, self._ends = self._ends, {}

    # Looking up: the tail first, then a freshly begun read transaction (P17).

    def after(self, position: int, limit: int) -> Sequence[Recorded]:
        """The next records after a position, from memory where they are still there; fewer than `limit` only if there are no more."""
        with self._lock:
            index = position + 1 - self._base
            if index >= 0:
                return self._window[index : index + limit]
            until = self._base - 1
        records = list(self._log.read(Query(after=position, until=until, limit=limit)))
        return records if len(records) == limit else [*records, *self.after(until, limit - len(records))]

    def durable_after(self, position: int, limit: int) -> Sequence[Recorded]:
        """The next records after a position that are durable by now; from memory where they are still there (S14)."""
        watermark = self.watermark
        return self.after(position, min(limit, watermark - position)) if watermark > position else ()

    def version(self, aggregate_type: str, aggregate_id: str) -> int:
        """An aggregate's last version, speculation included; 0 when there is no event of it."""
        stream = (aggregate_type, aggregate_id)
        known = self._ends.get(stream) or self._ends_before.get(stream)
        return self._version_in_log(stream, None) if known is None else known.aggregate_version

    def last(self, aggregate_type: str, aggregate_id: str) -> Recorded | None:
        """An aggregate's last record, speculation included."""
        with self._lock:
            known = self._last_in_memory((aggregate_type, aggregate_id))
        if known is not None or not self._may_have(aggregate_type, aggregate_id):
            return known
        query = Query(aggregate_type=aggregate_type, aggregate_id=aggregate_id, newest_first=True, limit=1)
        return next(iter(self._log.read(query)), None)

    def _last_in_memory(self, stream: Stream) -> Recorded | None:
        """What is speculative is always found: newer records are looked through first, and only durable ones are let go of."""
        return self._ends.get(stream) or self._ends_before.get(stream)

    def _may_have(self, aggregate_type: str, aggregate_id: str) -> bool:
        """Whether the log may have events of an aggregate; executions are not in the filter, for their tokens are new or known."""
        return aggregate_type == EXECUTION or self.known_streams.maybe(aggregate_type, aggregate_id)

    def stream(self, aggregate_type: str, aggregate_id: str, *, after: int = 0) -> Iterator[Recorded]:
        """An aggregate's records in order, speculation included."""
        return self._matching(Query(after=after, aggregate_type=aggregate_type, aggregate_id=aggregate_id))

    def start_of(self, aggregate_type: str, aggregate_id: str) -> StreamStart:
        """Where an aggregate's records start: at nothing, unless the log was loaded from a save."""
        beginning = self._log.beginning
        return NO_START if beginning is None else beginning.start_of(aggregate_type, aggregate_id)

    def of_token(self, token: str) -> Iterator[Recorded]:
        """An execution's records: its engine events and its settlement, speculation included."""
        return self._matching(Query(token=token))

    def _matching(self, query: Query) -> Iterator[Recorded]:
        with self._lock:
            watermark = self.watermark
            start = max(watermark + 1 - self._base, 0)
            speculative = [record for record in self._window[start:] if query.matches(record)]
        for record in self._log.read(query):
            if record.position <= watermark:
                yield record
        yield from speculative

    # Waiting.

    def wait_durable(self, position: int, timeout_s: float | None) -> bool:
        """Block the calling thread until the watermark has reached `position`; False when the time ran out or the journal has ended."""
        with self._durable:
            self._waiting += 1
            try:
                self._durable.wait_for(lambda: self.watermark >= position or self.failure is not None, timeout_s)
            finally:
                self._waiting -= 1
        return self.watermark >= position

    def _tell_waiting(self) -> None:
        if self._waiting:
            with self._durable:
                self._durable.notify_all()
