"""The vault: keys are durable before what they sealed, many at once, and those of forgotten people never come back."""

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors import vault as vaults
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.vault import Vault
from tallystick.domain.sensitive import Unsealed
from tallystick.store.keys import FORGOTTEN
from tallystick.store.log import Head
from tallystick.testing import SeededKeys
from tests.actors.register import Customer, Directory, ada, compose, enrol


class Watched(ts.MemoryLog):
    """A log that looks at the keys whenever it writes."""

    def __init__(self, keys: ts.MemoryKeys) -> None:
        super().__init__()
        self.keys = keys
        self.sealed: list[bool] = []

    def write(self, records: Sequence[ts.Recorded]) -> Head:
        if any(record.event_type == "Enrolled" for record in records):
            self.sealed.append(self.keys.get("c-ada") is not None)
        return super().write(records)


class Failing(ts.MemoryKeys):
    """Keys that cannot be written or deleted for a while."""

    fails = False
    batches = 0

    def put(self, keys: Mapping[str, bytes]) -> None:
        self._check()
        self.batches += 1
        super().put(keys)

    def forget(self, subjects: Collection[str]) -> None:
        self._check()
        super().forget(subjects)

    def _check(self) -> None:
        if self.fails:
            raise ts.KeyStoreError


def test_a_key_is_kept_before_the_first_record_that_was_sealed_with_it(runtime: Runtime) -> None:
    keys = ts.MemoryKeys()
    log = Watched(keys)
    with compose(log=log, keys=keys, runtime=runtime) as system:
        system.ask(enrol())
    assert log.sealed == [True]


def test_the_keys_of_many_new_people_are_written_together() -> None:
    keys = Failing()
    vault = Vault(keys, SeededKeys().new_key)
    for number in range(100):
        vault.seal(Unsealed(f"c-{number}", "x"))
    assert keys.batches == 0, "a turn does not wait for a disk"
    vault.write_keys()
    vault.write_keys()
    assert keys.batches == 1


def test_keys_that_cannot_be_written_end_the_generation_and_nothing_that_needs_them_is_written() -> None:
    keys, log = Failing(), ts.MemoryLog()
    with compose(keys=keys, log=log, runtime=ts.SteppedRuntime()) as system:
        keys.fails = True
        with pytest.raises((ts.CommitUnknown, ts.NotCommitted, ts.NotAccepted)):
            system.ask(enrol())
        keys.fails = False
        system.ask(enrol())
        assert system.health().restarts > 0
        customer = system.get(Customer, "c-ada")
        assert customer is not None
        assert customer.email is not None
        assert system.reveal(customer.email) == "ada.lovelace@example.org"
        assert len(list(system.events(event_types=("Enrolled",)))) == 1


def test_a_key_that_cannot_be_deleted_is_said_and_deleted_by_asking_again() -> None:
    keys = Failing()
    with compose(keys=keys, runtime=ts.SteppedRuntime()) as system:
        system.ask(enrol())
        keys.fails = True
        with pytest.raises(ts.KeyStoreError):
            system.forget("c-ada", who="dpo", why="asked")
        keys.fails = False
        assert system.forget("c-ada", who="dpo", why="asked") is False
        assert keys.get("c-ada") == FORGOTTEN
        assert len(list(system.events(event_types=("SubjectForgotten",)))) == 1


def test_a_person_who_is_forgotten_while_their_key_is_on_its_way_to_the_store_stays_forgotten() -> None:
    keys = SeededKeys()
    vault = Vault(keys, keys.new_key)
    box = vault.seal(Unsealed("c-ada", "x"))
    vault.forget(["c-ada"])
    vault.write_keys()
    assert keys.get("c-ada") == FORGOTTEN
    assert vault.seal(Unsealed("c-ada", "x")) == ""
    assert vault.open(ts.Sensitive(sealed_for="c-ada", box=box)) == ts.Forgotten(subject="c-ada")


def test_no_race_of_sealing_and_forgetting_leaves_anything_readable(tmp_path: Path) -> None:
    """Threads seal and write keys of people whom another thread forgets; whatever came of it, nothing of theirs is opened after."""
    file = ts.KeyFile(tmp_path / "keys")
    file.open()
    seeded = SeededKeys()
    vault = Vault(file, seeded.new_key)
    names = [f"c-{number}" for number in range(40)]
    boxes: list[ts.Sensitive[str]] = []

    def seal() -> None:
        for _ in range(3):
            for name in names:
                boxes.append(ts.Sensitive(sealed_for=name, box=vault.seal(Unsealed(name, "secret"))))
                vault.write_keys()

    threads = [threading.Thread(target=seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in names:
        vault.forget([name])
    for thread in threads:
        thread.join()
    vault.write_keys()
    assert {vault.open(box) for box in boxes} == {ts.Forgotten(subject=name) for name in names}
    assert file.forgotten() == set(names)
    file.close()


def test_there_is_a_limit_on_the_keys_at_hand_and_none_on_the_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults, "CIPHERS_KEPT", 10)
    keys = SeededKeys()
    vault = Vault(keys, keys.new_key)
    boxes = {name: vault.seal(Unsealed(name, name)) for name in (f"c-{number}" for number in range(100))}
    assert len(vault._ciphers) == 10
    assert [vault.open(ts.Sensitive(sealed_for=name, box=box)) for name, box in boxes.items()] == list(boxes)


def test_the_keys_beside_a_log_are_those_of_its_next_opening_and_two_systems_share_what_is_given(tmp_path: Path) -> None:
    path = tmp_path / "register.db"
    with compose(log=path, runtime=ts.SteppedRuntime()) as system:
        email = system.ask(enrol())
        box = system.seal(email)
    with compose(log=path, runtime=ts.SteppedRuntime()) as system:
        assert system.reveal(system.resident(Directory).emails["c-ada"]) == system.reveal(box)
    shared = ts.KeyFile(tmp_path / "shared.keys", master_key=bytes(range(64)))
    with compose(keys=shared, runtime=ts.SteppedRuntime()) as one, compose(keys=shared, runtime=ts.SteppedRuntime()) as other:
        one.ask(enrol())
        other.ask(enrol())
        one.forget("c-ada", who="dpo", why="asked")
        assert other.reveal(other.resident(Directory).emails["c-ada"]) == ts.Forgotten(subject="c-ada"), "forgotten in one, and so in all"
        assert other.seal(ada()).box == ""


def test_two_systems_that_make_a_key_for_one_person_at_once_end_with_one_and_lose_nothing() -> None:
    keys = ts.MemoryKeys()
    runtimes = [ts.SteppedRuntime(), ts.SteppedRuntime()]
    with compose(keys=keys, runtime=runtimes[0]) as one, compose(keys=keys, runtime=runtimes[1]) as other:
        one.seal(ada())
        other.seal(ada())
        one.ask(enrol())
        with pytest.raises((ts.CommitUnknown, ts.NotCommitted, ts.NotAccepted)):
            other.ask(enrol())
        other.ask(enrol())
        for system in (one, other):
            assert system.reveal(system.resident(Directory).emails["c-ada"]) == "ada.lovelace@example.org"


def test_the_same_seed_makes_the_same_log_byte_for_byte() -> None:
    def run() -> list[tuple[Any, ...]]:
        keys = SeededKeys(7)
        with compose(keys=keys, runtime=ts.SteppedRuntime(ts.ManualClock(), seed=7)) as system:
            system.ask(enrol(), idempotency_key="k")
            system.forget("c-ada", who="dpo", why="asked")
            return [(record.position, record.payload, record.hash) for record in system.events()]

    assert run() == run()
