"""Bugs that leave something behind, or say what was said otherwise before: simulations find them at rest, at the end and in replies."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tallystick.actors import recovery
from tallystick.actors.owner.acting import Acting
from tallystick.actors.owner.commands import Commands
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.owner.parked import ParkedSources
from tallystick.actors.owner.settling import Settling
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import Setting, TurnInProgress
from tallystick.actors.performers.performer import RunningCall
from tallystick.domain.protocol import CommandSettled
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.store.codec import Codec
from tallystick.testing.options import Faults
from tests.testing.finding import assert_found

Plant = Callable[[pytest.MonkeyPatch], None]


def calls_made_while_recovering(patched: pytest.MonkeyPatch) -> None:
    take_up = recovery._take_up

    def making(engine: Any, doubtful: Any) -> int:
        for owner, record in doubtful:
            start = owner.acting.start_of(record, record.attempt, record.deadline_us).message
            engine.program.pool.call(RunningCall(start, record.index))
        return take_up(engine, doubtful)

    patched.setattr(recovery, "_take_up", making)


def cursor_on_what_waits(patched: pytest.MonkeyPatch) -> None:
    """Whatever is no answer to an event says that all is seen, also what waits in the lane."""
    append = Acting.append

    def ahead(self: Acting, turn: Any, cause: Any, outputs: Any = ()) -> None:
        self.state.seen = self.journal.tail
        append(self, turn, cause, outputs)

    patched.setattr(Acting, "append", ahead)


def deaf_owner(patched: pytest.MonkeyPatch) -> None:
    wake = OwnerActor._wake
    patched.setattr(OwnerActor, "_wake", lambda self, message: None if self.name == "notes" else wake(self, message))


def redrives_forgotten(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(ParkedSources, "_redrive", lambda _self, _turn, _message, _parked: None)


def people_not_heard(patched: pytest.MonkeyPatch) -> None:
    """Whoever settles by hand is told that it is done."""

    def agreeing(self: Settling, message: Any) -> None:
        message.reply.answer(None)
        self._acting.journal.gate(message.reply)

    def nodding(self: Settling, message: Any) -> None:
        message.reply.answer(True)
        self._acting.journal.gate(message.reply)

    patched.setattr(Settling, "by_hand", agreeing)
    patched.setattr(Settling, "from_outside", nodding)


def answers_not_written_down(patched: pytest.MonkeyPatch) -> None:
    note = TurnInProgress.note_in

    def leaving_out(self: TurnInProgress, stream: Any, event: Any, *version: Any) -> None:
        if not (isinstance(event, CommandSettled) and self.drafts):
            note(self, stream, event, *version)

    patched.setattr(TurnInProgress, "note_in", leaving_out)


def answers_kept_without_their_reply(patched: pytest.MonkeyPatch) -> None:
    settled = Commands._settled

    def silent(self: Commands, *answer: Any) -> CommandSettled:
        return msgspec.structs.replace(settled(self, *answer), rejected=True, code="KNOWN")

    patched.setattr(Commands, "_settled", silent)


def content_never_the_same(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Codec, "is_content_of", lambda _self, _hash, _command: False)


def failed_executions_kept(patched: pytest.MonkeyPatch) -> None:
    close = OwnerState._close
    patched.setattr(OwnerState, "_close", lambda self, record, recorded: recorded.settles == "failed" or close(self, record, recorded))


def retries_not_counted(patched: pytest.MonkeyPatch) -> None:
    arm = Acting.arm

    def forgetful(self: Acting, token: Any) -> None:
        record = self.state.open.get(token)
        if record is not None and record.attempt > 1:
            self.state.open[token] = msgspec.structs.replace(record, call=1)
        arm(self, token)

    patched.setattr(Acting, "arm", forgetful)


def residents_not_kept_up(patched: pytest.MonkeyPatch) -> None:
    """A turn's events are folded into aggregates alone; what is resident knows of them after the next start."""
    publication = Setting.publication

    def alone(self: Setting, kind: Any) -> Any:
        found = msgspec.structs.replace(publication(self, kind), resident_folds=())
        self.publications[kind] = found
        return found

    patched.setattr(Setting, "publication", alone)


@pytest.mark.parametrize(
    ("plant", "faults", "invariant", "said"),
    [
        (calls_made_while_recovering, "crash", "S8", r"recovering called the performer of \w+ \(token [0-9a-f-]{36}, seed"),
        (cursor_on_what_waits, "failing", "P1", r"says that it has seen \d+, while \d+ waits in its lane \(position \d+, seed"),
        (deaf_owner, "restart", "L4", r"notes is \d+ positions behind"),
        (redrives_forgotten, {"poison": 0.05}, "S13", r"still has \[\(.*\)\], though mended and redriven"),
        (people_not_heard, "probe_unknown", "L1", r"waits for a person, who has settled all \(token [0-9a-f-]{36}, seed"),
        (answers_not_written_down, "none", "S4", r"the command with key '.*' was answered, and is not in the log"),
        (answers_kept_without_their_reply, "flood", "P15", r"key '.*' was answered \('reply', .*\), and then \('rejected', 'KNOWN'\)"),
        (content_never_the_same, "flood", "P15", r"was answered with IdempotencyConflict"),
        (failed_executions_kept, "none", "S7", r"holds the execution open, .* \(position \d+, token [0-9a-f-]{36}, seed"),
        (retries_not_counted, "failing", "S7", r"has it at \(2, 1, .*, the log at \(2, 2, .* \(position \d+, token [0-9a-f-]{36}, seed"),
        (residents_not_kept_up, "none", "S7", r"inventory's Stock is not the fold of its log \(position \d+, seed"),
    ],
)
def test_what_is_left_or_said_is_found_under_its_id(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, faults: Faults, invariant: str, said: str
) -> None:
    plant(monkeypatch)
    assert_found(SimulatedStore, seeds=40, faults=faults, invariant=invariant, said=said)
