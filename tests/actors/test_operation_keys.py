"""Operations that are begun with a key: once, from wherever it is asked, also where a former version of the library has begun them."""

import hashlib
from collections.abc import Iterator
from contextvars import copy_context

import pytest

import tallystick as ts
from tallystick.domain.command import Command
from tallystick.store.codec import Codec
from tests.actors.outside import FaultyLog


@pytest.fixture
def system() -> Iterator[ts.System]:
    with ts.System(runtime=ts.SteppedRuntime(ts.ManualClock())) as system:
        yield system


def delivered(system: ts.System, number: int, **more: str) -> str:
    """One delivery of a webhook, in a bracket and with tags of its own."""
    with system.bracket("Webhook.Receive", tags={"request": f"req-{number}"}):
        return system.operations.start("Payment.Capture", tags={"payment": "p1", **more}, idempotency_key="evt_1")


def test_a_second_delivery_finds_the_operation_of_the_first_whatever_surrounds_it(system: ts.System) -> None:
    first = delivered(system, 1)
    assert delivered(system, 2) == first
    assert system.operations.start("Payment.Capture", tags={"payment": "p1"}, idempotency_key="evt_1") == first
    (begun,) = system.operations.find(name_prefix="Payment")
    assert begun.tags == {"request": "req-1", "payment": "p1"}, "it stays the one that was begun"


def test_what_the_call_itself_says_is_still_its_content(system: ts.System) -> None:
    delivered(system, 1)
    with pytest.raises(ts.IdempotencyConflict):
        delivered(system, 2, currency="EUR")
    with pytest.raises(ts.IdempotencyConflict):
        delivered(system, 1, request="req-2")


def test_what_was_left_open_inside_a_bracket_is_found_from_inside_another_one() -> None:
    log = FaultyLog()
    with ts.System(log=log, runtime=ts.SteppedRuntime(ts.ManualClock())) as system:

        def killed_inside() -> str:
            system.bracket("Nightly.Run").__enter__()
            return system.bracket("Nightly.Import", idempotency_key="import 1").__enter__().id

        begun = copy_context().run(killed_inside)
    with (
        ts.System(log=log.reopened(), runtime=ts.SteppedRuntime(ts.ManualClock())) as system,
        system.bracket("Nightly.Run"),
        system.bracket("Nightly.Import", idempotency_key="import 1") as again,
    ):
        assert again.id == begun


def test_a_key_that_a_former_version_has_written_down_is_recognised(system: ts.System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fingerprint had the parent and all tags in it; what is asked again in the same surroundings is the same."""
    with system.bracket("Webhook.Receive", tags={"request": "req-1"}) as outer:
        former = (
            f'StartOperation\0{{"name":"Payment.Capture","parent":"{outer.id}","tags":{{"payment":"p1","request":"req-1"}},"timeoutUs":null,'
            '"onOverdue":"abandon","retry":null,"stalledAfterUs":null,"heartbeatUs":null,"held":false}'
        )

        def former_hash(_codec: Codec, _command: Command[str]) -> str:
            return hashlib.blake2b(former.encode(), digest_size=16).hexdigest()

        with monkeypatch.context() as patched:
            patched.setattr(Codec, "content_hash", former_hash)
            first = system.operations.start("Payment.Capture", tags={"payment": "p1"}, idempotency_key="evt_1")
        assert system.operations.start("Payment.Capture", tags={"payment": "p1"}, idempotency_key="evt_1") == first
        with pytest.raises(ts.IdempotencyConflict):
            system.operations.start("Payment.Capture", tags={"payment": "p2"}, idempotency_key="evt_1")


def test_outside_of_all_brackets_a_keys_fingerprint_is_what_it_always_was(system: ts.System) -> None:
    system.operations.start("Import", tags={"file": "a"}, idempotency_key="import a")
    (settled,) = system.events(event_types=("CommandSettled",))
    content = (
        'StartOperation\0{"name":"Import","parent":"","tags":{"file":"a"},"timeoutUs":null,'
        '"onOverdue":"abandon","retry":null,"stalledAfterUs":null,"heartbeatUs":null,"held":false}'
    )
    assert hashlib.blake2b(content.encode(), digest_size=16).hexdigest().encode() in settled.payload
