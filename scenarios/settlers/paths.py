"""Paths: the shortest way from tile to tile, as a string of moves such as "nneess". Pure: what is kept is kept for speed alone."""

from functools import lru_cache
from typing import Final

from tallystick.scenarios.settlers.land import MOVES, Land, Tile

FAR: Final = 1 << 20
"""Farther than any tile can be."""
CLOSED: Final = FAR + 1
"""What stands in a field where nobody can step."""
KEPT: Final = 20_000
"""How many ways are kept, and fields of distances across the bare land."""
KEPT_AROUND: Final = 40
"""How many fields around what is blocked are kept: it is blocked for a short time, and a field takes as much memory as the land."""

Field = list[int]
"""For each tile, row by row, how far it is from one of them; FAR where no way leads, CLOSED where nobody can step."""


class Paths:
    """Finds ways across one land. Not thread-safe."""

    def __init__(self, land: Land) -> None:
        self._land = land
        self._width = land.side + 2  # with a rim, so that no move leaves the field
        self._moves = tuple((move, dx + dy * self._width) for move, (dx, dy) in MOVES.items())
        self._bare = [FAR] * (self._width * self._width)
        for place in self._rim() | {self._place(rock) for rock in land.rocks}:
            self._bare[place] = CLOSED
        self._field = lru_cache(KEPT)(lambda goal: self._flooded(goal, frozenset()))
        self._way = lru_cache(KEPT)(lambda start, goal: self._descent(start, self._field(goal)))
        self._round = lru_cache(KEPT_AROUND)(self._flooded)

    def distance(self, start: Tile, goal: Tile) -> int:
        """How many tiles it is, if none is blocked; FAR if no way leads there."""
        return self._field(self._place(goal))[self._place(start)]

    def way(self, start: Tile, goal: Tile, blocked: frozenset[Tile]) -> str | None:
        """The moves of a shortest way around what is blocked; None if no way leads there. Of several ways always the same one."""
        from_, to = self._place(start), self._place(goal)
        way: str | None = self._way(from_, to)
        if way is None or not blocked or not self._meets(start, way, blocked):
            return way
        return self._descent(from_, self._round(to, frozenset(map(self._place, blocked))))

    def _meets(self, start: Tile, way: str, blocked: frozenset[Tile]) -> bool:
        x, y = start
        for move in way:
            dx, dy = MOVES[move]
            x, y = x + dx, y + dy
            if (x, y) in blocked:
                return True
        return False

    def _place(self, tile: Tile) -> int:
        return (tile.y + 1) * self._width + tile.x + 1

    def _rim(self) -> frozenset[int]:
        width = self._width
        last = width * (width - 1)
        edges = (range(width), range(last, last + width), range(0, last + 1, width), range(width - 1, last + width, width))
        return frozenset(place for edge in edges for place in edge)

    def _flooded(self, goal: int, blocked: frozenset[int]) -> Field:
        """How far it is from each tile to the goal, breadth first. What is blocked stays closed."""
        field, steps = self._bare.copy(), tuple(step for _, step in self._moves)
        for place in blocked:
            field[place] = CLOSED
        if goal in blocked:
            return field
        field[goal] = distance = 0
        front = [goal]
        while front:
            distance += 1
            beyond: list[int] = []
            for place in front:
                for step in steps:
                    there = place + step
                    if field[there] == FAR:
                        field[there] = distance
                        beyond.append(there)
            front = beyond
        return field

    def _descent(self, start: int, field: Field) -> str | None:
        """The moves to where the field is nought. Only the first step may be from a tile that is closed."""
        way: list[str] = []
        place = start
        while field[place]:
            nearer = field[place] - 1 if field[place] < FAR else min(field[place + step] for _, step in self._moves)
            if nearer >= FAR:
                return None
            move, step = next((move, step) for move, step in self._moves if field[place + step] == nearer)
            way.append(move)
            place += step
        return "".join(way)
