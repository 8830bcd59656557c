"""Gateway and carrier: their manners, and ledgers that tell what they really did, in this process and in one of their own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tallystick as ts
from tallystick.scenarios.tiny_store import provider_process
from tallystick.scenarios.tiny_store.ledger import Entry, FileLedger, Ledger, MemoryLedger
from tallystick.scenarios.tiny_store.money import Money
from tallystick.scenarios.tiny_store.payments import Charge, Receipt, Refund
from tallystick.scenarios.tiny_store.provider_process import RemoteCall, RemoteProviders, moods
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway, Manner, ProviderDown, always, scripted
from tallystick.scenarios.tiny_store.shipments import Recall, RequestShipment

TEN = Money(cents=1000, currency="EUR")
CHARGE = Charge(order_id="o1", amount=TEN)
REFUND = Refund(order_id="o1", payment_id="pay-key-1", amount=TEN)
REQUEST = RequestShipment(order_id="o1", address="1 High Street")
RECALL = Recall(order_id="o1", shipment_id="ship-key-1")


class PlainCall(NamedTuple):
    token: ts.Token = ts.Token("token-1")
    key: str = "key-1"
    attempt: int = 1
    deadline: None = None

    def cancelled(self) -> bool:
        return False

    def heartbeat(self) -> None:
        pass

    def progress(self, percent: float | None = None, message: str = "") -> None:
        pass

    def reveal(self, value: ts.Sensitive[str]) -> str | ts.Forgotten:
        return ts.Forgotten(subject=value.sealed_for)


CALL = PlainCall()


def kinds(ledger: Ledger) -> list[str]:
    return [entry.kind for entry in ledger.entries()]


# Manners


def test_a_call_is_answered_at_once_and_entered() -> None:
    gateway = Gateway()
    assert gateway.charge(CHARGE, CALL) == Receipt(payment_id="pay-key-1")
    assert gateway.ledger.entries() == (Entry(kind="capture", key="key-1", number="pay-key-1", order_id="o1", cents=1000),)


def test_one_key_is_one_capture_however_often_it_is_called() -> None:
    gateway = Gateway()
    assert gateway.charge(CHARGE, CALL) == gateway.charge(CHARGE, CALL._replace(attempt=2))
    assert kinds(gateway.ledger) == ["capture"]


def test_a_capture_is_given_back_once_whatever_the_key() -> None:
    gateway = Gateway()
    gateway.charge(CHARGE, CALL)
    assert gateway.refund(REFUND, CALL._replace(key="key-2")) == gateway.refund(REFUND, CALL._replace(key="key-3"))
    assert kinds(gateway.ledger) == ["capture", "refund"]


def test_a_parcel_is_called_back_once_whatever_the_key() -> None:
    carrier = Carrier()
    carrier.request(REQUEST, CALL)
    carrier.recall(RECALL, CALL._replace(key="key-2"))
    carrier.recall(RECALL, CALL._replace(key="key-3"))
    assert kinds(carrier.ledger) == ["shipment", "recall"]


def test_a_late_answer_has_its_effect_when_it_is_given() -> None:
    gateway = Gateway(charges=always(Manner.LATE))
    given: list[tuple[ts.Token, object]] = []
    assert isinstance(gateway.charge(CHARGE, CALL), ts.Later)
    assert kinds(gateway.ledger) == []

    def hear(token: ts.Token, result: object) -> bool:
        given.append((token, result))
        return True

    assert gateway.deliver(hear) == 1
    assert given == [(CALL.token, Receipt(payment_id="pay-key-1"))]
    assert gateway.deliver(lambda _token, _result: True) == 0


def test_an_answer_that_comes_twice_says_the_same() -> None:
    carrier = Carrier(requests=always(Manner.TWICE))
    first = carrier.request(REQUEST, CALL)
    again: list[object] = []

    def hear(_token: ts.Token, result: object) -> bool:
        again.append(result)
        return False

    assert carrier.deliver(hear) == 0
    assert again == [first]
    assert kinds(carrier.ledger) == ["shipment"]


def test_an_answer_that_never_comes_has_no_effect() -> None:
    gateway = Gateway(charges=always(Manner.NEVER))
    assert isinstance(gateway.charge(CHARGE, CALL), ts.Later)
    assert gateway.deliver(lambda _token, _result: True) == 0
    assert kinds(gateway.ledger) == []


def test_a_no_is_final() -> None:
    with pytest.raises(ts.Rejected, match="DECLINED"):
        Gateway(charges=always(Manner.DECLINED)).charge(CHARGE, CALL)


@pytest.mark.parametrize(("manner", "entered"), [(Manner.ERROR, []), (Manner.ERROR_AFTER_EFFECT, ["capture"])])
def test_an_error_comes_before_the_effect_or_after_it(manner: Manner, entered: list[str]) -> None:
    gateway = Gateway(charges=always(manner))
    with pytest.raises(ProviderDown):
        gateway.charge(CHARGE, CALL)
    assert kinds(gateway.ledger) == entered


def test_probes_tell_what_was_done() -> None:
    gateway, carrier = Gateway(), Carrier()
    assert isinstance(gateway.find_charge(CHARGE, CALL), ts.NotDone)
    assert isinstance(gateway.find_refund(REFUND, CALL), ts.NotDone)
    assert isinstance(carrier.find_request(REQUEST, CALL), ts.NotDone)
    assert isinstance(carrier.find_recall(RECALL, CALL), ts.NotDone)
    done = [gateway.charge(CHARGE, CALL), gateway.refund(REFUND, CALL), carrier.request(REQUEST, CALL), carrier.recall(RECALL, CALL)]
    assert [
        gateway.find_charge(CHARGE, CALL),
        gateway.find_refund(REFUND, CALL),
        carrier.find_request(REQUEST, CALL),
        carrier.find_recall(RECALL, CALL),
    ] == [ts.Done(result=each) for each in done]


@pytest.mark.parametrize("manner", [Manner.LATE, Manner.NEVER])
def test_a_probe_of_what_was_promised_says_that_the_answer_will_come(manner: Manner) -> None:
    gateway = Gateway(charges=always(manner))
    gateway.charge(CHARGE, CALL)
    assert isinstance(gateway.find_charge(CHARGE, CALL), ts.Later)


def test_a_script_goes_by_order_and_attempt() -> None:
    script = scripted({"o1": (Manner.ERROR, Manner.LATE)})
    assert [script("o1", attempt) for attempt in (1, 2, 3)] == [Manner.ERROR, Manner.LATE, Manner.LATE]
    assert script("o2", 1) is Manner.AT_ONCE


def test_moods_repeat_and_an_order_that_had_an_error_is_answered_at_the_next_attempt() -> None:
    orders = [f"order-{number}" for number in range(300)]
    script = moods(7, 0.0, 0.0)
    first = [script(order, 1) for order in orders]
    assert first == [moods(7, 0.0, 0.0)(order, 1) for order in orders]
    assert set(first) == {Manner.AT_ONCE, Manner.NEVER, Manner.DECLINED, Manner.ERROR, Manner.ERROR_AFTER_EFFECT}
    errors = [order for order, manner in zip(orders, first, strict=True) if "ERROR" in manner.name]
    assert {script(order, 2) for order in errors} == {Manner.AT_ONCE}


# Ledgers


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    ledger = FileLedger(tmp_path / "ledger.jsonl")
    yield ledger
    ledger.close()


def entry(key: str, number: str = "n") -> Entry:
    return Entry(kind="capture", key=key, number=number, order_id="o1", cents=5)


def test_a_key_is_entered_once(ledger: Ledger) -> None:
    assert ledger.enter(entry("a", "first")) == ledger.enter(entry("a", "second")) == ledger.find("a") == entry("a", "first")
    ledger.enter(entry("b"))
    assert ledger.find("c") is None
    assert [each.key for each in ledger.entries()] == ["a", "b"]


def test_a_file_keeps_its_entries(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for key in ("a", "b"):
        ledger = FileLedger(path)
        ledger.enter(entry(key))
        ledger.close()
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_an_entry_that_was_cut_off_was_never_answered_for(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"kind":"capture","key":"a","number":"n","orderId":"o1"}\n{"kind":"cap')
    ledger = FileLedger(path)
    ledger.enter(entry("b"))
    ledger.close()
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


# In a process of their own


class Remote(NamedTuple):
    providers: RemoteProviders
    kill: Callable[[], None]
    start: Callable[[], None]
    ledger: Path


@pytest.fixture
def remote() -> Iterator[Remote]:
    with tempfile.TemporaryDirectory(prefix="ts-") as folder:  # a short path: sockets have a limit
        here = Path(folder)
        running: list[subprocess.Popen[bytes]] = []
        command = [sys.executable, "-m", provider_process.__name__, "--socket", here / "s", "--seed", "7"]
        ledgers = ["--gateway-ledger", here / "gateway.jsonl", "--carrier-ledger", here / "carrier.jsonl"]

        def start() -> None:
            process = subprocess.Popen([*map(str, (*command, *ledgers))], stdout=subprocess.PIPE)  # noqa: S603 - our own module
            running.append(process)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

        def kill() -> None:
            process = running.pop()
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

        start()
        yield Remote(RemoteProviders(here / "s"), kill, start, here / "gateway.jsonl")
        if running:
            kill()


def in_mood(manner: Manner) -> str:
    """An order that is answered in that manner at its first attempt."""
    script = moods(7, 0.0, 0.0)
    return next(order for number in range(1000) if script(order := f"order-{number}", 1) is manner)


def test_the_other_process_answers_as_this_one_would(remote: Remote) -> None:
    charge = Charge(order_id=in_mood(Manner.AT_ONCE), amount=TEN)
    assert isinstance(remote.providers.find_charge(charge, CALL), ts.NotDone)
    assert remote.providers.charge(charge, CALL) == Receipt(payment_id="pay-key-1")
    assert remote.providers.find_charge(charge, CALL) == ts.Done(result=Receipt(payment_id="pay-key-1"))
    with pytest.raises(ts.Rejected, match="DECLINED"):
        remote.providers.charge(Charge(order_id=in_mood(Manner.DECLINED), amount=TEN), CALL)
    with pytest.raises(ProviderDown):
        remote.providers.charge(Charge(order_id=in_mood(Manner.ERROR), amount=TEN), CALL)
    never, call = Charge(order_id=in_mood(Manner.NEVER), amount=TEN), CALL._replace(key="key-2")
    assert isinstance(remote.providers.charge(never, call), ts.Later)
    assert isinstance(remote.providers.find_charge(never, call), ts.Later)


def test_the_other_process_has_no_keys_and_says_so() -> None:
    call = RemoteCall(ts.Token("token-1"), "key-1", 1)
    with pytest.raises(ts.KeyMissing, match="no key of ada"):
        call.reveal(ts.sensitive("1 High Street", of="ada"))


def test_the_other_process_remembers_when_it_is_killed_and_started_again(remote: Remote) -> None:
    charge: Any = Charge(order_id=in_mood(Manner.AT_ONCE), amount=TEN)
    receipt = remote.providers.charge(charge, CALL)
    remote.kill()
    with pytest.raises(OSError):  # noqa: PT011 - whatever the socket says
        remote.providers.find_charge(charge, CALL)
    remote.start()
    assert remote.providers.charge(charge, CALL) == receipt
    assert len(remote.ledger.read_bytes().splitlines()) == 1
