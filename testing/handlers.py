"""Faults in handlers: a module whose methods now and then raise, before or after what they had to say; and that they never do else."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tallystick.actors.system import System
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import TallystickError
from tallystick.domain.event import Event
from tallystick.domain.marks import marks_of
from tallystick.domain.module import Module
from tallystick.domain.sagas.owner import SagaOwner
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import World


class PlantedFailure(TallystickError):
    """What a handler raises because the simulation wants it to."""


class HandlerFaults:
    """Plants failures. What was poisoned stays so in every process, until it is mended."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.poisoned: set[str] = set()

    def plant(self, module: Module) -> Module:
        """The module, its handlers wrapped; folds are left alone, for they must not fail."""
        if not isinstance(module, SagaOwner):
            return self._planted(module)
        makes_its_own = module.that_may_ask

        def that_may_ask(probed: frozenset[type[Any]]) -> Module:
            return self._planted(makes_its_own(probed))

        vars(module)["that_may_ask"] = that_may_ask  # a system makes one of its own of it, whose handlers are that one's
        return module

    def _planted(self, module: Module) -> Module:
        for name, roles in _handlers_of(type(module)):
            handler = self._wrapped(getattr(module, name), f"{type(module).name}.{name}", may_be_poisoned="handles" not in roles)
            setattr(module, name, handler)
        return module

    def mend(self) -> None:
        """The bug is found and mended."""
        self.poisoned.clear()

    def _wrapped(self, handler: Callable[..., Any], name: str, *, may_be_poisoned: bool) -> Callable[..., Any]:
        faults = self._world.faults

        @functools.wraps(handler)
        def wrapped(turn: Any, *message: Any) -> Any:
            if may_be_poisoned and self._is_poisoned(name, message[0]):
                msg = f"{name} cannot take this {type(message[0]).__name__}"
                raise PlantedFailure(msg)
            if not faults.happens("raising"):
                return handler(turn, *message)
            self._world.tell("fault", "Fault", "Fault", f"{name} raises")
            if faults.detail("raising") < 0.5:  # noqa: PLR2004 - half of them after all that they had to say
                raise PlantedFailure(name)
            return _raising_at_the_end(handler(turn, *message), name)

        return wrapped

    def _is_poisoned(self, name: str, message: Any) -> bool:
        about = message.aggregate_id if isinstance(message, Event) else repr(message)
        key = f"{name}/{type(message).__name__}/{about}"
        if key not in self.poisoned and self._world.faults.happens("poison"):
            self._world.tell("fault", "Fault", "Fault", f"{name} fails for ever on this {type(message).__name__}")
            self.poisoned.add(key)
        return key in self.poisoned


class NoFailureOfItsOwn:
    """An invariant: a handler raises only where a fault makes it (P12)."""

    def take(self, recorded: Recorded, event: Any) -> None:
        """One more record."""
        del event
        if recorded.event_type == "ReactionFailed":
            error = msgspec.json.decode(recorded.payload)["error"]
            if not error.startswith(PlantedFailure.__name__):
                raise InvariantViolation("P12", f"a handler of {recorded.owner} raised by itself: {error}", position=recorded.position)

    def end(self, system: System) -> None:
        """Nothing more to say."""
        del system


@functools.cache
def _handlers_of(module: type[Module]) -> tuple[tuple[str, frozenset[str]], ...]:
    """The names of what may fail, and for what each is marked."""
    marked = ((name, frozenset(mark.role for mark in marks_of(getattr(module, name))) - {"folds"}) for name in dir(module))
    return tuple((name, roles) for name, roles in marked if roles)


def _raising_at_the_end(effects: Any, name: str) -> Iterator[Any]:
    yield from effects
    raise PlantedFailure(name)
