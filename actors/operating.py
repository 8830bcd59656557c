"""Operating a system: how it stands, what is open or waits for a person, and what people decide on it. Commands are not here."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import structs

from tallystick.actors.admission import Admission
from tallystick.actors.counters import Counters
from tallystick.actors.dead_letters import (
    EVERY_LETTER,
    DeadLetter,
    DeadLetterQuery,
    Decided,
    Refusal,
    letter_of_execution,
    letter_of_parked,
    not_editable,
    waiting_in,
)
from tallystick.actors.landing import Awaited
from tallystick.actors.lifecycle import Lifecycle
from tallystick.actors.messages import (
    By,
    Discard,
    DiscardExecution,
    Inspect,
    Inspected,
    Redrive,
    RedriveExecution,
    SettleByHand,
    SettleFromOutside,
)
from tallystick.actors.operation_ends import tell_ended
from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.reading import last_of, matching
from tallystick.actors.replies import HostReply
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.supervision import Health
from tallystick.actors.telling import warn
from tallystick.domain.action import Action
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.errors import InvalidPayload, Rejected
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.operations.operation import Ending, OperationStatus
from tallystick.domain.outcome import Cancelled, Failed, Succeeded
from tallystick.domain.parking import Parked
from tallystick.domain.protocol import EXECUTION
from tallystick.domain.sensitive import checked_evidence
from tallystick.domain.text import checked_text
from tallystick.domain.token import Token, token_of
from tallystick.store.codec import ANSWER_LIMIT_BYTES, Codec
from tallystick.store.log import Query

Given = TypeVar("Given", bound=Succeeded[Any] | Failed | Cancelled)


def _by(who: str, why: str) -> By:
    checked_text("who", who)
    checked_text("why", why)
    return By(who, why)


def _said(outcome: Given, kinds: tuple[type[Any], ...]) -> Given:
    """An outcome that somebody gives; a result is its owner's to check."""
    if type(outcome) not in kinds:
        msg = f"{outcome!r} is no outcome; give {' or '.join(kind.__name__ for kind in kinds)}."
        raise InvalidPayload(msg)
    if not isinstance(outcome, Succeeded):
        try:
            content = msgspec.json.encode(outcome)
            msgspec.json.decode(content, type=type(outcome))
        except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as error:
            msg = f"{outcome!r} has values that its types do not allow: {error}"
            raise InvalidPayload(msg) from error
        if len(content) > ANSWER_LIMIT_BYTES:
            msg = f"{type(outcome).__name__} has {len(content)} bytes; the limit is {ANSWER_LIMIT_BYTES}. Keep the content elsewhere."
            raise InvalidPayload(msg)
    return outcome


class OpenExecution(NamedTuple):
    """An execution that was begun and has not ended."""

    owner: str
    execution: ExecutionRecord


class Operating:
    """The part of a `System` that people and their tools use.

    `who` and `why` are recorded with what was decided, in the words they are given in; if both are empty, no person is recorded. Where one
    of them, or an outcome, is something else than that, `InvalidPayload` is raised before anybody has heard of it.
    """

    _admission: Admission
    _behaviours: dict[str, Behaviour]
    _codec: Codec
    _counters: Counters
    _life: Lifecycle
    _pool: PerformerPool
    _runtime: Runtime

    def _request(self, owner: str, message: Callable[[HostReply], Any]) -> Any:
        """Send an owner a message, and wait for its reply."""
        raise NotImplementedError

    def _send_in_loop(self, owner: str, message: Callable[[HostReply], Any]) -> Awaited[Any]:
        """Send an owner a message, from an event loop."""
        raise NotImplementedError

    # What the outside world answers, or a person in its place.

    def complete(self, token: Token, result: object, *, who: str = "", why: str = "") -> bool:
        """Give the result that a performer had promised with `Later`, or that an execution without actions waits for.

        Durable when it returns. False when the token is not open (any more); a success is then kept as evidence and given to `late`.
        Of several actions it is the present one's, and the next one follows; the last one's is what the intent promises. Give `call.key`
        for the token to say which of them it is: then what is said twice is not taken for the next one's.

        Raises:
            InvalidPayload: the result is not what the intent promises; nothing was changed, and the token waits as before.
        """
        by = _by(who, why)
        if not isinstance(result, Ending):
            return self._settle_from_outside(token, result, None, by)
        checked_text("a token", token)
        ending, execution = structs.replace(result, data=checked_evidence(result.data)), self.open_execution(token)
        ended = self._settle_from_outside(token, ending, None, by)
        if ended and execution is not None:
            tell_ended(execution.execution, ending.status, self._runtime.clock.now_us(), code=ending.code)
        return ended

    def complete_as(self, owner: str, token: Token, result: object) -> bool:
        """As `complete`, where the owner is known and need not be looked up."""
        return bool(self._request(owner, lambda reply: SettleFromOutside(token, result, None, reply)))

    def complete_in_loop(self, owner: str, token: Token, result: object) -> Awaited[bool]:
        """As `complete_as`, sent when it returns; the reply lands in the event loop that runs in this thread."""
        return self._send_in_loop(owner, lambda reply: SettleFromOutside(token, result, None, reply))

    def fail(self, token: Token, reason: Failed, *, who: str = "", why: str = "") -> bool:
        """As `complete`, for the outside world's final no."""
        return self._settle_from_outside(token, None, _said(reason, (Failed,)), _by(who, why))

    def _settle_from_outside(self, token: Token, result: object, failure: Failed | None, by: By) -> bool:
        checked_text("a token", token)
        begun, key = last_of(self._life, EXECUTION, token), ""
        if begun is None:
            key, token = token, token_of(token)
            begun = last_of(self._life, EXECUTION, token)
        if begun is None or begun.owner not in self._behaviours:
            self._counters.count("unknown_tokens")
            warn("report.unknown_token", token=token)
            return False
        return bool(self._request(begun.owner, lambda reply: SettleFromOutside(token, result, failure, reply, by, key)))

    # Executions that are open.

    def _inspect(self, owner: str) -> Inspected:
        return cast("Inspected", self._request(owner, Inspect))

    def open_executions(self) -> tuple[OpenExecution, ...]:
        """All that was begun and has not ended, oldest first within an owner."""
        views = [self._inspect(owner) for owner in self._behaviours]
        return tuple(
            OpenExecution(view.owner, record)
            for view in views
            for record in sorted(view.executions.values(), key=lambda record: record.position)
        )

    def open_execution(self, token: Token) -> OpenExecution | None:
        """An open execution by its token; None when it has ended, or was never begun."""
        begun = last_of(self._life, EXECUTION, token)
        if begun is None or begun.owner not in self._behaviours:
            return None
        record = self._inspect(begun.owner).executions.get(token)
        return None if record is None else OpenExecution(begun.owner, record)

    def abandon(self, execution: OpenExecution, reason: str, *, who: str = "", why: str = "") -> None:
        """End an open execution by hand: its owner hears `Cancelled(reason)`.

        Raises:
            Rejected: it is not open any more.
        """
        outcome, by = _said(Cancelled(reason=reason), (Cancelled,)), _by(who, why)
        self._request(execution.owner, lambda reply: SettleByHand(execution.execution.token, outcome, reply, by))
        tell_ended(execution.execution, OperationStatus.CANCELED, self._runtime.clock.now_us())

    def retry(self, execution: OpenExecution, *, who: str = "", why: str = "") -> None:
        """Have an open execution tried again at once, however it stands, with its retries counted anew.

        An attempt that is still out is not waited for any more, but its success would complete it all the same (P4).

        Raises:
            Rejected: it is not open any more.
        """
        token, by = execution.execution.token, _by(who, why)
        self._request(execution.owner, lambda reply: RedriveExecution(token, None, False, reply, by))

    # Dead letters.

    def dead_letters(self, query: DeadLetterQuery = EVERY_LETTER) -> tuple[DeadLetter, ...]:
        """What waits for a person: handlers that kept failing, actions out of retries, executions that need somebody's word."""
        owners = [owner for owner in self._behaviours if query.owner in {None, owner}]
        letters = [letter for view in map(self._inspect, owners) for letter in self._letters_of(view)]
        return tuple(letter for letter in letters if query.matches(letter))

    def _letters_of(self, view: Inspected) -> Iterable[DeadLetter]:
        for source, waits in waiting_in(view):
            if isinstance(waits, Parked):
                recorded = next(matching(self._life, Query(after=waits.position - 1, limit=1)))
                yield letter_of_parked(view.owner, source, waits, recorded)
            else:
                yield letter_of_execution(view.owner, waits, self._codec.value_bytes(waits.started.actions))

    def redrive(self, letter: DeadLetter, *, edited: Sequence[Action[Any]] | bytes | None = None, who: str = "", why: str = "") -> None:
        """Let a dead letter be tried again, with its attempts reset; recorded.

        `edited`, for kinds "actions" and "person": the actions to perform in place of those that failed, as records or as the JSON of
        `payload`, of the same types and number. They are recorded with who and why. An action that is edited is another request, with an
        idempotency key of its own: see to it that the request as it was had no effect. The others keep theirs.

        Raises:
            Rejected: it is no dead letter any more, or cannot be edited (NOT_EDITABLE).
            InvalidPayload: `edited` has fields or values that the actions do not allow.
        """
        by = _by(who, why)
        if letter.of_execution:
            token, actions = Token(letter.aggregate_id), None if edited is None else self._actions(edited)
            self._request(letter.owner, lambda reply: RedriveExecution(token, actions, True, reply, by))
        elif edited is not None:
            raise not_editable(letter)
        else:
            self._request(letter.owner, lambda reply: Redrive(letter.source, who, why, reply))

    def _actions(self, edited: Sequence[Action[Any]] | bytes) -> tuple[Action[Any], ...]:
        return self._codec.actions(edited if isinstance(edited, bytes) else self._codec.value_bytes(tuple(edited)))

    def discard(self, letter: DeadLetter, *, who: str = "", why: str = "") -> None:
        """Give a dead letter up; recorded. The events of its aggregate that wait behind it go on.

        An execution out of retries ends with its last failure; one that needs a person is cancelled, with `why` for a reason.

        Raises:
            Rejected: it is no dead letter any more; or it is a saga's, which is redriven or cancelled (NOT_DISCARDABLE).
        """
        by = _by(who, why)
        if letter.of_execution:
            token = Token(letter.aggregate_id)
            self._request(letter.owner, lambda reply: DiscardExecution(token, reply, by))
        else:
            self._request(letter.owner, lambda reply: Discard(letter.source, who, why, reply))

    def settle(self, letter: DeadLetter, outcome: Succeeded[Any] | Failed | Cancelled, *, who: str = "", why: str = "") -> None:
        """End an execution that waits for a person, whatever is left of its actions: its owner hears the outcome; recorded.

        Raises:
            Rejected: it does not wait any more; or it is no execution, but a handler that fails (NOT_AN_EXECUTION).
            InvalidPayload: the result is not of the type that the intent promises.
        """
        if not letter.of_execution:
            msg = f"{letter.id} is a handler that fails: redrive it when it is mended, or discard it."
            raise Rejected("NOT_AN_EXECUTION", msg)  # noqa: EM101 - a code
        token, by, given = Token(letter.aggregate_id), _by(who, why), _said(outcome, (Succeeded, Failed, Cancelled))
        self._request(letter.owner, lambda reply: SettleByHand(token, given, reply, by, dead=True))

    def redrive_all(self, query: DeadLetterQuery, *, who: str = "", why: str = "") -> Decided:
        """Redrive all that the query means by now; one that refuses keeps no other back."""
        return self._with_each(query, lambda letter: self.redrive(letter, who=who, why=why))

    def discard_all(self, query: DeadLetterQuery, *, who: str = "", why: str = "") -> Decided:
        """Discard all that the query means by now; one that refuses keeps no other back."""
        return self._with_each(query, lambda letter: self.discard(letter, who=who, why=why))

    def _with_each(self, query: DeadLetterQuery, decide: Callable[[DeadLetter], None]) -> Decided:
        letters = self.dead_letters(query)
        refused: list[Refusal] = []
        for letter in letters:
            try:
                decide(letter)
            except Rejected as error:
                refused.append(Refusal(id=letter.id, error=str(error)))
        return Decided(done=len(letters) - len(refused), refused=tuple(refused))

    # Health.

    def health(self) -> Health:
        """How the system stands; never waits for an actor."""
        engine = self._life.running_engine
        owners = {} if engine is None else {name: owner.health() for name, owner in engine.owners.items()}
        return Health(
            status=self._life.status,
            epoch=self._life.log.epoch,
            restarts=self._life.restarts.total,
            last_failure=self._life.restarts.last_failure,
            tail=0 if engine is None else engine.journal.tail,
            watermark=0 if engine is None else engine.journal.watermark,
            commits=0 if engine is None else engine.journal.commits,
            commands_in_flight=self._admission.in_flight,
            calls_running=self._pool.running,
            calls_waiting_for_rates=0 if engine is None else engine.queue.waiting_for_rates,
            queues_waiting=0 if engine is None else engine.queue.waiting,
            queues_parked=0 if engine is None else engine.queue.parked,
            queues_ticking=0 if engine is None else engine.queue.ticking,
            timers=0 if engine is None else len(engine.timer.deadlines),
            slow_turns=getattr(self._runtime, "slow_turns", 0),
            owners=owners,
            counters={**self._counters.snapshot(), **self._life.counts_of_lines()},
        )
