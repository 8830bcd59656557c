"""The engine: one generation of actors on one journal. When something in it fails it is thrown away whole, and built anew (P14, P18)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.actors.actor import Crash
from tallystick.actors.counters import Counters
from tallystick.actors.messages import Arbitrate, Context, Mailbox, StartQueue, StepTaken, Tick
from tallystick.actors.owner.acting import Acting, Ports, start_queue
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.owner.state import OwnerState
from tallystick.actors.owner.turn import Setting
from tallystick.actors.performers.heartbeats import Heartbeats
from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.performers.probing import Prober
from tallystick.actors.queue.ports import QueuePorts
from tallystick.actors.queue.queue import QueueActor
from tallystick.actors.router import RouterActor
from tallystick.actors.runtimes.runtime import Runtime
from tallystick.actors.timer import TimerActor
from tallystick.actors.writer import GATHERED, WriterActor
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.clock import Clock, Identity
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import DefinitionError
from tallystick.domain.line import Line
from tallystick.domain.step import Step
from tallystick.store.codec import Codec
from tallystick.store.journal import Journal
from tallystick.store.log import EventLog

if TYPE_CHECKING:
    from tallystick.actors.metering import Meter
    from tallystick.actors.vault import Vault

QUEUE = "\0queue"
"""The name under which the queue's mailbox is found beside those of the owners; no module can have it."""


class Program(NamedTuple):
    """What a system was composed of: it outlives the generations."""

    behaviours: Sequence[Behaviour]
    codec: Codec
    pool: PerformerPool
    runtime: Runtime
    counters: Counters
    ownership: Mapping[str, frozenset[str]]
    """The aggregate types of each owner."""
    lines: Mapping[str, Line] = {}
    performs: bool = True
    """Whether anything is done: performers called, probes asked, timers fired. Else owners decide and write, and no more."""
    meter: "Meter | None" = None
    vault: "Vault | None" = None
    """What sensitive values are sealed with; None where there are none."""


def ownership(behaviours: Sequence[Behaviour]) -> Mapping[str, frozenset[str]]:
    """Which aggregate types each module writes.

    Raises:
        DefinitionError: two modules have one name, or would write the same aggregate type (P20).
    """
    owner_of: dict[str, str] = {}
    owned: dict[str, set[str]] = {}
    for behaviour in behaviours:
        if behaviour.name in owned:
            msg = f"Two modules are named {behaviour.name!r}; a name identifies one owner in the log."
            raise DefinitionError(msg)
        owned[behaviour.name] = set()
        for event in behaviour.published:
            other = owner_of.setdefault(event.aggregate_type, behaviour.name)
            if other != behaviour.name:
                msg = (
                    f"{event.aggregate_type} belongs to {other}, but {behaviour.name} declares {event.__name__}, which happens to it (P20)."
                )
                raise DefinitionError(msg)
            owned[behaviour.name].add(event.aggregate_type)
    return {name: frozenset(types) for name, types in owned.items()}


def command_owners(behaviours: Sequence[Behaviour]) -> dict[type[Any], str]:
    """Which module handles each command.

    Raises:
        DefinitionError: two do.
    """
    owners: dict[type[Any], str] = {}
    for behaviour in behaviours:
        for command in behaviour.commands:
            other = owners.setdefault(command, behaviour.name)
            if other != behaviour.name:
                msg = f"{command.__name__} is handled by {other} and by {behaviour.name}; one module handles a command."
                raise DefinitionError(msg)
    return owners


class Engine:
    """The actors of one generation, made but not yet running."""

    def __init__(self, program: Program, log: EventLog, crash: Crash) -> None:
        runtime = program.runtime
        self.program = program
        self.log = log
        self.clock: Clock = runtime.clock
        self.identity: Identity = runtime.identity(log.epoch)
        meter, vault = program.meter, program.vault
        written = log if vault is None else vault.between(log)
        self.journal = Journal(written if meter is None else meter.between(written, self.clock), self.clock)
        self.owners: dict[str, OwnerActor] = {}
        self._posts: dict[str, Mailbox] = {}
        self._residents: dict[type[Any], OwnerActor] = {}
        self.step_errors: list[Exception] = []
        """What methods for each step have raised in the present step."""
        self.router = RouterActor(runtime, crash, self._posts, program.counters)
        self.prober = Prober(program.pool, runtime, self.router.post)
        ports = QueuePorts(program.pool, self.router.post, self.clock, program.lines, self.resident, self.prober.ask, self.start_of)
        self.queue = QueueActor(runtime, crash, ports)
        self.timer = TimerActor(runtime, crash, self.journal, program.codec, self.clock, self.router.post)
        self.writer = WriterActor(runtime, crash, self.journal, log, self._posts.values)
        self.journal.on_pending = lambda: self.writer.post.tell(GATHERED)
        owner_ports = Ports(self.queue.post, self.timer.deadlines)
        performed = frozenset(program.pool.performers)
        for behaviour in program.behaviours:
            owned = program.ownership[behaviour.name]
            setting = Setting(behaviour, program.codec, self.clock, self.identity, owned, performed)
            state = OwnerState(behaviour, program.codec, self.journal)
            acting = Acting(setting, state, self.journal, self.clock, owner_ports, program.counters)
            owner = self.owners[behaviour.name] = OwnerActor(runtime, crash, acting, program.codec, log)
            self._posts[behaviour.name] = owner.post
            owner.step_failed = self.step_errors.append
            self._residents.update(dict.fromkeys(behaviour.residents, owner))
        if not program.performs:
            self.drain()

    def behaviour(self, owner: str) -> Behaviour:
        """An owner's tables."""
        return self.owners[owner].acting.setting.behaviour

    def begin(self) -> None:
        """Let the actors run."""
        if self.program.meter is not None:
            opened = [(name, record) for name, owner in self.owners.items() for record in owner.state.open.values()]
            self.program.meter.engine_begins(opened, self._first_of)
        self.program.pool.report_to(self.queue.post, Heartbeats(self.clock, self.router.post))
        for actor in (self.writer, self.router, self.queue, self.timer, *self.owners.values()):
            actor.begin()
        for owner in self.owners.values():
            if not owner.lane.attached:  # one that a save left at rest has nothing to look at
                owner.wake()

    def resident(self, kind: type[Any]) -> Any:
        """A resident state of whatever owner has it, speculation included; immutable, so any thread may look.

        Raises:
            LookupError: no owner has it.
        """
        owner = self._residents.get(kind)
        if owner is None:
            msg = f"No module of this system folds events into {kind.__name__}."
            raise LookupError(msg)
        return owner.state.resident(kind)

    def start_of(self, context: Context) -> StartQueue | None:
        """What the queue is to perform for an execution, by its owner's map; None when it is not open there, or no attempt of it is out."""
        owner = self.owners.get(context.owner)
        record = None if owner is None else owner.state.open.get(context.token)
        if record is None or record.status == "retrying":
            return None
        return start_queue(context, record.started, record.attempt, record.deadline_us, record)

    # Steps of the host, as messages: whatever else the actors have to do may come between them.

    def step_of(self, delta_us: int) -> Step:
        """A step that ends now."""
        return Step(delta_us=delta_us, now_us=self.clock.now_us(), look=self.resident)

    def post_ticks(self, step: Step) -> None:
        """Have all that takes ticks take one."""
        self.queue.post.tell(Tick(step))

    def post_turns(self, step: Step) -> None:
        """Have each owner that takes a turn in a step take it."""
        for owner in self.owners.values():
            if owner.acting.setting.behaviour.steps:
                owner.post.tell(StepTaken(step))

    def post_arbitration(self) -> None:
        """Have the lines decided on that are once a step."""
        self.queue.post.tell(Arbitrate())

    def mailbox(self, name: str) -> Mailbox:
        """An owner's mailbox, or the queue's by its own name."""
        return self.queue.post if name == QUEUE else self._posts[name]

    def _first_of(self, owner: str, aggregate_id: str) -> Recorded | None:
        """The first event of an owner's aggregate with that id."""
        found = (recorded for kind in sorted(self.program.ownership[owner]) for recorded in self.journal.stream(kind, aggregate_id))
        return next(found, None)

    def drain(self) -> None:
        """Start no calls and no retries from now on (P26)."""
        self.queue.draining = True
        self.timer.draining = True
        self.program.pool.drain()

    def catch_up(self) -> None:
        """Have every owner look at its lane: also those that nothing of late concerned, whose cursors stand where they last looked."""
        for owner in self.owners.values():
            owner.wake()

    def pressure(self) -> tuple[int, int]:
        """How many records are not yet durable, and how many positions the slowest owner is behind. Asked for every command."""
        tail = slowest = self.journal.tail
        for owner in self.owners.values():
            if owner.lane.awake and owner.state.seen < slowest:
                slowest = owner.state.seen
        return tail - self.journal.watermark, tail - slowest
