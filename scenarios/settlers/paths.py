"""Paths: the shortest way from tile to tile, as a string of moves such as "nneess". Pure: what is kept is kept for speed alone."""

from collections import deque
from functools import lru_cache
from typing import Final

from tallystick.scenarios.settlers.land import MOVES, Land, Tile

FAR: Final = 1 << 20
"""Farther than any tile can be."""
KEPT: Final = 20_000
"""How many ways, and fields of distances, are kept."""

Field = list[int]
"""For each tile, row by row, how far it is from one of them; FAR where no way leads."""


class Paths:
    """Finds ways across one land. Not thread-safe."""

    def __init__(self, land: Land) -> None:
        self._land = land
        self._width = land.side + 2  # with a rim, so that no move leaves the field
        self._moves = tuple((move, dx + dy * self._width) for move, (dx, dy) in MOVES.items())
        self._closed = self._rim() | {self._place(rock) for rock in land.rocks}
        self._field = lru_cache(KEPT)(lambda goal: self._flooded(goal, frozenset()))
        self._way = lru_cache(KEPT)(lambda start, goal: self._descent(start, self._field(goal)))
        self._round = lru_cache(KEPT // 100)(self._flooded)

    def distance(self, start: Tile, goal: Tile) -> int:
        """How many tiles it is, if none is blocked; FAR if no way leads there."""
        return self._field(self._place(goal))[self._place(start)]

    def way(self, start: Tile, goal: Tile, blocked: frozenset[Tile]) -> str | None:
        """The moves of a shortest way around what is blocked; None if no way leads there. Of several ways always the same one."""
        from_, to = self._place(start), self._place(goal)
        if self._field(to)[from_] >= FAR:
            return None
        way: str = self._way(from_, to)
        if not blocked or not self._meets(start, way, blocked):
            return way
        field = self._round(to, frozenset(map(self._place, blocked)))
        return self._descent(from_, field) if field[from_] < FAR else None

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
        """How far it is from each tile to the goal, breadth first. Whoever stands on a blocked tile can leave it; nobody steps on one."""
        field = [FAR] * (self._width * self._width)
        closed, steps = self._closed, tuple(step for _, step in self._moves)
        if goal in blocked:
            return field
        field[goal] = 0
        front = deque((goal,))
        while front:
            place = front.popleft()
            beyond = field[place] + 1
            for step in steps:
                there = place + step
                if field[there] > beyond and there not in closed:
                    field[there] = beyond
                    if there not in blocked:
                        front.append(there)
        return field

    def _descent(self, start: int, field: Field) -> str:
        way: list[str] = []
        place = start
        while field[place]:
            nearer = field[place] - 1
            move, step = next((move, step) for move, step in self._moves if field[place + step] == nearer)
            way.append(move)
            place += step
        return "".join(way)
