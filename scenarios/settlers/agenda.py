"""An agenda: when each settler is to be looked at again, so that a step looks at those who are due and at nobody else."""

from bisect import bisect_left, insort
from typing import Final

from pyrsistent import PMap, pmap

import tallystick as ts

EVER_US: Final = 1 << 62


class Agenda(ts.Record):
    """Settlers by the time at which they are due; a settler stands on it once, or not at all.

    The entries are kept in order, so that who is due is read off their beginning. To enter somebody copies them, which is a copy of
    pointers: two microseconds for a thousand settlers.
    """

    times: PMap[str, int] = pmap()
    entries: tuple[tuple[int, str], ...] = ()

    def __contains__(self, settler: object) -> bool:
        """Whether a settler stands on it."""
        return settler in self.times

    def with_(self, settler: str, due_us: int) -> "Agenda":
        """Entered for that time, and no longer for another one."""
        entries = self._without(settler)
        insort(entries, (due_us, settler))
        return Agenda(times=self.times.set(settler, due_us), entries=tuple(entries))

    def without(self, settler: str) -> "Agenda":
        """Struck off."""
        if settler not in self.times:
            return self
        return Agenda(times=self.times.remove(settler), entries=tuple(self._without(settler)))

    def due(self, now_us: int, longest_us: int = EVER_US) -> list[str]:
        """Who is due by now: the longest due first, and by name where that is the same.

        Nobody is ever entered for longer than `longest_us` from then: whoever is farther away was entered before the host's clock was put
        back, and is due too.
        """
        entries = self.entries
        if not entries or (entries[0][0] > now_us and entries[-1][0] <= now_us + longest_us):
            return []
        due, astray = bisect_left(entries, (now_us + 1, "")), bisect_left(entries, (now_us + longest_us + 1, ""))
        return [settler for _, settler in (*entries[:due], *entries[astray:])]

    def is_due(self, settler: str, now_us: int) -> bool:
        """Whether that settler is."""
        return self.times.get(settler, now_us + 1) <= now_us

    def _without(self, settler: str) -> list[tuple[int, str]]:
        entries = list(self.entries)
        due_us = self.times.get(settler)
        if due_us is not None:
            del entries[bisect_left(entries, (due_us, settler))]
        return entries
