"""Composition: what modules, lines, performers and the runtime ask of each other, checked before anything runs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.runtimes.stepped import SteppedRuntime
from tallystick.actors.scheduling import module_of_schedules
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.errors import DefinitionError
from tallystick.domain.line import Line
from tallystick.domain.operations.owner import Operations


@cache
def owner_of_operations() -> Behaviour:
    """What the owner of operations does: the same in every system, so it is found out once."""
    return Behaviour(Operations())


@cache
def owner_of_schedules() -> Behaviour:
    """What the owner of schedules does; as above."""
    return Behaviour(module_of_schedules())


def lines_by_name(lines: Iterable[Line], behaviours: Sequence[Behaviour]) -> Mapping[str, Line]:
    """The lines that intents can stand in.

    Raises:
        DefinitionError: two have one name, an intent names one that there is not, or one knows its subjects from a state that nobody has.
    """
    found: dict[str, Line] = {}
    residents = {kind for behaviour in behaviours for kind in behaviour.residents}
    for line in lines:
        if line.name in found:
            msg = f"Two lines are named {line.name!r}; an intent could not say which it means."
            raise DefinitionError(msg)
        if line.subjects is not None and line.subjects not in residents:
            msg = f"Line {line.name!r} knows its subjects from {line.subjects.__name__}, into which no module of this system folds events."
            raise DefinitionError(msg)
        found[line.name] = line
    for behaviour in behaviours:
        for intent in (*behaviour.settlements, *behaviour.late):
            if intent.line and intent.line not in found:
                have = f"it has {sorted(found)}"
                msg = f"{intent.__name__} stands in line {intent.line!r}: give the system lines=[Line({intent.line!r}, …)]; {have}."
                raise DefinitionError(msg)
    return found


def check_stepped(runtime: Runtime, behaviours: Iterable[Behaviour], lines: Iterable[Line], pool: PerformerPool) -> None:
    """See to it that whatever needs steps gets some.

    Raises:
        DefinitionError: something does, and the runtime's time passes by itself.
    """
    if isinstance(runtime, SteppedRuntime):
        return
    needs = [
        *(f"module {behaviour.name} has a method for each step" for behaviour in behaviours if behaviour.steps),
        *(f"line {line.name!r} is decided on in each step" for line in lines if line.arbitration == "each_step"),
        *(f"{action.__name__} takes ticks" for action in pool.tickers),
    ]
    if needs:
        msg = f"{'; '.join(needs)}: give the system runtime=SteppedRuntime(), and drive it by system.step(delta)."
        raise DefinitionError(msg)
