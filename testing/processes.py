"""The processes of a simulation, one after another on one disk: how each begins, ends, dies, and is challenged by others.

Not what happens while one runs: that is the simulation's.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from tallystick.actors.system import System
from tallystick.domain.action import Performer, Unknown
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import CommitUnknown, LogError, LogLocked, NotAccepted, NotCommitted, Overloaded
from tallystick.domain.module import Module
from tallystick.testing.customers import Customers
from tallystick.testing.disk import Disk, LogOnDisk
from tallystick.testing.faults import recovered
from tallystick.testing.handlers import HandlerFaults, NoFailureOfItsOwn
from tallystick.testing.invariants import Invariant, Known, Watcher
from tallystick.testing.outside import Outside
from tallystick.testing.person import Person
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.sqlite_disk import SqliteDisk
from tallystick.testing.starts import Doubts
from tallystick.testing.strategies import Name, Strategy
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import SECOND, ProcessDied, World

REFUSED = (NotAccepted, NotCommitted, CommitUnknown, Overloaded)


class Process(NamedTuple):
    """One that runs."""

    system: System
    runtime: SimulatedRuntime
    watcher: Watcher


class Processes:
    """The present process, if there is one, and what is known of its forerunners."""

    def __init__(self, world: World, program: SimulatedProgram, disk: Disk, strategy: Name | Strategy) -> None:
        self.present: Process | None = None
        self.customers: Customers | None = None
        self.handlers = HandlerFaults(world)
        self.person = Person(world, program)
        self.paths: Counter[str] = Counter()
        """The ways that recoveries have taken."""
        self.dies_at = 0
        """After so many turns of the runtime the process that was just opened dies again; 0 for never."""
        self.doubts = Doubts()
        self.unsure = 0
        """So many of the next questions whether a call had its effect are answered with Unknown."""
        self._world = world
        self._program = program
        self._disk = disk
        self._log: LogOnDisk = disk.log()
        self._strategy: Name | Strategy = strategy
        self._outside = Outside(world)
        self._outside.deliver = self._deliver
        self._known = Known()
        self._succeeded: Known | None = None
        self._violation: InvariantViolation | None = None
        self._turns = 0
        disk.take_over = self._take_over
        disk.found = self._found

    @property
    def running(self) -> Process:
        """The present one.

        Raises:
            InvariantViolation: none runs.
        """
        if self.present is None:
            msg = "no process runs"
            raise InvariantViolation("L1", msg)
        return self.present

    @property
    def turns(self) -> int:
        """How many turns there were."""
        return self._turns + (0 if self.present is None else self.present.runtime.turns)

    # One process after another.

    def open(self) -> None:
        """Begin a process; if the log cannot be opened, it is tried again later."""
        world = self._world
        world.begin_process()
        self.doubts.next_process()
        self.dies_at = 0
        if world.process > 1:
            self._log = self._log.reopened()
        runtime = self._runtime()
        modules = self._modules()
        if world.faults.active:
            modules = [self.handlers.plant(module) for module in modules]
        performers = [self._probed(performer) for performer in self._program.performers()]
        program, log = self._program, self._log
        system = System(
            modules, performers=performers, lines=program.lines(), log=log, runtime=runtime, limits=program.limits, keys=program.keys()
        )
        watcher = Watcher(runtime, self._disk, self._invariants, {} if self.customers is None else self.customers.denied, self.doubts)
        world.tell("note", "System", "System", "opens the log")
        try:
            system.__enter__()
        except LogError:
            world.tell("note", "System", "System", "cannot open the log")
            world.pass_time(world.now_us + 5 * SECOND)
            return
        self.present = Process(system, runtime, watcher)
        if world.story is not None:
            watcher.told = self._told
        self._check_succession()
        watcher.attach(system, self._known)
        if self.customers is not None:
            self.customers.meet(system, runtime)
        if world.faults.happens("crash.again"):
            self.dies_at = runtime.turns + 1 + int(world.faults.detail("crash.again") * 20)

    def restart(self) -> None:
        """A clean stop; the next process is begun later."""
        system, _, watcher = self.running
        self._world.tell("note", "System", "System", "stops")
        try:
            system.stop()
        except ProcessDied:
            self._world.tell("note", "System", "System", "has died before it was stopped")
        else:
            if self.customers is not None:
                self.customers.check_all_told()
        if watcher.violation is not None:
            raise watcher.violation
        self.forget()

    def forget(self) -> None:
        """The process is gone; what it knew of the log is kept, to be held against what survives."""
        present, self.present = self.present, None
        violation = self._violation
        if present is not None:
            self._log = self._log_of(present)
            self._known = self._succeeded or present.watcher.known or self._known
            violation = violation or present.watcher.violation
            self.paths += recovered(present.system)
            self._turns += present.runtime.turns
        if violation is not None:
            raise violation
        self._world.alive = False
        self._outside.forget_process()
        if self.customers is not None:
            self.customers.part()

    def has_given_up(self) -> bool:
        """Whether the system has failed for good; then somebody ends the process, and another one is begun."""
        system = self.running.system
        if self.customers is not None:
            self.customers.turned_away = False
        if system.health().status != "failed":
            return False
        self._world.tell("note", "System", "System", "has given up, and is started again")
        system.stop()
        if self.customers is not None:
            self.customers.check_all_told()
        self._world.pass_time(self._world.now_us + 30 * SECOND)
        self.forget()
        return True

    def end(self) -> None:
        """Nothing is left of them, nor of their disk."""
        self._world.alive = False
        (self._log if self.present is None else self._log_of(self.present)).close()
        self._disk.close()

    # What a process is made of.

    def _modules(self) -> Sequence[Module]:
        program = self._program
        return (*program.modules(), *(program.newcomers() if self._world.process > 1 else ()))

    def _runtime(self) -> SimulatedRuntime:
        return SimulatedRuntime(int(self._world.chance.seed), strategy=self._strategy, world=self._world, outside=self._outside)

    def _invariants(self) -> Sequence[Invariant]:
        return (NoFailureOfItsOwn(), *self._program.invariants())

    def _told(self, recorded: Recorded) -> None:
        self._world.tell("event", recorded.owner, "Log", f"{recorded.event_type} #{recorded.position}")

    def _probed(self, performer: Performer) -> Performer:
        """A performer in whose probe the process may die, and which cannot always tell; and the story told."""
        probe, world = performer.probe, self._world
        if probe is None:
            return performer

        def probed(action: Any, call: Any) -> Any:
            world.may_die("crash.recovery")
            self.doubts.asks(call)
            answer = probe(action, call)
            if self.unsure and world.faults.active:
                self.unsure -= 1
                answer = Unknown()
                self.person.call(self._person_looks)
            world.tell("probe", "System", "Outside", f"{type(action).__name__} done? {type(answer).__name__}")
            return answer

        return msgspec.structs.replace(performer, probe=probed)

    # Those who come from outside.

    def _deliver(self) -> None:
        """Let the providers say what they had promised to say later."""
        self._reaching(self._program.deliver, "nobody takes a promised answer", self._deliver)

    def _person_looks(self) -> None:
        self._reaching(self.person.look, "nobody lets a person in", self._person_looks)

    def _reaching(self, deed: Callable[[System], None], said: str, again: Callable[[], None]) -> None:
        """Do something with the running system; again later, if there is none that takes it now."""
        world = self._world
        if self.present is not None and world.alive:
            try:
                deed(self.present.system)
            except REFUSED:
                if self.customers is not None:
                    self.customers.turned_away = True
                world.tell("note", "Outside", "Outside", said)
            except ProcessDied:  # in the midst of it: whoever was not told yet is told by the next one
                world.after(5 * SECOND, again, outlives=True)
                raise
            else:
                return
        world.after(5 * SECOND, again, outlives=True)

    # Other processes (S15, P22).

    def rival_opens(self) -> None:
        """Another process tries to open the log: it is refused, and has changed nothing.

        Not where nobody has it: one has taken it over and is gone, or this process has given it up because its disk failed.

        Raises:
            InvariantViolation: S15.
        """
        disk = self._disk
        if not isinstance(disk, SqliteDisk) or disk.fenced or self.running.system.health().status != "running":
            return
        self._world.tell("fault", "Fault", "Fault", "another process tries to open the log")
        before = disk.operations
        log = disk.another()
        try:
            self._other_system(log).__enter__()
        except LogLocked as refused:
            if disk.operations == before and refused.pid is not None:
                return
            text = f"a second process was refused by process {refused.pid}, and has changed {disk.operations - before} things before"
            raise InvariantViolation("S15", text) from refused
        log.close()
        msg = "a second process has opened the log"
        raise InvariantViolation("S15", msg)

    def _take_over(self) -> None:
        """Another process opens the log while this one stands still in the middle of a turn; it recovers, and dies."""
        disk, world, held = self._disk, self._world, self._log_of(self.running)
        if isinstance(disk, SqliteDisk):
            with disk.calmly():
                self._succeed(held.successor())
        else:
            self._succeed(held.successor())
        world.recovering = False

    def _log_of(self, process: Process) -> LogOnDisk:
        """What it has open by now: a rebuilding opens another."""
        return cast("LogOnDisk", process.system._life.log)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - a simulator's business

    def _succeed(self, log: Any) -> None:
        disk = self._disk
        self._other_system(log).__enter__()
        records = list(log.read())
        disk.taken_over(len(records))
        self._succeeded = Known(records, len(disk.openings), range(len(records) + 1))
        log.close()

    def _other_system(self, log: Any) -> System:
        program, runtime = self._program, self._runtime()
        return System(
            self._modules(), performers=program.performers(), lines=program.lines(), log=log, runtime=runtime, keys=program.keys()
        )

    def _check_succession(self) -> None:
        """What stands in the log is what the process that took it over has left: the other one has added nothing (S15)."""
        succeeded, self._succeeded = self._succeeded, None
        if succeeded is None:
            return
        opening = self._disk.openings[succeeded.openings]
        if opening.position > len(succeeded.records):
            text = f"the log ended at {len(succeeded.records)} when another process had taken it over; now at {opening.position}"
            self._found(InvariantViolation("S15", text, position=opening.position))

    def _found(self, violation: InvariantViolation) -> None:
        self._violation = self._violation or violation
        if self.present is not None:
            self.present.watcher.violation = self.present.watcher.violation or violation
