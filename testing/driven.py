"""A driven simulation: as a simulation, but whose turn it is, what goes wrong and what is asked for is said from outside, step by step."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from tallystick.actors.actor import Inbox
from tallystick.actors.system import System
from tallystick.domain.command import Command
from tallystick.domain.envelope import MICROSECOND
from tallystick.testing.chance import Chance
from tallystick.testing.customers import Customers
from tallystick.testing.faults import TAKE_MEMORY, Hit, Injector, LogKind, possible, probabilities
from tallystick.testing.options import Faults, Script, log_for
from tallystick.testing.processes import Process
from tallystick.testing.program import SimulatedProgram, Wish
from tallystick.testing.simulation import Simulation
from tallystick.testing.world import ProcessDied, World

NOTHING_DRAWN: Final = Script(frozenset(), ())


class ArmedFaults(Injector):
    """Faults that happen at their next opportunity once they are armed, and never else."""

    def __init__(self, chance: Chance) -> None:
        super().__init__({}, chance, ())
        self._armed: Counter[str] = Counter()
        self._stopped = False

    @property
    def active(self) -> bool:
        """Whether a fault may still be armed."""
        return not self._stopped

    def arm(self, kind: str) -> None:
        """Let it happen."""
        self._armed[kind] += 1

    def happens(self, kind: str) -> bool:
        """Whether it was armed."""
        if not self._armed[kind]:
            return False
        self._armed[kind] -= 1
        self.hits.append(Hit(kind, self.counts[kind] + 1))
        return True

    def detail(self, kind: str) -> float:
        """A draw in [0, 1) about the last fault of that kind."""
        return self.chance.at("fault", kind, self.counts[kind])

    def stop(self) -> None:
        """The world heals."""
        self._armed.clear()
        self._stopped = True


class ChosenTurns:
    """A strategy that takes the next choice, if there is one, else whoever comes first."""

    def __init__(self) -> None:
        self.choices: deque[int] = deque()

    def pick(self, ready: Sequence[Inbox], others: int) -> int:
        """The one that was chosen: counted round, so that every number means somebody."""
        return self.choices.popleft() % (len(ready) + others) if self.choices else 0


class Asking(Customers):
    """Customers whose wishes come up as they go along."""

    def __init__(self, world: World) -> None:
        super().__init__(world, ())

    def ask(self, command: Command[Any], key: str | None) -> int:
        """Send a command; its number."""
        number = len(self._wishes)
        self._wishes[number] = Wish(timedelta(), command, key)
        self._world.after(0, partial(self._send, number), outlives=True)
        return number


class DrivenSimulation(Simulation):
    """Runs a program as it is told to. The program's own wishes are left out. `faults` are those that may be armed.

    Raises, from whatever method:
        InvariantViolation: something does not hold.
    """

    def __init__(self, program: Callable[[Chance], SimulatedProgram], faults: Faults = "none") -> None:
        self._turns = ChosenTurns()
        enabled = probabilities(faults)
        log: LogKind = "sqlite" if log_for(enabled, Chance(0)) == "sqlite" and not TAKE_MEMORY & enabled.keys() else "memory"
        self.kinds: Sequence[str] = tuple(possible(enabled, log))
        """The faults that may be armed: on the log that it runs on not all can happen."""
        super().__init__(program, faults="none", minutes=0, script=NOTHING_DRAWN, tells=True, strategy=self._turns, log=log)
        self._faults = self._world.faults = ArmedFaults(self._world.chance)
        self._asking = self._customers = self._processes.customers = Asking(self._world)
        self._draw = lambda: 1.0  # nothing happens by the way

    @property
    def program(self) -> SimulatedProgram:
        """The program that is simulated."""
        return self._program

    @property
    def system(self) -> System | None:
        """The running system; None while no process runs."""
        present = self._processes.present
        return None if present is None else present.system

    @property
    def answers(self) -> dict[int, tuple[str, Any]]:
        """What commands were answered, by number, as far as they were."""
        return self._asking.answers

    @property
    def story(self) -> Sequence[Any]:
        """What has happened so far."""
        return self._world.story or ()

    def ask(self, command: Command[Any], key: str | None) -> int:
        """Send a command; it reaches the system when the outside world has its turn."""
        return self._asking.ask(command, key)

    def strike(self, kind: str | None) -> None:
        """Let a fault happen at its next opportunity, if it is one; what can happen between two turns happens now."""
        if kind is not None:
            self._faults.arm(kind)
            self._alive(lambda process: self._faults_between_turns(process.runtime))

    def take_turns(self, choices: Iterable[int]) -> None:
        """Let as many of those who can go on take one turn each, chosen by number; no time passes."""
        for choice in choices:
            self._turns.choices = deque((choice,))
            if not self._alive(self._take_turn):
                break
        self._turns.choices.clear()

    def go_on(self, duration: timedelta) -> None:
        """Let everybody go on, at most for that much virtual time."""
        world = self._world
        end_us = world.now_us + duration // MICROSECOND
        while self._alive(self._take_turn) or self._jump(end_us - world.now_us):
            if world.now_us >= end_us:
                break

    def pass_time(self, duration: timedelta) -> None:
        """Let that much virtual time pass in which nobody runs: a busy machine, a laptop that was closed."""
        self._world.pass_time(self._world.now_us + duration // MICROSECOND)

    def look(self) -> None:
        """Raise what was found amiss: after each turn what it touched is checked, and everything when a log is opened or has ended."""
        present = self._processes.present
        violation = self._asking.violation if present is None else present.watcher.violation or self._asking.violation
        if violation is not None:
            raise violation

    def end(self) -> None:
        """Leave nothing behind; it cannot go on after that."""
        self._processes.end()

    def _alive(self, deed: Callable[[Process], bool]) -> bool:
        """Do it in a process that runs; whether there is more to do. A process that dies of it is followed by another one."""
        processes = self._processes
        try:
            if processes.present is None:
                processes.open()
            return processes.present is None or deed(processes.present)
        except ProcessDied:
            processes.forget()
            return True

    def _jump(self, limit_us: int) -> bool:
        present = self._processes.present
        return present is not None and present.runtime.jump(limit_us)

    def _take_turn(self, process: Process) -> bool:
        if not self._faults_between_turns(process.runtime):
            return True
        more = process.runtime.step()
        self.look()
        if self._customers.turned_away:
            self._processes.has_given_up()
        return more
