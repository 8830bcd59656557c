"""The queue: performs the actions of each subject in order, and reports by owner and token. It decides nothing about what follows."""

from collections import deque
from collections.abc import Callable

from tallystick.actors.actor import Crash, EngineActor, Host
from tallystick.actors.messages import (
    AnswerLater,
    FinishQueue,
    Mailbox,
    QueueCompleted,
    QueueFailed,
    QueueRejected,
    StartQueue,
)
from tallystick.actors.performer import Answered, PerformerPool, RunningCall
from tallystick.domain.action import Later
from tallystick.domain.token import Token

WAITING_LIMIT = 1000
"""How many queues may wait for one subject; one more is rejected as busy."""


class Running:
    """One attempt of one token's actions."""

    __slots__ = ("call", "in_doubt", "index", "lane", "start")

    def __init__(self, start: StartQueue) -> None:
        self.start = start
        self.index = 0
        self.call: RunningCall | None = None
        self.in_doubt = False
        """Whether the call has raised: it may have had its effect all the same."""
        self.lane = (start.context.owner, start.subject or f"\0{start.context.token}")
        """Queues of one lane run one after another; without a subject there is nobody to wait for."""


class QueueActor(EngineActor):
    """One actor for all subjects. Starts and cancels reach it when they are durable, in log order, so it decides in log order (P11)."""

    def __init__(self, host: Host, crash: Crash, pool: PerformerPool, router: Mailbox, ask: Callable[[StartQueue], None]) -> None:
        super().__init__("queue", host, crash)
        self._ask = ask
        """Finds out whether what ended in doubt was done after all."""
        self._pool = pool
        self._router = router
        self._running: dict[Token, Running] = {}
        self._lanes: dict[tuple[str, str], deque[Running]] = {}
        self.draining = False
        self.handlers = {
            Answered: self._answered,
            StartQueue: self._start,
            FinishQueue: self._finish,
            AnswerLater: self._answer_later,
        }

    def _start(self, start: StartQueue) -> None:
        if self.draining:
            return
        if start.context.token in self._running:
            self._finish(FinishQueue(start.context.token))
        running = Running(start)
        lane = self._lanes.setdefault(running.lane, deque())
        if len(lane) > WAITING_LIMIT:
            self._router.tell(QueueRejected(start.context, "busy"))
            return
        lane.append(running)
        self._running[start.context.token] = running
        if len(lane) == 1:
            self._perform(running)

    def _perform(self, running: Running) -> None:
        """Call the performer of the next action; not while the system drains, which leaves it open, as a crash would (P26)."""
        if self.draining:
            return
        start = running.start
        several = len(start.actions) > 1
        running.call = self._pool.call(RunningCall(start, running.index, several=several))

    def _answered(self, answered: Answered) -> None:
        """Go on with the next action, or report. An attempt that nobody waits for any more can still report a success (P4)."""
        call = answered.call
        running = self._running.get(call.token)
        current = running is not None and running.call is call
        last = call.index + 1 == len(call.start.actions)
        context, attempt = call.start.context, call.start.attempt
        if answered.failure is not None:
            if running is None and not answered.final and not self.draining:
                self._ask(call.start)
            elif current and running is not None:
                running.in_doubt = not answered.final
            if current or running is None or running.start.attempt != attempt:  # the owner counts a stale one
                self._router.tell(QueueFailed(context, attempt, answered.failure, answered.final))
        elif isinstance(answered.result, Later):
            pass  # the lane is held until `complete`, `fail` or the timeout
        elif last:
            self._router.tell(QueueCompleted(context, attempt, answered.result))
        elif current and running is not None:
            running.index += 1
            self._perform(running)

    def _answer_later(self, answer: AnswerLater) -> None:
        """The outcome of a performer's `Later`, or of an execution that has no actions; the owner tells stale ones apart."""
        running = self._running.get(answer.context.token)
        attempt = running.start.attempt if running is not None else None
        if answer.failure is not None:
            self._router.tell(QueueFailed(answer.context, attempt, answer.failure, final=True))
        elif running is not None and running.index + 1 < len(running.start.actions):
            running.index += 1
            self._perform(running)
        else:
            self._router.tell(QueueCompleted(answer.context, attempt, answer.result))

    def _finish(self, finish: FinishQueue) -> None:
        running = self._running.get(finish.token)
        if running is None or finish.attempt not in {None, running.start.attempt}:
            return
        del self._running[finish.token]
        if running.in_doubt and finish.attempt is None and not self.draining:
            self._ask(running.start)
        if running.call is not None:
            running.call.cancel()
            self._pool.forget(running.call)
        lane = self._lanes[running.lane]
        first = lane[0] is running
        lane.remove(running)
        if not lane:
            del self._lanes[running.lane]
        elif first:
            self._perform(lane[0])
