"""Performers in a simulated world: how long their calls take, and what can go wrong on the way there and back."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple

import msgspec

from tallystick.actors.messages import Context, Mailbox, QueueCompleted
from tallystick.actors.performers.performer import Answered, Report, RunningCall, answer_to
from tallystick.domain.action import Later, Performer
from tallystick.domain.envelope import to_micros
from tallystick.domain.errors import TallystickError
from tallystick.testing.world import HOUR, MINUTE, SECOND, World, WorldClock


class ProviderDown(Exception):
    """No answer could be had; whether the call had its effect is not known."""


class AwaitsTheWorld(TallystickError):
    """A performer awaits something that is not simulated; in a simulation an `async def` performer must not wait for anything real."""


class Performed(NamedTuple):
    """A performer, and whether it is an `async def`: asked once."""

    performer: Performer
    is_async: bool


class Process(NamedTuple):
    """What answers need to know of the process that they come to."""

    number: int
    clock: WorldClock
    router: Callable[[], Mailbox | None]
    owners: Callable[[], list[str]]


class Outside:
    """Takes the calls of all performers. Whatever was asked for goes on when the process dies; its answer then reaches nobody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: dict[str, int] = {}
        self._held: list[Callable[[], None]] = []
        self.deliver: Callable[[], None] = lambda: None
        """Lets the outside world do what it has promised to do later."""

    def call(self, performed: Performed, call: RunningCall, report: Report, process: Process) -> None:
        """Have it performed, some time from now."""
        world = self._world
        number = self._calls[call.key] = self._calls.get(call.key, 0) + 1
        label = f"{type(call.action).__name__} {msgspec.json.encode(call.action).decode()} {number}"
        world.tell("call", "Queue", "Outside", f"{type(call.action).__name__}, attempt {call.attempt}")
        if world.faults.happens("hung"):
            world.tell("fault", "Fault", "Fault", f"{type(call.action).__name__} hangs")
            return
        there, back = self._durations(label)
        answer = partial(self._answer, report, process, back)
        if world.faults.happens("failing"):
            world.after(there, partial(answer, answer_to(call, ProviderDown("fault: it fails")), answered=False))
            return
        fails = world.faults.happens("failing_after_effect")
        # A request that is on its way arrives, also when whoever sent it is gone; unless it was not sent yet.
        sent = world.chance.at("sent", label) < 0.7  # noqa: PLR2004 - most are
        world.after(there, partial(self._perform, performed, call, answer, fails=fails), outlives=sent)

    def _durations(self, label: str) -> tuple[int, int]:
        """Mostly milliseconds, now and then seconds or minutes, each way."""
        draw, scale = self._world.chance.at("duration", label), self._world.chance.at("scale", label)
        longest = 20_000 if scale < 0.8 else 5 * SECOND if scale < 0.95 else 4 * MINUTE  # noqa: PLR2004 - so it is out there
        whole = int(draw * longest)
        there = int(whole * self._world.chance.at("there", label))
        return there, whole - there

    def _perform(self, performed: Performed, call: RunningCall, answer: Callable[..., None], *, fails: bool) -> None:
        if call.cancelled():
            return
        try:
            result = performed.performer.run(call.action, call)
            answered = Answered(call, _result_of(result) if performed.is_async else result)
        except Exception as error:  # noqa: BLE001 - user code
            answered = answer_to(call, error)
        if isinstance(answered.result, Later):
            delay_us = int(self._world.chance.at("later", call.key) ** 2 * 10 * MINUTE)
            self._world.after(delay_us, self.deliver, outlives=True)
        if fails:
            self._world.tell("fault", "Fault", "Fault", f"{type(call.action).__name__} fails after its effect")
            answered = answer_to(call, ProviderDown("fault: it fails after its effect"))
        answer(answered, answered=True)

    def _answer(self, report: Report, process: Process, back_us: int, answer: Answered, *, answered: bool) -> None:
        """Send an answer on its way back, unless a fault strikes it there, or whoever asked is gone."""
        world, faults, call = self._world, self._world.faults, answer.call
        if process.number != world.process or not world.alive:
            return
        if not answered:
            world.tell("fault", "Fault", "Fault", f"{type(call.action).__name__} fails")
        deliver = partial(self._deliver, report, answer)
        if faults.happens("dropped"):
            world.tell("fault", "Fault", "Fault", "an answer is lost")
            return
        if faults.happens("misaddressed"):
            self._misaddress(answer, process, back_us)
        if faults.happens("duplicated"):
            again_us = back_us + int(faults.detail("duplicated") * 10 * SECOND)
            world.after(again_us, partial(self._deliver, report, answer, again=True))
        if faults.happens("late"):
            left_us = MINUTE if call.deadline is None else process.clock.world_us(to_micros(call.deadline)) - world.now_us
            back_us = max(left_us, 0) + int(faults.detail("late") * HOUR) + 1
            world.tell("fault", "Fault", "Fault", "an answer will be late")
        if faults.happens("reordered"):
            world.tell("fault", "Fault", "Fault", "an answer will come after the next one")
            self._held.append(deliver)
            world.after(back_us + MINUTE, partial(self._release, deliver))
            return
        world.after(back_us, deliver)

    def _deliver(self, report: Report, answer: Answered, *, again: bool = False) -> None:
        outcome = "failed" if answer.failure is not None else "done"
        self._world.tell("answer", "Outside", "Queue", f"{type(answer.call.action).__name__} {outcome}{' (again)' if again else ''}")
        report(answer)
        while self._held and not again:
            self._release(self._held[0])

    def _release(self, deliver: Callable[[], None]) -> None:
        if deliver in self._held:
            self._held.remove(deliver)
            deliver()

    def _misaddress(self, answer: Answered, process: Process, back_us: int) -> None:
        """The same answer goes to another owner too, or to one that is not there."""
        context = answer.call.start.context
        others = [*(name for name in process.owners() if name != context.owner), "nobody"]
        other = others[int(self._world.faults.detail("misaddressed") * len(others))]
        report = QueueCompleted(Context(other, context.token), answer.call.attempt, answer.result)

        def deliver() -> None:
            router = process.router()
            if router is not None:
                self._world.tell("fault", "Fault", "Fault", f"an answer is addressed to {other} too")
                router.tell(report)

        self._world.after(back_us, deliver)

    def forget_process(self) -> None:
        """The process is gone: whoever waited for held answers is too."""
        self._held.clear()


def _result_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AwaitsTheWorld
