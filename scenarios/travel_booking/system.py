"""The sagas put together."""

from collections.abc import Sequence
from typing import Any

import tallystick as ts
from tallystick.scenarios.travel_booking.agencies import ACTIONS
from tallystick.scenarios.travel_booking.holiday import BookHoliday
from tallystick.scenarios.travel_booking.trip import BookTrip


def sagas() -> tuple[ts.Saga[Any, Any], ...]:
    """Both."""
    return (BookTrip(), BookHoliday())


def modules() -> Sequence[ts.Module]:
    """The owners that they become."""
    return ts.saga_modules(*sagas())


def actions() -> Sequence[type[ts.Action[Any]]]:
    """What is done for them, and asked about."""
    return (*ACTIONS, *(step.ask for owner in ts.saga_modules(*sagas()) for step in owner.types.steps.values() if not step.child))
