"""Nobody waits for a call any more: a coroutine is cancelled, a plain function may ask; and neither is a failure."""

import asyncio
import threading
from datetime import timedelta
from queue import SimpleQueue

import pytest

import tallystick as ts
from tests.actors.outside import PATIENCE_S, wait_until


class Fetch(ts.Action[str]):
    what: str


class Patient(ts.Intent[str]):
    what: str
    timeout = timedelta(seconds=30)


class Wait(ts.Command[str]):
    what: str


class GiveUp(ts.Command[None]):
    token: str


class Waiter(ts.Module):
    name = "waiter"

    @ts.handles(Wait)
    def wait(self, turn: ts.Turn, command: Wait) -> ts.Decision[str]:
        token = turn.new_token()
        yield ts.Begin(intent=Patient(what=command.what), actions=(Fetch(what=command.what),), token=token)
        return token

    @ts.handles(GiveUp)
    def give_up(self, _turn: ts.Turn, command: GiveUp) -> ts.Decision[None]:
        yield ts.Settle(token=ts.Token(command.token), outcome=ts.Cancelled(reason="nobody wants it"))

    @Patient.settled
    def settled(self, _turn: ts.Turn, _patient: Patient, _outcome: ts.Outcome[str]) -> ts.Effects:
        return ()


class Hanging:
    """A coroutine that waits for ever, and tells how it ended."""

    def __init__(self) -> None:
        self.begun = SimpleQueue[str]()
        self.ended = SimpleQueue[str]()
        self.saves = False

    async def fetch(self, action: Fetch, _call: ts.Call) -> str:
        self.begun.put(action.what)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.put("cancelled")
            if self.saves:
                return "there after all"
            raise
        return "never"


def types(system: ts.System) -> list[str]:
    return [each.event_type for each in system.events() if each.token]


def test_a_coroutine_is_cancelled_when_nobody_waits_for_it_any_more_and_its_cancellation_is_no_failure() -> None:
    hanging = Hanging()
    with ts.System([Waiter()], performers=[Fetch.performed_by(hanging.fetch, concurrency=1)]) as system:
        token = system.ask(Wait(what="a"))
        assert hanging.begun.get(timeout=PATIENCE_S) == "a"
        system.ask(GiveUp(token=token))
        assert hanging.ended.get(timeout=PATIENCE_S) == "cancelled"
        other = system.ask(Wait(what="b"))
        assert hanging.begun.get(timeout=PATIENCE_S) == "b"  # there is room again
        system.ask(GiveUp(token=other))
        assert hanging.ended.get(timeout=PATIENCE_S) == "cancelled"
        assert types(system) == ["PatientStarted", "PatientAbandoned"] * 2
        assert system.health().counters.get("stale_failures", 0) == 0


def test_a_coroutine_that_has_done_it_when_it_is_cancelled_is_heard_of_as_a_late_success() -> None:
    hanging = Hanging()
    hanging.saves = True
    with ts.System([Waiter()], performers=[Fetch.performed_by(hanging.fetch)]) as system:
        token = system.ask(Wait(what="a"))
        assert hanging.begun.get(timeout=PATIENCE_S) == "a"
        system.ask(GiveUp(token=token))
        wait_until(lambda: types(system)[-1:] == ["LateSuccess"])


def test_a_coroutine_that_is_cut_off_by_the_stop_stays_open_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.actors.lifecycle.DRAIN_S", 0.05)
    hanging, log = Hanging(), ts.MemoryLog()
    with ts.System([Waiter()], performers=[Fetch.performed_by(hanging.fetch)], log=log) as system:
        system.ask(Wait(what="a"))
        assert hanging.begun.get(timeout=PATIENCE_S) == "a"
    assert hanging.ended.get(timeout=PATIENCE_S) == "cancelled"
    again = log.reopened()
    again.open()
    assert [each.event_type for each in again.read() if each.token] == ["PatientStarted"]


def test_a_plain_function_asks_and_stops_by_itself() -> None:
    seen = SimpleQueue[bool]()
    begun = threading.Event()

    def fetch(_action: Fetch, call: ts.Call) -> str:
        begun.set()
        wait_until(call.cancelled)
        seen.put(call.cancelled())
        return "stopped"

    with ts.System([Waiter()], performers=[Fetch.performed_by(fetch)]) as system:
        token = system.ask(Wait(what="a"))
        assert begun.wait(PATIENCE_S)
        system.ask(GiveUp(token=token))
        assert seen.get(timeout=PATIENCE_S)
