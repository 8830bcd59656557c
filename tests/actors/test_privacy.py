"""Sensitive values: sealed wherever they are written, revealed to whom it concerns, and gone everywhere once their person is forgotten."""

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest
from structlog.testing import capture_logs

import tallystick as ts
from tallystick.domain.privacy import ForgottenSubjects
from tests.actors.register import ADA, Customer, Directory, Enrolled, Greeted, Mailer, Newsletter, ada, compose, enrol


@pytest.fixture
def runtime() -> ts.SteppedRuntime:
    return ts.SteppedRuntime(ts.ManualClock())


@pytest.fixture
def mailer() -> Mailer:
    return Mailer()


@pytest.fixture
def newsletter() -> Newsletter:
    return Newsletter()


@pytest.fixture
def log() -> ts.MemoryLog:
    return ts.MemoryLog()


@pytest.fixture
def system(runtime: ts.SteppedRuntime, mailer: Mailer, newsletter: Newsletter, log: ts.MemoryLog) -> Iterator[ts.System]:
    with compose(mailer, newsletter, runtime=runtime, log=log) as system:
        yield system


def payloads(system: ts.System) -> str:
    return "\n".join(recorded.payload.decode() for recorded in system.events())


def email_of(system: ts.System) -> ts.Sensitive[str]:
    customer = system.get(Customer, "c-ada")
    assert customer is not None
    assert customer.email is not None
    return customer.email


FORGOTTEN = ts.Forgotten(subject="c-ada")

# Sealed, and revealed to whom it concerns


def test_a_sensitive_value_is_sealed_in_the_log_and_revealed_to_turns_calls_and_the_host(
    system: ts.System, runtime: ts.SteppedRuntime, mailer: Mailer, newsletter: Newsletter
) -> None:
    reply = system.ask(enrol())
    runtime.run_until_idle()
    assert (system.reveal(reply), mailer.sent, newsletter.met) == (ADA, [ADA], [ADA])
    customer = system.get(Customer, "c-ada")
    assert customer is not None
    assert customer.address is not None
    assert customer.greeted is not None
    assert system.reveal(customer.address.street) == "12 St James's Square"
    assert system.reveal(customer.greeted) == f"{ADA} (accepted)"
    assert system.reveal(system.resident(Directory).emails["c-ada"]) == ADA
    assert "lovelace" not in payloads(system)


def test_the_same_text_of_one_person_is_the_same_value_wherever_it_stands(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    system.ask(enrol())
    runtime.run_until_idle()
    assert email_of(system) == system.resident(Directory).emails["c-ada"] == system.seal(ada())
    assert email_of(system) != system.seal(ada("augusta@example.org"))
    assert email_of(system).box != system.seal(ts.sensitive(ADA, of="c-bob")).box, "of another person it is sealed with another key"
    assert email_of(system) != ada(), "what is sealed is not compared with what is not"
    assert ada() == ada()
    assert hash(ada()) == hash(ada())


def test_a_box_does_not_tell_how_long_its_text_is(system: ts.System) -> None:
    lengths = {len(system.seal(ada("x" * count)).box) for count in range(32)}
    assert len(lengths) == 1
    assert [system.reveal(system.seal(ada("é" * count))) for count in (0, 1, 15, 16, 31, 32)] == ["é" * n for n in (0, 1, 15, 16, 31, 32)]


def test_a_box_cannot_be_passed_off_as_that_of_another_person(system: ts.System) -> None:
    system.seal(ts.sensitive("b", of="c-bob"))
    stolen: ts.Sensitive[str] = ts.Sensitive(sealed_for="c-bob", box=system.seal(ada()).box)
    with pytest.raises(ts.KeyMissing, match="sealed with another key"):
        system.reveal(stolen)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, "{!r:>40}".format])
def test_nothing_that_shows_a_value_shows_what_it_says(system: ts.System, show: object) -> None:
    for value in (ada(), system.seal(ada()), enrol(), (ada(),), {"a": ada()}):
        shown = show(value)  # type: ignore[operator]
        assert "lovelace" not in shown
        assert "c-ada" in shown


def test_what_is_not_sealed_yet_is_not_written_by_anything_but_a_system() -> None:
    for write in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as raised:
            write(ada())
        assert "lovelace" not in str(raised.value)
    assert copy.deepcopy(ada()) == ada()


def test_a_token_stands_for_a_value_and_is_another_one_for_another_person(system: ts.System) -> None:
    token = system.seal(ada()).token
    assert token == system.seal(ada()).token
    assert token != system.seal(ts.sensitive(ADA, of="c-bob")).token
    with pytest.raises(ts.PersonalDataRefused, match="no token before it is sealed"):
        _ = ada().token


@pytest.mark.parametrize(("text", "of"), [(b"x", "c-1"), ("x", 1), ("x", " "), ("x", ""), ("x", "c" * 201), ("\ud800", "c-1")])
def test_what_is_no_text_of_a_named_person_is_refused(text: str, of: str) -> None:
    with pytest.raises(ts.InvalidPayload):
        ts.sensitive(text, of=of)


def test_only_text_is_declared_as_sensitive() -> None:
    class Aged(ts.Event):
        aggregate_type = "Person"
        age: ts.Sensitive[int]  # type: ignore[type-var]

    class People(ts.Module):
        name = "people"

        @ts.folds(Aged, Customer)
        def aged(self, customer: Customer, _event: Aged) -> Customer:
            return customer

    with pytest.raises(ts.DefinitionError, match=r"Sensitive\[int\]: only text is kept sealed"):
        ts.System([People()])


# Forgotten


def test_a_forgotten_person_is_unreadable_to_everybody_and_everything_goes_on(
    system: ts.System, runtime: ts.SteppedRuntime, newsletter: Newsletter, mailer: Mailer
) -> None:
    reply = system.ask(enrol())
    runtime.run_until_idle()
    before = system.get(Customer, "c-ada")
    assert system.forget("c-ada", who="dpo", why="asked by letter") is True
    assert system.get(Customer, "c-ada") == before, "states are folded as before"
    assert system.reveal(email_of(system)) == FORGOTTEN
    assert system.reveal(system.resident(Directory).emails["c-ada"]) == FORGOTTEN
    assert system.reveal(reply) == FORGOTTEN
    system.ask(enrol())
    runtime.run_until_idle()
    assert newsletter.met[-1] == FORGOTTEN
    assert mailer.sent[-1] == FORGOTTEN
    assert system.dead_letters() == ()


def test_to_forget_is_an_event_with_who_and_why_and_is_done_once(system: ts.System) -> None:
    with capture_logs() as lines:
        assert [system.forget("c-ada", who="dpo", why="asked") for _ in range(3)] == [True, False, False]
    (event,) = system.events(event_types=("SubjectForgotten",))
    assert json.loads(event.payload) | {"at": ""} == {"subject": "c-ada", "at": "", "who": "dpo", "why": "asked"}
    assert [line["first"] for line in lines if line["event"] == "privacy.forgotten"] == [True, False, False]
    assert list(system.resident(ForgottenSubjects).subjects) == ["c-ada"]


@pytest.mark.parametrize(("subject", "who", "why"), [("", "w", "y"), ("s", " ", "y"), ("s", "w", "")])
def test_nobody_is_forgotten_without_a_name_or_a_reason(system: ts.System, subject: str, who: str, why: str) -> None:
    with pytest.raises(ts.InvalidPayload, match=r"is blank|who decides it and why"):
        system.forget(subject, who=who, why=why)
    assert list(system.events(owner="privacy")) == []


def test_what_comes_of_a_forgotten_person_is_forgotten_on_arrival(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    system.forget("c-ada", who="dpo", why="asked")
    system.ask(enrol())
    runtime.run_until_idle()
    assert email_of(system).box == ""
    assert system.reveal(email_of(system)) == FORGOTTEN


def test_others_stay_readable(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    system.ask(enrol())
    system.ask(enrol(customer_id="c-bob", email=ts.sensitive("bob@example.org", of="c-bob"), address=None))
    runtime.run_until_idle()
    system.forget("c-ada", who="dpo", why="asked")
    bob = system.get(Customer, "c-bob")
    assert bob is not None
    assert bob.email is not None
    assert system.reveal(bob.email) == "bob@example.org"


def test_a_forgetting_that_a_crash_cut_in_two_is_carried_through_when_the_log_is_opened(log: ts.MemoryLog) -> None:
    """The event is durable, and the process dies before the key is deleted; or an older copy of the keys is put back."""
    with compose(runtime=ts.SteppedRuntime(), log=log) as system:
        system.ask(enrol())
        key = log.personal_keys().get("c-ada")
        system.forget("c-ada", who="dpo", why="asked")
    keys = ts.MemoryKeys()
    keys.put({"c-ada": key or b""})
    with compose(runtime=ts.SteppedRuntime(), log=log.reopened(), keys=keys) as system:
        assert keys.forgotten() == {"c-ada"}
        assert system.reveal(email_of(system)) == FORGOTTEN


def test_a_forgetting_whose_event_was_never_written_deletes_nothing() -> None:
    class Full(ts.MemoryLog):
        def write(self, records: object) -> object:  # type: ignore[override]
            if any(record.event_type == "SubjectForgotten" for record in records):  # type: ignore[attr-defined]
                raise ts.LogPoisoned
            return super().write(records)  # type: ignore[arg-type]

    log = Full()
    with compose(runtime=ts.SteppedRuntime(), log=log) as system:
        system.ask(enrol())
        with pytest.raises(ts.TallystickError):
            system.forget("c-ada", who="dpo", why="asked")
        assert log.personal_keys().forgotten() == frozenset()
        assert system.reveal(email_of(system)) == ADA


def test_keys_that_are_missing_are_not_taken_for_forgotten_ones(log: ts.MemoryLog) -> None:
    with compose(runtime=ts.SteppedRuntime(), log=log) as system:
        system.ask(enrol())
    with compose(runtime=ts.SteppedRuntime(), log=log.reopened(), keys=ts.MemoryKeys()) as system:
        with pytest.raises(ts.KeyMissing, match="c-ada"):
            system.reveal(email_of(system))
        system.seal(ada())
        with pytest.raises(ts.KeyMissing, match="another key"):
            system.reveal(email_of(system))


def test_a_system_that_is_rebuilt_equals_the_one_that_ran(system: ts.System, runtime: ts.SteppedRuntime, log: ts.MemoryLog) -> None:
    system.ask(enrol())
    runtime.run_until_idle()
    system.forget("c-ada", who="dpo", why="asked")
    was = (system.get(Customer, "c-ada"), system.resident(Directory), system.resident(ForgottenSubjects))
    system.stop()
    storage = log.reopened()
    storage._storage.snapshots.clear()
    with compose(runtime=ts.SteppedRuntime(), log=storage) as rebuilt:
        assert (rebuilt.get(Customer, "c-ada"), rebuilt.resident(Directory), rebuilt.resident(ForgottenSubjects)) == was
        assert list(storage.verify())


# Idempotency


def test_a_keyed_command_with_sensitive_values_is_carried_out_once_and_other_values_are_a_conflict(system: ts.System) -> None:
    first = system.ask(enrol(), idempotency_key="k")
    assert system.ask(enrol(), idempotency_key="k") == first
    assert system.reveal(first) == ADA
    with pytest.raises(ts.IdempotencyConflict):
        system.ask(enrol(email=ada("other@example.org")), idempotency_key="k")
    assert len(list(system.events(event_types=("Enrolled",)))) == 1


def test_after_the_person_is_forgotten_the_command_is_known_by_what_it_says_besides(system: ts.System) -> None:
    system.ask(enrol(), idempotency_key="k")
    system.forget("c-ada", who="dpo", why="asked")
    assert system.reveal(system.ask(enrol(), idempotency_key="k")) == FORGOTTEN
    with pytest.raises(ts.IdempotencyConflict):
        system.ask(enrol(customer_id="c-eve"), idempotency_key="k")
    assert len(list(system.events(event_types=("Enrolled",)))) == 1


# Schedules


def test_a_command_that_is_sent_later_keeps_its_values_sealed(system: ts.System, runtime: ts.SteppedRuntime, mailer: Mailer) -> None:
    assert [system.schedules.after(timedelta(hours=1), enrol(), id="later") for _ in range(2)] == [True, False]
    with pytest.raises(ts.IdempotencyConflict):
        system.schedules.after(timedelta(hours=1), enrol(email=ada("other@example.org")), id="later")
    assert "lovelace" not in payloads(system)
    runtime.advance(timedelta(hours=2))
    runtime.run_until_idle()
    assert mailer.sent == [ADA]
    assert "lovelace" not in payloads(system)
    system.forget("c-ada", who="dpo", why="asked")
    assert system.schedules.after(timedelta(hours=1), enrol(), id="later") is False, "made again at each start, it is the same one"


# Programs that have nothing sensitive


def test_a_system_without_sensitive_fields_says_so_when_it_is_asked_to_forget() -> None:
    with ts.System() as system:
        with pytest.raises(ts.DefinitionError, match="declares a Sensitive"):
            system.forget("c-ada", who="dpo", why="asked")
        with pytest.raises(ts.DefinitionError, match="declares a Sensitive"):
            system.seal(ada())
        assert list(system.events()) == []
        assert system.reveal(ada()) == ADA


def test_a_log_without_a_place_for_keys_is_refused_when_the_system_is_composed() -> None:
    class Elsewhere:
        def write(self) -> None: ...

    with pytest.raises(ts.DefinitionError, match="a Elsewhere has no place for their keys"):
        compose(log=Elsewhere())


# Events of the program


def test_events_are_as_they_are_declared(system: ts.System, runtime: ts.SteppedRuntime) -> None:
    system.ask(enrol())
    runtime.run_until_idle()
    by_type = {recorded.event_type: recorded for recorded in system.events(owner="register")}
    enrolled = json.loads(by_type[Enrolled.__name__].payload)
    assert enrolled["email"].keys() == {"sealedFor", "box"}
    assert enrolled["aliases"] == [enrolled["email"]]
    assert by_type[Greeted.__name__].settles == "succeeded"
