"""Planted failures of handlers are in the module that a system uses."""

from types import SimpleNamespace
from typing import Any

import tallystick as ts
from tallystick.scenarios.travel_booking.system import modules
from tallystick.testing.handlers import HandlerFaults


def test_a_saga_has_them_in_the_owner_that_its_system_makes_of_it_and_that_one_answers() -> None:
    world: Any = SimpleNamespace(faults=None)
    saga: Any = modules()[0]
    planted: Any = HandlerFaults(world).plant(saga)
    owners = [planted.that_may_ask(frozenset({kind})) for kind in (ts.Action, ts.Command)]
    assert [owner.step_ended.__wrapped__.__self__ for owner in owners] == owners
    assert [owner.askable for owner in owners] == [frozenset({ts.Action}), frozenset({ts.Command})]
