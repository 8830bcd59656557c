"""Faults by name: how likely each is at each of its opportunities, which were injected, and how often. What a fault does is elsewhere.

An opportunity is counted for each kind on its own, so that "the third failed commit" means the same in a repetition of a run, and in one
from which other faults were left out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from tallystick.actors.recovery import PATHS
from tallystick.actors.system import System
from tallystick.domain.errors import TallystickError
from tallystick.testing.chance import Chance

KINDS: Final[Mapping[str, float]] = {
    # The process dies; what was not durable is lost.
    "crash.step": 0.001,  # between two turns
    "crash.append": 0.0015,  # in the middle of a turn, while it appends
    "crash.commit": 0.01,  # before a batch is written
    "crash.durable": 0.01,  # after it is written, before anybody hears of it
    "crash.release": 0.006,  # in the middle of what a commit lets out
    "crash.recovery": 0.01,  # while a log is opened and folded
    "crash.again": 0.25,  # a few turns after it was opened again
    "restart": 0.0007,  # a clean stop in the middle of work
    # The disk.
    "failed_commit.unwritten": 0.01,
    "failed_commit.written": 0.01,  # it is there, and was reported as failed
    "disk_full": 0.004,  # and stays so for a while
    "slow_commit": 0.03,
    "io_error.write": 0.0012,  # of SQLite's files; once, or for a while
    "io_error.sync": 0.003,  # what it should have made durable is lost
    # The machine: what was not synced is gone, or not, in pieces of a sector.
    "power_loss.step": 0.0025,  # between two turns
    "power_loss.commit": 0.012,  # in the middle of writing a batch
    "power_loss.recovery": 0.02,  # while a log is opened, or written for the first time since
    "torn_tail": 0.012,  # of all that was written the last piece is torn
    # Snapshots, once they are kept.
    "damaged_snapshot.flipped": 0.06,
    "damaged_snapshot.vanished": 0.06,
    "damaged_snapshot.older": 0.2,  # than it says
    # Other processes on the same log.
    "rival": 0.0012,  # one more tries to open it
    "paused_writer": 0.004,  # this one stands still while another one takes it over, and then writes
    # Time: the wall clock is elsewhere when the log is opened again.
    "clock_jump.forward": 0.0004,
    "clock_jump.back": 0.0004,
    # Answers on their way.
    "duplicated": 0.08,
    "reordered": 0.08,
    "dropped": 0.04,
    "late": 0.05,
    "misaddressed": 0.05,
    # Performers.
    "hung": 0.04,
    "failing": 0.1,
    "failing_after_effect": 0.06,
    "probe_unknown": 0.0015,  # the process dies, and then nobody can tell whether its calls had their effects
    # Handlers.
    "raising": 0.01,
    "poison": 0.004,  # for ever, until it is mended
    # The host.
    "flood": 0.005,  # whenever nothing is left to do at the moment
}
"""Every kind, and how likely it is at each opportunity unless said otherwise. A group is what stands before the dot."""

TAKE_SQLITE: Final = frozenset(
    kind for kind in KINDS if kind.partition(".")[0] in ("io_error", "power_loss", "torn_tail", "rival") or kind == "damaged_snapshot.older"
)
"""What can only happen to a log in files, on a disk, with a lock."""
TAKE_MEMORY: Final = frozenset(kind for kind in KINDS if kind.startswith("failed_commit."))
"""What stands for the errors of a disk where there is none."""

LogKind = Literal["memory", "sqlite"]

FAR: Final = 1_000_000
"""How many opportunities are passed over at once where none of them ever brings a fault."""

GROUPS: Final[tuple[str, ...]] = tuple(dict.fromkeys(kind.partition(".")[0] for kind in KINDS))


class UnknownFault(TallystickError, ValueError):
    """There is no fault of that name."""


class NeverHit(TallystickError):
    """A fault that was enabled was never injected, so that the runs say nothing about it: run more seeds, or make it likelier."""


class Hit(NamedTuple):
    """One injected fault: its kind, and at which of that kind's opportunities, from 1."""

    kind: str
    opportunity: int


def probabilities(faults: str | Iterable[str] | Mapping[str, float]) -> dict[str, float]:
    """How likely each enabled kind is.

    `faults`: "all", "none", names of kinds or groups (in a row, or in one string with commas), or a mapping from them to probabilities.

    Raises:
        UnknownFault: a name is none of a fault.
    """
    if isinstance(faults, str):
        faults = {"all": GROUPS, "none": (), "": ()}.get(faults, [name.strip() for name in faults.split(",")])
    given = faults if isinstance(faults, Mapping) else dict.fromkeys(faults)
    enabled: dict[str, float] = {}
    for name, probability in given.items():
        kinds = [kind for kind in KINDS if name in (kind, kind.partition(".")[0])]
        if not kinds:
            msg = f"There is no fault {name!r}; there are {', '.join(GROUPS)}, and all or none of them."
            raise UnknownFault(msg)
        for kind in kinds:
            enabled[kind] = KINDS[kind] if probability is None else probability
    return enabled


def possible(enabled: Mapping[str, float], log: LogKind) -> dict[str, float]:
    """Those that can happen to such a log."""
    others = TAKE_SQLITE if log == "memory" else TAKE_MEMORY
    return {kind: probability for kind, probability in enabled.items() if kind not in others}


class Injector:
    """Decides at each opportunity whether a fault happens: drawn from the seed, or as written down in an earlier run.

    How far it is to the next hit is drawn ahead, so that an opportunity without one costs a comparison.
    """

    def __init__(self, enabled: Mapping[str, float], chance: Chance, script: Iterable[Hit] | None = None) -> None:
        self.chance = chance
        self.enabled = dict(enabled)
        self.hits: list[Hit] = []
        self._asked = dict.fromkeys(KINDS, 0)
        self._script: dict[str, list[int]] | None = None
        if script is not None:
            self._script = {kind: [] for kind in KINDS}
            for kind, opportunity in sorted(script, reverse=True):
                self._script[kind].append(opportunity)
        self._next = dict.fromkeys(KINDS, 0)
        for kind in KINDS:
            self._draw(kind)
        self._active = any(self._next.values())

    @property
    def active(self) -> bool:
        """Whether any fault can still happen, as far as that is known without looking at each."""
        return self._active

    @property
    def counts(self) -> Counter[str]:
        """How often each kind was injected."""
        return Counter(hit.kind for hit in self.hits)

    def happens(self, kind: str) -> bool:
        """One more opportunity for a fault of that kind: whether it happens."""
        if not self._active:
            return False
        asked = self._asked[kind] = self._asked[kind] + 1
        if asked != self._next[kind]:
            return False
        self.hits.append(Hit(kind, asked))
        self._draw(kind)
        return True

    def skip(self, kinds: Sequence[str]) -> int:
        """Pass over as many opportunities of each of these kinds as bring none of them; how many that were."""
        left = min((self._next[kind] - self._asked[kind] for kind in kinds if self._next[kind]), default=FAR) - 1
        for kind in kinds:
            self._asked[kind] += left
        return left

    def detail(self, kind: str) -> float:
        """A draw in [0, 1) about the last fault of that kind: for how long, how many, which."""
        return self.chance.at("fault", kind, self._asked[kind])

    def stop(self) -> None:
        """No fault happens any more: the world heals."""
        self._active = False
        self._next = dict.fromkeys(KINDS, 0)

    def _draw(self, kind: str) -> None:
        if self._script is not None:
            row = self._script[kind]
            self._next[kind] = row.pop() if row else 0
            return
        probability = self.enabled.get(kind, 0.0)
        if probability <= 0.0:
            self._next[kind] = 0
            return
        asked = self._asked[kind]
        if probability >= 1.0:
            self._next[kind] = asked + 1
            return
        draw = self.chance.at("next", kind, asked)
        self._next[kind] = asked + 1 + int(math.log(1.0 - draw) / math.log(1.0 - probability))


RECOVERY_PATHS: Final = PATHS
"""The ways that a recovery may take. Runs over some hundreds of seeds with all faults must have taken each."""


def check_all_hit(enabled: Iterable[str], counts: Mapping[str, int]) -> None:
    """Check that the runs that were counted prove something about each enabled kind, or about each path of recovery (`RECOVERY_PATHS`).

    Raises:
        NeverHit: they do not, for these.
    """
    missed = sorted(kind for kind in enabled if not counts.get(kind))
    if missed:
        msg = f"Enabled, and never hit: {', '.join(missed)}. Run more seeds, or make these likelier."
        raise NeverHit(msg)


def recovered(system: System | None) -> Counter[str]:
    """How often a system has taken each path of recovery, its rebuilds included."""
    counters = {} if system is None else system.health().counters
    return Counter({path: counters.get(f"recovery.{path}", 0) for path in PATHS})
