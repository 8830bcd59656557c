"""The model of a log takes the logs of runs through many faults, and refuses each when one record of it is another, by the id it breaks."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

import tallystick as ts
from tallystick.domain.envelope import Recorded
from tallystick.domain.token import Token
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.testing import Invariant, InvariantViolation, Simulation
from tallystick.testing.invariants import rules_of
from tallystick.testing.model import LogModel, Rules

FAULTS = {"failing": 0.3, "hung": 0.1, "late": 0.1, "dropped": 0.1, "raising": 0.15, "poison": 0.05, "restart": 0.01, "crash.step": 0.005}
SEEDS = range(1, 9)


class Run(NamedTuple):
    """The log of a run, and what is to be known of its program."""

    records: Sequence[Recorded]
    rules: Rules


class Copy:
    """An invariant that holds whatever comes, and keeps it."""

    def __init__(self, runs: list[Run]) -> None:
        self._runs = runs
        self._records: list[Recorded] = []

    def take(self, recorded: Recorded, event: Any) -> None:
        del event
        self._records.append(recorded)

    def end(self, system: ts.System) -> None:
        self._runs.append(Run(tuple(self._records), rules_of(system)))


@cache
def runs() -> Sequence[Run]:
    found: list[Run] = []

    class Copied(SimulatedStore):
        def invariants(self) -> Sequence[Invariant]:
            return (*super().invariants(), Copy(found))

    for seed in SEEDS:
        Simulation(Copied, seed, faults=FAULTS, log="memory").check()
    return found


class Place(NamedTuple):
    """A record, and those before it."""

    recorded: Recorded
    before: Sequence[Recorded]
    rules: Rules

    def versions(self, kind: str, key: str) -> int:
        return sum((each.aggregate_type, each.aggregate_id) == (kind, key) for each in self.before)


Change = Callable[[Place], Recorded | None]
"""Another record for that place, None where it is not one to be changed."""


def of(event_type: str, change: Callable[[Place], dict[str, Any] | None]) -> Change:
    """Change the payload of events of a type."""

    def changed(place: Place) -> Recorded | None:
        if place.recorded.event_type != event_type:
            return None
        fields = change(place)
        if fields is None:
            return None
        payload = json.loads(place.recorded.payload) | fields
        return msgspec.structs.replace(place.recorded, payload=json.dumps(payload).encode())

    return changed


def fields(**changes: Callable[[Place], Any]) -> Change:
    """Change fields of the first record that is far enough in the log."""

    def changed(place: Place) -> Recorded | None:
        if len(place.before) < 20:
            return None
        return msgspec.structs.replace(place.recorded, **{name: change(place) for name, change in changes.items()})

    return changed


def payload(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.recorded.payload)
    return found


def written_by_another_owner(place: Place) -> Recorded | None:
    owner = place.rules.owners.get(place.recorded.event_type)
    return None if owner is None else msgspec.structs.replace(place.recorded, owner="shipments" if owner != "shipments" else "orders")


def cursor_gone_back(place: Place) -> Recorded | None:
    recorded = place.recorded
    known = max((each.seen or 0 for each in place.before if each.owner == recorded.owner), default=0)
    return msgspec.structs.replace(recorded, seen=known - 1) if known and recorded.seen is not None else None


def is_reaction(place: Place, each: Recorded) -> bool:
    """Whether a record answers an event that its owner reacts to."""
    if each.causation is None or each.aggregate_type == "Owner" or not 0 < each.causation <= len(place.before):
        return False
    return place.before[each.causation - 1].event_type in place.rules.reactions.get(each.owner, ())


def answered_again(place: Place) -> Recorded | None:
    recorded = place.recorded
    earlier = [each for each in place.before[:-2] if each.owner == recorded.owner and is_reaction(place, each)]
    if not earlier or not is_reaction(place, recorded) or earlier[-1].causation == recorded.causation:
        return None
    return msgspec.structs.replace(recorded, causation=earlier[-1].causation)


def answered_before_it_joined(place: Place) -> Recorded | None:
    recorded = place.recorded
    joined = next((each.position for each in place.before if each.event_type == "OwnerJoined" and each.owner == "notes"), None)
    placed = next((each.position for each in place.before if each.event_type == "OrderPlaced"), None)
    if recorded.event_type != "OrderNoted" or joined is None or placed is None or placed > joined:
        return None
    return msgspec.structs.replace(recorded, causation=placed)


def attempt_of_another_owner(place: Place) -> Recorded | None:
    recorded = place.recorded
    if recorded.event_type != "AttemptStarted":
        return None
    return msgspec.structs.replace(recorded, owner="payments" if recorded.owner != "payments" else "shipments", seen=None)


def started_until_2031(*, again: bool) -> Change:
    """An attempt has another deadline: one that is begun by a retry, or one that is called again."""

    def until(place: Place) -> dict[str, Any] | None:
        same = [json.loads(each.payload) for each in place.before if each.token == place.recorded.token]
        begun = [1, *(each["attempt"] for each in same if "call" in each)]
        return {"deadline": "2031-01-01T00:00:00Z"} if (payload(place)["attempt"] in begun) == again else None

    return of("AttemptStarted", until)


def attempt_of_nothing(place: Place) -> Recorded | None:
    if place.recorded.event_type != "AttemptStarted":
        return None
    return msgspec.structs.replace(place.recorded, token=Token("unknown"), aggregate_id="unknown", aggregate_version=1)


def completion_of_nothing(place: Place) -> Recorded | None:
    recorded = place.recorded
    return (
        msgspec.structs.replace(recorded, token=Token("unknown")) if recorded.settles and recorded.aggregate_type != "Execution" else None
    )


def completed_twice(place: Place) -> Recorded | None:
    recorded = place.recorded
    ended = next((each.token for each in place.before if each.settles and each.owner == recorded.owner), None)
    if ended is None or not recorded.settles or recorded.aggregate_type == "Execution":
        return None
    return msgspec.structs.replace(recorded, token=ended)


def gone_on_after_its_end(place: Place) -> Recorded | None:
    recorded = place.recorded
    ended = next((each.token for each in place.before if each.settles and each.owner == recorded.owner), None)
    if recorded.event_type != "AttemptStarted" or ended is None:
        return None
    version = place.versions("Execution", ended) + 1
    return msgspec.structs.replace(recorded, token=ended, aggregate_id=ended, aggregate_version=version)


def evidence_of_a_known_success(place: Place) -> Recorded | None:
    recorded = place.recorded
    done = next((each.token for each in place.before if each.settles == "succeeded" and each.owner == recorded.owner), None)
    if recorded.event_type != "LateSuccess" or done is None:
        return None
    version = place.versions("Execution", done) + 1
    return msgspec.structs.replace(recorded, token=done, aggregate_id=done, aggregate_version=version)


def redriven_under_a_far_number(place: Place) -> Recorded | None:
    if place.recorded.event_type != "AttemptStarted":
        return None
    return msgspec.structs.replace(place.recorded, event_type="ExecutionRedriven", payload=b'{"attempt": 99}')


def redriven_and_not_dead(place: Place) -> Recorded | None:
    recorded = place.recorded
    is_first = recorded.event_type == "ReactionFailed" and payload(place)["attempt"] == 1
    return msgspec.structs.replace(recorded, event_type="ReactionRedriven") if is_first else None


def resumed_and_not_parked(place: Place) -> Recorded | None:
    recorded = place.recorded
    if recorded.event_type != "ReactionFailed" or payload(place)["attempt"] > 1 or payload(place)["aggregateType"] == "Execution":
        return None
    return msgspec.structs.replace(recorded, event_type="ReactionResumed")


def resumed_although_dead(place: Place) -> Recorded | None:
    recorded = place.recorded
    is_redriven = recorded.event_type == "ReactionRedriven" and payload(place)["aggregateType"] != "Execution"
    return msgspec.structs.replace(recorded, event_type="ReactionResumed") if is_redriven else None


def fired_while_its_outcome_waits(place: Place) -> Recorded | None:
    """A settlement's failure takes the place of whatever is next of its owner's; instead of it the timer fires."""
    recorded, last = place.recorded, place.before[-1] if place.before else None
    if last is None or last.event_type != "ReactionFailed" or recorded.seen is None:
        return None
    failed = json.loads(last.payload)
    if failed.get("role") != "settlement":
        return None
    token, position = failed["token"], recorded.position
    version = place.versions("Execution", token) + 1
    return Recorded(
        position, "TimeoutFired", 1, "Execution", token, version, recorded.occurred_at_us, last.owner, "", b'{"attempt": 1}', Token(token)
    )


BROKEN: dict[str, tuple[Change, str]] = {
    "a gap": (fields(position=lambda place: place.recorded.position + 1), "S5"),
    "a version left out": (fields(aggregate_version=lambda place: place.recorded.aggregate_version + 1), "S6"),
    "time put back": (fields(occurred_at_us=lambda place: place.before[0].occurred_at_us - 1), "P23"),
    "another owner's event": (written_by_another_owner, "P20"),
    "a cursor gone back": (cursor_gone_back, "P1"),
    "a cursor ahead of itself": (fields(seen=lambda place: place.recorded.position), "P1"),
    "an answer to what comes later": (
        lambda place: (
            None
            if place.recorded.causation is None or place.recorded.aggregate_type == "Owner"
            else msgspec.structs.replace(place.recorded, causation=place.recorded.position + 1)
        ),
        "P1",
    ),
    "an answer given again": (answered_again, "P1"),
    "an answer to what came before it joined": (answered_before_it_joined, "P3"),
    "joined where it is not": (of("OwnerJoined", lambda place: {"start": place.recorded.position}), "P3"),
    "an attempt of another owner": (attempt_of_another_owner, "S2"),
    "an attempt of nothing": (attempt_of_nothing, "S2"),
    "a completion of nothing": (completion_of_nothing, "S2"),
    "a second completion": (completed_twice, "S1"),
    "an attempt after the end": (gone_on_after_its_end, "S3"),
    "evidence of a success that is known": (evidence_of_a_known_success, "P10"),
    "a retry too far": (of("RetryScheduled", lambda place: {"attempt": payload(place)["attempt"] + 1}), "S13"),
    "an attempt that is not due": (of("AttemptStarted", lambda place: {"attempt": payload(place)["attempt"] + 1}), "S13"),
    "redriven under a far number": (redriven_under_a_far_number, "S13"),
    "a call left out": (of("AttemptStarted", lambda place: {"call": payload(place)["call"] + 1}), "P6"),
    "a retry's deadline that is another": (started_until_2031(again=False), "P24"),
    "a deadline moved by a call that is made again": (started_until_2031(again=True), "P8"),
    "a failure without its cause": (of("ReactionFailed", lambda _place: {"error": ""}), "S13"),
    "a failure too many": (of("ReactionFailed", lambda place: {"attempt": payload(place)["attempt"] + 1}), "P12"),
    "redriven, and not dead": (redriven_and_not_dead, "P12"),
    "resumed, and not parked": (resumed_and_not_parked, "P12"),
    "resumed, although dead": (resumed_although_dead, "P12"),
    "resumed elsewhere": (
        of("ReactionResumed", lambda place: {"nextPosition": 1} if payload(place)["aggregateType"] == "Order" else None),
        "P12",
    ),
    "an outcome that is none": (
        of("ReactionFailed", lambda place: {"outcome": None} if payload(place).get("role") == "settlement" else None),
        "P13",
    ),
    "fired while its outcome waits": (fired_while_its_outcome_waits, "P13"),
}


def broken(change: Change) -> InvariantViolation | None:
    """What the model says of the first record that the change finds."""
    for run in runs():
        for index, recorded in enumerate(run.records):
            changed = change(Place(recorded, run.records[:index], run.rules))
            if changed is not None:
                model = LogModel(run.rules)
                for each in run.records[:index]:
                    model.take(each, each.occurred_at_us)
                with pytest.raises(InvariantViolation) as violation:
                    model.take(changed, recorded.occurred_at_us)
                return violation.value
    return None


def test_the_logs_themselves_are_taken() -> None:
    for run in runs():
        model = LogModel(run.rules)
        for recorded in run.records:
            model.take(recorded, recorded.occurred_at_us)
        assert model.tail == len(run.records)


@pytest.mark.parametrize("name", BROKEN)
def test_a_log_with_another_record_is_refused_by_the_id_of_what_is_broken(name: str) -> None:
    change, invariant = BROKEN[name]
    violation = broken(change)
    assert violation is not None, "no log has such a record"
    assert violation.invariant == invariant, str(violation)
    assert violation.position is not None
