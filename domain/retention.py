"""Retention: how long closed work stays in the live log before it is archived. Not where it goes then: it can be read as before."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from tallystick.domain.envelope import MICROSECOND, Settles
from tallystick.domain.errors import DefinitionError
from tallystick.domain.record import Record

DEFAULT_KEEP: Final = timedelta(days=30)


class Retention(Record, frozen=True):
    """A policy: what has been closed for longer than this may leave the live log.

    Work is all that has one correlation, and is closed when everything that was begun in it has ended. It stays for `keep` after its last
    record; longer where `by_status` says so for one of its ends (`{"failed": timedelta(days=90)}`), or `by_type` for one of the
    aggregate types in it.

    Raises:
        DefinitionError: a time is negative.
    """

    keep: timedelta = DEFAULT_KEEP
    by_status: Mapping[Settles, timedelta] = {}
    by_type: Mapping[str, timedelta] = {}

    def __post_init__(self) -> None:
        """Refuse what would archive work before it is closed."""
        for time in (self.keep, *self.by_status.values(), *self.by_type.values()):
            if time < timedelta():
                msg = f"Closed work cannot be kept for {time}; give a time that is not negative."
                raise DefinitionError(msg)

    def kept_for_us(self, statuses: Iterable[Settles], aggregate_types: Iterable[str]) -> int:
        """How long after its last record work of these ends and types stays; microseconds."""
        times = [self.by_status.get(status, self.keep) for status in statuses]
        times += [self.by_type.get(kind, self.keep) for kind in aggregate_types]
        return max([self.keep, *times]) // MICROSECOND
