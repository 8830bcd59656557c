"""Loading: a new engine goes on where a save was made. Nothing of it is in the outside world, and nothing is written by it."""

from tallystick.actors.clock import ManualClock, SeededIdentity
from tallystick.actors.collector import not_looking
from tallystick.actors.engine import Engine, Program
from tallystick.actors.messages import Context
from tallystick.actors.owner import saved_states
from tallystick.actors.owner.state import started_at
from tallystick.actors.queue.queue import OWN_LINE
from tallystick.actors.recovery import Recovered, folded, go_on
from tallystick.actors.saves.document import Document, SavedOwner, SaveFormat, decoded, log_of
from tallystick.actors.saves.stale_queues import without_stale
from tallystick.actors.telling import note, warn
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.errors import SaveMismatch, TallystickError
from tallystick.domain.line import Line
from tallystick.domain.parking import Source
from tallystick.domain.token import Token
from tallystick.store.log import Beginner, Query, StreamStart
from tallystick.store.memory import MemoryLog
from tallystick.store.save_file import read_save


class Loaded:
    """A save that was read: the log that it goes on with, and how an engine takes it up."""

    def __init__(self, path: str, saves: SaveFormat) -> None:
        """Read and check the file.

        Raises:
            SaveError: it cannot be read, is damaged, or is of a version that is not read.
        """
        self._path = path
        self._document = decoded(read_save(path), saves, path)
        self._folded = 0
        self._engine: Engine | None = None
        self.log: MemoryLog = log_of(self._document, path)
        """A new log that goes on where the saved one stood."""

    def check(self, engine: Engine, begins: Beginner | None = None) -> None:
        """Bring a new engine's state to where the save was made, as far as that runs nothing, and so find out whether its program fits.

        Queues whose executions no owner knows of any more are told of, and left out. `take_up` goes on with that engine, or with another
        one on `begins`, a log that has nothing yet: if all fits, that goes on where the saved one stood, too.

        Raises:
            SaveMismatch: it is of other modules, or of other forms of what they keep.
            LogError, LogLocked: as `Beginner.begin`.
        """
        try:
            self._check(engine)
        except (TallystickError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            msg = f"{self._path!r} does not fit this program: {error} Nothing was changed."
            raise SaveMismatch(msg) from error
        if begins is not None:
            self._begin(begins)

    def _check(self, engine: Engine) -> None:
        document, program = self._document, engine.program
        lacking = sorted(set(document.owners) - set(engine.owners))
        if lacking:
            msg = f"it has owners that the program lacks ({', '.join(lacking)}); add their modules, or rename them back."
            raise SaveMismatch(msg)
        unknown = sorted({line.line for line in document.queues.lines} - {"", *program.lines})
        if unknown:
            msg = f"it has queues in lines that the program lacks ({', '.join(unknown)})."
            raise SaveMismatch(msg)
        for name, saved in document.owners.items():
            _check_aggregates(name, saved, engine.behaviour(name))
        stale = self._bring(engine)
        if stale:
            program.counters.count("stale_queue_tokens", len(stale))
            warn("save.stale_tokens", save=self._path, count=len(stale), first=[(each.owner, each.token) for each in stale[:10]])

    def _bring(self, engine: Engine) -> tuple[Context, ...]:
        """Have everything in an engine's memory as it was; whose queues were left out."""
        document, program = self._document, engine.program
        self._engine, self._folded = engine, folded(engine)
        queues, stale = without_stale(document.queues, lambda line: _line(program, line.line), engine.start_of)
        if document.at_rest:
            engine.queue.restore(queues)
        _restore_chance(document, engine)
        return stale

    def _begin(self, log: Beginner) -> None:
        beginning = self.log.beginning
        if beginning is not None:
            records = list(self.log.read(Query(after=beginning.head.position)))
            log.begin(self.log.identity, beginning, records, epochs=self._document.log.epoch - 1)

    def take_up(self, engine: Engine) -> Recovered:
        """Have an engine go on where the save was made; before its actors run, by one thread."""
        document = self._document
        if engine is not self._engine:
            with not_looking():
                self._bring(engine)
        if isinstance(engine.clock, ManualClock):
            engine.clock.advance_to_us(max(document.now_us, engine.clock.now_us()))
        if not document.at_rest:
            return go_on(engine, self._folded)
        with not_looking():
            return _resume(document, engine, self._folded)


def _line(program: Program, name: str) -> Line:
    return program.lines[name] if name else OWN_LINE


def _check_aggregates(name: str, saved: SavedOwner, behaviour: Behaviour) -> None:
    folds = {kind.__name__: aggregate_type for kind, aggregate_type in behaviour.streams.items()}
    if folds != saved.folds:
        msg = f"{name} had aggregates {saved.folds}, and has {folds} in this program."
        raise SaveMismatch(msg)
    for aggregate_type, aggregates in saved.aggregates.items():
        for each in aggregates:
            try:
                started_at(StreamStart(each.version, each.states), behaviour)
            except saved_states.UNFIT as error:
                msg = f"{aggregate_type} {each.aggregate_id!r} of {name} has another form ({error})."
                raise SaveMismatch(msg) from error


def _restore_chance(document: Document, engine: Engine) -> None:
    if document.random is not None and isinstance(engine.identity, SeededIdentity):
        engine.identity.restore(document.random)


def _resume(document: Document, engine: Engine, records: int) -> Recovered:
    """Everything goes on where it stood, the queues already do: cursors where they were, timers in the order in which they were set."""
    for name, owner in engine.owners.items():
        owner.listen()
        saved = document.owners.get(name)
        if saved is not None:
            owner.stand_at(saved.seen, saved.logged_seen, silent=saved.silent)
        elif owner.joins_when_used:
            owner.state.seen = engine.journal.tail
        else:
            owner.join(engine.journal.tail)
    engine.journal.next_nudge = document.log.next_nudge
    _arm(document, engine)
    _start_the_others(engine)
    engine.journal.commit()
    found = Recovered(records, sum(len(owner.state.open) for owner in engine.owners.values()), 0)
    note("system.loaded", log=engine.log.identity, epoch=engine.log.epoch, tail=engine.journal.tail, **found._asdict())
    return found


def _arm(document: Document, engine: Engine) -> None:
    """Arm what was armed, in order; then what else is due by now, which a migration may have brought."""
    for owner_name, *key in document.timers:
        owner = engine.owners.get(owner_name)
        if owner is None:
            continue
        if len(key) == 1:
            owner.acting.arm(Token(key[0]))
        else:
            owner.acting.arm_parked(Source(*key))
    armed = set(engine.timer.deadlines.keys())
    for owner in engine.owners.values():
        for token in owner.state.open:
            if Context(owner.name, token) not in armed:
                owner.acting.arm(token)
        for source in owner.state.parking:
            if (owner.name, source) not in armed:
                owner.acting.arm_parked(source)


def _start_the_others(engine: Engine) -> None:
    """What is to be performed and stands in no queue: a migration may leave it so. Nothing was out, so it begins."""
    for owner in engine.owners.values():
        for record in owner.state.open.values():
            running = record.status == "running" and record.started.performs and owner.settling.undecided(record.token)
            if running and not engine.queue.holds(record.token):
                engine.journal.gate(owner.acting.start_of(record, record.attempt, record.deadline_us, admitted=True))
