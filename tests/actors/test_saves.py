"""Saves: a system that was saved and loaded, and the one that was never saved, write the same records from then on."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tallystick as ts
from tallystick.actors.owner.subjects import tokens_of
from tallystick.store.log import Head
from tests.actors.outside import Provider
from tests.actors.stage import NOON
from tests.actors.workshop import Desk, Do, Drop, Ledger, Order, Workshop


class Shop:
    """Desk, workshop and ledger in virtual time, with a provider whose answers follow from what it is asked alone."""

    def __init__(self, path: Path | None = None) -> None:
        self.clock = ts.ManualClock(NOON)
        self.runtime = ts.SteppedRuntime(self.clock, seed=3)
        self.provider = Provider()
        self.answers: list[Any] = []
        modules = [Desk(), Workshop(self._hook), Ledger(self._hook)]
        performers = [ts.Performer(action=each.action, run=self._run(each.run), probe=each.probe) for each in self.provider.performers()]
        if path is None:
            self.system = ts.System(modules, performers=performers, runtime=self.runtime)
        else:
            self.system = ts.System.load(path, modules, performers=performers, runtime=self.runtime)
        self.system.__enter__()
        self.runtime.run_until_idle()

    def _run(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def answer(action: Any, call: ts.Call) -> Any:
            job_id: str = action.job_id
            if job_id.startswith("fails") and call.attempt < 3:
                raise ValueError(job_id)
            if job_id.startswith("later"):
                return ts.Later()
            if job_id.startswith("refused"):
                raise ts.Rejected(code="NO")
            return run(action, call)

        return answer

    def _hook(self, what: str, job_id: str) -> None:
        """Handlers that fail: for good for "dead", for a while for "parked"."""
        if what == "ordered" and job_id.startswith("dead"):
            raise ValueError(job_id)
        if what in {"ordered", "settle"} and job_id.startswith("parked"):
            seconds = (self.clock.now - NOON).seconds
            if seconds in range(11, 14) or seconds in range(41, 44):
                raise ValueError(job_id)

    def head(self) -> Head:
        return self.system._life.log.head()

    def state(self) -> dict[str, Any]:
        """All that owners, queue and timer know."""
        engine = self.system._life.engine
        found: dict[str, Any] = {"queues": msgspec.json.encode(engine.queue.saved()), "next_due": self.runtime.next_due()}
        for name, owner in engine.owners.items():
            state = owner.state
            found[name] = (state.position, state.seen, state.logged_seen, owner.silent_reaction, dict(state.executions))
            parking = {source: msgspec.json.encode(parked) for source, parked in state.parking.items()}
            by_subject = {
                (kind, subject): tuple(tokens_of(state._by_subject, kind, subject))
                for kind, of in state._by_subject.items()
                for subject in of
            }
            found[f"{name}, too"] = (state.residents, parking, dict(state.abandoned), by_subject)
        return found


def token_of(shop: Shop, job_id: str) -> ts.Token | None:
    for each in shop.system.open_executions():
        if getattr(each.execution.intent, "job_id", "") == job_id:
            return each.execution.token
    return None


def complete(shop: Shop, job_id: str) -> None:
    token = token_of(shop, job_id)
    if token is not None:
        shop.system.complete(token, f"{job_id} is done at last")


def ask(shop: Shop, command: ts.Command[Any], key: str | None = None) -> None:
    try:
        shop.answers.append(shop.system.ask(command, idempotency_key=key))
    except (ts.Rejected, ts.IdempotencyConflict) as refusal:
        shop.answers.append(type(refusal).__name__)


STORY: tuple[Callable[[Shop], None], ...] = (
    lambda shop: ask(shop, Do(job_id="plain")),
    lambda shop: ask(shop, Do(job_id="keyed", steps=2), "key 1"),
    lambda shop: ask(shop, Do(job_id="fails 1", place="hall")),
    lambda shop: ask(shop, Do(job_id="second in the hall", place="hall")),
    lambda shop: ask(shop, Order(order_id="dead 1")),
    lambda shop: ask(shop, Do(job_id="later 1", steps=3, place="yard")),
    lambda shop: ask(shop, Do(job_id="behind later", place="yard")),
    lambda shop: ask(shop, Do(job_id="open", steps=0)),
    lambda shop: shop.runtime.advance(timedelta(seconds=11)),
    lambda shop: ask(shop, Order(order_id="parked 1")),
    lambda shop: ask(shop, Do(job_id="keyed", steps=2), "key 1"),
    lambda shop: ask(shop, Do(job_id="keyed", steps=1), "key 2"),
    lambda shop: complete(shop, "later 1"),
    lambda shop: ask(shop, Do(job_id="refused", place="hall")),
    lambda shop: shop.runtime.advance(timedelta(seconds=30)),
    lambda shop: ask(shop, Do(job_id="parked 2")),
    lambda shop: complete(shop, "later 1"),
    lambda shop: ask(shop, Drop(job_id="open")),
    lambda shop: ask(shop, Order(order_id="dead 1", text="again")),
    lambda shop: shop.runtime.advance(timedelta(minutes=2)),
    lambda shop: shop.system.redrive(shop.system.dead_letters()[0], who="me", why="try"),
    lambda shop: ask(shop, Do(job_id="plain")),
    lambda shop: shop.runtime.advance(timedelta(minutes=10)),
    lambda shop: shop.system.discard(shop.system.dead_letters()[0], who="me", why="enough"),
    lambda shop: complete(shop, "behind later"),
    lambda shop: ask(shop, Do(job_id="last", steps=2), "key 1"),
    lambda shop: shop.runtime.advance(timedelta(hours=1)),
)


def take(shop: Shop, number: int) -> tuple[Head, dict[str, Any]]:
    STORY[number](shop)
    shop.runtime.run_until_idle()
    return shop.head(), shop.state() | {"answers": shop.answers[-1:]}


@pytest.fixture(scope="module")
def never_saved() -> list[tuple[Head, dict[str, Any]]]:
    shop = Shop()
    return [take(shop, number) for number in range(len(STORY))]


@pytest.mark.parametrize("at", range(len(STORY)))
def test_a_loaded_system_and_one_that_was_never_saved_stay_equal_step_by_step(
    at: int, never_saved: list[tuple[Head, dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "shop.save"
    first = Shop()
    for number in range(at):
        take(first, number)
    first.system.save(path)
    loaded = Shop(path)
    loaded.answers.extend(first.answers[-1:])
    assert (loaded.head(), loaded.system.health().epoch) == (first.head(), 1)
    for number in range(at, len(STORY)):
        assert take(loaded, number) == never_saved[number], f"step {number}"
    for number in range(at, len(STORY)):
        assert take(first, number) == never_saved[number], f"step {number} of the one that was saved"


def test_loading_takes_what_making_takes_and_the_path_of_a_save() -> None:
    taken = dict(inspect.signature(ts.System.load).parameters)
    del taken["path"]
    assert list(taken.values()) == list(inspect.signature(ts.System).parameters.values())
