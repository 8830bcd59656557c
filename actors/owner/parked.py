"""Parked sources: what an owner does when a handler raises, and how the events that wait behind it get their turn (P12, P13)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from tallystick.actors.messages import Discard, ParkedDue, Redrive
from tallystick.actors.owner.acting import Acting, Cause
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.actors.telling import warn
from tallystick.domain.envelope import Recorded, from_micros
from tallystick.domain.errors import InvalidPayload, NotAccepted, Rejected
from tallystick.domain.evidence import message_of, name_of, said_by
from tallystick.domain.execution import ExecutionRecord
from tallystick.domain.intent import Intent
from tallystick.domain.outcome import Outcome, Succeeded
from tallystick.domain.parking import REACTION_RETRY, Parked, Source
from tallystick.domain.protocol import (
    EXECUTION,
    OWNER,
    IntentStarted,
    LateSuccess,
    PersonActed,
    PersonNeeded,
    ReactionFailed,
    ReactionRedriven,
    ReactionResumed,
)
from tallystick.domain.token import Token
from tallystick.store.codec import Codec
from tallystick.store.journal import Output

ERROR_LIMIT_CHARS = 500


class Letter(NamedTuple):
    """What a failed turn leaves behind: the source that waits, and what will be tried again."""

    source: Source
    position: int
    correlation: str | None
    tags: Mapping[str, str]
    token: str | None = None
    role: Literal["reaction", "settlement", "late"] = "reaction"
    outcome: msgspec.Raw = msgspec.Raw(b"null")
    acted: PersonActed | None = None
    """Who gave the outcome, and has not been written down yet."""


def _note_all(turn: TurnInProgress, token: Token, events: Sequence[PersonActed | PersonNeeded]) -> None:
    for event in events:
        turn.note(token, event)


class ParkedSources:
    """The parking of one owner; only its thread calls it."""

    def __init__(self, acting: Acting, codec: Codec, reactions: dict[str, Callable[..., Iterable[Any]]]) -> None:
        self._acting = acting
        self._state = acting.state
        self._codec = codec
        self._reactions = reactions
        self._stream = (OWNER, acting.name)

    # Failing.

    def reaction_failed(self, recorded: Recorded, error: Exception) -> None:
        """Park the event's aggregate in this owner; the others go on."""
        source = Source(recorded.aggregate_type, recorded.aggregate_id)
        self._fail(Letter(source, recorded.position, recorded.correlation, recorded.tags), error)

    def settlement_failed(
        self,
        record: ExecutionRecord,
        outcome: Outcome[Any],
        error: Exception,
        *,
        acted: PersonActed | None = None,
        outputs: Sequence[Output] = (),
    ) -> None:
        """Keep the outcome, and who gave it; the token's timer is suspended while it waits (P13). One that cannot be kept is a person's."""
        try:
            content = msgspec.Raw(self._codec.answer_bytes(outcome))
        except InvalidPayload as unfit:
            self._outcome_lost(record, error, unfit, acted, outputs)
            return
        source = Source(EXECUTION, record.token)
        tags = record.started.tags
        letter = Letter(source, record.position, record.correlation, tags, record.token, "settlement", content, acted)
        self._fail(letter, error, outputs)
        self._acting.arm(record.token)

    def _outcome_lost(
        self, record: ExecutionRecord, error: Exception, unfit: InvalidPayload, acted: PersonActed | None, outputs: Sequence[Output]
    ) -> None:
        """The token waits for a person, who finds out what became of it: its handler has not heard, and the log cannot keep it."""
        reason = f"its settlement handler raised {said_by(error, ERROR_LIMIT_CHARS)}, and its outcome cannot be kept: {message_of(unfit)}"
        warn("execution.needs_person", owner=self._acting.name, token=record.token, correlation=record.correlation, reason=reason)
        cause = Cause(record.correlation, record.position, record.started.tags)
        events = (acted, PersonNeeded(reason=reason))
        self._acting.take(cause, _note_all, record.token, [event for event in events if event is not None], outputs=outputs)
        self._acting.arm(record.token)

    def late_success(self, begun: Recorded, started: IntentStarted[Any, Any], settled: Recorded, evidence: LateSuccess) -> None:
        """Write the evidence, with what the `late` handler makes of it in the same append; if that raises, only the evidence (P10)."""
        token, tags = Token(begun.token or ""), started.tags
        cause = Cause(begun.correlation, settled.position, tags)
        try:
            self._acting.take(cause, self._answer_late, token, started.intent, evidence, None)
        except NotAccepted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the program's handler raised
            self._acting.take(cause, TurnInProgress.note, token, evidence)
            content = msgspec.Raw(self._codec.value_bytes(Succeeded(result=evidence.result)))
            self._fail(Letter(Source(EXECUTION, token), begun.position, begun.correlation, tags, token, "late", content), error)

    def _answer_late(
        self, turn: TurnInProgress, token: Token, intent: Intent[Any], evidence: LateSuccess | None, outcome: Outcome[Any] | None
    ) -> None:
        if evidence is not None:
            turn.note(token, evidence)
            outcome = self._codec.outcome(type(intent), self._codec.value_bytes(Succeeded(result=evidence.result)))
        handler = self._acting.setting.behaviour.late.get(type(intent))
        if handler is not None and isinstance(outcome, Succeeded):
            turn.answer(handler, intent, outcome.result)

    def _fail(self, letter: Letter, error: Exception, outputs: Sequence[Output] = ()) -> None:
        parked = self._state.parking.get(letter.source)
        attempt = (parked.attempt if parked is not None else 0) + 1
        now_us = self._acting.clock.now_us()
        dead = attempt > REACTION_RETRY.max_retries
        delay = REACTION_RETRY.delay(attempt - 1, self._acting.setting.identity.draw())
        event = ReactionFailed(
            aggregate_type=letter.source.aggregate_type,
            aggregate_id=letter.source.aggregate_id,
            position=letter.position,
            attempt=attempt,
            error=said_by(error, ERROR_LIMIT_CHARS),
            retry_at=None if dead else from_micros(now_us) + delay,
            token=letter.token,
            role=letter.role,
            outcome=letter.outcome,
        )
        self._acting.counters.count("dead_letters" if dead else "handler_failures")
        warn(
            "handler.dead_letter" if dead else "handler.failed",
            owner=self._acting.name,
            source=letter.source,
            token=letter.token,
            position=letter.position,
            attempt=attempt,
            error=name_of(error),
            correlation=letter.correlation,
        )
        cause = Cause(letter.correlation, letter.position, letter.tags)
        self._acting.take(cause, self._note_failure, event, letter, outputs=outputs)
        self._acting.arm_parked(letter.source)

    def _note_failure(self, turn: TurnInProgress, event: ReactionFailed, letter: Letter) -> None:
        if letter.acted is not None:
            turn.note(Token(letter.token or ""), letter.acted)
        turn.note_in(self._stream, event)

    # Trying again.

    def due(self, message: ParkedDue) -> None:
        """Try the event that waits first; every one that gets through appends at least its `ReactionResumed` (P12)."""
        parked = self._state.parking.get(message.source)
        if parked is None or parked.dead:
            self._acting.counters.count("stale_parked_retries")
            return
        recorded = self._acting.journal.after(parked.position - 1, 1)[0]
        token = None if parked.role == "reaction" else recorded.token
        tags = self._tags_of(parked, recorded)
        letter = Letter(message.source, parked.position, recorded.correlation, tags, token, parked.role, parked.outcome)
        try:
            cause = Cause(recorded.correlation, recorded.position, tags)
            self._acting.take(cause, self._again, message.source, parked, recorded)
        except NotAccepted:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the program's handler raised
            self._fail(letter, error)
            return
        self._acting.arm_parked(message.source)

    def _tags_of(self, parked: Parked, recorded: Recorded) -> Mapping[str, str]:
        """Those of the event; or of the execution, which may have more than its intent event's envelope. Nothing is decoded for it."""
        record = self._state.open.get(Token(recorded.token or "")) if parked.role == "settlement" else None
        if record is not None:
            return record.started.tags
        last = None if parked.role == "reaction" else self._acting.journal.last(EXECUTION, recorded.token or "")
        return recorded.tags if last is None else last.tags

    def _again(self, turn: TurnInProgress, source: Source, parked: Parked, recorded: Recorded) -> None:
        event = self._codec.decode(recorded)
        match parked.role:
            case "reaction":
                turn.answer(self._reactions[recorded.event_type], event)
                turn.note_in(self._stream, self._resumed(source, parked))
            case "settlement":
                record = self._state.open[Token(source.aggregate_id)]
                turn.settle(record, self._codec.outcome(type(record.intent), bytes(parked.outcome)))
            case "late":
                outcome = self._codec.outcome(type(event.intent), bytes(parked.outcome))
                self._answer_late(turn, Token(source.aggregate_id), event.intent, None, outcome)
                turn.note_in(self._stream, self._resumed(source, parked))

    def _resumed(self, source: Source, parked: Parked, *, discarded: bool = False, who: str = "", why: str = "") -> ReactionResumed:
        following = self._next_waiting(source, parked) if parked.role == "reaction" else None
        return ReactionResumed(
            aggregate_type=source.aggregate_type,
            aggregate_id=source.aggregate_id,
            position=parked.position,
            next_position=following,
            discarded=discarded,
            who=who,
            why=why,
        )

    def _next_waiting(self, source: Source, parked: Parked) -> int | None:
        """The next event of the aggregate that this owner reacts to, up to `seen`; later ones come by the lane (P12)."""
        for recorded in self._acting.journal.stream(source.aggregate_type, source.aggregate_id, after=parked.position):
            if recorded.position > self._state.seen:
                return None
            if recorded.event_type in self._reactions:
                return recorded.position
        return None

    # People.

    def redrive(self, message: Redrive) -> None:
        """Let a dead letter be tried again, with its attempts reset; recorded with who and why."""
        self._by_hand(message, self._redrive)

    def discard(self, message: Discard) -> None:
        """Give a dead letter up; recorded with who and why."""
        self._by_hand(message, self._discard)

    def _by_hand(self, message: Redrive | Discard, run: Callable[[TurnInProgress, Any, Parked], None]) -> None:
        source, reply = message.source, message.reply
        parked = self._state.parking.get(source)
        if parked is None or not parked.dead:
            refusal = f"{self._acting.name} has no dead letter of {source.aggregate_type} {source.aggregate_id!r}."
            reply.refuse(Rejected("NO_DEAD_LETTER", refusal))
            self._acting.journal.gate(reply)
            return
        reply.answer(None)
        recorded = self._acting.journal.after(parked.position - 1, 1)[0]
        cause = Cause(recorded.correlation, parked.position, self._tags_of(parked, recorded))
        self._acting.take(cause, run, message, parked, outputs=(reply,))
        self._acting.arm_parked(source)

    def _redrive(self, turn: TurnInProgress, message: Redrive, parked: Parked) -> None:
        kind, key = message.source
        turn.note_in(
            self._stream,
            ReactionRedriven(aggregate_type=kind, aggregate_id=key, position=parked.position, who=message.who, why=message.why),
        )

    def _discard(self, turn: TurnInProgress, message: Discard, parked: Parked) -> None:
        if parked.role == "settlement":
            record = self._state.open[Token(message.source.aggregate_id)]
            turn.settle_without_handler(record, self._codec.outcome(type(record.intent), bytes(parked.outcome)))
        turn.note_in(self._stream, self._resumed(message.source, parked, discarded=True, who=message.who, why=message.why))
