"""The one line that all owners' intents stand in, settler by settler: in each step one of them at most gets the settler."""

from typing import Final

import tallystick as ts
from tallystick.scenarios.settlers.roster import Roster

NEEDS: Final = "needs"
NAVIGATION: Final = "navigation"
WORK: Final = "work"
BEHAVIOUR: Final = "behaviour"

SETTLERS: Final = ts.Line(
    "settlers",
    waiting=0,  # whoever does not get the settler is told at once, and decides anew: by then it stands somewhere else
    arbitration="each_step",
    origins=(NEEDS, NAVIGATION, WORK, BEHAVIOUR),
    subjects=Roster,
)
