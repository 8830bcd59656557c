"""The queue: performs the actions of each subject in order, and reports by owner and token. It decides nothing about what follows.

Who is served in a subject's line is decided in `domain/line.py`; this actor keeps the lines, and carries out what was decided.
"""

from typing import Any, NamedTuple

from tallystick.actors.actor import Alarm, Crash, EngineActor, Host
from tallystick.actors.entry import Entry, LineKey, candidate_of
from tallystick.actors.messages import (
    AnswerLater,
    Arbitrate,
    FinishQueue,
    FinishTogether,
    QueueAdvanced,
    QueueCompleted,
    QueueFailed,
    QueueRejected,
    StartQueue,
    Tick,
)
from tallystick.actors.performer import Answered
from tallystick.actors.queue_ports import QueuePorts
from tallystick.actors.rates import Rates
from tallystick.actors.saved_queues import Holdings, SavedQueues, restore, save
from tallystick.actors.ticking import Ticked, Ticking
from tallystick.domain.action import Later
from tallystick.domain.line import NOBODY, Decided, Line, Move, arrives, decides, leaves
from tallystick.domain.outcome import Failed
from tallystick.domain.token import Token

OWN_LINE = Line("own")
"""How an owner's own lines are run, which it shares with nobody."""
INTERRUPTED = Failed(code="INTERRUPTED", message="What interrupted it has failed.")


class GoOn(NamedTuple):
    """The queue's message to itself: whatever was restored goes on."""


class QueueActor(EngineActor):
    """One actor for all subjects. Starts and cancels reach it when they are durable, in log order, so it decides in log order (P11)."""

    def __init__(self, host: Host, crash: Crash, ports: QueuePorts) -> None:
        super().__init__("queue", host, crash)
        self._ports = ports
        self._pool = ports.pool
        self._router = ports.router
        self._ticking = Ticking(self._pool.tickers)
        self._rates: Rates[Entry] = Rates(self._pool.buckets)
        self._held = Holdings(self._ticking, self._rates)
        self._entries = self._held.entries
        self._standings = self._held.standings
        self._alone = self._held.alone
        self._special = frozenset((*self._pool.tickers, *self._pool.buckets))
        self._undecided: dict[LineKey, None] = {}
        self.draining = False
        self.handlers = {
            Answered: self._answered,
            StartQueue: self._start,
            FinishQueue: self._finish,
            FinishTogether: self._finish_together,
            AnswerLater: self._answer_later,
            Tick: self._tick,
            Arbitrate: self._arbitrate,
            Alarm: self._rates_allow,
            GoOn: self._go_on,
        }

    @property
    def held(self) -> Holdings:
        """Who stands where; to be looked at in its own turn."""
        return self._held

    # Coming and going.

    def _start(self, start: StartQueue) -> None:
        if self.draining:
            return
        token = start.context.token
        before = self._entries.of(token)
        if before is not None:
            self._finish(FinishQueue(token, before.start.attempt))
        entry = self._entries[token] = Entry(start)
        self._held.arrivals = entry.number = self._held.arrivals + 1
        key, line = entry.key, OWN_LINE
        if not start.line:
            if not key or (key not in self._standings and self._alone.setdefault(key, token) == token):
                entry.active = True
                self._perform(entry)
                return
            self._stands_with_others(key)
        else:
            line = self._line_of(start)
            if not start.actions:
                self._router.tell(QueueRejected(start.context, "no_actions"))
                return
            if not start.subject or (line.subjects is not None and start.subject not in self._ports.look(line.subjects)):
                self._router.tell(QueueRejected(start.context, "unknown_subject"))
                return
        self._decided(key, line, arrives(self._standings.get(key, NOBODY), candidate_of(entry.start, entry.number, line), line))

    def _stands_with_others(self, key: LineKey) -> None:
        """Whoever was alone in its line is so no more."""
        token = self._alone.pop(key, None)
        entry = None if token is None else self._entries.of(token)
        if entry is not None:
            self._standings[key], _ = arrives(NOBODY, candidate_of(entry.start, entry.number, OWN_LINE), OWN_LINE)

    def _finish(self, finish: FinishQueue) -> None:
        """Nobody waits for it any more: whatever of it still runs is told so, and the next in its line is served."""
        token = finish.token
        entry = self._entries.of(token)
        if entry is None or finish.attempt not in {None, entry.start.attempt}:
            return
        del self._entries[token]
        if entry.in_doubt and finish.attempt is None and not self.draining:
            self._ports.ask(entry.start)
        if entry.call is not None:
            entry.call.cancel()
        elif entry.later:
            self._pool.call_off(token)
        self._stand_still(entry)
        self._pool.forget(entry.start)
        if self._alone.get(entry.key) == token:
            del self._alone[entry.key]
            return
        standing = self._standings.get(entry.key)
        if standing is not None:
            line = self._line_of(entry.start)
            self._decided(entry.key, line, leaves(standing, token, line, failed=finish.failed))

    def _finish_together(self, finish: FinishTogether) -> None:
        """Those whose turn it is not go first, so that it does not become theirs."""
        entries = self._entries
        for each in sorted(finish.finishes, key=lambda each: each.token in entries and entries[each.token].active):
            self._finish(each)

    def _line_of(self, start: StartQueue) -> Line:
        return self._ports.lines[start.line] if start.line else OWN_LINE

    def _arbitrate(self, _message: Arbitrate) -> None:
        """Once a step, in the lines that are decided then and in which something has changed; in an order that depends on nothing else."""
        undecided, self._undecided = self._undecided, {}
        for key in sorted(undecided):
            standing = self._standings.get(key)
            if standing is not None:
                line = self._ports.lines[key[1]]
                self._decided(key, line, decides(standing, line))

    def _decided(self, key: LineKey, line: Line, decided: Decided) -> None:
        """Keep how the line stands now, and do what was decided."""
        standing, moves = decided
        if standing.empty:
            self._standings.pop(key, None)
        else:
            self._standings[key] = standing
            if line.arbitration == "each_step" and (standing.arrived or standing.active is None):
                self._undecided[key] = None
        for move in moves:
            self._do(move, self._entries[move.token])

    def _do(self, move: Move, entry: Entry) -> None:
        match move.what:
            case "start" | "resume":
                entry.active = True
                self._perform(entry)
            case "replay":
                self._replay(entry)
            case "interrupt":
                self._interrupt(entry)
            case "refuse":
                self._router.tell(QueueRejected(entry.start.context, move.cause))
            case "fail":
                if not entry.reported:
                    entry.reported = "failed"
                    self._router.tell(QueueFailed(entry.start.context, entry.start.attempt, INTERRUPTED))

    # Performing.

    def _perform(self, entry: Entry) -> None:
        """Begin the present action, or go on with it; not while the system drains, which leaves it open, as a crash would (P26)."""
        if self.draining or entry.reported or entry.later:
            return
        kind = type(entry.action)
        if kind in self._pool.tickers:
            failed = self._ticking.begin(entry)
            if failed is not None:
                self._ticked(failed)
            return
        if self._pool.promises and self._pool.has_promised(entry.start, entry.index):
            self._answers_later(entry)
            return
        call = entry.running_call()
        limited = kind in self._special and not self._pool.knows(call)
        if limited and not self._rates.take(kind, call.token, entry, entry.start.priority, self._ports.clock.now_us()):
            self._set_alarm()
        else:
            entry.call = self._pool.call(call)

    def _stand_still(self, entry: Entry) -> None:
        if self._special and entry.start.actions:
            token = entry.start.context.token
            self._ticking.rest(token)
            self._rates.leave(type(entry.action), token)

    def _interrupt(self, entry: Entry) -> None:
        """Take its turn away. A call that is out is told so, and made again later; an answer that comes from outside is still awaited."""
        entry.active = False
        self._stand_still(entry)
        if entry.call is not None and not entry.later:
            self._pool.take_back(entry.call)
            entry.call = None

    def _replay(self, entry: Entry) -> None:
        """Let it start again from its first action, unless its end has been reported meanwhile."""
        entry.active = True
        if entry.reported:
            return
        self._pool.forget(entry.start)
        entry.call, entry.ticker, entry.later = None, None, False
        if entry.index:
            entry.index = 0
            self._router.tell(QueueAdvanced(entry.start.context, entry.start.attempt, 0))
        self._perform(entry)

    def _advance(self, entry: Entry) -> None:
        """The present action is done, and there is another one."""
        if entry.call is not None:
            entry.call.cancel()
        self._stand_still(entry)
        entry.call, entry.ticker, entry.later = None, None, False
        entry.index += 1
        self._router.tell(QueueAdvanced(entry.start.context, entry.start.attempt, entry.index))
        if entry.active:
            self._perform(entry)

    # What performers answer.

    def _answered(self, answered: Answered) -> None:
        """Go on with the next action, or report. An attempt that nobody waits for any more can still report a success (P4, P11)."""
        call = answered.call
        entry = self._entries.of(call.token)
        context, attempt = call.start.context, call.start.attempt
        if answered.failure is not None:
            self._call_failed(answered, entry)
        elif isinstance(answered.result, Later):
            if entry is not None and entry.awaits(call):
                self._answers_later(entry)
        elif call.index + 1 == len(call.start.actions):
            if entry is not None:
                entry.reported, entry.in_doubt = "completed", False
            self._router.tell(QueueCompleted(context, attempt, answered.result))
        elif entry is not None and entry.awaits(call):
            self._advance(entry)

    def _answers_later(self, entry: Entry) -> None:
        """Its turn lasts until `complete`, `fail` or the timeout."""
        entry.later, token = True, entry.start.context.token
        last = entry.index + 1 == len(entry.start.actions)
        alone = not entry.key or self._alone.get(entry.key) == token
        if last and alone and entry.active and not entry.in_doubt:
            self._entries.rest(token)

    def _call_failed(self, answered: Answered, entry: Entry | None) -> None:
        call, final = answered.call, answered.final
        attempt = call.start.attempt
        if entry is None:
            if not final and not self.draining:
                self._ports.ask(call.start)
        elif entry.call is call:
            entry.in_doubt = not final
            entry.reported = "failed"
        elif entry.start.attempt == attempt:  # the call was taken back: it is, or will be, made again
            entry.in_doubt = entry.in_doubt or not final
            return
        if answered.failure is not None and not answered.called_off:
            failed = QueueFailed(call.start.context, attempt, answered.failure, final, answered.error, answered.retry_after)
            self._router.tell(failed)  # the owner counts a stale one

    def _answer_later(self, answer: AnswerLater) -> None:
        """The outcome of a performer's `Later`, or of an execution that has no actions; the owner tells stale ones apart."""
        entry = self._entries.of(answer.context.token)
        attempt = entry.start.attempt if entry is not None else None
        if entry is not None and answer.failure is None and entry.index + 1 < len(entry.start.actions):
            self._advance(entry)
            return
        if entry is not None:
            entry.reported = "completed" if answer.failure is None else "failed"
        if answer.failure is not None:
            self._router.tell(QueueFailed(answer.context, attempt, answer.failure, final=True))
        else:
            self._router.tell(QueueCompleted(answer.context, attempt, answer.result))

    # Time.

    def _tick(self, message: Tick) -> None:
        """Let whatever takes ticks take one."""
        if self.draining:
            return
        for ticked in self._ticking.tick(message.step):
            self._ticked(ticked)

    def _ticked(self, ticked: Ticked) -> None:
        entry = ticked.entry
        start = entry.start
        if ticked.failure is not None:
            entry.reported = "failed"
            self._router.tell(QueueFailed(start.context, start.attempt, ticked.failure, ticked.final))
        elif entry.index + 1 < len(start.actions):
            self._advance(entry)
        else:
            entry.reported = "completed"
            self._router.tell(QueueCompleted(start.context, start.attempt, ticked.result))

    def _rates_allow(self, _alarm: Any) -> None:
        """Make the calls whose rates let them be made by now."""
        if self.draining:
            return
        for entry in self._rates.due(self._ports.clock.now_us()):
            entry.call = self._pool.call(entry.running_call())
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._host.set_alarm(self.actor_inbox, self._rates.next_us())

    # Saved games.

    def saved(self) -> SavedQueues:
        """Where every queue stands. To be asked for by the thread that drives, between steps.

        Raises:
            SnapshotError: a ticker's progress cannot be written.
        """
        for key in list(self._alone):
            self._stands_with_others(key)
        return save(self._held)

    def restore(self, saved: SavedQueues) -> None:
        """Hold what was saved, and go on with it once the actors run; nothing is written. Before that, by the thread that recovers.

        Raises:
            SnapshotError: it does not fit this program.
        """
        restore(self._held, saved, self._line_of, self._ports.find)
        for key, standing in self._standings.items():
            if len(key) > len(("owner", "subject")):
                self._decided(key, self._ports.lines[key[1]], (standing, ()))
        self.post.tell(GoOn())

    def _go_on(self, _message: GoOn) -> None:
        """Make the calls that were out again; what takes ticks, waits for a rate or for an answer from outside does so still.

        What takes ticks and has not begun to begins: its turn came in the save, by a migration, or because whoever had it was stale.
        """
        for token, entry in list(self._entries.items()):
            if not entry.active or entry.reported or entry.later or self.draining:
                continue
            if type(entry.action) in self._pool.tickers:
                if entry.ticker is None:
                    self._perform(entry)
            elif not self._rates.waits(type(entry.action), token):
                entry.call = self._pool.call(entry.running_call())  # its rate has let it through before
        self._set_alarm()

    def holds(self, token: Token) -> bool:
        """Whether there is a queue of that token."""
        return self._entries.of(token) is not None

    # Looking in. Any thread may ask: each looks at a copy that is made in one step of the interpreter.

    @property
    def waiting(self) -> int:
        """How many wait for their turn in a line."""
        return sum(len(standing.waiting) + len(standing.arrived) for standing in list(self._standings.values()))

    @property
    def parked(self) -> int:
        """How many were interrupted, and are to go on."""
        return sum(len(standing.parked) for standing in list(self._standings.values()))

    @property
    def ticking(self) -> int:
        """How many take ticks now."""
        return len(self._ticking)

    @property
    def waiting_for_rates(self) -> int:
        """How many calls wait until their rate lets them be made."""
        return len(self._rates)
