"""Which attempts may be performed: each followed from its record to the queue, and from there to the outside world (P7, P9, P11)."""

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick.actors.messages import StartQueue
from tallystick.actors.performers.performer import RunningCall
from tallystick.domain.action import Performer
from tallystick.domain.envelope import Recorded
from tallystick.testing.model import LogModel
from tallystick.testing.violations import InvariantViolation

Attempt = tuple[str, int]
"""A token, and the attempt's number."""


class Doubts:
    """What the processes of a run have asked of the outside world: a call that a process which is gone has made is in doubt (P9)."""

    def __init__(self) -> None:
        self.inherited: set[Attempt] = set()
        """The calls of processes that are gone."""
        self._made: set[Attempt] = set()
        self._asked: set[str] = set()
        self._process = 0
        self._performed: dict[tuple[str, int, int], int] = {}
        """Which process has made a call last: by its token, the position at which its attempt was started, and which action it is."""

    def next_process(self) -> None:
        """Another process begins, and knows only what the log says."""
        self.inherited |= self._made
        self._made.clear()
        self._asked.clear()
        self._process += 1

    def asks(self, call: RunningCall) -> None:
        """The present process asks whether a call was made."""
        self._asked.add(call.token)

    def makes(self, call: RunningCall, performers: Mapping[type[Any], Performer]) -> None:
        """The present process makes a call. It counts where it can be asked about."""
        if all(performers[type(action)].probe is not None for action in call.start.actions):
            self._made.add((call.token, call.attempt))

    def check_written(self, call: RunningCall, started: int) -> None:
        """A call is made whose attempt was started at that position.

        Raises:
            InvariantViolation: P6, a process that is gone has made it, and it is made again without a record that says so.
        """
        before = self._performed.setdefault((call.token, started, call.index), self._process)
        if before != self._process:
            text = f"attempt {call.attempt} is performed again, and since it was begun at {started} no record says so"
            raise InvariantViolation("P6", text, position=started, token=call.token)

    def check(self, token: str, attempt: int, what: str) -> None:
        """Something is decided about an attempt.

        Raises:
            InvariantViolation: P9, it is in doubt, and nobody has asked.
        """
        if (token, attempt) in self.inherited and token not in self._asked:
            text = f"attempt {attempt} {what}, and nobody has asked whether what was in doubt since the crash was done"
            raise InvariantViolation("P9", text, token=token)


class Starts:
    """The attempts of one engine's executions, as the log has them and as the queue gets them."""

    def __init__(self, model: LogModel, durable: int, performers: Mapping[type[Any], Performer], doubts: Doubts, *, first: bool) -> None:
        """`first` is the first engine of a process: it asks about the calls of others, a later one finds its own still running."""
        self._model = model
        self._released = self._recovered = durable
        self._performers = performers
        self._doubts = doubts
        self._first = first
        self._dropped: set[Attempt] = set()
        self._last = 0

    def released(self, durable: int) -> None:
        """The writer has made the log durable up to there: an attempt that is not its execution's present one by now goes nowhere."""
        model = self._model
        for recorded in model.records[self._released : durable]:
            if recorded.token is None:
                continue
            execution = model.executions[recorded.token]
            for attempt, position in execution["starts"].items():
                present = execution["settled"] is None and execution["attempt"] == attempt
                if position == recorded.position and not present:
                    self._dropped.add((recorded.token, attempt))
        self._released = durable

    def taken(self, start: StartQueue) -> None:
        """The queue has taken a start.

        Raises:
            InvariantViolation: P7, it was over when it was released; P11, the queue has taken a later one before; P16, it never began.
        """
        token, attempt = start.context.token, start.attempt
        if (token, attempt) in self._dropped:
            text = f"attempt {attempt} reaches the queue, although it had ended when it was released"
            raise InvariantViolation("P7", text, token=token)
        execution = self._model.executions.get(token)
        position = None if execution is None else execution["starts"].get(attempt)
        if position is None:
            raise InvariantViolation("P16", f"attempt {attempt} reaches the queue, and no record says that it began", token=token)
        if position > self._recovered:  # what was under way when the engine began comes back as recovery has it
            if position < self._last:
                text = f"attempt {attempt}, of position {position}, reaches the queue after that of position {self._last}"
                raise InvariantViolation("P11", text, position=position, token=token)
            self._last = position

    def called(self, call: RunningCall) -> None:
        """The outside world is asked to do something.

        Raises:
            InvariantViolation: P6 or P9.
        """
        if self._first:
            self._doubts.check(call.token, call.attempt, "is performed again")
        execution = self._model.executions.get(call.token)
        started = None if execution is None else execution["starts"].get(call.attempt)
        if started is not None:
            self._doubts.check_written(call, started)
        self._doubts.makes(call, self._performers)

    def appended(self, records: Sequence[Recorded]) -> None:
        """An owner has written something.

        Raises:
            InvariantViolation: P9, a timeout fires that had to wait for an answer.
        """
        for recorded in records if self._first and self._doubts.inherited else ():
            if recorded.event_type == "TimeoutFired" and recorded.token is not None:
                self._doubts.check(recorded.token, self._model.executions[recorded.token]["attempt"], "times out")
