"""What is simulated: a program, what is asked of it, and what else must hold of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from tallystick.actors.admission import Limits
from tallystick.actors.system import System
from tallystick.domain.action import Performer
from tallystick.domain.command import Command
from tallystick.domain.line import Line
from tallystick.domain.module import Module
from tallystick.store.keys import KeyStore
from tallystick.testing.chance import Chance
from tallystick.testing.invariants import Invariant


class Wish(NamedTuple):
    """A command that somebody sends, so long after the beginning.

    With a key it is sent again until it is answered, through crashes and all, and its answer must always be the same. Without one it is
    sent again only where it is known that it was not carried out.
    """

    after: timedelta
    command: Command[Any]
    key: str | None = None


class SimulatedProgram:
    """A program to simulate. One is made for each run, so it may keep a world of its own: providers with their ledgers."""

    name: ClassVar[str] = ""
    limits: ClassVar[Limits] = Limits(commands=24)
    """Small, so that a flood of commands meets them."""
    step: ClassVar[timedelta] = timedelta()
    """How long a step of its host is; without one nobody drives its time."""
    faults_for: ClassVar[timedelta] = timedelta(minutes=20)
    """How much time passes, unless a simulation is told otherwise, before the world heals."""
    rests_within: ClassVar[timedelta] = timedelta()
    """How long after all faults it may take until nothing is left to happen, where that is more than the usual month."""
    steps_after_healing: ClassVar[timedelta] = timedelta()
    """How long the host goes on when all faults are over and what they broke is mended, so that it can be seen that everything goes on."""

    cannot_meet: ClassVar[frozenset[str]] = frozenset()
    """Faults, and paths of recovery, for which it has no opportunity; that none of them came up makes its runs no less worth."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance

    def modules(self) -> Sequence[Module]:
        """The modules; asked anew for each process."""
        raise NotImplementedError

    def newcomers(self) -> Sequence[Module]:
        """Modules that the first process lacks and all later ones have: new to a log that is there already (P3)."""
        return ()

    def lines(self) -> Sequence[Line]:
        """The lines that its intents stand in; asked anew for each process."""
        return ()

    def performers(self) -> Sequence[Performer]:
        """Who performs their actions; asked anew for each process. What they did must survive it, as that of a real provider does."""
        return ()

    def keys(self) -> KeyStore | None:
        """The keys of its sensitive values, if it has some: `SeededKeys()`, kept by the program as they survive its processes."""
        return None

    def deliver(self, system: System) -> None:
        """Let providers that said `Later` do so, and say so: `provider.deliver(system.complete)`. Called again when the system is down."""
        del system

    def stepped(self, system: System, now: datetime) -> None:
        """Look at it after a step, at that time, that nothing disturbed: there are no faults any more, and what they broke is mended.

        Raises:
            InvariantViolation: something does not hold between two steps.
        """
        del system, now

    def wishes(self) -> Iterable[Wish]:
        """What is asked of it, drawn from `chance`."""
        return ()

    def invariants(self) -> Sequence[Invariant]:
        """What must hold beyond what must hold of every program; new ones each time."""
        return ()
