"""A simulation: one program, one seed, one run. Commands, faults, crashes; then the world heals, and all must come to rest."""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NamedTuple, Unpack

from tallystick.actors.messages import TakeSnapshot
from tallystick.actors.owner.owner import OwnerActor
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import Rejected
from tallystick.testing.chance import Chance
from tallystick.testing.customers import Customers
from tallystick.testing.disk import Disk
from tallystick.testing.faults import Injector, possible, probabilities
from tallystick.testing.host import Host
from tallystick.testing.options import Options, Script, log_for, strategy_for
from tallystick.testing.processes import Processes
from tallystick.testing.program import SimulatedProgram
from tallystick.testing.reader import Reader
from tallystick.testing.rest import check_at_rest, check_the_end
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.sqlite_disk import SqliteDisk
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import DAY, HOUR, MINUTE, SECOND, Happening, ProcessDied, World

HASTE: Final = 0.02
"""How likely it is, before each step, that time passes although somebody has something to do."""
SNAPSHOT: Final = 0.002
"""How likely it is, before each step, that the owners are told to take snapshots."""
READ: Final = 0.01
"""How likely it is, before each step, that somebody outside reads on in the log."""
BETWEEN_TURNS: Final = ("crash.step", "power_loss.step", "clock_jump.forward", "clock_jump.back", "restart", "rival", "probe_unknown")
"""The faults whose opportunities are the steps."""
PATIENCE: Final = 100
"""When somebody has sent a command so often that it has to be a bug that makes it fail, the bug is mended, once the world has healed."""
PUT_RIGHT_LIMIT: Final = 20
"""So often somebody looks at what needs a person before it is said to need one for ever."""
STEPS_WITH_FAULTS: Final = 50_000
"""After so many the world heals, whatever time it is: what fails and is tried again, for a year, has been tried often enough."""
STEPS_LIMIT: Final = 500_000
HEALS_WITHIN: Final = 30 * DAY
"""Within so much time everything must come to rest; twice what the wall clock has jumped comes on top, for deadlines go by it (S12)."""


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
    """One run of a program, decided by its seed and by `options`."""

    def __init__(self, program: Callable[[Chance], SimulatedProgram], seed: int = 0, **options: Unpack[Options]) -> None:
        chance = Chance(seed)
        script = options.get("script")
        enabled = probabilities(options.get("faults", "all"))
        log = options.get("log") or log_for(enabled, chance)
        self.seed = seed
        self._world = world = World(chance, Injector(possible(enabled, log), chance, None if script is None else script.faults))
        if options.get("tells"):
            world.story = []
        self._program = program(chance)
        self._minutes = options.get("minutes", self._program.faults_for / timedelta(minutes=1))
        self._disk = SqliteDisk(world) if log == "sqlite" else Disk(world)
        self._processes = Processes(world, self._program, self._disk, options.get("strategy") or strategy_for(chance))
        wishes = [(number, wish) for number, wish in enumerate(self._program.wishes()) if script is None or number in script.wishes]
        self._wishes = frozenset(number for number, _ in wishes)
        limit = self._program.limits.commands
        self._customers = self._processes.customers = Customers(world, wishes, limit, lambda: self._disk.acknowledged)
        self._host = Host(world, self._program, self._processes)
        self._reader = Reader(self._disk)
        self._draw = chance.stream("driver")
        self._quiet_steps = 0
        self._heals_within = max(HEALS_WITHIN, self._program.rests_within // MICROSECOND)

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
            finally:
                self._processes.end()
        faults = self._world.faults
        return SimulationResult(
            seed=self.seed,
            steps=self._processes.turns,
            faults=faults.counts,
            virtual_seconds=self._world.now_us / SECOND,
            records=self._disk.position,
            digest=self._disk.hash.hex(),
            violation=violation,
            script=Script(self._wishes, tuple(faults.hits)),
            story=self._world.story or (),
            paths=self._processes.paths,
        )

    def check(self) -> SimulationResult:
        """As `run`.

        Raises:
            InvariantViolation: something does not hold.
        """
        __tracebackhide__ = True
        result = self.run()
        if result.violation is not None:
            raise result.violation
        return result

    # The course of a run.

    def _live(self) -> None:
        world, processes = self._world, self._processes
        self._host.goes_on(int(self._minutes * MINUTE))
        self._until_rest(int(self._minutes * MINUTE))
        self._host.goes_on(0)
        world.faults.stop()
        self._disk.heal()
        world.tell("note", "Fault", "Fault", "the world heals")
        self._until_rest(world.now_us + self._heals_within, healing=True)
        self._check_at_rest()
        processes.handlers.mend()
        self._put_all_right()
        self._host.goes_on(world.now_us + self._program.steps_after_healing // MICROSECOND, mended=True)
        self._until_rest(world.now_us + self._heals_within, healing=True)
        processes.restart()
        self._until_rest(world.now_us + self._heals_within, healing=True)
        self._put_all_right()  # an opening may find what succeeded late, and undoing that may take a person
        self._check_at_rest(end=True)
        self._reader.read(processes.running)
        system, _, watcher = processes.running
        check_the_end(system, self._customers, watcher.model)
        watcher.end(system)
        system.stop()
        processes.forget()

    def _until_rest(self, end_us: int, *, healing: bool = False) -> None:
        """Go on until nothing is left to happen, or that time has come; process after process."""
        world, processes = self._world, self._processes
        while True:
            try:
                if processes.present is None:
                    processes.open()
                if processes.present is not None and self._go_on(end_us):
                    break
            except ProcessDied:
                processes.forget()
            if world.now_us >= end_us:
                break
        if healing and world.now_us >= end_us:
            model = None if processes.present is None else processes.present.watcher.model
            text = f"after {self._heals_within // DAY} days without faults it has not come to rest: {{}}"
            raise InvariantViolation("L1", text.format({} if model is None else model.open))

    def _go_on(self, end_us: int) -> bool:
        """Step by step; True when nothing is left to do, False when there is another process to be opened."""
        process = self._processes.running
        _, runtime, watcher = process
        world, draw, customers, faults = self._world, self._draw, self._customers, self._world.faults
        turns_left = (STEPS_WITH_FAULTS if faults.active else STEPS_LIMIT) - self._processes.turns + runtime.turns
        while world.now_us < end_us:
            if faults.active and not self._survives_step(runtime):
                return False
            chance = draw()
            if chance < HASTE and not self._host.is_undisturbed:
                runtime.jump()
            elif chance < HASTE + SNAPSHOT:
                self._take_snapshots(runtime)
            elif chance < HASTE + SNAPSHOT + READ:
                self._reader.read(process)
            elif not runtime.step() and self._nothing_is_left(runtime):
                return True
            if watcher.violation is not None or customers.violation is not None:
                raise watcher.violation or customers.violation or AssertionError
            if customers.turned_away and self._processes.has_given_up():
                return False
            if (customers.insistence > PATIENCE or runtime.turns > turns_left) and self._has_gone_on_for_too_long():
                return True
        return True

    def _nothing_is_left(self, runtime: SimulatedRuntime) -> bool:
        """When no actor has anything to do: time passes, unless all is done."""
        self._may_flood()
        return not self._host.step() and not runtime.jump() and self._is_done()

    def _has_gone_on_for_too_long(self) -> bool:
        """Whether enough has gone wrong; what fails for too long in a world without faults is mended, if it is a planted bug's fault."""
        turns = self._processes.turns
        if self._world.faults.active:
            return turns > STEPS_WITH_FAULTS
        self._processes.handlers.mend()
        if turns > STEPS_LIMIT:
            msg = f"after {STEPS_LIMIT} steps it still has something to do"
            raise InvariantViolation("L1", msg)
        return False

    def _is_done(self) -> bool:
        """Whether nothing ever happens any more because all is done, and not because the system has given up."""
        failed = self._processes.running.system.health().status == "failed"
        self._customers.turned_away |= failed
        return not failed

    # Faults between turns.

    def _survives_step(self, runtime: SimulatedRuntime) -> bool:
        """As `_faults_between_turns`, for as many steps at once as bring nothing."""
        if self._quiet_steps:
            self._quiet_steps -= 1
            if self._processes.dies_at and runtime.turns >= self._processes.dies_at:
                self._world.die("crash.again")
        elif not self._faults_between_turns(runtime):
            return False
        else:
            self._quiet_steps = self._world.faults.skip(BETWEEN_TURNS)
        return True

    def _faults_between_turns(self, runtime: SimulatedRuntime) -> bool:
        """What may happen to a process while no actor runs; False when it is gone."""
        world, faults, processes = self._world, self._world.faults, self._processes
        world.may_die("crash.step")
        if processes.dies_at and runtime.turns >= processes.dies_at:
            world.die("crash.again")
        if faults.happens("power_loss.step") and isinstance(self._disk, SqliteDisk):
            self._disk.cut("power_loss.step")
        if faults.happens("probe_unknown"):
            processes.unsure += 1 + int(faults.detail("probe_unknown") * 3)
            world.die("probe_unknown")
        if faults.happens("rival"):
            processes.rival_opens()
        self._may_flood()
        for kind, sign in (("clock_jump.forward", 1), ("clock_jump.back", -1)):
            if faults.happens(kind):
                hours = 0.1 + faults.detail(kind) ** 6 * 10_000
                world.wall_us += sign * int(hours * HOUR)
                self._heals_within += 2 * int(hours * HOUR)
                self._customers.clock_jumped()
                world.tell("fault", "Fault", "Fault", f"the wall clock goes {kind.partition('.')[2]} by {hours:.1f} hours")
                processes.restart()
                return False
        if faults.happens("restart"):
            processes.restart()
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

    # Healing.

    def _check_at_rest(self, *, end: bool = False) -> None:
        system, runtime, watcher = self._processes.running
        watcher.check_everything(without_snapshots=end)
        check_at_rest(system, runtime, watcher.model, self._customers)

    def _put_all_right(self) -> None:
        """Have a person look until nothing waits for one: what goes on may need one again, a saga one for each compensation."""
        for _ in range(PUT_RIGHT_LIMIT):
            if not self._put_right():
                break
            self._until_rest(self._world.now_us + self._heals_within, healing=True)

    def _put_right(self) -> bool:
        """What waits for a person is redriven or settled by one; whether anything did."""
        system, _, watcher = self._processes.running
        waiting = sum(owner.dead_letters + owner.waiting_for_person for owner in system.health().owners.values())
        for letter in (each for each in system.dead_letters() if each.kind != "person"):
            self._world.tell("note", letter.owner, letter.owner, f"redrive {letter.source.aggregate_type}")
            try:
                system.redrive(letter, who="simulation", why="mended")
            except Rejected as gone:  # another letter's redrive has ended this one
                self._world.tell("note", letter.owner, letter.owner, str(gone))
        self._processes.person.look(system)
        if watcher.violation is not None:
            raise watcher.violation
        return waiting > 0


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
