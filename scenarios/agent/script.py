"""The story of an agent that plans a trip, played in virtual time and checked at its end: no call that was completed is made again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import tallystick as ts
from tallystick.scenarios.agent.loop import Agent, Answer, Arguments, Stopped, Tool, ToolCall
from tallystick.scenarios.tiny_store.stage import Audience, PlayedWrong

NAME: Final = "agent"
SUMMARY: Final = "A tool-calling loop: each call is an operation, tried again when it fails, and not made again after a crash."
MORNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
PLAN: Final = (
    ToolCall("weather", {"city": "Rome"}),
    ToolCall("search_flights", {"to": "Rome"}),
    ToolCall("book", {"flight": "TS 42"}),
)


class Died(BaseException):
    """The process is gone."""


class World:
    """The model and the tools, which outlive the process; what was asked of each, in order."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.called: list[str] = []
        self.dies_before_call = 0
        self.fails = 1
        self.before_call: Callable[[], None] = lambda: None

    def model(self, results: Sequence[str]) -> ToolCall | Answer:
        """Follows its plan."""
        self.asked.append(len(results))
        return PLAN[len(results)] if len(results) < len(PLAN) else Answer(f"Booked: {results[-1]}")

    def tool(self, name: str, arguments: Arguments) -> str:
        """What it finds; a search fails the first time."""
        self.before_call()
        if name == "search_flights" and self.fails:
            self.fails -= 1
            raise ConnectionError
        self.called.append(name)
        return f"{name} of {', '.join(str(value) for value in arguments.values())}"


class Play:
    """One telling: a process that dies, and the next."""

    def __init__(self, log: ts.EventLog, audience: Audience) -> None:
        self.audience = audience
        self.world = World()
        self._clock = ts.ManualClock(MORNING)
        self._log = log
        self._shown = 0
        self.system = self._begun()

    def _begun(self) -> ts.System:
        restarts = ts.RestartPolicy(restarts=0)  # what has died does not come back by itself
        return ts.System(log=self._log, runtime=ts.SteppedRuntime(self._clock), restarts=restarts)

    def agent(self) -> Agent:
        """The loop, in the process that there is now."""

        def calls(name: str) -> Tool:
            return lambda arguments, _key: self.use(name, arguments)

        return Agent(self.system, self.world.model, {call.tool: calls(call.tool) for call in PLAN})

    def use(self, name: str, arguments: Arguments) -> str:
        """Call a tool, or die on the way to it: nothing is written any more then."""
        self._clock.advance(timedelta(seconds=2))
        if self.world.dies_before_call == len(self.world.called) + 1:
            self.world.dies_before_call = 0
            self.show()
            self._log.close()
            raise Died
        return self.world.tool(name, arguments)

    def show(self) -> None:
        """What is new in the log."""
        for recorded in self.system.events(after=self._shown):
            self._shown = recorded.position
            self.audience.sees(recorded)

    def begin_again(self) -> None:
        """Another process, a minute later."""
        self.system.stop()
        self._clock.advance(timedelta(minutes=1))
        self._log = self._log.reopened()
        self.system = self._begun()


def play(log: ts.EventLog, audience: Audience) -> PlayedWrong | None:
    """Tell it; what went wrong, if anything did."""
    telling = Play(log, audience)
    try:
        _tell(telling)
    except PlayedWrong as wrong:
        return wrong
    return None


def _tell(telling: Play) -> None:
    say, world = telling.audience.hears, telling.world
    say("An agent plans a trip. Its search fails once and is tried again; before its third call the process dies.")
    world.dies_before_call = 3
    with telling.system:
        try:
            telling.agent().run("trip")
        except Died:
            say("It is dead.")
        else:
            msg = "It was to die before its third call."
            raise PlayedWrong(msg)
    telling.begin_again()
    with telling.system as system:
        say("Another process takes the run up: what the model had said and what tools had answered is in the log.")
        answer = telling.agent().run("trip")
        telling.show()
        _check(world, answer)
        say(f"It answers: {answer}. The model was asked {len(world.asked)} times, and {', '.join(world.called)} were called once each.")

        say("A second run is canceled by a person while it calls its first tool.")
        world.before_call = lambda: _cancel(system)
        try:
            telling.agent().run("another")
        except Stopped:
            say("It stops before its next step.")
        else:
            msg = "A canceled run went on to its end."
            raise PlayedWrong(msg)
        finally:
            telling.show()


def _cancel(system: ts.System) -> None:
    (run,) = system.operations.open(name_prefix="Agent.Run")
    system.operations.cancel(run.operation_id, "Not this week.", by="Ann", why="changed her mind")


def _check(world: World, answer: str) -> None:
    if (answer, world.asked, world.called) != ("Booked: book of TS 42", [0, 1, 2, 3], [call.tool for call in PLAN]):
        msg = f"It answered {answer!r}, the model was asked at {world.asked}, and {world.called} were called."
        raise PlayedWrong(msg)
