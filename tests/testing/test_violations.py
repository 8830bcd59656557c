"""The invariants of simulations find what they are for: each bug that is planted here is caught, by its id."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors import recovery
from tallystick.actors.admission import Admission
from tallystick.actors.owner import parked
from tallystick.actors.owner.acting import Acting, Tell
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.owner.settling import Settling
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import Setting
from tallystick.actors.performers.performer import RunningCall
from tallystick.actors.performers.probing import AGAIN
from tallystick.actors.replies import HostReply
from tallystick.actors.timer import Deadlines
from tallystick.domain import execution, parking
from tallystick.domain.envelope import Recorded, from_micros
from tallystick.domain.protocol import RetryScheduled
from tallystick.scenarios.tiny_store.events import OrderShipped
from tallystick.scenarios.tiny_store.inventory import Inventory
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.store.journal import Journal, Origin
from tallystick.testing import (
    FakeProvider,
    Script,
    Simulation,
    SimulationResult,
    diagram,
    shrink,
)
from tallystick.testing.disk import SimulatedLog
from tests.testing.finding import found

Plant = Callable[[pytest.MonkeyPatch], None]


def acknowledged_before_the_commit(patched: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def early(self: Journal, origin: Any, drafts: Any, outputs: Any = ()) -> list[Recorded]:
        records = append(self, origin, drafts)
        for output in outputs:
            output.release()
        return records

    patched.setattr(Journal, "append", early)


def performed_before_the_commit(patched: pytest.MonkeyPatch) -> None:
    def early(self: Acting, start: Any) -> Any:
        output = start_output(self, start)
        output.release()
        return output

    start_output = Acting.start_output
    patched.setattr(Acting, "start_output", early)


def tokens_unchecked(patched: pytest.MonkeyPatch) -> None:
    """An owner takes a report for whatever execution of its own comes first."""

    def anyone(self: Settling, token: str) -> Any:
        return self._state.open.get(ts.Token(token)) or next(iter(self._state.open.values()), None)

    patched.setattr(Settling, "undecided", anyone)


def attempts_unchecked(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(execution, "counts", lambda _record, _attempt: True)


def cursor_too_high(patched: pytest.MonkeyPatch) -> None:
    """A crash loses the reactions to what the cursor has passed."""
    append = Acting._append

    def ahead(self: Acting, turn: Any, origin: Origin, outputs: Any = ()) -> None:
        append(self, turn, msgspec.structs.replace(origin, seen=self.journal.tail), outputs)

    patched.setattr(Acting, "_append", ahead)


def cursor_forgotten(patched: pytest.MonkeyPatch) -> None:
    """What was reacted to is reacted to again after a restart."""
    fold = OwnerState.fold_bookkeeping

    def forgetful(self: OwnerState, recorded: Recorded, payload: Any) -> None:
        fold(self, recorded, payload)
        self.seen = self.logged_seen = 0

    patched.setattr(OwnerState, "fold_bookkeeping", forgetful)


def timers_early(patched: pytest.MonkeyPatch) -> None:
    pop = Deadlines.pop
    patched.setattr(Deadlines, "pop", lambda self, now_us: pop(self, now_us + 1_000_000))


def too_many_retries(patched: pytest.MonkeyPatch) -> None:
    def again(record: Any, _cause: Any, now_us: int, _draw: float, _asked: Any) -> Any:
        if record.attempt > 6:
            return None
        return RetryScheduled(attempt=record.attempt + 1, retry_at=from_micros(now_us + 1_000_000), code="AGAIN")

    patched.setattr(execution, "next_retry", again)


def clock_asked_while_folding(patched: pytest.MonkeyPatch) -> None:
    fold = recovery._known_streams

    def asking(engine: Any) -> int:
        engine.clock.now_us()
        return fold(engine)

    patched.setattr(recovery, "_known_streams", asking)


def timers_not_set_after_a_crash(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(recovery, "_set_timers", lambda _engine: None)


def parked_for_ever(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Acting, "arm_parked", lambda _self, _source: None)


def parking_not_rebuilt(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(parking, "folded", lambda before, _recorded, _payload: before)


def key_of_each_attempt(patched: pytest.MonkeyPatch) -> None:
    """The outside world cannot tell a repetition."""
    init = RunningCall.__init__

    def keyed(self: RunningCall, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        self.key = f"{self.key}#{self.attempt}"

    patched.setattr(RunningCall, "__init__", keyed)


def handlers_tried_too_often(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(parked, "REACTION_RETRY", ts.ExponentialBackoff(initial=timedelta(seconds=1), max_retries=5))


def deadline_from_now(patched: pytest.MonkeyPatch) -> None:
    """A retry that starts late has more time than it should."""
    attempt = execution.next_attempt

    def late(record: Any, now_us: int, **again: Any) -> Any:
        return attempt(msgspec.structs.replace(record, retry_at_us=None), now_us, **again)

    patched.setattr(execution, "next_attempt", late)


def speculation_read_outside(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Journal, "durable_after", Journal.after)


def doubtful_is_said_not_to_be_done(patched: pytest.MonkeyPatch) -> None:
    """A batch that failed may have been written."""
    end = Journal._end

    def lied(self: Journal, error: BaseException, in_doubt: Any) -> None:
        for output in in_doubt or ():
            output.lost("never")
        end(self, error, [])

    patched.setattr(Journal, "_end", lied)


def batch_torn(patched: pytest.MonkeyPatch) -> None:
    """A failed write leaves the first record of its batch."""
    write = SimulatedLog.write

    def torn(self: SimulatedLog, records: Any) -> Any:
        try:
            return write(self, records)
        except ts.LogPoisoned:
            if len(records) > 1 and self._disk is not None and self._disk.position < records[0].position:
                self._disk.wrote(ts.MemoryLog.write(self, records[:1]))
            raise

    patched.setattr(SimulatedLog, "write", torn)


def stock_released_twice(patched: pytest.MonkeyPatch) -> None:
    release = Inventory.release_cancelled

    def twice(self: Inventory, turn: Any, event: Any) -> Any:
        yield from release(self, turn, event)
        yield from release(self, turn, event)

    twice.__dict__.update(release.__dict__)
    patched.setattr(Inventory, "release_cancelled", twice)


def provider_without_a_memory(patched: pytest.MonkeyPatch) -> None:
    """Each attempt makes a capture of its own, for which the idempotency key of the attempt is to blame."""
    performs = FakeProvider.performs

    def forgetful(self: FakeProvider, action: Any, effect: Any, **options: Any) -> Any:
        calls: list[int] = []

        def again(_asked: Any) -> str:
            calls.append(1)
            return str(len(calls))

        return performs(
            self, action, lambda asked, key: effect(asked, f"{key}-{len(calls)}"), key=again, declines=options.get("declines", True)
        )

    patched.setattr(FakeProvider, "performs", forgetful)


def cursors_as_they_were(patched: pytest.MonkeyPatch) -> None:
    """What was caught up with is forgotten again: its owner stands where its last append stood."""

    def behind(engine: Any) -> None:
        set_timers(engine)
        for owner in engine.owners.values():
            owner.state.seen = owner.state.logged_seen

    set_timers = recovery._set_timers
    patched.setattr(recovery, "_set_timers", behind)


def new_modules_take_the_whole_log(patched: pytest.MonkeyPatch) -> None:
    join = OwnerActor.join
    patched.setattr(OwnerActor, "join", lambda self, _start: join(self, 0))


def new_modules_miss_what_comes_next(patched: pytest.MonkeyPatch) -> None:
    """They join the log where it will be soon."""
    join = OwnerActor.join
    patched.setattr(OwnerActor, "join", lambda self, start: join(self, start + 5 if start else 0))


def starts_never_dropped(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Tell, "release", lambda self: self.mailbox.tell(self.message))


def nobody_asked(patched: pytest.MonkeyPatch) -> None:
    """What was under way is performed again, whatever became of it."""
    patched.setattr(recovery, "probe_all", lambda _pool, _runtime, doubts: [AGAIN] * len(doubts))


def released_in_whatever_order(patched: pytest.MonkeyPatch) -> None:
    commit = Journal.commit

    def reversing(self: Journal) -> bool:
        self._outputs.reverse()
        return commit(self)

    patched.setattr(Journal, "commit", reversing)


def time_as_it_comes(patched: pytest.MonkeyPatch) -> None:
    """A wall clock that was put back puts back the log."""
    append = Journal.append

    def forgetful(self: Journal, *arguments: Any) -> list[Recorded]:
        self._last_us = 0
        return append(self, *arguments)

    patched.setattr(Journal, "append", forgetful)


def nobody_told_at_the_end(patched: pytest.MonkeyPatch) -> None:
    """Whose command was lost with its batch is left waiting."""
    patched.setattr(Admission, "withdraw_all", lambda _self, _cause: None)
    patched.setattr(HostReply, "lost", lambda _self, _fate: None)


def events_of_others(patched: pytest.MonkeyPatch) -> None:
    """A module writes what another one is the owner of."""
    release = Inventory.release_cancelled

    def shipped(self: Inventory, turn: Any, event: Any) -> Any:
        yield from release(self, turn, event)
        yield OrderShipped(order_id=event.order_id, shipment_id="nobody's")

    def anybodys(self: Setting, kind: type[ts.Event]) -> Any:
        self._owned |= {kind.aggregate_type}
        return publication(self, kind)

    publication = Setting.publication
    shipped.__dict__.update(release.__dict__)
    patched.setattr(Inventory, "release_cancelled", shipped)
    patched.setattr(Setting, "publication", anybodys)


STORE = SimulatedStore


@pytest.mark.parametrize(
    ("plant", "program", "invariants"),
    [
        (acknowledged_before_the_commit, STORE, "S14"),
        (performed_before_the_commit, STORE, "S14"),
        (tokens_unchecked, STORE, "S1 S2 S3 S7 S10 P12 P14"),
        (attempts_unchecked, STORE, "S3"),
        (cursor_too_high, STORE, "P1"),
        (cursor_forgotten, STORE, "P1 P12 S7"),
        (timers_early, STORE, "S12"),
        (too_many_retries, STORE, "S13"),
        (clock_asked_while_folding, STORE, "S8"),
        (timers_not_set_after_a_crash, STORE, "L1 L4"),
        (parked_for_ever, STORE, "L4"),
        (parking_not_rebuilt, STORE, "S7 P14 S6"),
        (batch_torn, STORE, "S5"),
        (key_of_each_attempt, STORE, "P5"),
        (handlers_tried_too_often, STORE, "P12"),
        (deadline_from_now, STORE, "P24"),
        (speculation_read_outside, STORE, "S14"),
        (doubtful_is_said_not_to_be_done, STORE, "P18"),
        (stock_released_twice, STORE, "S9 P12"),
        (provider_without_a_memory, STORE, "S10"),
        (cursors_as_they_were, STORE, "P2"),
        (new_modules_take_the_whole_log, STORE, "P3"),
        (new_modules_miss_what_comes_next, STORE, "P1"),
        (starts_never_dropped, STORE, "P7"),
        (nobody_asked, STORE, "P9"),
        (released_in_whatever_order, STORE, "P11"),
        (events_of_others, STORE, "P20"),
        (time_as_it_comes, STORE, "P23"),
        (nobody_told_at_the_end, STORE, "P26 S16 L1"),
    ],
)
def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant, program: Any, invariants: str) -> None:
    plant(monkeypatch)
    result = found(program)
    assert result is not None, "no seed has found it"
    assert result.violation is not None
    assert result.violation.invariant in invariants.split()
    assert f"seed {result.seed}" in str(result.violation)
    again = Simulation(program, result.seed).run()
    assert str(again.violation) == str(result.violation), "the seed repeats it"


def test_a_failing_run_shrinks_to_a_few_commands_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    stock_released_twice(monkeypatch)
    failing = found(STORE, faults="all")
    assert failing is not None

    def run(script: Script) -> SimulationResult:
        return Simulation(STORE, failing.seed, script=script).run()

    smallest = shrink(run, failing)
    assert smallest.violation is not None
    assert failing.violation is not None
    assert smallest.violation.invariant == failing.violation.invariant
    assert len(smallest.script.wishes) <= 5, "goods of up to three kinds, an order, its cancel"
    assert len(smallest.script.faults) <= 1
    story = list(diagram(Simulation(STORE, failing.seed, script=smallest.script, tells=True).run().story))
    assert any("OrderCancelled" in line for line in story)
