"""The colony put together: its owners, its line, and what takes the ticks. The one place that knows all three owners."""

from typing import Final

import tallystick as ts
from tallystick.scenarios.settlers.actions import Build, Fell, Relieve, Walk, performers
from tallystick.scenarios.settlers.land import Land
from tallystick.scenarios.settlers.line import SETTLERS
from tallystick.scenarios.settlers.navigation import NavigationManager
from tallystick.scenarios.settlers.needs import NeedsManager
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.work import WorkManager

ACTIONS: Final = (Walk, Fell, Build, Relieve)
LINES: Final = (SETTLERS,)

__all__ = ["ACTIONS", "LINES", "modules", "performers"]


def modules(land: Land, paths: Paths | None = None) -> tuple[ts.Module, ...]:
    """The three owners, in the order in which they take their turns of a step: work comes last, and sees what the others have decided."""
    paths = paths or Paths(land)
    return (NeedsManager(land, paths), NavigationManager(land, paths), WorkManager(land, paths))
