"""People: what somebody does by hand with an execution that is stuck. Its attempts are the settling's, its end is the settling's too."""

from collections.abc import Callable
from typing import Any

from tallystick.actors.messages import DiscardExecution, RedriveExecution, Reply
from tallystick.actors.owner.acting import Acting, Cause
from tallystick.actors.owner.settling import Settling, acted_by
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.domain import execution
from tallystick.domain.action import Action
from tallystick.domain.errors import Rejected
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.outcome import Cancelled
from tallystick.domain.protocol import AttemptStarted, ExecutionRedriven
from tallystick.store.journal import Output


class People:
    """The executions of one owner that people decide on; only its thread calls it."""

    def __init__(self, acting: Acting, settling: Settling) -> None:
        self._acting = acting
        self._settling = settling

    def redrive(self, message: RedriveExecution) -> None:
        """Start a new attempt at once, with the retries and the calls counted anew; recorded with who and why.

        The attempt has a number that none had before, so that a report of an earlier one is told apart (P4); the token stays, and with it
        the idempotency key of each action that was not edited (P5).
        """
        self._decided(message, message.reply, self._redrive)

    def discard(self, message: DiscardExecution) -> None:
        """End it with its last failure, as if there had been nobody to ask."""
        self._decided(message, message.reply, self._discard)

    def _decided(self, message: Any, reply: Reply, run: Callable[[ExecutionRecord, Any], None]) -> None:
        name = self._acting.name
        record = self._settling.undecided(message.token)
        try:
            if record is None:
                raise Rejected("NOT_OPEN", f"{name} has no open execution {message.token}.")  # noqa: EM101, TRY301 - one place answers
            reply.answer(None)
            run(record, message)
        except Rejected as refusal:
            reply.refuse(refusal)
            self._acting.journal.gate(reply)

    def _redrive(self, record: ExecutionRecord, message: RedriveExecution) -> None:
        if message.dead:
            self._check_waits(record)
        started = record.started
        if message.actions is not None:
            check_edit(started.actions, message.actions)
        by = message.by
        if type(record.intent).on_redrive == "settle" and record.status == "person":
            self._settling.settle(record, Cancelled(reason=by.why), message.reply, acted_by(by, "redriven"))
            return
        attempt = execution.attempt_by_hand(record, self._acting.clock.now_us())
        redriven: ExecutionRedriven[Any] = ExecutionRedriven(attempt=attempt.attempt, who=by.who, why=by.why, actions=message.actions)
        outputs: list[Output] = [message.reply]
        if started.performs:
            edited = execution.redriven(record, redriven)
            outputs.insert(0, self._acting.start_of(edited, attempt.attempt, execution.deadline_us(attempt)))
        cause = Cause(record.correlation, record.position, started.tags)
        self._acting.take(cause, _note_both, record, redriven, attempt, outputs=outputs)
        self._acting.arm(record.token)

    def _check_waits(self, record: ExecutionRecord) -> None:
        if record.status != "person":
            msg = f"{self._acting.name} has no dead letter of execution {record.token}: it is {record.status}."
            raise Rejected("NO_DEAD_LETTER", msg)  # noqa: EM101 - a code

    def _discard(self, record: ExecutionRecord, message: DiscardExecution) -> None:
        self._check_waits(record)
        if type(record.intent).on_redrive == "settle":
            msg = f"{type(record.intent).__name__} is there for somebody to look; redrive it, or end what it is about."
            raise Rejected("NOT_DISCARDABLE", msg)  # noqa: EM101 - a code
        by = message.by
        outcome = execution.last_failure(record) if record.dead else Cancelled(reason=by.why or record.reason)
        self._settling.settle(record, outcome, message.reply, acted_by(by, "discarded"))


def check_edit(before: tuple[Action[Any], ...], after: tuple[Action[Any], ...]) -> None:
    """Refuse an edit that does more than change fields: the idempotency keys count the actions, and each key is one provider's.

    Raises:
        Rejected: NOT_EDITABLE.
    """
    wanted, given = [type(action).__name__ for action in before], [type(action).__name__ for action in after]
    if given != wanted:
        msg = f"An edit changes the fields of the actions {wanted}, and neither their number nor their types; it has {given}."
        raise Rejected("NOT_EDITABLE", msg)  # noqa: EM101 - a code


def _note_both(turn: TurnInProgress, record: ExecutionRecord, redriven: ExecutionRedriven[Any], attempt: AttemptStarted) -> None:
    turn.note(record.token, redriven)
    turn.note(record.token, attempt)
    turn.extend(record, execution.deadline_us(attempt))
