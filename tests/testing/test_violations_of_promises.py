"""Bugs in what sagas, owners and the system's door promise are found by simulations, each by its id."""

from collections.abc import Callable
from typing import Any

import pytest

from tallystick.actors.admission import Admission
from tallystick.actors.messages import QueueFailed
from tallystick.actors.owner.commands import Commands
from tallystick.actors.owner.settling import Settling
from tallystick.actors.router import RouterActor
from tallystick.domain.sagas import owner as saga_owner
from tallystick.domain.sagas import state as saga_state
from tallystick.scenarios.tiny_store.simulated import SimulatedStore
from tallystick.scenarios.travel_booking.simulated import SimulatedTravel
from tallystick.testing import Simulation
from tests.testing.finding import found

Plant = Callable[[pytest.MonkeyPatch], None]


def undone_in_the_order_in_which_it_was_done(patched: pytest.MonkeyPatch) -> None:
    undo = saga_state._undo_next

    def forwards(plan: Any, instance: Any) -> Any:
        return undo(plan._replace(steps=plan.steps[::-1]), instance)

    patched.setattr(saga_state, "_undo_next", forwards)


def first_step_never_undone(patched: pytest.MonkeyPatch) -> None:
    undo = saga_state._undo_next

    def leaving_out(plan: Any, instance: Any) -> Any:
        return undo(plan._replace(steps=plan.steps[1:]), instance)

    patched.setattr(saga_state, "_undo_next", leaving_out)


def turned_back_and_nothing_undone(patched: pytest.MonkeyPatch) -> None:
    """The saga stands there with what it has done, and nothing will ever happen to it."""

    def forgetful(plan: Any, before: Any, after: Any) -> list[Any]:
        return [move for move in moves(plan, before, after) if move.deed != "undo"]

    moves = saga_state.moves
    patched.setattr(saga_owner, "moves", forgetful)


def success_of_a_later_attempt_lost(patched: pytest.MonkeyPatch) -> None:
    completed = Settling.completed

    def of_the_first_only(self: Settling, report: Any) -> None:
        if report.attempt in {1, None}:
            completed(self, report)

    patched.setattr(Settling, "completed", of_the_first_only)


def word_from_outside_believed(patched: pytest.MonkeyPatch) -> None:
    """Whoever says that something is done, of whatever token, ends whatever is open."""
    settle = Settling.from_outside

    def believed(self: Settling, message: Any) -> None:
        if self.undecided(message.token) is None and self._state.open:
            message = message._replace(token=next(iter(self._state.open)))
        settle(self, message)

    patched.setattr(Settling, "from_outside", believed)


def late_success_believed_each_time(patched: pytest.MonkeyPatch) -> None:
    def credulous(self: Settling, token: Any, result: Any) -> None:
        found = list(self._acting.journal.of_token(token))
        settled = next((each for each in found if each.settles not in {None, "succeeded"}), None)
        if settled is not None and found[0].owner == self._acting.name:
            self._evidence(found[0], settled, result)

    patched.setattr(Settling, "_late", credulous)


def key_forgotten(patched: pytest.MonkeyPatch) -> None:
    def anew(self: Commands, message: Any) -> None:
        last = None if message.key is None else self._acting.journal.last("Command", message.key)
        self._decide(message, 0 if last is None else last.aggregate_version)

    patched.setattr(Commands, "_answer", anew)


def everybody_let_in(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Admission, "has_room", lambda _self: True)


def router_that_breaks(patched: pytest.MonkeyPatch) -> None:
    route = RouterActor._route

    def breaking(self: RouterActor, message: Any) -> None:
        if type(message) is QueueFailed:
            msg = "a bug of ours"
            raise RuntimeError(msg)
        route(self, message)

    patched.setattr(RouterActor, "_route", breaking)


@pytest.mark.parametrize(
    ("plant", "program", "faults", "invariants"),
    [
        (undone_in_the_order_in_which_it_was_done, SimulatedTravel, "none", "S11"),
        (first_step_never_undone, SimulatedTravel, "none", "S11"),
        (turned_back_and_nothing_undone, SimulatedTravel, "none", "L3"),
        (success_of_a_later_attempt_lost, SimulatedStore, "failing", "P4"),
        (word_from_outside_believed, SimulatedStore, "crash, late, hung", "S3"),
        (late_success_believed_each_time, SimulatedStore, "late, duplicated, dropped", "P10"),
        (key_forgotten, SimulatedStore, "crash, failed_commit", "P15"),
        (everybody_let_in, SimulatedStore, "flood", "S16"),
        (router_that_breaks, SimulatedStore, "failing", "P14"),
    ],
)
def test_a_promise_that_is_broken_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, program: Any, faults: str, invariants: str
) -> None:
    plant(monkeypatch)
    result = found(program, seeds=120, faults=faults)
    assert result is not None, "no seed has found it"
    assert result.violation is not None
    assert result.violation.invariant in invariants.split(), str(result.violation)
    assert str(Simulation(program, result.seed, faults=faults).run().violation) == str(result.violation), "the seed repeats it"
