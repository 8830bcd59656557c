"""How a simulation is to run: what may go wrong, for how long, on which log, and what of an earlier run is to happen again."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypedDict

from tallystick.testing.chance import Chance
from tallystick.testing.faults import TAKE_MEMORY, TAKE_SQLITE, Hit, LogKind
from tallystick.testing.strategies import Name, Strategy

Faults = str | Iterable[str] | Mapping[str, float]

ON_SQLITE: Final = 1 / 6
"""The share of the seeds that run on SQLite, where some of the enabled faults take SQLite and some a log in memory."""


class Script(NamedTuple):
    """What of an earlier run is to happen again: which wishes, by number, and which faults."""

    wishes: frozenset[int]
    faults: tuple[Hit, ...]


class Options(TypedDict, total=False):
    """What a simulation is told; all may be left out.

    `faults` is as for `probabilities`, all of them else. `minutes` of virtual time pass before the world heals, its program's `faults_for`
    else. `strategy` says whose turn it is, `log` on what it runs: the seed does else, of the logs that the faults allow. With a `script`
    the wishes and faults are those of an earlier run of the same seed instead of drawn ones; with `tells` the result has the story.
    """

    faults: Faults
    strategy: Name | Strategy
    minutes: float
    script: Script | None
    tells: bool
    log: LogKind


def log_for(enabled: Mapping[str, float], chance: Chance) -> LogKind:
    """On which log a seed runs: SQLite is for the faults that take it, since memory is quicker."""
    if not TAKE_SQLITE & enabled.keys():
        return "memory"
    return "sqlite" if not TAKE_MEMORY & enabled.keys() or chance.at("log") < ON_SQLITE else "memory"


def strategy_for(chance: Chance) -> Name:
    """Whose turn it is, if the seed is to say."""
    return "uniform" if chance.at("strategy") < 0.5 else "priorities"  # noqa: PLR2004 - a coin
