"""Settling: what an owner does with the reports, timeouts and retries of its executions. The first settlement wins, the rest is counted."""

from datetime import timedelta
from typing import Any, Literal

import msgspec
from msgspec import structs

from tallystick.actors.messages import (
    AnswerLater,
    By,
    Context,
    GoOnFrom,
    QueueAdvanced,
    QueueAnswered,
    QueueBeat,
    QueueCompleted,
    QueueFailed,
    QueueProgress,
    QueueRejected,
    Reply,
    RetryDue,
    SettleByHand,
    SettleFromOutside,
    TimeoutDecision,
)
from tallystick.actors.owner.acting import Acting, Cause, Tell
from tallystick.actors.owner.parked import ParkedSources
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.actors.telling import warn
from tallystick.domain import execution
from tallystick.domain.envelope import Recorded, to_micros
from tallystick.domain.errors import InvalidPayload, NotAccepted, Rejected
from tallystick.domain.evidence import MESSAGE_LIMIT_CHARS, WITHHELD, fitted
from tallystick.domain.execution import CALLS_LIMIT, ExecutionRecord
from tallystick.domain.outcome import Cancelled, Failed, Outcome, Refused, Succeeded, TimedOut
from tallystick.domain.parking import Source
from tallystick.domain.protocol import EXECUTION, ActionsAdvanced, IntentStarted, LateSuccess, PersonActed, PersonNeeded, RetryScheduled
from tallystick.domain.token import Token
from tallystick.store.codec import Codec


class Settling:
    """The executions of one owner; only its thread calls it."""

    def __init__(self, acting: Acting, codec: Codec, parked: ParkedSources) -> None:
        self._acting = acting
        self._state = acting.state
        self._codec = codec
        self._parked = parked

    # Reports.

    def completed(self, report: QueueCompleted) -> None:
        """A success of any attempt completes; a stale one may be late evidence (P4, P10)."""
        record = self.undecided(report.context.token)
        if record is None:
            self._late(report.context.token, report.result)
            return
        try:
            outcome = self._success(record, report.result)
        except InvalidPayload as error:
            said = WITHHELD if report.revealed else error  # which may quote the result
            self.leave_to_person(record, f"its performer returned what {type(record.intent).__name__} does not promise: {said}")
            return
        self.settle(record, outcome)

    def failed(self, report: QueueFailed, acted: PersonActed | None = None) -> None:
        """A failure counts only if its attempt is current; then the policy decides between a retry and the end (P4, P6)."""
        record = self.undecided(report.context.token)
        if record is None or not execution.counts(record, report.attempt):
            self._count_stale("stale_failures", report.context.token, report.attempt)
            return
        if report.final or execution.is_final(record, report.error):
            self.settle(record, report.reason, acted=acted)
        elif record.dead:
            self._count_stale("stale_failures", report.context.token, report.attempt)
        elif not self._retry(record, report.reason, report.retry_after):
            self._exhausted(record, structs.replace(report.reason, in_doubt=bool(record.started.actions)))

    def advanced(self, report: QueueAdvanced) -> None:
        """Write down that actions are done, so that they are not done again; of an attempt that is current (P4)."""
        record = self.undecided(report.context.token)
        if record is None or not execution.counts(record, report.attempt):
            self._count_stale("stale_advances", report.context.token, report.attempt)
            return
        if report.index != record.index:  # else an answer from outside has said so before
            self._acting.note(record, ActionsAdvanced(attempt=report.attempt, index=report.index))

    def beaten(self, report: QueueBeat) -> None:
        """Write down that an attempt is alive, which alone extends its deadline (P8); of one that is over, nobody need know."""
        record = self.undecided(report.context.token)
        if record is not None and execution.is_out(record, report.attempt):
            self._acting.note(record, execution.beat(record, report.until_us))

    def got_on(self, report: QueueProgress) -> None:
        """Write down how far an attempt is, and that it is alive (P8); of one that is over (P4), or an action that is, nobody need know."""
        record = self.undecided(report.context.token)
        if record is not None and execution.is_out(record, report.attempt) and report.index >= record.index:
            self._acting.note(record, execution.got_on(record, report.percent, report.message, report.until_us))

    def rejected(self, report: QueueRejected) -> None:
        """The queue does not serve it (any more): the owner hears of it as of any other end."""
        record = self.undecided(report.context.token)
        if record is None:
            self._count_stale("stale_rejections", report.context.token, 0)
            return
        self.settle(record, Refused(cause=report.cause))

    def from_outside(self, message: SettleFromOutside) -> None:
        """What `complete` and `fail` say; which of several actions a result is of, the queue is asked first."""
        record, context = self.undecided(message.token), Context(self._acting.name, message.token)
        if record is not None and message.key not in {"", *(_key(record, index) for index in range(record.index, _count(record)))}:
            self.answered(QueueAnswered(context, None, -1, message))
        elif message.failure is not None:
            message.reply.answer(record is not None)
            self.failed(QueueFailed(context, None, message.failure, final=True), acted_by(message.by, "failed"))
            self._acting.journal.gate(message.reply)
        elif record is not None and len(record.started.actions) > 1:
            self._acting.ports.queue.tell(AnswerLater(context, message))
        else:
            self.answered(QueueAnswered(context, None, None, message))

    def answered(self, report: QueueAnswered) -> None:
        """Write down what an answer from outside brings about: the end, or that its action is done, from which the queue goes on.

        A result that the intent does not promise is refused, and changes nothing: it is the host's mistake, who can mend it. Whatever
        attempt the answer is to, it counts (P4), unless its action was known to be done before.
        """
        said, record = report.said, self.undecided(report.context.token)
        reply, acted = said.reply, acted_by(said.by, "completed")
        index = report.index if report.index is not None or record is None else record.index
        reply.answer(record is not None)
        if record is None or index is None:
            self._late(report.context.token, said.result)
        elif index < record.index or said.key not in {"", _key(record, index)}:
            reply.answer(False)
            self._count_stale("duplicate_successes", record.token, report.attempt)
        elif index + 1 < len(record.started.actions):
            advanced = ActionsAdvanced(attempt=record.attempt, index=index + 1)
            outputs = (Tell(self._acting.ports.queue, GoOnFrom(record.token, report.attempt, index + 1)), reply)
            cause = Cause(record.correlation, record.position, record.started.tags)
            self._acting.take(cause, _note_answered, record, advanced, acted, outputs=outputs)
            self._acting.arm(record.token)
            return
        else:
            try:
                outcome = self._success(record, said.result)
            except InvalidPayload as error:
                reply.refuse(error)
            else:
                self.settle(record, outcome, acted=acted)
        self._acting.journal.gate(reply)

    # Time.

    def timed_out(self, decision: TimeoutDecision) -> None:
        """Decide what follows a timeout that is in the log; several may fire for one attempt, one has an effect (P8)."""
        token = decision.context.token
        self._state.fold_timeout(decision.fired)
        record = self.undecided(token)
        if record is None or record.status != "fired" or record.attempt != decision.fired.event.attempt:
            self._count_stale("stale_timeouts", token, decision.fired.event.attempt)
            return
        self.decide_timeout(record)

    def decide_timeout(self, record: ExecutionRecord) -> None:
        """Retry while the policy grants it, else the execution ends timed out, or is a dead letter."""
        cause = TimedOut(attempts=record.attempt)
        if not self._retry(record, cause):
            self._exhausted(record, cause)

    def retry_due(self, due: RetryDue) -> None:
        """Start the next attempt; the start is gated on its event (P6)."""
        record = self.undecided(due.context.token)
        if record is None or record.status != "retrying" or record.attempt != due.attempt:
            self._count_stale("stale_retries", due.context.token, due.attempt)
            return
        self.start_again(record, again=False)

    def start_again(self, record: ExecutionRecord, *, again: bool) -> None:
        """Append `AttemptStarted` and start the actions with it; beyond the limit of calls, if it calls anybody, a person must look (P6).

        `again`: the same attempt once more, because a crash left its call in doubt.
        """
        if record.started.actions and record.call >= CALLS_LIMIT:
            self.leave_to_person(record, f"its actions were started {record.call} times without an end")
            return
        event = execution.next_attempt(record, self._acting.clock.now_us(), again=again)
        deadline_us = execution.deadline_us(event)
        outputs = (self._acting.start_of(record, event.attempt, deadline_us, admitted=again),) if record.started.performs else ()
        self._acting.note(record, event, outputs)

    def leave_to_person(self, record: ExecutionRecord, reason: str) -> None:
        """Put it on the list of those that wait for somebody."""
        said = fitted(reason, MESSAGE_LIMIT_CHARS)
        warn("execution.needs_person", owner=self._acting.name, token=record.token, correlation=record.correlation, reason=said)
        self._acting.note(record, PersonNeeded(reason=said))

    def by_hand(self, message: SettleByHand) -> None:
        """End an open execution because a person said so."""
        record, outcome = self.undecided(message.token), message.outcome
        try:
            if record is None or (message.dead and record.status != "person"):
                waits = "that waits for a person " if message.dead else ""
                msg = f"{self._acting.name} has no open execution {waits}{message.token}."
                raise Rejected("NOT_OPEN", msg)  # noqa: EM101, TRY301 - a code; one place answers
            if isinstance(outcome, Succeeded):
                outcome = self._success(record, outcome.result)
        except (Rejected, InvalidPayload) as refusal:
            message.reply.refuse(refusal)
            self._acting.journal.gate(message.reply)
            return
        message.reply.answer(None)
        self.settle(record, outcome, message.reply, acted_by(message.by, _DONE_BY_HAND[type(outcome)]))

    # Parts.

    def _success(self, record: ExecutionRecord, result: Any) -> Succeeded[Any]:
        """The outcome that a result means.

        Raises:
            InvalidPayload: it is not what the intent promises.
        """
        return Succeeded(result=self._codec.checked_answer(result, self._codec.result_types[type(record.intent)]))

    def settle(self, record: ExecutionRecord, outcome: Outcome[Any], reply: Reply | None = None, acted: PersonActed | None = None) -> None:
        """One append: the settling turn's events, the completion event among them; a failing handler is parked with its outcome (P13)."""
        cause = Cause(record.correlation, record.position, record.started.tags)
        outputs = (reply,) if reply is not None else ()
        try:
            if acted is None:
                self._acting.take(cause, TurnInProgress.settle, record, outcome, outputs=outputs)
            else:
                self._acting.take(cause, _settle_by_hand, record, outcome, acted, outputs=outputs)
        except NotAccepted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the program's handler raised
            self._parked.settlement_failed(record, outcome, error, acted=acted, outputs=outputs)

    def undecided(self, token: Token) -> ExecutionRecord | None:
        """The open execution, unless its outcome is decided and only its settlement handler is being retried (P13)."""
        if self._state.parks and Source(EXECUTION, token) in self._state.parking:
            return None
        return self._state.open.get(token)

    def _retry(self, record: ExecutionRecord, cause: Failed | TimedOut, asked: timedelta | None = None) -> bool:
        scheduled = execution.next_retry(record, cause, self._acting.clock.now_us(), self._acting.setting.identity.draw(), asked)
        if scheduled is None:
            return False
        outputs = (self._acting.finish_output(record.token, record.attempt),) if record.started.performs else ()
        self._acting.take(Cause(record.correlation, record.position, record.started.tags), _schedule, record, scheduled, outputs=outputs)
        self._acting.arm(record.token)
        self._acting.counters.count("retries")
        return True

    def _exhausted(self, record: ExecutionRecord, cause: Failed | TimedOut) -> None:
        """End it, or leave it open as a dead letter, out of the way of others of its subject."""
        needed = execution.dead_letter(record, cause)
        if needed is None:
            self.settle(record, cause)
            return
        outputs = (self._acting.finish_output(record.token, record.attempt),) if record.started.performs else ()
        self._acting.counters.count("dead_letters")
        warn(
            "execution.dead_letter",
            owner=self._acting.name,
            token=record.token,
            attempt=record.attempt,
            code=execution.code_of(cause),
            correlation=record.correlation,
        )
        self._acting.note(record, needed, outputs)

    def _late(self, token: Token, result: Any) -> None:
        """Look a stale token up once: a late success becomes evidence, at most one per token; an unknown token is a warning (P10)."""
        found = list(self._acting.journal.of_token(token))
        begun = next((r for r in found if r.aggregate_version == 1 and r.aggregate_type == EXECUTION), None)
        if begun is None or begun.owner != self._acting.name:
            self._count_stale("unknown_tokens", token, 0)
            return
        settled = next((r for r in found if r.settles is not None), None)
        known = any(r.event_type == LateSuccess.__name__ for r in found)
        if settled is None or settled.settles == "succeeded" or known or Source(EXECUTION, token) in self._state.parking:
            self._count_stale("duplicate_successes", token, 0)
            return
        self._evidence(begun, settled, result)

    def _evidence(self, begun: Recorded, settled: Recorded, result: Any) -> None:
        started: IntentStarted[Any, Any] = self._codec.decode(begun)
        intent = started.intent
        try:
            content = self._codec.answer_bytes(self._codec.checked_answer(result, self._codec.result_types[type(intent)]))
        except InvalidPayload:
            self._count_stale("invalid_late_results", Token(begun.token or ""), 0)
            return
        self._acting.counters.count("late_successes")
        self._parked.late_success(begun, started, settled, LateSuccess(operation=intent.operation(), result=msgspec.Raw(content)))

    def _count_stale(self, what: str, token: Token, attempt: int | None) -> None:
        self._acting.counters.count(what)
        last = self._acting.journal.last(EXECUTION, token)
        correlation = None if last is None else last.correlation
        warn("report.stale", what=what, owner=self._acting.name, token=token, attempt=attempt, correlation=correlation)


_DONE_BY_HAND: dict[type[Any], Literal["completed", "failed", "abandoned"]] = {
    Succeeded: "completed",
    Failed: "failed",
    Cancelled: "abandoned",
}


def acted_by(by: By, did: Literal["completed", "failed", "abandoned", "discarded", "redriven"]) -> PersonActed | None:
    """What is recorded of a person's decision; nothing where nobody is named."""
    return PersonActed(did=did, who=by.who, why=by.why) if by.who or by.why else None


def _schedule(turn: TurnInProgress, record: ExecutionRecord, scheduled: RetryScheduled) -> None:
    turn.note_report(record.token, scheduled)
    turn.extend(record, execution.deadline_of(type(record.intent), record.timeout_us, to_micros(scheduled.retry_at), record.closes_us))


def _count(record: ExecutionRecord) -> int:
    """How many answers there are to be to it: one, where it has no actions."""
    return max(len(record.started.actions), 1)


def _key(record: ExecutionRecord, index: int) -> str:
    return execution.key_of(record.token, index, len(record.started.actions), record.edits)


def _note_answered(turn: TurnInProgress, record: ExecutionRecord, advanced: ActionsAdvanced, acted: PersonActed | None) -> None:
    if acted is not None:
        turn.note(record.token, acted)
    turn.note(record.token, advanced)


def _settle_by_hand(turn: TurnInProgress, record: ExecutionRecord, outcome: Outcome[Any], acted: PersonActed) -> None:
    turn.note(record.token, acted)
    turn.settle(record, outcome)
