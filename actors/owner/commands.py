"""Commands: how an owner decides a request. The reply leaves when the events that it rests on are durable; so does a refusal."""

from collections.abc import Generator
from datetime import timedelta
from types import GeneratorType
from typing import Any

import msgspec

from tallystick.actors.messages import Ask
from tallystick.actors.owner.acting import Acting, Cause
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.actors.surroundings import NOWHERE
from tallystick.domain.command import Command
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import EffectError, IdempotencyConflict, NotAccepted, Rejected, VersionConflict
from tallystick.domain.evidence import WITHHELD, fitted, is_withheld
from tallystick.domain.protocol import COMMAND, OWNER, CommandSettled, IdempotencyConflicted
from tallystick.domain.record import type_argument
from tallystick.domain.text import TEXT_LIMIT_CHARS
from tallystick.store.codec import Codec

KEYS_KEPT_US = timedelta(days=30) // timedelta(microseconds=1)
"""How long an idempotency key is remembered."""


class Commands:
    """The commands of one owner; only its thread calls it."""

    def __init__(self, acting: Acting, codec: Codec) -> None:
        self._acting = acting
        self._codec = codec

    def ask(self, message: Ask) -> None:
        """Answer from the log if the key was used before (P15), else decide."""
        try:
            if message.key is None:
                self._decide(message, 0)
            else:
                self._answer_once(message, message.key)
        except NotAccepted as error:
            message.reply.refuse(error)
            message.reply.release()
            raise
        except Exception as error:  # noqa: BLE001 - whatever the handler raised is the caller's to see, when all before it is durable
            self._refuse(message, error)

    def _answer_once(self, message: Ask, key: str) -> None:
        """As `_answer`, also where another owner, on a thread of its own, has used the key meanwhile: then its answer is found (P15)."""
        try:
            self._answer(message, key)
        except VersionConflict as conflict:
            if conflict.aggregate_type != COMMAND:
                raise
            self._answer(message, key)

    def _answer(self, message: Ask, key: str) -> None:
        last = self._acting.journal.last(COMMAND, key)
        if last is None or last.occurred_at_us < self._acting.clock.now_us() - KEYS_KEPT_US:
            self._decide(message, 0 if last is None else last.aggregate_version)
        else:
            self._answer_again(message, last)

    def _decide(self, message: Ask, answers_before: int) -> None:
        around = message.around
        cause = NO_CAUSE if around is NOWHERE else Cause(around.correlation, tags=around.carried)
        try:
            self._acting.take(cause, self._run, message, answers_before, outputs=(message.reply,))
        except Rejected as refusal:
            if message.key is None:
                raise
            message.reply.refuse(refusal)
            settled = self._settled(message.command, None, refusal)
            answer = ((COMMAND, message.key), settled, answers_before)
            self._acting.take(cause, TurnInProgress.note_in, *answer, outputs=(message.reply,))

    def _run(self, turn: TurnInProgress, message: Ask, answers_before: int) -> None:
        command = self._codec.sealed(message.command)
        handler = self._acting.setting.behaviour.commands[type(command)]
        decision = handler(turn, command)
        if type(decision) is not GeneratorType and not isinstance(decision, Generator):  # the second, of ABCs, takes far longer
            msg = f"{handler.__qualname__} is no generator; a command's handler yields effects and returns the reply."
            raise EffectError(msg)
        try:
            while True:
                turn.carry_out(next(decision))
        except StopIteration as stop:
            message.reply.answer(stop.value)
        if message.key is not None:
            reply = self._codec.value_bytes(message.reply.value)
            copy = self._codec.read_value(reply, type_argument(type(command), Command))  # so that a repetition can be answered
            if self._codec.sealer is not None:  # and so that the first answer equals it: what is sensitive is sealed in both
                message.reply.answer(copy)
            turn.note_in((COMMAND, message.key), self._settled(command, reply), answers_before)

    def _refuse(self, message: Ask, error: Exception) -> None:
        message.reply.refuse(error)
        self._acting.journal.gate(message.reply)

    def _settled(self, command: Command[Any], reply: bytes | None, refusal: Rejected | None = None) -> CommandSettled:
        content_hash = self._codec.content_hash(command)
        name = type(command).__name__
        if refusal is not None:
            said = WITHHELD if is_withheld(refusal) else fitted(refusal.message, TEXT_LIMIT_CHARS)
            code = fitted(refusal.code, TEXT_LIMIT_CHARS)
            return CommandSettled(command=name, content_hash=content_hash, rejected=True, code=code, message=said)
        return CommandSettled(command=name, content_hash=content_hash, reply=msgspec.Raw(reply or b"null"))

    def _answer_again(self, message: Ask, recorded: Recorded) -> None:
        """A duplicate gets the first one's reply, gated behind it even if that is still on its way to the disk (P15)."""
        settled: CommandSettled = self._codec.decode(recorded)
        reply = message.reply
        if not self._codec.is_content_of(settled.content_hash, message.command):
            self._conflict(message, recorded, settled)
            return
        if settled.rejected:
            reply.refuse(Rejected(settled.code, settled.message))
        else:
            reply.answer(self._codec.read_value(bytes(settled.reply), type_argument(type(message.command), Command)))
        self._acting.counters.count("repeated_commands")
        self._acting.journal.gate(reply)

    def _conflict(self, message: Ask, recorded: Recorded, settled: CommandSettled) -> None:
        """Refuse, and write down that somebody tried."""
        self._acting.counters.count("idempotency_conflicts")
        self._acting.counters.count("repeated_commands")
        reply, command = message.reply, message.command
        reply.refuse(IdempotencyConflict(f"Idempotency key {message.key!r} was used for another {settled.command}; use a new key."))
        tried = IdempotencyConflicted(
            key=message.key or "", command=type(command).__name__, content_hash=self._codec.content_hash(command), settled=recorded.position
        )
        cause = Cause(recorded.correlation, recorded.position, recorded.tags)
        self._acting.take(cause, TurnInProgress.note_in, (OWNER, self._acting.name), tried, outputs=(reply,))


NO_CAUSE = Cause()
