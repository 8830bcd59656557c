"""Fate: what befalls a colony from outside, and what its player wants, by the second. All of it follows from the land's seed."""

from collections.abc import Iterator
from typing import Final

import tallystick as ts
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.lots import Lots
from tallystick.scenarios.settlers.navigation import Arrive, BlockTile, ClearTile, SendTo
from tallystick.scenarios.settlers.work import FellTree

ROCKFALL_EVERY_S: Final = 30
ROCKFALL_LASTS_S: Final = 20
ROCKFALL_TILES: Final = 3
NEAR: Final = 6
"""So near to the stockpile rocks fall, where most ways lead."""
LIGHTNING_EVERY_S: Final = 100
ERRAND_EVERY_S: Final = 45


def settler_name(number: int) -> str:
    """Names stand in the order of their numbers."""
    return f"settler-{number:05}"


def arrivals(land: Land, settlers: int) -> Iterator[Arrive]:
    """So many settlers at the stockpile, none of them as hungry and tired as the next."""
    lots = Lots(land.seed + 1)
    for number in range(1, settlers + 1):
        yield Arrive(settler=settler_name(number), at=land.stockpile, hunger=lots.below(650), fatigue=lots.below(780))


def befalls(land: Land, settlers: int, second: int) -> Iterator[ts.Command[None]]:
    """What happens at the beginning of that second."""
    if second and second % ROCKFALL_EVERY_S == 0:
        for tile in _rockfall(land, second):
            yield BlockTile(tile=tile)
    if second > ROCKFALL_LASTS_S and (second - ROCKFALL_LASTS_S) % ROCKFALL_EVERY_S == 0:
        for tile in _rockfall(land, second - ROCKFALL_LASTS_S):
            yield ClearTile(tile=tile)
    lots = Lots(land.seed * 1_000_003 + second)
    if second and second % LIGHTNING_EVERY_S == 0:
        yield FellTree(tree=lots.below(len(land.trees)))
    if second and second % ERRAND_EVERY_S == 0:
        yield SendTo(settler=settler_name(1 + lots.below(settlers)), to=land.beds[lots.below(len(land.beds))])


def _rockfall(land: Land, second: int) -> tuple[Tile, ...]:
    lots = Lots(land.seed * 7_919 + second)
    tiles = (Tile(*(place - NEAR + lots.below(2 * NEAR + 1) for place in land.stockpile)) for _ in range(ROCKFALL_TILES))
    return tuple(dict.fromkeys(tile for tile in tiles if tile != land.stockpile and land.is_open(tile)))
