"""The story of an agent that plans a trip, played in virtual time and checked at its end: no call that was completed is made again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import tallystick as ts
from tallystick.scenarios.agent.loop import Agent, Answer, Arguments, Stopped, Tool, ToolCall
from tallystick.scenarios.mortal import Mortal
from tallystick.scenarios.telling import Audience, must_be

NAME: Final = "agent"
SUMMARY: Final = "A tool-calling loop: each call is an operation, tried again when it fails, and not made again after a crash."
MORNING: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
PLAN: Final = (
    ToolCall("weather", {"city": "Rome"}),
    ToolCall("search_flights", {"to": "Rome"}),
    ToolCall("book", {"flight": "TS 42"}),
)


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


class Play(Mortal):
    """One telling: a process that dies, and the next."""

    def __init__(self, log: ts.EventLog, audience: Audience) -> None:
        super().__init__(log, audience, MORNING)
        self.world = World()

    def agent(self) -> Agent:
        """The loop, in the process that there is now."""

        def calls(name: str) -> Tool:
            return lambda arguments, _key: self.use(name, arguments)

        return Agent(self.system, self.world.model, {call.tool: calls(call.tool) for call in PLAN})

    def use(self, name: str, arguments: Arguments) -> str:
        """Call a tool, or die on the way to it."""
        self.clock.advance(timedelta(seconds=2))
        if self.world.dies_before_call == len(self.world.called) + 1:
            self.world.dies_before_call = 0
            self.die()
        return self.world.tool(name, arguments)


def play(log: ts.EventLog, audience: Audience) -> None:
    """Tell it.

    Raises:
        PlayedWrong: it goes another way.
    """
    telling = Play(log, audience)
    say, world = telling.say, telling.world
    say("An agent plans a trip. Its search fails once and is tried again; before its third call the process dies.")
    world.dies_before_call = 3
    telling.die_of(lambda: telling.agent().run("trip"), "It was to die before its third call.")
    telling.begin_again(timedelta(minutes=1))
    with telling.system as system:
        say("Another process takes the run up: what the model had said and what tools had answered is in the log.")
        answer = telling.agent().run("trip")
        telling.show(system)
        _check(world, answer)
        say(f"It answers: {answer}. The model was asked {len(world.asked)} times, and {', '.join(world.called)} were called once each.")

        say("A second run is canceled by a person while it calls its first tool.")
        world.before_call = lambda: _cancel(system)
        _stopped(telling)


def _stopped(telling: Play) -> None:
    stopped = False
    try:
        telling.agent().run("another")
    except Stopped:
        stopped = True
    telling.show(telling.system)
    must_be(stopped, True, "A canceled run went on to its end.")
    telling.say("It has stopped before its next step.")


def _cancel(system: ts.System) -> None:
    (run,) = system.operations.open(name_prefix="Agent.Run")
    system.operations.cancel(run.operation_id, "Not this week.", by="Ann", why="changed her mind")


def _check(world: World, answer: str) -> None:
    wanted = ("Booked: book of TS 42", [0, 1, 2, 3], [call.tool for call in PLAN])
    otherwise = f"It answered {answer!r}, the model was asked at {world.asked}, and {world.called} were called."
    must_be((answer, world.asked, world.called), wanted, otherwise)
