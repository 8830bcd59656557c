"""Audit records: who did what, to which operation, with what outcome, about which things; in the log, and in its order."""

import msgspec
import pytest

import tallystick as ts
from tests.actors.outside import FaultyLog

ANCHORS = (ts.Anchor(kind="Webhook", id="evt_1", role="Subject"), ts.Anchor(kind="Tenant", id="t-1"))


def records(system: ts.System) -> list[dict[str, object]]:
    return [msgspec.json.decode(each.payload) for each in system.events(event_types=("OperationAudited",))]


def test_an_audit_record_says_who_did_what_to_which_with_what_outcome_and_is_durable_when_its_id_is_there() -> None:
    log = FaultyLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime()) as system, system.bracket("Webhook.Process", correlation="evt 1") as operation:
        audit_id = system.operations.audit("webhook.processed", "Webhook processed", outcome="Warning", who="ann", anchors=ANCHORS)
        (recorded,) = log.read(ts.Query(aggregate_id=audit_id))
        (record,) = records(system)
        assert record | {"at": ""} == {
            "auditId": audit_id,
            "at": "",
            "name": "webhook.processed",
            "message": "Webhook processed",
            "outcome": "Warning",
            "who": "ann",
            "operationId": operation.id,
            "anchors": [{"kind": "Webhook", "id": "evt_1", "role": "Subject"}, {"kind": "Tenant", "id": "t-1", "role": ""}],
        }
        assert recorded.correlation == "evt 1"


def test_an_audit_record_names_the_operation_around_it_another_or_none() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        other = system.operations.start("Import")
        with system.bracket("Webhook.Process") as operation:
            for operation_id in (None, other, ""):
                system.operations.audit("webhook.processed", operation_id=operation_id)
        assert [record.get("operationId", "") for record in records(system)] == [operation.id, other, ""]
        with pytest.raises(ts.Rejected, match="UNKNOWN_OPERATION"):
            system.operations.audit("webhook.processed", operation_id="nobody's")


@pytest.mark.parametrize("outcome", ["Success", "Failure", "Warning"])
def test_outcomes_are_those_three(outcome: str) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        system.operations.audit("x.y", outcome=outcome)  # type: ignore[arg-type]
        assert [record.get("outcome", "Success") for record in records(system)] == [outcome]
        with pytest.raises(ts.InvalidPayload):
            system.operations.audit("x.y", outcome="Great")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", " ", "Ann has paid", "webhook..seen", "a" * 201, ".seen", "ünicode.seen"])
def test_names_are_words_of_code_and_not_of_users(name: str) -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        with pytest.raises(ts.InvalidOperation, match="no name of an audit record"):
            system.operations.audit(name)
        assert records(system) == []


def test_what_people_decide_is_a_record_of_its_own_with_who_and_why() -> None:
    with ts.System(runtime=ts.SteppedRuntime()) as system:
        operation_id = system.operations.start("Import")
        system.operations.abandon(operation_id, by="ann", why="nobody wants it")
        found = system.operations.get(operation_id)
        assert found is not None
        assert (found.by, found.why) == ("ann", "nobody wants it")
