"""Probing: asking the outside world whether calls in doubt had their effect. Silence is no answer.

After a crash, calls without a report are in doubt, and recovery asks about all of them, bounded in time. While the system runs, a call that
raised after its execution had ended is: it may have had its effect all the same, and nobody will perform it again.
"""

import threading
from collections import deque
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from tallystick.actors.interrupts import leave_to_the_host
from tallystick.actors.messages import NO_TAGS, Context, Mailbox, QueueCompleted, StartQueue
from tallystick.actors.performers.calling import Called
from tallystick.actors.performers.performer import Answered, PerformerPool, RunningCall
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.telling import warn
from tallystick.domain.action import Action, Done, Later, NotDone, Unknown
from tallystick.domain.evidence import said_by, withhold
from tallystick.domain.token import Token

PROBES_AT_ONCE = 16
PROBING_LIMIT_S = 30.0


class Doubt(NamedTuple):
    """One execution whose actions may have had their effect; `attempt` is 0 for an abandoned one, which performs nothing more."""

    owner: str
    token: Token
    attempt: int
    deadline_us: int | None
    actions: tuple[Action[Any], ...]
    first: int = 0
    """The first action that is not known to be done."""
    edits: tuple[int, ...] = ()
    correlation: str | None = None
    tags: Mapping[str, str] = NO_TAGS

    @property
    def context(self) -> Context:
        """Where its report belongs."""
        return Context(self.owner, self.token)


class Verdict(NamedTuple):
    """What the probes said. `resume`: performing goes on from the answers found; `unknown`: a person; neither: perform it again.

    `done`: all actions were done, the last one with `result`; `revealed`: its probe knew something that may not be written down.
    """

    resume: bool = False
    done: bool = False
    unknown: bool = False
    result: Any = None
    revealed: bool = False


AGAIN = Verdict()
TO_COME = Verdict(resume=True)


def probe_all(pool: PerformerPool, runtime: Runtime, doubts: list[Doubt]) -> list[Verdict]:
    """Probe every doubt, several at once; those whose probes do not answer within the limit are to be performed again."""
    if runtime.inline:
        return [_probe(pool, doubt) for doubt in doubts]
    verdicts: list[Verdict | None] = [None] * len(doubts)
    waiting = iter(range(len(doubts)))  # which many threads may ask for the next
    ended: SimpleQueue[None] = SimpleQueue()
    over = threading.Event()

    def work() -> None:
        for index in waiting:
            if over.is_set():
                break
            verdicts[index] = _probe(pool, doubts[index])
        ended.put(None)

    threads = min(PROBES_AT_ONCE, len(doubts))
    for number in range(threads):
        threading.Thread(target=work, name=f"tallystick-probe-{number + 1}", daemon=True).start()
    clock = runtime.clock
    end_us = clock.now_us() + int(PROBING_LIMIT_S * 1e6)
    for _ in range(threads):
        try:
            ended.get(timeout=max(clock.sleeping_us(end_us), 0.001))
        except Empty:
            over.set()
            break
    found = list(verdicts)  # what is answered after this is too late
    unanswered = found.count(None)
    if unanswered:
        warn("probing.gave_up", unanswered=unanswered)
    return [AGAIN if verdict is None else verdict for verdict in found]


def _probe(pool: PerformerPool, doubt: Doubt) -> Verdict:
    """Ask for each action in order. What is done is held as its call's answer, so that performing goes on behind it."""
    start = StartQueue(
        doubt.context,
        doubt.attempt,
        "",
        doubt.actions,
        doubt.deadline_us,
        edits=doubt.edits,
        correlation=doubt.correlation,
        tags=doubt.tags,
    )
    result: Any = None
    revealed = False
    for index, action in list(enumerate(doubt.actions))[doubt.first :]:
        call = RunningCall(start, index)
        pool.equip(call)
        performer = pool.performers.get(type(action))
        if performer is None or performer.probe is None:
            return AGAIN
        try:
            with Called(call):
                answer = performer.probe(action, call)
        except BaseException as error:  # noqa: BLE001 - user code; without an answer the call is made again, with the same key
            leave_to_the_host(error)
            if call.revealed:
                withhold(error)
            warn("probe.failed", owner=doubt.owner, token=doubt.token, action=type(action).__name__, error=said_by(error))
            return AGAIN
        if isinstance(answer, Unknown):
            return Verdict(unknown=True)
        if isinstance(answer, Later) and doubt.attempt:
            pool.hold(Answered(call, answer))
            return TO_COME
        if not isinstance(answer, Done):
            if not isinstance(answer, NotDone | Later):
                warn("probe.odd_answer", owner=doubt.owner, token=doubt.token, action=type(action).__name__, answer=type(answer).__name__)
            return AGAIN
        result, revealed = answer.result, call.revealed
        if doubt.attempt:
            pool.hold(Answered(call, result))
    return Verdict(resume=True, done=True, result=result, revealed=revealed)


def _doubt_about(start: StartQueue) -> Doubt:
    """One that nobody performs any more."""
    owner, token = start.context.owner, start.context.token
    return Doubt(owner, token, 0, None, start.actions, edits=start.edits, correlation=start.correlation, tags=start.tags)


class Prober:
    """Asks about calls that raised when nobody waited for them any more; a success goes to the owner as a late one (P10).

    At most `PROBES_AT_ONCE` threads ask, outside the actors; what has not been asked when the engine ends is not asked any more.
    """

    def __init__(self, pool: PerformerPool, runtime: Runtime, router: Mailbox) -> None:
        self._pool = pool
        self._runtime = runtime
        self._router = router
        self._waiting: deque[StartQueue] = deque()
        self._lock = threading.Lock()
        self._asking = 0

    def ask(self, start: StartQueue) -> None:
        """Find out, soon, whether its actions were done after all; never blocks but in the stepped runtime, which asks at once."""
        if not all(self._pool.performers[type(action)].probe for action in start.actions):
            return
        self._waiting.append(start)
        with self._lock:
            if self._asking >= PROBES_AT_ONCE:
                return
            self._asking += 1
        self._runtime.background("probe", self._work)

    def _work(self) -> None:
        while True:
            try:
                start = self._waiting.popleft()
            except IndexError:
                with self._lock:
                    if self._waiting:
                        continue
                    self._asking -= 1
                return
            verdict = _probe(self._pool, _doubt_about(start))
            if verdict.done:
                self._router.tell(QueueCompleted(start.context, None, verdict.result, verdict.revealed))
