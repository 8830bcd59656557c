"""The owner actor: one module with its private state. Dispatches messages, and takes events from the log in order of position."""

from collections.abc import Callable
from typing import Any

from tallystick.actors.actor import Crash, EngineActor, Host
from tallystick.actors.messages import (
    WAKE,
    Ask,
    Discard,
    DiscardExecution,
    Inspect,
    Inspected,
    ParkedDue,
    QueueAdvanced,
    QueueAnswered,
    QueueBeat,
    QueueCompleted,
    QueueFailed,
    QueueProgress,
    QueueRejected,
    Redrive,
    RedriveExecution,
    Reply,
    RetryDue,
    SettleByHand,
    SettleFromOutside,
    StepTaken,
    TakeSnapshot,
    TimeoutDecision,
    Wake,
)
from tallystick.actors.owner.acting import Acting, Cause
from tallystick.actors.owner.commands import Commands
from tallystick.actors.owner.deliveries import Deliveries
from tallystick.actors.owner.parked import ParkedSources
from tallystick.actors.owner.people import People
from tallystick.actors.owner.settling import Settling
from tallystick.actors.owner.snapshots import SnapshotOutput
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.actors.supervision import OwnerHealth
from tallystick.actors.telling import warn
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import InvalidPayload, NotAccepted
from tallystick.domain.evidence import said_by
from tallystick.domain.parking import Source
from tallystick.domain.protocol import OWNER, CursorAdvanced, OwnerJoined
from tallystick.domain.schedules import CommandDue, takes_deliveries
from tallystick.domain.step import Step
from tallystick.store.codec import Codec
from tallystick.store.log import EventLog

LANE_BATCH = 64
SILENT_LIMIT = 10_000
"""After so many positions without an append of its own an owner writes its cursor down (P2)."""


NO_CAUSE = Cause()


def unless_given(handle: Callable[[Any], None], gate: Callable[[Reply], None]) -> Callable[[Any], None]:
    """Leave out a request whose sender was told meanwhile, by a rebuild that overtook it, that it was not accepted (P18).

    What cannot be written down of what it says is its sender's mistake, who hears of it; a turn is all or nothing.
    """

    def handled(request: Any) -> None:
        reply = request.reply
        if not reply.given:
            try:
                handle(request)
            except InvalidPayload as error:
                reply.refuse(error)
                gate(reply)

    return handled


class OwnerActor(EngineActor):
    """One owner. Its event lane is pulled from the journal; its mailbox holds wake-ups, commands, reports and what is due."""

    def __init__(self, host: Host, crash: Crash, acting: Acting, codec: Codec, log: EventLog) -> None:
        super().__init__(acting.name, host, crash)
        self.acting = acting
        self.state = acting.state
        self._codec = codec
        self._log = log
        self._journal = acting.journal
        behaviour = acting.setting.behaviour
        self._reactions = {kind.__name__: handler for kind, handler in behaviour.reactions.items()}
        if takes_deliveries(behaviour):
            self._reactions[CommandDue.__name__] = Deliveries(acting, codec).deliver
        self.parked = ParkedSources(acting, codec, self._reactions)
        self.settling = Settling(acting, codec, self.parked)
        self._commands = Commands(acting, codec)
        people, gate = People(acting, self.settling), self._journal.gate
        self.silent_reaction = False
        """Whether the last reaction said nothing, so that no append has carried the cursor beyond it."""
        self.handlers = {
            Wake: self._wake,
            Ask: unless_given(self._ask, gate),
            QueueCompleted: self.settling.completed,
            QueueFailed: self.settling.failed,
            QueueRejected: self.settling.rejected,
            QueueAdvanced: self.settling.advanced,
            QueueAnswered: self.settling.answered,
            QueueBeat: self.settling.beaten,
            QueueProgress: self.settling.got_on,
            TimeoutDecision: self.settling.timed_out,
            RetryDue: self.settling.retry_due,
            ParkedDue: self.parked.due,
            SettleByHand: unless_given(self.settling.by_hand, gate),
            SettleFromOutside: unless_given(self.settling.from_outside, gate),
            Inspect: self._inspect,
            Redrive: unless_given(self.parked.redrive, gate),
            Discard: unless_given(self.parked.discard, gate),
            RedriveExecution: unless_given(people.redrive, gate),
            DiscardExecution: unless_given(people.discard, gate),
            TakeSnapshot: self._take_snapshot,
            StepTaken: self._step_taken,
        }
        self._steps = behaviour.steps
        self.step_failed: Callable[[Exception], None] = lambda _error: None
        """Told what a method for each step raised."""

    @property
    def deciding(self) -> bool:
        """Whether a handler is being asked, on whose state from before the turn nothing else may build."""
        return self.acting.deciding

    # The event lane.

    @property
    def joins_when_used(self) -> bool:
        """Whether it leaves no trace in a log before it writes something of its own; no event concerns such an owner."""
        return self.acting.setting.behaviour.module.joins_at == "use"

    def listen(self) -> None:
        """Have events of interest put into the lane, once it has caught up."""
        self.lane = self._journal.listen(self._reactions, lambda: self.post.tell(WAKE))

    def stand_at(self, seen: int, logged_seen: int, *, silent: bool) -> None:
        """Take up where a save left it: with its cursor where it stood, and nothing in its lane."""
        self.state.seen, self.state.logged_seen = seen, logged_seen
        self.silent_reaction = silent
        self.lane.attached = True

    def wake(self) -> None:
        """Have the lane looked at soon; any thread."""
        self.lane.wake()

    def _wake(self, _message: Wake) -> None:
        lane = self.lane
        if not self.take_events(LANE_BATCH):
            lane.awake = False
            if lane.attached and not lane.pending:
                return  # what comes from now on wakes it
            lane.awake = True
        self.post.tell(WAKE)

    @property
    def lag(self) -> int:
        """How many positions it is behind; none when nothing that concerns it has come since it last looked. Any thread may ask."""
        return self._journal.tail - self.state.seen if self.lane.awake else 0

    def take_events(self, limit: int) -> bool:
        """Take the next events in order, and move the cursor over them (P1); whether there may be more."""
        lane, state, react = self.lane, self.state, self._react
        if not lane.attached:
            return self.catch_up(limit) or not self._journal.attach(lane, state.seen)
        pending = lane.pending
        for _ in range(limit):
            if not pending:
                break
            recorded = pending.popleft()
            state.seen = recorded.position
            react(recorded)
        seen = self._journal.seen_all(lane)
        if seen is None:
            return True
        state.seen = seen
        if seen - state.logged_seen > SILENT_LIMIT:
            self._write_cursor()
        return False

    def catch_up(self, limit: int, until: int | None = None) -> bool:
        """As `take_events`, from the journal instead of the lane, and no further than `until`."""
        state, reactions = self.state, self._reactions
        records = self._journal.after(state.seen, limit)
        for recorded in records:
            if until is not None and recorded.position > until:
                return False
            state.seen = recorded.position
            if recorded.event_type in reactions:
                self._react(recorded)
        if state.seen - state.logged_seen > SILENT_LIMIT:
            self._write_cursor()
        return len(records) == limit

    def _react(self, recorded: Recorded) -> None:
        if self.state.parks and Source(recorded.aggregate_type, recorded.aggregate_id) in self.state.parking:
            return  # it waits behind the one that failed (P12)
        try:
            event = recorded.event if recorded.event is not None else self._codec.decode(recorded)
            self.silent_reaction = not self.acting.react(recorded, self._reactions[recorded.event_type], event)
        except NotAccepted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the program's handler raised
            self.parked.reaction_failed(recorded, error)

    def _write_cursor(self) -> None:
        if not self.state.joined:
            return
        turn = self.acting.turn(NO_CAUSE)
        turn.note_in((OWNER, self.name), CursorAdvanced())
        self.acting.append(turn, NO_CAUSE)
        self.silent_reaction = False

    def join(self, start: int) -> None:
        """Write down that this owner is new to the log, and from where on it takes events (P3)."""
        self.state.seen, self.state.joined = start, True
        turn = self.acting.turn(NO_CAUSE)
        turn.note_in((OWNER, self.name), OwnerJoined(start=start))
        self.acting.append(turn, NO_CAUSE)

    # Steps of the host.

    def _step_taken(self, message: StepTaken) -> None:
        """Take the one turn of a step; if it raises, it has changed nothing."""
        try:
            self.acting.take(NO_CAUSE, self._take_turn, message.step)
        except NotAccepted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the program's handler raised
            self.acting.counters.count("step_failures")
            warn("step.failed", owner=self.name, error=said_by(error))
            self.step_failed(error)

    def _take_turn(self, turn: TurnInProgress, step: Step) -> None:
        for handler in self._steps:
            turn.answer(handler, step)

    def _ask(self, message: Ask) -> None:
        if not self.state.joined:
            self.join(self.state.seen)
        self._commands.ask(message)

    # Looking in, snapshots and the end.

    def health(self) -> OwnerHealth:
        """How it stands; any thread may ask."""
        state = self.state
        executions = list(state.open.values())  # one step of the interpreter, so no owner can be in the middle of a change
        return OwnerHealth(
            lag=self.lag,
            open_executions=len(executions),
            waiting_for_person=sum(1 for record in executions if record.status == "person"),
            parked=len(state.parking),
            dead_letters=sum(1 for parked in state.parking.values() if parked.dead),
            aggregates_in_memory=state.aggregates_in_memory,
        )

    def _inspect(self, message: Inspect) -> None:
        state = self.state
        view = Inspected(self.name, state.seen, state.executions, state.parking, state.residents, state.aggregates_in_memory)
        message.reply.answer(view)
        self._journal.gate(message.reply)

    def _take_snapshot(self, _message: TakeSnapshot) -> None:
        if not self.state.joined:
            return
        self._journal.gate(SnapshotOutput(self._log, self.name, self.state, self._codec))

    def write_down(self) -> None:
        """Write the cursor and a snapshot, so that an opening from now on reads nothing from before (P2, P21)."""
        self._write_cursor()
        self._take_snapshot(TakeSnapshot())

    def farewell(self) -> None:
        """On a clean stop: write the cursor down where it is not, and a snapshot, so that the next opening has little to read (P2, P21)."""
        if self.silent_reaction or self.state.seen - self.state.logged_seen > SILENT_LIMIT // 10:
            self._write_cursor()
        self._take_snapshot(TakeSnapshot())
