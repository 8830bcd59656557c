"""Those who settle by hand what needs a person: they ask the outside world themselves, and it can tell by now."""

from functools import partial
from typing import Any, Final

from tallystick.actors.messages import Context, StartQueue
from tallystick.actors.operating import OpenExecution
from tallystick.actors.performers.performer import RunningCall
from tallystick.actors.system import System
from tallystick.domain.action import Done, Later
from tallystick.domain.errors import Rejected
from tallystick.domain.outcome import Failed
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.world import MINUTE, World

LOOKS_AFTER_US: Final = 5 * MINUTE
"""Nobody decides anything while a request may still be on its way."""


class Person:
    """Looks at what waits for a person, now and then. Outlives every process."""

    def __init__(self, world: World, program: SimulatedProgram) -> None:
        self._world = world
        self._program = program
        self._called = 0

    def call(self, look: Any) -> None:
        """Have somebody look in a while; `look` is what they do then."""
        self._called += 1
        wait_us = LOOKS_AFTER_US + int(self._world.chance.at("person", self._called) * 25 * MINUTE)
        self._world.after(wait_us, look, outlives=True)

    def look(self, system: System) -> None:
        """Settle all that waits for a person, but for what the outside world will still answer."""
        for execution in system.open_executions():
            if execution.execution.status == "person":
                self._settle(system, execution)

    def _settle(self, system: System, waiting: OpenExecution) -> None:
        record, world = waiting.execution, self._world
        answer = self._asked(system, waiting)
        if isinstance(answer, Later):
            return
        deed: Any
        if isinstance(answer, Done):
            said, deed = "it was done", partial(system.complete, record.token, answer.result)
        elif world.chance.at("gives up", record.token) < 0.5:  # noqa: PLR2004 - a coin
            said, deed = "it failed", partial(system.fail, record.token, Failed(code="PERSON", message="nobody has done it"))
        else:
            said, deed = "it is given up", partial(system.abandon, waiting, "nobody has done it")
        world.tell("note", waiting.owner, waiting.owner, f"a person says of {type(record.intent).__name__}: {said}")
        try:
            deed()
        except Rejected as error:  # its answer has come meanwhile
            world.tell("note", waiting.owner, waiting.owner, str(error))

    def _asked(self, system: System, waiting: OpenExecution) -> Any:
        """What the outside world says of the first action that was not done, or of the last one; None where it cannot be asked."""
        record = waiting.execution
        performers = {performer.action: performer for performer in self._program.performers()}
        actions = record.started.actions
        start = StartQueue(Context(waiting.owner, record.token), record.attempt, "", actions, record.deadline_us, edits=record.edits)
        answer: Any = None
        for index, action in enumerate(actions):
            performer = performers.get(type(action))
            if performer is None or performer.probe is None:
                return None
            call = RunningCall(start, index)
            call.sealer = system._pool.sealer  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - a simulator's business
            answer = performer.probe(action, call)
            if not isinstance(answer, Done):
                break
        return answer
