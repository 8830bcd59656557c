"""A simulation: one program, one seed, one run. Commands, faults, crashes; then the world heals, and all must come to rest."""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from tallystick.actors.messages import TakeSnapshot
from tallystick.actors.owner import OwnerActor
from tallystick.actors.system import System
from tallystick.domain.action import Performer
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import CommitUnknown, LogError, NotAccepted, NotCommitted, Overloaded
from tallystick.testing.chance import Chance
from tallystick.testing.customers import Customers
from tallystick.testing.disk import Disk, SimulatedLog
from tallystick.testing.faults import Hit, Injector, probabilities, recovered
from tallystick.testing.handlers import HandlerFaults, NoFailureOfItsOwn
from tallystick.testing.invariants import Invariant, Known, Watcher
from tallystick.testing.outside import Outside
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.rest import check_at_rest, check_the_end
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.strategies import Name
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import DAY, HOUR, MINUTE, SECOND, Happening, ProcessDied, World

HASTE: Final = 0.02
"""How likely it is, before each step, that time passes although somebody has something to do."""
SNAPSHOT: Final = 0.002
"""How likely it is, before each step, that the owners are told to take snapshots."""
BETWEEN_TURNS: Final = ("crash.step", "clock_jump.forward", "clock_jump.back", "restart")
"""The faults whose opportunities are the steps."""
STEPS_LIMIT: Final = 500_000
HEALS_WITHIN: Final = 30 * DAY
"""Within so much time everything must come to rest; twice what the wall clock has jumped comes on top, for deadlines go by it (S12)."""

Faults = str | Iterable[str] | Mapping[str, float]


class Script(NamedTuple):
    """What of an earlier run is to happen again: which wishes, by number, and which faults."""

    wishes: frozenset[int]
    faults: tuple[Hit, ...]


class SimulationResult(NamedTuple):
    """What one run came to. `digest`, the last record's hash, stands for every byte of the log; `paths` are those that recovery took."""

    seed: int
    steps: int
    faults: Counter[str]
    virtual_seconds: float
    records: int
    digest: str
    violation: InvariantViolation | None
    script: Script
    story: Sequence[Happening]
    paths: Counter[str]


class Simulation:
    """One run of a program, decided by its seed.

    `faults` is as for `probabilities`; `minutes` of virtual time pass before the world heals. Without a `strategy` the seed chooses one.
    With a `script` the wishes and faults are those of an earlier run instead of drawn ones; with `tells` the result has the story.
    """

    def __init__(  # noqa: PLR0913 - all but two are optional, and have names
        self,
        program: Callable[[Chance], SimulatedProgram],
        seed: int = 0,
        *,
        faults: Faults = "all",
        strategy: Name | None = None,
        minutes: float = 20.0,
        script: Script | None = None,
        tells: bool = False,
    ) -> None:
        chance = Chance(seed)
        self.seed = seed
        self._strategy: Name = strategy or ("uniform" if chance.at("strategy") < 0.5 else "priorities")  # noqa: PLR2004 - a coin
        self._minutes = minutes
        self._world = world = World(chance, Injector(probabilities(faults), chance, None if script is None else script.faults))
        if tells:
            world.story = []
        self._program = program(chance)
        self._disk = Disk(world)
        self._log = SimulatedLog(self._disk)
        self._outside = Outside(world)
        self._outside.deliver = self._deliver
        self._handlers = HandlerFaults(world)
        wishes = [(number, wish) for number, wish in enumerate(self._program.wishes()) if script is None or number in script.wishes]
        self._wishes = frozenset(number for number, _ in wishes)
        self._customers = Customers(world, wishes, self._program.limits.commands)
        self._draw = chance.stream("driver")
        self._runtime: SimulatedRuntime | None = None
        self._system: System | None = None
        self._watcher: Watcher | None = None
        self._known = Known()
        self._steps = 0
        self._dies_at = 0
        self._quiet_steps = 0
        self._paths: Counter[str] = Counter()
        self._heals_within = HEALS_WITHIN

    def run(self) -> SimulationResult:
        """Run it to its end, or to the first violation, which the result has; an error that nobody handled is the violation "ERROR"."""
        violation: InvariantViolation | None = None
        with _quiet():
            try:
                self._live()
            except InvariantViolation as found:
                violation = InvariantViolation(found.invariant, found.text, position=found.position, token=found.token, seed=self.seed)
            except Exception as error:  # noqa: BLE001 - whatever came out, the seed repeats it
                violation = InvariantViolation("ERROR", f"{type(error).__name__}: {error}", seed=self.seed)
                violation.__cause__ = error
        faults = self._world.faults
        return SimulationResult(
            seed=self.seed,
            steps=self._steps + (0 if self._runtime is None else self._runtime.turns),
            faults=faults.counts,
            virtual_seconds=self._world.now_us / SECOND,
            records=self._disk.position,
            digest=self._disk.hash.hex(),
            violation=violation,
            script=Script(self._wishes, tuple(faults.hits)),
            story=self._world.story or (),
            paths=self._paths,
        )

    def check(self) -> SimulationResult:
        """As `run`.

        Raises:
            InvariantViolation: something does not hold.
        """
        result = self.run()
        if result.violation is not None:
            raise result.violation
        return result

    # The course of a run.

    def _live(self) -> None:
        world = self._world
        self._until_rest(int(self._minutes * MINUTE))
        world.faults.stop()
        self._disk.heal()
        world.tell("note", "Fault", "Fault", "the world heals")
        self._until_rest(world.now_us + self._heals_within, healing=True)
        self._at_rest()
        self._handlers.mend()
        self._redrive()
        self._until_rest(world.now_us + self._heals_within, healing=True)
        self._restart()
        self._until_rest(world.now_us + self._heals_within, healing=True)
        system, runtime, watcher = self._present()
        watcher.check_everything()
        check_at_rest(system, runtime, watcher.model, self._customers)
        check_the_end(system, self._customers, watcher.model)
        watcher.end(system)
        system.stop()
        self._forget_process()

    def _until_rest(self, end_us: int, *, healing: bool = False) -> None:
        """Go on until nothing is left to happen, or that time has come; process after process."""
        world = self._world
        while True:
            try:
                if self._system is None:
                    self._open()
                if self._system is not None and self._go_on(end_us):
                    break
            except ProcessDied:
                self._forget_process()
            if world.now_us >= end_us:
                break
        if healing and world.now_us >= end_us:
            open_by_owner = {} if self._watcher is None or self._watcher.model is None else self._watcher.model.open
            text = f"after {self._heals_within // DAY} days without faults it has not come to rest: {open_by_owner}"
            raise InvariantViolation("L1", text)

    def _go_on(self, end_us: int) -> bool:
        """Step by step; True when nothing is left to do, False when there is another process to be opened."""
        system, runtime, watcher = self._present()
        world, draw, customers, faults = self._world, self._draw, self._customers, self._world.faults
        while world.now_us < end_us:
            if faults.active and not self._survives_step(runtime):
                return False
            chance = draw()
            if chance < HASTE:
                runtime.jump()
            elif chance < HASTE + SNAPSHOT:
                self._take_snapshots(runtime)
            elif not runtime.step():
                self._may_flood()
                if not runtime.jump() and self._is_done(system):
                    return True
            if watcher.violation is not None or customers.violation is not None:
                raise watcher.violation or customers.violation or AssertionError
            if customers.turned_away and self._has_failed(system):
                return False
            self._check_length(runtime)
        return True

    def _check_length(self, runtime: SimulatedRuntime) -> None:
        if self._steps + runtime.turns > STEPS_LIMIT:
            msg = f"after {STEPS_LIMIT} steps it still has something to do"
            raise InvariantViolation("L1", msg)

    def _is_done(self, system: System) -> bool:
        """Whether nothing ever happens any more because all is done, and not because the system has given up."""
        failed = system.health().status == "failed"
        self._customers.turned_away |= failed
        return not failed

    def _survives_step(self, runtime: SimulatedRuntime) -> bool:
        """As `_faults_between_turns`, for as many steps at once as bring nothing."""
        if self._quiet_steps:
            self._quiet_steps -= 1
            if self._dies_at and runtime.turns >= self._dies_at:
                self._world.die("crash.again")
        elif not self._faults_between_turns(runtime):
            return False
        else:
            self._quiet_steps = self._world.faults.skip(BETWEEN_TURNS)
        return True

    def _faults_between_turns(self, runtime: SimulatedRuntime) -> bool:
        """What may happen to a process while no actor runs; False when it is gone."""
        world, faults = self._world, self._world.faults
        world.may_die("crash.step")
        if self._dies_at and runtime.turns >= self._dies_at:
            world.die("crash.again")
        self._may_flood()
        for kind, sign in (("clock_jump.forward", 1), ("clock_jump.back", -1)):
            if faults.happens(kind):
                hours = 0.1 + faults.detail(kind) ** 6 * 10_000
                world.wall_us += sign * int(hours * HOUR)
                self._heals_within += 2 * int(hours * HOUR)
                self._customers.clock_jumped()
                world.tell("fault", "Fault", "Fault", f"the wall clock goes {kind.partition('.')[2]} by {hours:.1f} hours")
                self._restart()
                return False
        if faults.happens("restart"):
            self._restart()
            return False
        return True

    def _may_flood(self) -> None:
        """An opportunity for a flood: when all that came before has been taken, so that floods do not pile up without end."""
        faults = self._world.faults
        if faults.happens("flood"):
            self._world.tell("fault", "Fault", "Fault", "a flood of messages")
            self._customers.flood(faults.detail("flood"))

    def _take_snapshots(self, runtime: SimulatedRuntime) -> None:
        for actor in runtime.actors.values():
            if isinstance(actor, OwnerActor):
                actor.post.tell(TakeSnapshot())

    # Processes.

    def _present(self) -> tuple[System, SimulatedRuntime, Watcher]:
        if self._system is None or self._runtime is None or self._watcher is None:
            msg = "no process runs"
            raise InvariantViolation("L1", msg)
        return self._system, self._runtime, self._watcher

    def _open(self) -> None:
        """Begin a process; if the log cannot be opened, it is tried again later."""
        world = self._world
        world.begin_process()
        self._dies_at = 0
        if world.process > 1:
            self._log = self._log.reopened()
        self._runtime = runtime = SimulatedRuntime(self.seed, strategy=self._strategy, world=world, outside=self._outside)
        modules = self._program.modules()
        if world.faults.active:
            modules = [self._handlers.plant(module) for module in modules]
        performers = [self._probed(performer) for performer in self._program.performers()]
        system = System(modules, performers=performers, log=self._log, runtime=runtime, limits=self._program.limits)
        world.tell("note", "System", "System", "opens the log")
        try:
            system.__enter__()
        except LogError:
            world.tell("note", "System", "System", "cannot open the log")
            world.pass_time(world.now_us + 5 * SECOND)
            return
        self._system = system
        self._watcher = Watcher(runtime, self._disk, self._invariants)
        if world.story is not None:
            self._watcher.told = self._told
        self._watcher.attach(system, self._known)
        self._customers.meet(system, runtime)
        if world.faults.happens("crash.again"):
            self._dies_at = runtime.turns + 1 + int(world.faults.detail("crash.again") * 20)

    def _invariants(self) -> Sequence[Invariant]:
        return (NoFailureOfItsOwn(), *self._program.invariants())

    def _told(self, recorded: Recorded) -> None:
        self._world.tell("event", recorded.owner, "Log", f"{recorded.event_type} #{recorded.position}")

    def _probed(self, performer: Performer) -> Performer:
        """A performer in whose probe the process may die, and the story told."""
        probe = performer.probe
        if probe is None:
            return performer

        def probed(action: Any, call: Any) -> Any:
            self._world.may_die("crash.recovery")
            answer = probe(action, call)
            self._world.tell("probe", "System", "Outside", f"{type(action).__name__} done? {type(answer).__name__}")
            return answer

        return msgspec.structs.replace(performer, probe=probed)

    def _restart(self) -> None:
        """A clean stop; the next process is begun later."""
        system, _, watcher = self._present()
        self._world.tell("note", "System", "System", "stops")
        try:
            system.stop()
        except ProcessDied:
            self._world.tell("note", "System", "System", "has died before it was stopped")
        if watcher.violation is not None:
            raise watcher.violation
        self._forget_process()

    def _forget_process(self) -> None:
        """The process is gone; what it knew of the log is kept, to be held against what survives."""
        runtime, watcher = self._runtime, self._watcher
        if watcher is not None:
            self._known = watcher.known or self._known
            if watcher.violation is not None:
                raise watcher.violation
        self._paths += recovered(self._system)
        if runtime is not None:
            self._steps += runtime.turns
            runtime.turns = 0
        self._system = self._runtime = self._watcher = None
        self._world.alive = False
        self._outside.forget_process()
        self._customers.part()

    def _has_failed(self, system: System) -> bool:
        """Whether the system has given up; then somebody ends the process, and another one is begun."""
        self._customers.turned_away = False
        if system.health().status != "failed":
            return False
        self._world.tell("note", "System", "System", "has given up, and is started again")
        system.stop()
        self._world.pass_time(self._world.now_us + 30 * SECOND)
        self._forget_process()
        return True

    def _deliver(self) -> None:
        """Let the providers say what they had promised to say later; again later, if nobody takes it now."""
        if self._system is not None and self._world.alive:
            try:
                self._program.deliver(self._system)
            except (NotAccepted, NotCommitted, CommitUnknown, Overloaded):
                self._customers.turned_away = True
                self._world.tell("note", "Outside", "Outside", "nobody takes a promised answer")
            else:
                return
        self._world.after(5 * SECOND, self._deliver, outlives=True)

    # Healing.

    def _at_rest(self) -> None:
        system, runtime, watcher = self._present()
        watcher.check_everything()
        check_at_rest(system, runtime, watcher.model, self._customers)

    def _redrive(self) -> None:
        system, _, watcher = self._present()
        for letter in system.dead_letters():
            self._world.tell("note", letter.owner, letter.owner, f"redrive {letter.source.aggregate_type}")
            system.redrive(letter, who="simulation", why="mended")
        if watcher.violation is not None:
            raise watcher.violation


@contextmanager
def _quiet() -> Generator[None]:
    """The library warns of what the simulation does to it on purpose."""
    logger = logging.getLogger("tallystick")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
