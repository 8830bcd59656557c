"""Relief: what settlers do about their needs, how long it takes and how much it helps."""

from enum import StrEnum
from typing import Final

from tallystick.scenarios.settlers.levels import FULL, SECOND_US, Need


class Relief(StrEnum):
    """What can be done about a need."""

    MEAL = "meal"
    RATION = "ration"
    BED = "bed"
    NAP = "nap"


PROPERLY: Final = {Need.HUNGER: Relief.MEAL, Need.FATIGUE: Relief.BED}
"""What a settler does who has time to go where it can be done."""
ON_THE_SPOT: Final = {Need.HUNGER: Relief.RATION, Need.FATIGUE: Relief.NAP}
"""What it does in the midst of something else: eat out of its pouch, sleep where it stands."""
HELPS: Final = {Relief.MEAL: FULL, Relief.RATION: 200, Relief.BED: FULL, Relief.NAP: 200}
"""By how many points the need falls."""
LASTS_US: Final = {
    Relief.MEAL: 8 * SECOND_US,
    Relief.RATION: 3 * SECOND_US,
    Relief.BED: 30 * SECOND_US,
    Relief.NAP: 10 * SECOND_US,
}
PORTIONS: Final = 2
"""How many rations a pouch holds; it is filled with each meal."""
