"""Each of these bugs breaks one promise, and simulations find it under that promise's own id, told with where it happened."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors import recovery
from tallystick.actors.admission import Admission
from tallystick.actors.messages import TimeoutDue
from tallystick.actors.owner.acting import Acting, Cause
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.owner.parked import ParkedSources
from tallystick.actors.owner.settling import Settling
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import TurnInProgress
from tallystick.actors.timer import Deadlines
from tallystick.domain import execution
from tallystick.domain.envelope import from_micros
from tallystick.domain.protocol import EXECUTION, LateSuccess
from tallystick.scenarios.tiny_store import inventory
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.store.journal import Journal
from tallystick.testing.options import Faults
from tests.testing.finding import assert_found

Plant = Callable[[pytest.MonkeyPatch], None]


# Executions.


def ended_executions_kept(patched: pytest.MonkeyPatch) -> None:
    """An owner that forgets no execution: a success that is said twice ends it twice."""
    close, completed = OwnerState._close, Settling.completed

    def remembering(self: OwnerState, record: Any, recorded: Any) -> None:
        vars(self).setdefault("ended", {})[record.token] = record
        close(self, record, recorded)

    def ending_again(self: Settling, report: Any) -> None:
        record = vars(self._state).get("ended", {}).get(report.context.token)
        if record is None:
            completed(self, report)
        else:
            self._acting.take(Cause(), TurnInProgress.settle_without_handler, record, ts.Succeeded(result=report.result))

    patched.setattr(OwnerState, "_close", remembering)
    patched.setattr(Settling, "completed", ending_again)


def execution_maps_shared(patched: pytest.MonkeyPatch) -> None:
    """Whoever gets a report looks for its execution in everybody's map, and ends it."""
    init, undecided = OwnerState.__init__, Settling.undecided

    def known_to_all(self: OwnerState, behaviour: Any, codec: Any, journal: Any) -> None:
        init(self, behaviour, codec, journal)
        vars(journal).setdefault("states", []).append(self)

    def anybodys(self: Settling, token: Any) -> Any:
        others = (state.open[token] for state in vars(self._acting.journal)["states"] if token in state.open)
        return undecided(self, token) or next(others, None)

    patched.setattr(OwnerState, "__init__", known_to_all)
    patched.setattr(Settling, "undecided", anybodys)


def evidence_of_what_was_never_begun(patched: pytest.MonkeyPatch) -> None:
    late = Settling._late

    def credulous(self: Settling, token: Any, result: Any) -> None:
        if self._acting.journal.version(EXECUTION, token):
            late(self, token, result)
        else:
            self._acting.take(Cause(), TurnInProgress.note, token, LateSuccess(operation="any", result=msgspec.Raw(b"null")))

    patched.setattr(Settling, "_late", credulous)


def starts_not_written_down(patched: pytest.MonkeyPatch) -> None:
    """An attempt is started and no event says so: a retry's, or the same one's after a crash."""

    def unwritten(self: Settling, record: Any, *, again: bool) -> None:
        self._acting.journal.gate(self._acting.start_of(record, record.attempt, record.deadline_us, admitted=again))

    patched.setattr(Settling, "start_again", unwritten)


def calls_not_counted(patched: pytest.MonkeyPatch) -> None:
    patched.setattr("tallystick.actors.owner.settling.CALLS_LIMIT", 1_000)


def undecided_timeouts_left_lying(patched: pytest.MonkeyPatch) -> None:
    """Recovery arms timers, and hands nobody what has fired already."""

    def forgetful(engine: Any) -> None:
        for owner in engine.owners.values():
            for token in owner.state.open:
                owner.acting.arm(token)
            for source in owner.state.parking:
                owner.acting.arm_parked(source)

    patched.setattr(recovery, "_set_timers", forgetful)


def more_time_after_a_crash(patched: pytest.MonkeyPatch) -> None:
    """What is called again has as long as it had at first."""
    attempt = execution.next_attempt

    def anew(record: Any, now_us: int, **again: Any) -> Any:
        started = attempt(record, now_us, **again)
        return msgspec.structs.replace(started, deadline=from_micros(now_us + (record.timeout_us or 0)))

    patched.setattr(execution, "next_attempt", anew)


def first_deadlines_not_armed(patched: pytest.MonkeyPatch) -> None:
    arm = Deadlines.arm

    def late(self: Deadlines, key: Any, due_us: int, message: Any) -> None:
        if not isinstance(message, TimeoutDue):
            arm(self, key, due_us, message)

    patched.setattr(Deadlines, "arm", late)


def disarmed_by_halves(patched: pytest.MonkeyPatch) -> None:
    """What is taken back never rings, and is kept all the same."""

    def halfway(self: Deadlines, key: Any) -> None:
        with self._lock:
            self._heap = [item for item in self._heap if item[2] != key]

    patched.setattr(Deadlines, "disarm", halfway)


# Settlements that have failed.


def timer_of_a_parked_settlement_goes_on(patched: pytest.MonkeyPatch) -> None:
    arm = Acting.arm

    def unsuspended(self: Acting, token: Any) -> None:
        parks, self.state.parks = self.state.parks, False
        arm(self, token)
        self.state.parks = parks

    patched.setattr(Acting, "arm", unsuspended)


def decided_and_called_again_after_a_crash(patched: pytest.MonkeyPatch) -> None:
    """Recovery takes a call for open whose answer waits with its settlement handler."""
    in_doubt = recovery._in_doubt

    def open_ones(engine: Any, owner: Any) -> Any:
        undecided, owner.settling.undecided = owner.settling.undecided, owner.state.open.get
        yield from in_doubt(engine, owner)
        owner.settling.undecided = undecided

    patched.setattr(recovery, "_in_doubt", open_ones)


def outcome_forgotten_when_it_fails_again(patched: pytest.MonkeyPatch) -> None:
    fail = ParkedSources._fail

    def forgetful(self: ParkedSources, letter: Any, error: Exception, outputs: Any = ()) -> None:
        known = self._state.parking.get(letter.source)
        fail(self, letter if known is None else letter._replace(outcome=msgspec.Raw(b"null")), error, outputs)

    patched.setattr(ParkedSources, "_fail", forgetful)


def kept_success_forgotten_by_another_end(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(TurnInProgress, "_keep_overtaken_success", lambda _self, _record: None)


# Events in their order.


def engine_streams_not_counted_on(patched: pytest.MonkeyPatch) -> None:
    """The version of what no program expects one of stands still."""
    before = Journal._version_before

    def still(self: Journal, draft: Any) -> int:
        version = before(self, draft)
        return version if draft.expected_version is not None else max(version - 1, 0)

    patched.setattr(Journal, "_version_before", still)


def lane_turned_round(patched: pytest.MonkeyPatch) -> None:
    take = OwnerActor.take_events

    def from_behind(self: OwnerActor, limit: int) -> bool:
        pending = self.lane.pending
        waiting = [pending.popleft() for _ in range(len(pending))]
        for recorded in reversed(waiting):
            self.state.seen = waiting[-1].position
            self._react(recorded)
        return take(self, limit)

    patched.setattr(OwnerActor, "take_events", from_behind)


def parked_events_overtaken(patched: pytest.MonkeyPatch) -> None:
    """What comes behind a failed event does not wait for it."""

    def unparked(self: OwnerActor, recorded: Any) -> None:
        parks, self.state.parks = self.state.parks, False
        react(self, recorded)
        self.state.parks = parks or self.state.parks

    react = OwnerActor._react
    patched.setattr(OwnerActor, "_react", unparked)


def resumed_beyond_what_was_seen(patched: pytest.MonkeyPatch) -> None:
    following = ParkedSources._next_waiting

    def farther(self: ParkedSources, source: Any, parked: Any) -> int | None:
        seen, self._state.seen = self._state.seen, 1 << 60
        try:
            return following(self, source, parked)
        finally:
            self._state.seen = seen

    patched.setattr(ParkedSources, "_next_waiting", farther)


def waiting_events_left_out(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(ParkedSources, "_next_waiting", lambda _self, _source, _parked: None)


# State, stock and callers.


def residents_not_rebuilt(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(OwnerState, "fold_residents", lambda _self, _recorded, _event: None)


def sold_out_goods_reserved(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(inventory, "_shortage", lambda _stock, _wanted: "")
    patched.setattr(inventory, "_with", lambda stock, sku, level: inventory.Stock(levels=stock.levels.set(sku, level)))


def callers_forgotten_at_a_stop(patched: pytest.MonkeyPatch) -> None:
    """Who waits for a reply when the system stops goes on waiting."""
    end = Admission.end

    def forgetful(self: Admission, cause: Any = None) -> None:
        end(self, cause)
        self._outstanding.clear()

    patched.setattr(Admission, "end", forgetful)


ATTEMPT = r"token [0-9a-f-]{36}, seed"
PLACE = r"\(position \d+, seed"
BOTH = r"position \d+, token [0-9a-f-]{36}, seed"
RAISING = {"raising": 0.3, "restart": 0.01}
"""So often that much waits behind what has failed, also in the module that comes with the second process."""


@pytest.mark.parametrize(
    ("plant", "faults", "invariant", "where"),
    [
        (ended_executions_kept, "duplicated", "S1", BOTH),
        (execution_maps_shared, "misaddressed", "S2", f"shipments writes .* of an execution of payments .*{BOTH}"),
        (evidence_of_what_was_never_begun, "flood", "S2", r"position \d+, token junk-\d+, seed"),
        (engine_streams_not_counted_on, "failing", "S6", f"has version 1 after 1 {PLACE}"),
        (lane_turned_round, "restart", "S6", f"notes answers position .* of the same aggregate {PLACE}"),
        (residents_not_rebuilt, "crash.step", "S7", PLACE),
        (sold_out_goods_reserved, "none", "S9", f"-\\d+ on hand .*{PLACE}"),
        (first_deadlines_not_armed, "hung, dropped", "L1", BOTH),
        (disarmed_by_halves, "none", "L2", r"timers are armed, .*token='[0-9a-f-]{36}'.*\(seed"),
        (starts_not_written_down, "crash", "P6", BOTH),
        (calls_not_counted, {"crash.step": 0.1, "crash.again": 1.0, "hung": 1.0}, "P6", f"call 21 .* follows 20, .*{BOTH}"),
        (undecided_timeouts_left_lying, {"crash.step": 0.005, "hung": 0.3}, "P8", BOTH),
        (more_time_after_a_crash, "crash", "P8", f"AttemptStarted: its deadline was .*{BOTH}"),
        (parked_events_overtaken, RAISING, "P12", f"answers position \\d+, while \\d+ of the same aggregate is parked {PLACE}"),
        (waiting_events_left_out, RAISING, "P12", f"goes on with position None; .* notes has seen, \\d+ is next {PLACE}"),
        (resumed_beyond_what_was_seen, {"raising": 0.3}, "P12", f"goes on with position \\d+; .* has seen, None is next {PLACE}"),
        (timer_of_a_parked_settlement_goes_on, {"poison": 0.05}, "P13", f"TimeoutFired: .*{BOTH}"),
        (decided_and_called_again_after_a_crash, {"poison": 0.05, "crash.step": 0.01}, "P13", f"AttemptStarted: .*{BOTH}"),
        (outcome_forgotten_when_it_fails_again, {"poison": 0.05}, "P13", f"keeps null, .*{BOTH}"),
        (kept_success_forgotten_by_another_end, {"raising": 0.3}, "P13", BOTH),
        (starts_not_written_down, "failing", "P16", ATTEMPT),
        (callers_forgotten_at_a_stop, {"restart": 0.02}, "P26", r"key='.*' ?\)? \(seed"),
    ],
)
def test_a_bug_is_found_under_the_id_of_what_it_breaks(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, faults: Faults, invariant: str, where: str
) -> None:
    plant(monkeypatch)
    assert_found(SimulatedStore, seeds=60, faults=faults, invariant=invariant, said=where)
