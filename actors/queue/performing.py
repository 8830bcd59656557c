"""Performing: carries out the actions of those whose turn it is, one after the other, and reports what came of them.

Not whose turn it is: that is the queue's, whose actor calls it.
"""

from collections.abc import Callable
from typing import Any

from tallystick.actors.messages import AnswerLater, GoOnFrom, QueueAdvanced, QueueAnswered, QueueCompleted, QueueFailed, Tick
from tallystick.actors.performers.performer import Answered
from tallystick.actors.queue.entry import Entry
from tallystick.actors.queue.holdings import Holdings
from tallystick.actors.queue.ports import QueuePorts
from tallystick.actors.queue.ticking import Ticked
from tallystick.domain.action import Later


class Performing:
    """What is done with the entries that the queue holds. Only the queue's thread calls it."""

    def __init__(self, ports: QueuePorts, held: Holdings, alarm_at: Callable[[int | None], None]) -> None:
        """`alarm_at` has the queue woken for `rates_allow` at a time, in microseconds, or not at all."""
        self._pool = ports.pool
        self._router = ports.router
        self._clock = ports.clock
        self._ask = ports.ask
        self._entries = held.entries
        self._alone = held.alone
        self._ticking = held.ticking
        self._rates = held.rates
        self._special = frozenset((*self._pool.tickers, *self._pool.buckets))
        self._alarm_at = alarm_at
        self.draining = False
        """Whether nothing more is begun, so that what is open stays open (P26)."""

    # Beginning and breaking off.

    def perform(self, entry: Entry) -> None:
        """Begin the present action, or go on with it; not while the system drains, which leaves it open, as a crash would (P26)."""
        if self.draining or entry.reported or entry.later or entry.answered:
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
        if limited and not self._rates.take(kind, call.token, entry, entry.start.priority, self._clock.now_us()):
            self._set_alarm()
        else:
            entry.call = self._pool.call(call)

    def _stand_still(self, entry: Entry) -> None:
        if self._special and entry.start.actions:
            token = entry.start.context.token
            self._ticking.rest(token)
            self._rates.leave(type(entry.action), token)

    def interrupt(self, entry: Entry) -> None:
        """Take its turn away. A call that is out is told so, and made again later; an answer that comes from outside is still awaited."""
        entry.active = False
        self._stand_still(entry)
        if entry.call is not None and not entry.later:
            self._pool.take_back(entry.call)
            entry.call = None

    def replay(self, entry: Entry) -> None:
        """Let it start again from its first action, unless its end has been reported meanwhile."""
        entry.active = True
        if entry.reported:
            return
        self._pool.forget(entry.start)
        begun = entry.index or entry.answered
        entry.call, entry.ticker, entry.later, entry.answered = None, None, False, False
        if begun:
            entry.index = 0
            self._router.tell(QueueAdvanced(entry.start.context, entry.start.attempt, 0))
        self.perform(entry)

    def _advance(self, entry: Entry) -> None:
        """The present action is done, and there is another one."""
        self._leave_action(entry)
        entry.index += 1
        self._router.tell(QueueAdvanced(entry.start.context, entry.start.attempt, entry.index))
        if entry.active:
            self.perform(entry)

    def _leave_action(self, entry: Entry) -> None:
        """The present action is done: whatever of it still runs is told so."""
        if entry.call is not None:
            entry.call.cancel()
        self._stand_still(entry)
        entry.call, entry.ticker, entry.later, entry.answered = None, None, False, False

    def call_off(self, entry: Entry) -> None:
        """Nobody waits for it any more: whatever of it still runs is told so."""
        if entry.call is not None:
            entry.call.cancel()
        elif entry.later:
            self._pool.call_off(entry.start.context.token)
        self._stand_still(entry)
        self._pool.forget(entry.start)

    def go_on(self, _message: Any) -> None:
        """Make the calls that were out again; what takes ticks, waits for a rate or for an answer from outside does so still.

        What takes ticks and has not begun to begins: its turn came in the save, by a migration, or because whoever had it was stale.
        """
        for token, entry in list(self._entries.items()):
            if not entry.active or entry.reported or entry.later or self.draining:
                continue
            if type(entry.action) in self._pool.tickers:
                if entry.ticker is None:
                    self.perform(entry)
            elif not self._rates.waits(type(entry.action), token):
                entry.call = self._pool.call(entry.running_call())  # its rate has let it through before
        self._set_alarm()

    # What performers answer.

    def answered(self, answered: Answered) -> None:
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
            self._router.tell(QueueCompleted(context, attempt, answered.result, call.revealed))
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
                self._ask(call.start)
        elif entry.call is call:
            entry.in_doubt = not final
            entry.reported = "failed"
        elif entry.start.attempt == attempt:  # the call was taken back: it is, or will be, made again
            entry.in_doubt = entry.in_doubt or not final
            return
        if answered.failure is not None and not answered.called_off:
            failed = QueueFailed(call.start.context, attempt, answered.failure, final, answered.error, answered.retry_after)
            self._router.tell(failed)  # the owner counts a stale one

    def answer_later(self, answer: AnswerLater) -> None:
        """Say which action is answered from outside. Its owner writes that down, or ends it all; the next action waits for that.

        Another answer that comes meanwhile is to the same action, so that its owner can tell it for a duplicate.
        """
        entry = self._entries.of(answer.context.token)
        if entry is None:
            self._router.tell(QueueAnswered(answer.context, None, None, answer.said))
            return
        its_own = answer.said.key in {"", entry.running_call().key}
        if its_own and not entry.reported and entry.index + 1 < len(entry.start.actions):
            self._leave_action(entry)
            entry.answered = True
        self._router.tell(QueueAnswered(answer.context, entry.start.attempt, entry.index, answer.said))

    def go_on_from(self, message: GoOnFrom) -> None:
        """Go on with the next action, for the answer to the one before is durable.

        An attempt that began meanwhile skips what it says is done. One that was told to start again from its first action does not.
        """
        entry = self._entries.of(message.token)
        if entry is None or entry.reported:
            return
        if entry.start.attempt == message.attempt:
            goes_on = entry.answered and entry.index + 1 == message.index
        else:
            goes_on = entry.index < message.index
        if goes_on:
            self._leave_action(entry)
            entry.index = message.index
            if entry.active:
                self.perform(entry)

    # Time.

    def tick(self, message: Tick) -> None:
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

    def rates_allow(self, _alarm: Any) -> None:
        """Make the calls whose rates let them be made by now."""
        if self.draining:
            return
        for entry in self._rates.due(self._clock.now_us()):
            entry.call = self._pool.call(entry.running_call())
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm_at(self._rates.next_us())
