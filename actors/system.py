"""The system: what a host holds in its hands, and the one place where everything is put together."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from tallystick.actors.actor import InTurn
from tallystick.actors.admission import Admission, Limits
from tallystick.actors.asking import with_sagas
from tallystick.actors.collector import not_looking
from tallystick.actors.composition import check_stepped, lines_by_name, owner_of_operations, owner_of_schedules
from tallystick.actors.counters import Counters
from tallystick.actors.engine import Program, command_owners, ownership
from tallystick.actors.landing import Landings
from tallystick.actors.lifecycle import Lifecycle
from tallystick.actors.operating import Operating
from tallystick.actors.performers.performer import PerformerPool
from tallystick.actors.privacy import KeepsPersonalData, vault_for
from tallystick.actors.reading import aggregate, correlation_of, following, matching
from tallystick.actors.replies import Resolver
from tallystick.actors.retaining import RetainsLog
from tallystick.actors.runtimes.dispatcher import DispatcherRuntime
from tallystick.actors.runtimes.runtime import Runtime, off_loop
from tallystick.actors.sagas import Sagas, StartsSagas
from tallystick.actors.saves.document import ANY_SAVES, SaveFormat
from tallystick.actors.saves.loading import Loaded
from tallystick.actors.saves.saving import write
from tallystick.actors.scheduling import HasSchedules
from tallystick.actors.sending import SendsCommands
from tallystick.actors.stepping import take_step
from tallystick.actors.supervision import RestartPolicy
from tallystick.domain.action import Performer
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import DefinitionError
from tallystick.domain.event import Aggregate, Resident
from tallystick.domain.line import Line
from tallystick.domain.module import Module
from tallystick.domain.privacy import Privacy
from tallystick.domain.sagas.saga import Saga
from tallystick.domain.schedules import takes_deliveries
from tallystick.domain.text import checked_text
from tallystick.store.codec import Codec
from tallystick.store.log import Beginner, EventLog, Query

if TYPE_CHECKING:
    from tallystick.actors.metering import Meter
    from tallystick.store.keys import KeyStore

G = TypeVar("G", bound=Aggregate)
Re = TypeVar("Re", bound=Resident)


class System(SendsCommands, Operating, StartsSagas, RetainsLog, HasSchedules, KeepsPersonalData):
    """Modules, sagas, performers and a log, running.

    A context manager, for `with` and `async with`: entering opens the log and recovers, leaving stops cleanly. All methods may be called
    from any thread (in the stepped runtime: from the one that drives it).
    """

    def __init__(  # noqa: PLR0913 - each has a default and is given by name
        self,
        modules: Sequence[Module] = (),
        *,
        sagas: Sequence[Saga[Any, Any]] = (),
        performers: Sequence[Performer] = (),
        lines: Sequence[Line] = (),
        log: str | PathLike[str] | EventLog | None = None,
        runtime: Runtime | None = None,
        limits: Limits | None = None,
        restarts: RestartPolicy | None = None,
        operations: bool = True,
        schedules: bool = True,
        performs: bool = True,
        meter: "Meter | None" = None,
        saves: SaveFormat = ANY_SAVES,
        keys: "KeyStore | None" = None,
    ) -> None:
        """Compose a system; nothing is opened or started yet. `log`: a path for SQLite, None for memory. `lines`: those that intents name.

        `operations`, `schedules`: whether it has an owner of these; without one a program may use that owner's names for its own.
        `performs=False` is for people's tools: modules decide and write, but no performer or probe is called and no time runs out. What is
        under way or begun meanwhile is taken up by the next system that opens the log, as after a crash. `meter` counts for the host.
        `keys` are those of sensitive values; where records declare some and none are given, they are kept beside the log.

        Raises:
            DefinitionError: modules, events, lines, performers and runtime do not fit together; the message names them and the mend.
        """
        modules, performers = with_sagas(modules, sagas, performers)
        own = (*((owner_of_operations(),) if operations else ()), *((owner_of_schedules(),) if schedules else ()))
        behaviours = [*map(Behaviour, modules), *own]
        opened_log = _opened_log(log)
        self._runtime: Runtime = runtime if runtime is not None else DispatcherRuntime()
        performers = (*performers, *(self._performers_of_operations() if operations else ()))
        self._pool = PerformerPool(performers, self._runtime.executor)
        self._vault = self._pool.sealer = vault_for(behaviours[: len(modules)], self._pool.performers, keys, opened_log)
        if self._vault is not None:
            behaviours.append(Behaviour(Privacy()))
        self._codec = Codec(behaviours, self._pool.performers, sealer=self._vault)
        self._behaviours = {behaviour.name: behaviour for behaviour in behaviours}
        self._our_owners = frozenset(behaviour.name for behaviour in behaviours[len(modules) :])
        self._counters = Counters()
        by_name = lines_by_name(lines, behaviours)
        check_stepped(self._runtime, behaviours, lines, self._pool)
        owned = ownership(behaviours)
        program = Program(behaviours, self._codec, self._pool, self._runtime, self._counters, owned, by_name, performs, meter, self._vault)
        self._program, self._saves = program, saves
        self._admission = Admission(limits or Limits())
        self._life = Lifecycle(program, opened_log, self._admission, restarts or RestartPolicy())
        self._pool.correlation_of = partial(correlation_of, self._life)
        self._resolver, self._landings = Resolver(), Landings()
        self.meter = meter
        self._sagas = Sagas(self, modules, self._runtime)
        self._handler_of = command_owners(behaviours)
        self._no_deliveries = frozenset(behaviour.name for behaviour in behaviours if not takes_deliveries(behaviour))

    # Life.

    def __enter__(self) -> Self:
        """Open the log, recover, run.

        Raises:
            LogLocked: another process writes it.
            UnreadableEvent: it holds what these modules cannot read.
            LogError: it cannot be opened.
        """
        self._life.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop: accepted commands run and are answered, nothing new begins, what is open stays open in the log."""
        self.stop()

    async def __aenter__(self) -> Self:
        """As `__enter__`, without holding up the event loop; in the stepped runtime, in the thread that drives it."""
        await off_loop(self._runtime, self._life.start)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """As `__exit__`, otherwise as `__aenter__`."""
        await off_loop(self._runtime, self.stop)

    def stop(self) -> None:
        """Stop; calling it again does nothing."""
        self._life.stop()
        self._resolver.stop()

    def step(self, delta: timedelta) -> None:
        """Let that much time pass, in the stepped runtime: for the loop of a game, or whatever else drives time itself.

        Timers that are due on the way fire; each ticker takes one tick; each module that has a method for it takes one turn; the lines
        that are decided on once a step are. When it returns, nothing is left to be done now, and all of it is durable.

        Raises:
            NotStepped: this system's time passes by itself.
            InvalidStep: that is no time that could pass.
            StepFailed: a module's `each_step` method raised; the rest of the step was taken.
            NotAccepted: the system does not run.
        """
        take_step(self._runtime, self._life, delta)

    # Saves.

    def save(self, path: str | PathLike[str]) -> None:
        """Write all that the system is made of to one file, in place of what stood there, durable when it returns; the system goes on.

        In the stepped runtime it runs until nothing is left to be done now, and what is loaded goes on exactly where this one stands.

        Raises:
            SaveError: it cannot be written; the file that stood there stands there still.
            NotAccepted, NotCommitted, CommitUnknown: the system does not run, or its log failed.
        """
        write(path, self._program, lambda: self._life.engine, self._in_turn, self._saves)

    def _in_turn(self, actor: str, look: Callable[[Any], Any]) -> Any:
        return self._wait(self._send(actor, lambda reply: InTurn(look, reply, self._life.engine.journal.gate)))

    @classmethod
    def load(  # noqa: PLR0913 - as for a new system
        cls,
        path: str | PathLike[str],
        modules: Sequence[Module] = (),
        *,
        sagas: Sequence[Saga[Any, Any]] = (),
        performers: Sequence[Performer] = (),
        lines: Sequence[Line] = (),
        log: str | PathLike[str] | EventLog | None = None,
        runtime: Runtime | None = None,
        limits: Limits | None = None,
        restarts: RestartPolicy | None = None,
        operations: bool = True,
        schedules: bool = True,
        performs: bool = True,
        meter: "Meter | None" = None,
        saves: SaveFormat = ANY_SAVES,
        keys: "KeyStore | None" = None,
    ) -> Self:
        """A system that goes on where another was saved; start it with `with`. The save is read whole and left alone.

        `log`: a path, or `SqliteLog(…)`, where there is none yet; from then on it is all that a system needs. None for a log in memory.

        Raises:
            SaveError: the file is no save, damaged, of a version that is not read, or does not fit these modules; nothing was made.
            LogError: there is a log already where one was to be made, or it cannot be written.
            DefinitionError: as for a new system; or `log` is one that cannot go on from a save.
        """
        with not_looking():
            loaded = Loaded(os.fspath(path), saves)
            system = cls(
                modules,
                sagas=sagas,
                performers=performers,
                lines=lines,
                log=loaded.log,
                runtime=runtime,
                limits=limits,
                restarts=restarts,
                operations=operations,
                schedules=schedules,
                performs=performs,
                meter=meter,
                saves=saves,
                keys=keys,
            )
            if keys is None and system._vault is not None:
                msg = (
                    "A save has no keys, and records of these modules have sensitive fields: give the keys that it was sealed with, keys=…."
                )
                raise DefinitionError(msg)
            durable = None if log is None else _log_that_begins(log)
            system._life.prepare(partial(loaded.check, begins=durable))
            system._life.take_up = loaded.take_up
            if durable is not None:
                system._life.move_to(durable)
        return system

    # Reading.

    def get(self, kind: type[G], key: str) -> G | None:
        """An aggregate as far as it is durable, folded from the log in the calling thread; None when it has no events."""
        checked_text("an aggregate's id", key)
        behaviour = next((b for b in self._behaviours.values() if kind in b.streams), None)
        if behaviour is None:
            msg = f"No module of this system folds events into {kind.__name__}."
            raise DefinitionError(msg)
        return cast("G | None", aggregate(self._life, behaviour, self._codec, kind, key))

    def resident(self, kind: type[Re]) -> Re:
        """A resident state of whatever module has it, as it is now, given out when it is durable."""
        owner = next((b.name for b in self._behaviours.values() if kind in b.residents), None)
        if owner is None:
            msg = f"No module of this system folds events into {kind.__name__}."
            raise DefinitionError(msg)
        return cast("Re", self._in_turn(owner, lambda actor: actor.state.residents[kind]))

    def events(self, **filters: Any) -> Iterator[Recorded]:
        """Durable records by the fields of `Query`: `events(aggregate_id=…)`, `events(event_types=("OrderPlaced",), newest_first=True)`."""
        return matching(self._life, Query(**filters))

    def subscribe(self, after: int = 0, *, event_types: Collection[str] = ()) -> Iterator[Recorded]:
        """Durable records after a position, and then each further one as it becomes durable; of these types, or of all.

        Goes on when the engine was rebuilt. Ends when the system stops; in the stepped runtime, when there is nothing further by now.
        """
        return following(self._life, after, event_types, waits=not self._runtime.inline)


def _log_that_begins(log: str | PathLike[str] | EventLog) -> Beginner:
    found = _opened_log(log)
    if not hasattr(found, "begin"):
        msg = f"{type(found).__name__} cannot go on from a save; give a path, SqliteLog(…), or None for a log in memory."
        raise DefinitionError(msg)
    return cast("Beginner", found)


def _opened_log(log: str | PathLike[str] | EventLog | None) -> EventLog:
    """The log that `System(log=…)` means; drivers are imported when they are needed."""
    if log is None:
        from tallystick.store.memory import MemoryLog  # noqa: PLC0415

        return MemoryLog()
    if isinstance(log, str | PathLike):
        if not os.fspath(log):
            msg = "log is an empty path; give the path of a file, or None for a log in memory."
            raise DefinitionError(msg)
        from tallystick.store.sqlite.log import SqliteLog  # noqa: PLC0415

        return SqliteLog(log)
    if not hasattr(log, "write"):
        msg = f"log is {log!r}; give a path, a log such as SqliteLog(…), or None for one in memory."
        raise DefinitionError(msg)
    return log
