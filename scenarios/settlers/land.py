"""The land: a grid of tiles with rocks, and the places where settlers find what they want. Made from a seed, and never changed.

What does change, such as tiles that are blocked for a while or how much wood a tree has, is folded from its owner's events instead.
"""

from collections import deque
from collections.abc import Iterator
from math import isqrt
from typing import Final, NamedTuple

from tallystick.scenarios.settlers.lots import Lots

ROCKS_PERCENT: Final = 8


class Tile(NamedTuple):
    """A place, in tiles from the north-west corner."""

    x: int
    y: int


MOVES: Final = {"n": (0, -1), "e": (1, 0), "s": (0, 1), "w": (-1, 0)}
"""The ways from one tile to the next."""


class Land(NamedTuple):
    """Where everything stands. A tree, a bush and so on is known by its number: its place in the tuple. All of them can be reached."""

    seed: int
    side: int
    rocks: frozenset[Tile]
    stockpile: Tile
    trees: tuple[Tile, ...]
    houses: tuple[Tile, ...]
    bushes: tuple[Tile, ...]
    beds: tuple[Tile, ...]

    @classmethod
    def generated(cls, seed: int, settlers: int) -> "Land":
        """A land for so many settlers."""
        lots = Lots(seed)
        side = 24 + 2 * isqrt(settlers)
        stockpile = Tile(side // 2, side // 2)
        rocks = frozenset(
            tile for y in range(side) for x in range(side) if lots.below(100) < ROCKS_PERCENT and (tile := Tile(x, y)) != stockpile
        )
        free = sorted(reachable(stockpile, side, rocks) - {stockpile})
        trees = _taken(free, 12 + settlers // 16, lots)
        houses = _taken(free, 4 + settlers // 25, lots)
        bushes = _taken(free, 3 + settlers // 40, lots)
        beds = _taken(free, 3 + settlers // 40, lots)
        return cls(seed, side, rocks, stockpile, trees, houses, bushes, beds)

    def is_open(self, tile: Tile) -> bool:
        """Whether somebody can stand there, as far as the land goes."""
        return 0 <= tile.x < self.side and 0 <= tile.y < self.side and tile not in self.rocks


def neighbours(tile: Tile) -> Iterator[tuple[str, Tile]]:
    """The moves from a tile, and where they lead."""
    for move, (dx, dy) in MOVES.items():
        yield move, Tile(tile.x + dx, tile.y + dy)


def reachable(start: Tile, side: int, rocks: frozenset[Tile]) -> set[Tile]:
    """All tiles that can be walked to."""
    found = {start}
    front = deque(found)
    while front:
        for _, tile in neighbours(front.popleft()):
            if tile not in found and tile not in rocks and 0 <= tile.x < side and 0 <= tile.y < side:
                found.add(tile)
                front.append(tile)
    return found


def _taken(free: list[Tile], count: int, lots: Lots) -> tuple[Tile, ...]:
    """So many tiles out of those that are free, each once."""
    return tuple(free.pop(lots.below(len(free))) for _ in range(count))
