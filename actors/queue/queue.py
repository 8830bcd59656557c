"""The queue: has the actions of each subject performed in order, and reports by owner and token. It decides nothing about what follows.

Who is served in a subject's line is decided in `domain/line.py`; this actor keeps the lines, and has what was decided carried out.
"""

from typing import NamedTuple

from tallystick.actors.actor import Alarm, Crash, EngineActor, Host
from tallystick.actors.messages import (
    AnswerLater,
    Arbitrate,
    FinishQueue,
    FinishTogether,
    GoOnFrom,
    QueueFailed,
    QueueRejected,
    StartQueue,
    Tick,
)
from tallystick.actors.performers.performer import Answered
from tallystick.actors.queue.entry import Entry, LineKey, candidate_of
from tallystick.actors.queue.holdings import Holdings
from tallystick.actors.queue.performing import Performing
from tallystick.actors.queue.ports import QueuePorts
from tallystick.actors.queue.rates import Rates
from tallystick.actors.queue.saved import SavedQueues, restore, save
from tallystick.actors.queue.ticking import Ticking
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
        self._router = ports.router
        self._held = Holdings(Ticking(ports.pool.tickers), Rates(ports.pool.buckets))
        self._entries = self._held.entries
        self._standings = self._held.standings
        self._alone = self._held.alone
        self._undecided: dict[LineKey, None] = {}
        self._performing = performing = Performing(ports, self._held, self._set_alarm)
        self.handlers = {
            Answered: performing.answered,
            StartQueue: self._start,
            FinishQueue: self._finish,
            FinishTogether: self._finish_together,
            AnswerLater: performing.answer_later,
            GoOnFrom: performing.go_on_from,
            Tick: performing.tick,
            Arbitrate: self._arbitrate,
            Alarm: performing.rates_allow,
            GoOn: performing.go_on,
        }

    @property
    def held(self) -> Holdings:
        """Who stands where; to be looked at in its own turn."""
        return self._held

    @property
    def draining(self) -> bool:
        """Whether nothing more is begun, so that what is open stays open (P26)."""
        return self._performing.draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._performing.draining = draining

    def _set_alarm(self, due_us: int | None) -> None:
        self._host.set_alarm(self.actor_inbox, due_us)

    # Coming and going.

    def _start(self, start: StartQueue) -> None:
        if self._performing.draining:
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
                self._performing.perform(entry)
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
        if entry.in_doubt and finish.attempt is None and not self._performing.draining:
            self._ports.ask(entry.start)
        self._performing.call_off(entry)
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
                self._performing.perform(entry)
            case "replay":
                self._performing.replay(entry)
            case "interrupt":
                self._performing.interrupt(entry)
            case "refuse":
                self._router.tell(QueueRejected(entry.start.context, move.cause))
            case "fail":
                if not entry.reported:
                    entry.reported = "failed"
                    self._router.tell(QueueFailed(entry.start.context, entry.start.attempt, INTERRUPTED))

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
        return len(self._held.ticking)

    @property
    def waiting_for_rates(self) -> int:
        """How many calls wait until their rate lets them be made."""
        return len(self._held.rates)
