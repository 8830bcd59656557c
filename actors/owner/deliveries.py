"""Deliveries: how an owner takes a command that was scheduled for it: as an event, so that it is taken once and in order."""

from collections.abc import Generator, Mapping
from typing import Any

import msgspec

from tallystick.actors.owner.acting import Acting
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.domain.effect import Effect
from tallystick.domain.envelope import from_micros, to_micros
from tallystick.domain.errors import EffectError, InvalidPayload, Rejected
from tallystick.domain.evidence import WITHHELD, fitted
from tallystick.domain.protocol import COMMAND, CommandSettled
from tallystick.domain.schedules import CommandDue
from tallystick.domain.text import TEXT_LIMIT_CHARS
from tallystick.store.codec import Codec


class Deliveries:
    """The scheduled commands of one owner; only its thread calls it."""

    def __init__(self, acting: Acting, codec: Codec) -> None:
        self._name = acting.name
        self._codec = codec
        behaviour = acting.setting.behaviour
        self._handlers = behaviour.commands
        self._kinds: Mapping[str, type[Any]] = {kind.__name__: kind for kind in behaviour.commands}

    def deliver(self, turn: TurnInProgress, due: CommandDue) -> Generator[Effect, None, None]:
        """Carry it out, and write down its answer under a key of its own; a refusal is an answer, and writes nothing else."""
        what = due.what
        if what.owner != self._name:
            return
        kind = self._kinds.get(what.command)
        if kind is None:
            msg = f"{self._name} was sent a {what.command} by schedule {due.schedule_id!r}, which it does not handle any more."
            raise EffectError(msg)
        try:
            command = msgspec.json.decode(what.content, type=kind, strict=True)
        except msgspec.ValidationError as error:
            msg = f"The {what.command} of schedule {due.schedule_id!r} is not as {self._name} declares it now: {error}"
            raise InvalidPayload(msg) from error
        settled = CommandSettled(command=what.command, content_hash=self._codec.content_hash(command))
        effects: list[Effect] = []
        try:
            reply = _gathered(self._handlers[kind](turn, command), effects)
        except Rejected as refusal:
            said = WITHHELD if turn.revealed else fitted(refusal.message, TEXT_LIMIT_CHARS)
            settled = msgspec.structs.replace(settled, rejected=True, code=fitted(refusal.code, TEXT_LIMIT_CHARS), message=said)
        else:
            yield from effects
            settled = msgspec.structs.replace(settled, reply=msgspec.Raw(self._codec.value_bytes(reply)))
        turn.note_in((COMMAND, delivery_key(due)), settled)


def _gathered(decision: Generator[Effect, None, Any], into: list[Effect]) -> Any:
    """Run a handler to its end before anything of it is carried out: it may refuse after what it has yielded."""
    while True:
        try:
            into.append(next(decision))
        except StopIteration as stop:
            return stop.value


def delivery_key(due: CommandDue) -> str:
    """The idempotency key of one run."""
    return f"schedule:{due.schedule_id}@{from_micros(to_micros(due.due_at)).isoformat()}"
